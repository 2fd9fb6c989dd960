"""What must show: each promise with what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIB, GIB = 1.0, 1_024.0
_LOOKS = 5
"""How often an apply may read everything page by page: before, under the lock, while it waits, after, and once more."""


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: of what, the most that is allowed, and what was measured (None: it was not)."""

    of: str
    figure: str
    most: float
    measured: float | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the promise holds."""
        return None if self.measured is None else self.measured <= self.most


class Figures:
    """The figures of one run of the bench, looked up by scenario and size."""

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self._cases = {(one["scenario"], one["chains"]): one for one in figures["cases"]}
        self._offline = {one["name"]: one for one in figures["offline"]}
        self.node: Mapping[str, Any] = figures.get("node") or {}

    def case(self, scenario: str, chains: int) -> "Case":
        """One case, measured or not."""
        return Case(self._cases.get((scenario, chains)))

    def wall(self, command: str) -> float | None:
        """The wall time of a command that asks nobody."""
        found = self._offline.get(command)
        return found["wall"] if found else None

    def sdks(self, command: str) -> float | None:
        """How many SDKs it imported."""
        found = self._offline.get(command)
        return float(len(found["sdks_loaded"])) if found else None


class Case:
    """One case's figures; each is None where it was not measured."""

    def __init__(self, found: Mapping[str, Any] | None) -> None:
        self._found = found

    def figure(self, name: str) -> float | None:
        """`wall`, `cpu` or `peak`."""
        return self._found[name] if self._found else None

    def requests(self, *classes: str) -> float | None:
        """Requests of these classes; of all without."""
        if not self._found:
            return None
        counted = self._found["requests"]
        return float(sum(counted[name] for name in classes or counted))

    @property
    def looks(self) -> float | None:
        """Looks at deployments, None where they were not counted."""
        return self._found.get("looks") if self._found else None

    def bound(self, name: str) -> float | None:
        """A part of the bound."""
        return self._found["bound"][name] if self._found else None


def targets(figures: Figures) -> Iterator[Target]:
    """All promises."""
    plan, apply, change = "no-change plan", "first apply", "one change"
    thousand, hundred = figures.case(plan, 1_000), figures.case(plan, 100)
    of = "no-change plan, N = 1000"
    yield Target(of, "requests", 40, thousand.requests())
    yield Target(of, "wall", 5.0, thousand.figure("wall"), "s")
    yield Target(f"{of} (goal)", "wall", 3.0, thousand.figure("wall"), "s")
    yield Target(of, "memory", 250 * MIB, thousand.figure("peak"), "MiB")
    of = "no-change plan, N = 100"
    yield Target(of, "requests", 20, hundred.requests())
    yield Target(of, "wall", 1.2, hundred.figure("wall"), "s")
    crowded = figures.case("crowded plan", 1)
    of = "no-change plan, N = 1 among 2,000 roles and 2,000 connectors of others"
    yield Target(of, "requests", 16, crowded.requests())
    yield Target(of, "wall", 1.0, crowded.figure("wall"), "s")
    drifted = figures.case("drifted plan", 1_000)
    yield Target(
        "plan with one drifted object, N = 1000", "wall / no-change plan", 1.1,
        _over(drifted.figure("wall"), thousand.figure("wall")),
    )  # fmt: skip
    looked = figures.case("drift", 1_000)
    of = "drift, N = 1000: the no-change plan's and a tenth"
    yield Target(of, "requests", 44, looked.requests())
    yield Target(of, "wall", 5.5, looked.figure("wall"), "s")
    yield Target(of, "memory", 275 * MIB, looked.figure("peak"), "MiB")
    first = figures.case(apply, 100)
    of = "first apply, N = 100"
    yield Target(of, "writes / writes demanded", 1.1, _over(first.requests("writes"), first.bound("writes")))
    yield Target(of, "ledger writes", 20, first.requests("ledger_writes"))
    looks = first.looks
    others = None if looks is None else _sum(first.requests("reads", "ledger_reads"), -looks)
    yield Target(of, "reads / reads of one look, looks at deployments apart", _LOOKS, _over(others, _pages(first)))
    yield Target(of, "looks at each deployment", 2, _over(looks, 100))
    yield Target(of, "wall / bound", 2.0, _over(first.figure("wall"), first.bound("wall")))
    large = figures.case(apply, 1_000)
    of = "first apply, N = 1000"
    own = _sum(large.figure("wall"), -max(large.bound("security") or 0, large.bound("tasks") or 0))
    yield Target(of, "wall without what the services take", 60, own, "s")
    yield Target(of, "memory", 400 * MIB, large.figure("peak"), "MiB")
    node = figures.node
    of = f"first apply, N = {node.get('chains', 300)}, on the sandbox's node"
    yield Target(of, "wall / bare client's", 1.3, node.get("ratio"))
    one = figures.case(change, 1_000)
    yield Target(
        "apply of one change, N = 1000", "requests beyond the plan's", 20,
        _sum(one.requests(), -(thousand.requests() or 0)),
    )  # fmt: skip
    yield Target("validate, 42,000 lines of YAML, 3,000 objects", "wall", 2.0, figures.wall("validate"), "s")
    yield Target("version", "wall", 0.15, figures.wall("version"), "s")
    yield Target("--help", "wall", 0.3, figures.wall("--help"), "s")
    for command in ("validate", "version", "--help"):
        yield Target(command, "SDKs imported", 0, figures.sdks(command))
    huge = figures.case(plan, 10_000)
    of = "growth of the no-change plan from N = 100 to 10,000"
    for name, figure in (("wall", "wall"), ("memory", "peak")):
        small = [case.figure(figure) for case in (hundred, thousand, huge)]
        yield Target(of, f"{name} a chain, 1,000 to 10,000 over 100 to 1,000", 1.2, _steeper(small))
    yield Target("no-change plan, N = 10,000", "memory", 1.5 * GIB, huge.figure("peak"), "MiB")


def _pages(case: Case) -> float | None:
    """The reads of one look at everything; the bound of a first apply has two, one of them of nothing."""
    reads = case.bound("reads")
    return None if reads is None else reads / 2


def _steeper(values: list[float | None]) -> float | None:
    """What each further chain takes between 1,000 and 10,000, over what it takes between 100 and 1,000."""
    hundred, thousand, huge = values
    if hundred is None or thousand is None or huge is None:
        return None
    return ((huge - thousand) / 9_000) / ((thousand - hundred) / 900)


def _over(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def _sum(value: float | None, other: float) -> float | None:
    return None if value is None else value + other
