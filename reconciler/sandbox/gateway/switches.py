"""What can be switched on in a running sandbox: the slowness and the limits of the real account, the domain's policy.

All is off at the start and after a reset.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
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

    @property
    def reads_delay_s(self) -> float:
        """How old the state is that reads show, in seconds."""
        return self.propagation_delay_s if self.stale_reads_s is None else self.stale_reads_s

    @property
    def longest_delay_s(self) -> float:
        """How far back anything looks, in seconds."""
        return max(self.propagation_delay_s, self.reads_delay_s)

    def changed(self, values: Mapping[str, Json]) -> Self:
        """With other values, by the names of the fields; the rest stays. ValueError says what is wrong with one."""
        names = [one.name for one in fields(self)]
        if unknown := sorted(set(values) - set(names)):
            raise ValueError(f"no such switch: {', '.join(unknown)}; there are {', '.join(names)}")
        wanted: dict[str, Json] = {**{name: getattr(self, name) for name in names}, **values}
        stale = wanted["stale_reads_s"]
        return type(self)(
            propagation_delay_s=_number("propagation_delay_s", wanted),
            stale_reads_s=None if stale is None else _number("stale_reads_s", wanted),
            throttle=_share("throttle", wanted),
            access_policy=_policy("access_policy", wanted),
        )


def _number(name: str, values: Mapping[str, Json]) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} is a number from 0 on, not {value!r}")
    return float(value)


def _share(name: str, values: Mapping[str, Json]) -> float:
    if (value := _number(name, values)) > 1:
        raise ValueError(f"{name} is a share from 0 to 1, not {value:g}")
    return value


def _policy(name: str, values: Mapping[str, Json]) -> str | None:
    given = values[name]
    if given is None:
        return None
    try:
        document: Json = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise ValueError(f"{name} is a policy document with a Statement, not {document!r}")
    return json.dumps(document)
