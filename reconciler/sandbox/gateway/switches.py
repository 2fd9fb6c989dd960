"""What can be switched on in a running sandbox: the slowness and the limits of the real account, the domain's policy.

All is off at the start and after a reset.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

from reconciler.canonical.json import Json


@dataclass(frozen=True, slots=True)
class Switches:
    """How the account and the domain behave.

    What is written in IAM counts for decisions after `propagation_delay_s` seconds (a new role can not be assumed, is
    no valid principal, its policies allow nothing) and is shown by Get* and List* after `stale_reads_s` seconds, by
    default as late. `throttle` is the share (0 to 1) of calls of AWS's APIs that are answered `Rate exceeded`.
    `access_policy` is the domain's access policy (JSON text); None stands for one that leaves it to the account's
    identity policies and lets internal users through.
    """

    propagation_delay_s: float = 0.0
    stale_reads_s: float | None = None
    throttle: float = 0.0
    access_policy: str | None = None
    _chance: random.Random = field(default_factory=lambda: random.Random(0), repr=False, compare=False)

    @property
    def reads_delay_s(self) -> float:
        """How old the state is that reads show, in seconds."""
        return self.propagation_delay_s if self.stale_reads_s is None else self.stale_reads_s

    @property
    def longest_delay_s(self) -> float:
        """How far back anything looks, in seconds."""
        return max(self.propagation_delay_s, self.reads_delay_s)

    def throttles(self) -> bool:
        """Whether the next call is refused for coming too soon. The sequence is the same after every change."""
        return self.throttle > 0 and self._chance.random() < self.throttle

    def changed(self, values: Mapping[str, Json]) -> Self:
        """With other values, by the names of the fields; the rest stays. ValueError says what is wrong with one."""
        unknown = set(values) - set(_READERS)
        if unknown:
            raise ValueError(f"no such switch: {', '.join(sorted(unknown))}; there are {', '.join(_READERS)}")
        read = {name: _READERS[name](name, value) for name, value in values.items()}
        return replace(self, **read, _chance=random.Random(0))


def _seconds(name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} is a number of seconds, not {value!r}")
    return float(value)


def _share(name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is a share from 0 to 1, not {value!r}")
    return float(value)


def _policy(name: str, value: Json) -> str | None:
    if value is None:
        return None
    try:
        document = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise ValueError(f"{name} is a policy document with a Statement, not {document!r}")
    return json.dumps(document)


_READERS: Mapping[str, Callable[[str, Json], float | str | None]] = {
    "propagation_delay_s": _seconds,
    "stale_reads_s": lambda name, value: None if value is None else _seconds(name, value),
    "throttle": _share,
    "access_policy": _policy,
}
assert set(_READERS) == {one.name for one in fields(Switches) if not one.name.startswith("_")}
