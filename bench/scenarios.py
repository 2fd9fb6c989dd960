"""What is measured: each command as a fresh process, again and again, with everything it asked counted."""

import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import bound, costs
from bench.bound import Bound, Sdk
from bench.client import ROOT, Services, environment
from bench.command import Ran, run, yardstick
from bench.workload import KINDS, head, kinds_of, manifest, number, objects, sections

PLANS = ("no-change plan", "drifted plan", "drift")
SCENARIOS = ("first apply", *PLANS, "one change")
CROWDED = "crowded plan"
_A_FILE = 1_000  # chains
_DEPLOYMENT = "GET /_plugins/_ml/models/{id}"  # searches show it late, and there is no way to look at many at once
OTHERS = 2_000
APPLIED = 1_000
"""More chains than this are put there at full speed and only looked at."""


class Unexpected(Exception):
    """A measured command did not do what the scenario expects, so that its figures say nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what it took, what it asked, what the services took, and the yardstick before and after it."""

    ran: Ran
    tally: Mapping[str, Any]
    yardstick: float

    def json(self) -> dict[str, Any]:
        """The run as the figures have it."""
        taken = {"wall": self.ran.wall, "cpu": self.ran.cpu, "peak": self.ran.peak, "yardstick": self.yardstick}
        return {
            **{name: round(value, 4) for name, value in taken.items()},
            **self.tally["classes"],
            "services": {name: self.tally[name] for name in ("cpu", "security_seconds", "late_seconds", "latest")},
        }


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario at one size, and its runs."""

    scenario: str
    chains: int
    objects: int
    bound: Bound
    runs: Sequence[Measured] = field(repr=False)

    @property
    def middle(self) -> Measured:
        """The run of the middle wall time."""
        return sorted(self.runs, key=lambda one: one.ran.wall)[(len(self.runs) - 1) // 2]

    def json(self) -> dict[str, Any]:
        """The case as the figures have it; times are medians, memory is the most."""
        return {
            "scenario": self.scenario,
            "chains": self.chains,
            "objects": self.objects,
            "wall": round(statistics.median(one.ran.wall for one in self.runs), 3),
            "cpu": round(statistics.median(one.ran.cpu for one in self.runs), 3),
            "peak": round(max(one.ran.peak for one in self.runs), 1),
            "yardstick": round(statistics.median(one.yardstick for one in self.runs), 4),
            "served": round(statistics.median(one.tally["cpu"] for one in self.runs), 3),
            "requests": dict(self.middle.tally["classes"]),
            "looks": self.middle.tally["operations"].get(_DEPLOYMENT, 0),
            "operations": dict(self.middle.tally["operations"]),
            "refused": dict(self.middle.tally["refused"]),
            "bound": self.bound.json(),
            "runs": [one.json() for one in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Tool:
    """A checkout whose reconciler is run, against services, with its files in a folder of its own."""

    services: Services
    folder: Path
    tree: Path = ROOT
    kinds: Collection[str] = KINDS

    def write(self, chains: int, changed: int | None = None) -> Path:
        """Write the manifest of so many chains: a file, or a folder of files where one would be too large."""
        name = f"bench-{chains}{'' if changed is None else '-changed'}"
        if chains <= _A_FILE:
            path = self.folder / f"{name}.yaml"
            path.write_text(manifest(chains, self.services.where, self.kinds, changed), "utf-8")
            return path
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "head.yaml").write_text(head(self.services.where), "utf-8")
        for first in range(0, chains, _A_FILE):
            part = range(first, min(first + _A_FILE, chains))
            (folder / f"{number(first)}.yaml").write_text(sections(part, self.kinds, changed), "utf-8")
        return folder

    def measure(self, *arguments: str | Path, code: int = 0) -> Measured:
        """Run one command and count what it asks."""
        before = yardstick()
        self.services.tally()
        ran = self.run(*arguments)
        tally = self.services.tally()
        yard = (before + yardstick()) / 2
        if ran.code != code:
            said = f"{ran.out[-2_000:]}\n{ran.err[-2_000:]}"
            raise Unexpected(f"`{' '.join(map(str, arguments))}` ended with {ran.code}, not {code}:\n{said}")
        return Measured(ran, tally, yard)

    def run(self, *arguments: str | Path) -> Ran:
        """Run one command."""
        return run(self.tree, self.folder, ["-m", "reconciler", *map(str, arguments)], environment())

    def reset(self, chains: int, **stage: object) -> None:
        """An empty account and domain; the security roles of the mappings stand there if no kind makes them."""
        names = [] if "security_roles" in self.kinds else [f"bench-ask-{number(one)}" for one in range(chains)]
        self.services.reset(security_roles=names, **stage)

    def fill(self, chains: int, **stage: object) -> Path:
        """Put the chains there at full speed, then go on at the usual pace."""
        self.reset(chains, latency=0.0, limits=False, **stage)
        path = self.write(chains)
        self.measure("apply", "--yes", path)
        self.services.pace(latency=costs.LATENCY, limits=True)
        return path

    def checked(self, chains: int, **expected: int) -> None:
        """Unexpected unless the services have what the manifest states."""
        state = self.services.state()
        wanted = {"iam_roles": 2 * chains, "deployed": chains, **expected}
        wanted |= dict.fromkeys(("connectors", "model_groups", "models", "bench_roles", "bench_mappings"), chains)
        if any(state[name] != count for name, count in wanted.items()):
            raise Unexpected(f"the services hold {state}, not {wanted}")


def this(services: Services, folder: Path) -> Tool:
    """This checkout's reconciler."""
    return Tool(services, folder, ROOT, kinds_of(ROOT))


