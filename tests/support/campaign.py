"""How many worlds, kills and races there are: few every day, many in a campaign, which counts them too.

A campaign is what runs with `--hypothesis-profile=campaign`. `WORLDS`, `MOMENTS` (of each world's apply), `KILLS`,
`RACES` and `LOOKS` (after drift where there is none) in the environment are other numbers for it.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

T = TypeVar("T")
CAMPAIGN = settings.get_current_profile_name() == "campaign"


def _number(name: str, quick: int, many: int) -> int:
    return int(os.environ.get(name, many)) if CAMPAIGN else quick


MOMENTS = _number("MOMENTS", 4, 20)
KILLS = _number("KILLS", 5, 24)
RACES = _number("RACES", 3, 20)
LOOKS = _number("LOOKS", 4, 50)
SHARED = _number("RACES", 1, 20)


def moments(data: st.DataObject, every: Sequence[T]) -> Sequence[T]:
    """Some of all the moments there are, drawn anew for each world; all of them where they are few."""
    if len(every) <= MOMENTS:
        return every
    return data.draw(st.lists(st.sampled_from(every), min_size=MOMENTS, max_size=MOMENTS, unique=True))


def worlds_each(quick: int) -> Callable[[Any], Any]:
    """`quick` worlds, the same in each everyday run, or a thousand new ones in a campaign.

    How many there were is the test's attribute `worlds`.
    """
    chosen = settings(
        max_examples=settings().max_examples if CAMPAIGN else quick,
        deadline=None,
        derandomize=not CAMPAIGN,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )

    def decorate(test: Any) -> Any:
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*arguments: Any, **named: Any) -> None:
            test.worlds += 1
            inner(*arguments, **named)

        test.worlds = 0
        test.hypothesis.inner_test = counted
        return chosen(test)

    return decorate