def growth(tool: Tool, sdk: Sdk, chains: int, repeat: int, wanted: Collection[str]) -> Iterator[Case]:
    """The scenarios at one size, in the order that needs the least between them."""

    def case(scenario: str, least: Bound, runs: Sequence[Measured]) -> Case:
        return Case(scenario, chains, objects(chains, tool.kinds), least, runs)

    path = tool.write(chains)
    if "first apply" in wanted and chains <= APPLIED:
        runs = []
        for _ in range(applies(chains, repeat)):
            tool.reset(chains)
            runs.append(tool.measure("apply", "--yes", path))
            tool.checked(chains)
            tool.services.settle()
        yield case("first apply", bound.first_apply(sdk, chains, tool.kinds), runs)
    else:
        tool.fill(chains)
        tool.checked(chains)
    least = bound.plan(sdk, chains, tool.kinds)
    plans = [name for name in PLANS if name in wanted]
    turns: Mapping[str, Callable[[], Measured]] = {
        "no-change plan": lambda: tool.measure("plan", "--detailed-exitcode", path),
        "drifted plan": lambda: drifted(tool, chains, path),
        "drift": lambda: tool.measure("drift", path),
    }
    taken: dict[str, list[Measured]] = {name: [] for name in plans}
    for _ in range(repeat):
        for name in plans:
            taken[name].append(turns[name]())
    for name in plans:
        yield case(name, least, taken[name])
    if "one change" in wanted:
        changed = tool.write(chains, changed=chains // 2)
        runs = []
        for turn in range(repeat):
            runs.append(tool.measure("apply", "--yes", path if turn % 2 else changed))
            tool.checked(chains, changed=1 - turn % 2)
            tool.services.settle()
        yield case("one change", bound.one_change(sdk, chains, tool.kinds), runs)


def applies(chains: int, repeat: int) -> int:
    """How often a first apply is repeated: the longest one not at all."""
    return min(repeat, 1 if chains >= APPLIED else 3)


def drifted(tool: Tool, chains: int, path: Path) -> Measured:
    """A plan while one role is not as it should be."""
    role = f"bench-ask-{number(chains // 2)}"
    tool.services.drift(role)
    try:
        return tool.measure("plan", "--detailed-exitcode", path, code=2)
    finally:
        tool.services.drift(role)


def crowded(tool: Tool, sdk: Sdk, repeat: int) -> Case:
    """A no-change plan of one chain among many objects of others."""
    path = tool.fill(1, other_roles=OTHERS, other_connectors=OTHERS)
    runs = [tool.measure("plan", "--detailed-exitcode", path) for _ in range(repeat)]
    return Case(CROWDED, 1, objects(1, tool.kinds), bound.plan(sdk, 1, tool.kinds, OTHERS), runs)
