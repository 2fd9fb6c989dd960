"""Two versions side by side in one run: taking turns, so that whatever else the machine does falls on both alike."""

import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import ROOT, running
from bench.scenarios import Measured, Tool, drifted
from bench.workload import kinds_of

SCENARIOS = ("no-change plan", "drifted plan", "one change", "first apply", "validate")


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario's runs of the base and of this version, in pairs."""

    scenario: str
    chains: int
    base: Sequence[Measured]
    here: Sequence[Measured]

    def ratios(self, figure: str) -> list[float]:
        """This version over the base, pair by pair: `wall`, `cpu` or `peak`."""
        pairs = zip(self.base, self.here, strict=True)
        return [getattr(here.ran, figure) / getattr(base.ran, figure) for base, here in pairs]

    def requests(self) -> tuple[int, int]:
        """How much the base and this version ask in the middle."""
        return _middle(self.base), _middle(self.here)


def _middle(runs: Sequence[Measured]) -> int:
    return int(statistics.median_low(sum(one.tally["classes"].values()) for one in runs))


def compare(base: str, folder: Path, chains: int, pairs: int, scenarios: Sequence[str]) -> Iterator[Pair]:
    """Run each scenario of both versions in turns. The workload has the kinds that both know."""
    with checkout(base, folder / "base") as tree, ExitStack() as stack:
        kinds = [kind for kind in kinds_of(ROOT) if kind in kinds_of(tree)]
        tools = []
        for name, where in (("base", tree), ("here", ROOT)):
            own = folder / f"files-{name}"
            own.mkdir()
            tools.append(Tool(stack.enter_context(running()), own, where, kinds))
        for tool in tools:
            tool.run("version")
            if set(scenarios) - {"first apply", "validate"}:
                tool.fill(chains)
                tool.measure("plan", tool.write(chains))
        for scenario in sorted(scenarios, key=SCENARIOS.index):
            turns = [_turn(tool, scenario, chains) for tool in tools]
            taken: tuple[list[Measured], list[Measured]] = ([], [])
            for number in range(pairs):
                # Who goes first changes from pair to pair.
                for place in (0, 1) if number % 2 else (1, 0):
                    taken[place].append(turns[place](number))
            yield Pair(scenario, chains, *taken)


def _turn(tool: Tool, scenario: str, chains: int) -> Callable[[int], Measured]:
    """One run of a scenario, given its number."""
    path, changed = tool.write(chains), tool.write(chains, changed=chains // 2)

    def first_apply() -> Measured:
        tool.reset(chains)
        return tool.measure("apply", "--yes", path)

    def one_change(number: int) -> Measured:
        tool.services.settle()
        return tool.measure("apply", "--yes", path if number % 2 else changed)

    turns: dict[str, Callable[[int], Measured]] = {
        "no-change plan": lambda number: tool.measure("plan", "--detailed-exitcode", path),
        "drifted plan": lambda number: drifted(tool, chains, path),
        "one change": one_change,
        "first apply": lambda number: first_apply(),
        "validate": lambda number: tool.measure("validate", path),
    }
    return turns[scenario]


@contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Another commit of this project, in a folder, for as long as the block runs."""
    _git("worktree", "add", "--detach", "--quiet", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True)


def main(base: str, chains: int, pairs: int, scenarios: Sequence[str]) -> None:
    """Compare, and print each scenario as it is done."""
    with tempfile.TemporaryDirectory() as folder:
        for pair in compare(base, Path(folder), chains, pairs, scenarios):
            print(text(pair), flush=True)


def text(pair: Pair) -> str:
    """A pair's figures as lines."""
    lines = [f"{pair.scenario}, N = {pair.chains:,}, {len(pair.here)} pairs"]
    for figure, unit in (("wall", "s"), ("cpu", "s"), ("peak", "MiB")):
        base = statistics.median(getattr(one.ran, figure) for one in pair.base)
        here = statistics.median(getattr(one.ran, figure) for one in pair.here)
        ratios = sorted(pair.ratios(figure))
        low, high = _spread(ratios)
        said = f"{base:9.2f} -> {here:9.2f} {unit:<3}  ratio {statistics.median(ratios):.3f}"
        lines.append(f"  {figure:<9}{said}  (between {low:.3f} and {high:.3f})")
    asked = pair.requests()
    lines.append(f"  requests {asked[0]:9,} -> {asked[1]:9,}")
    return "\n".join(lines)


def _spread(ratios: Sequence[float]) -> tuple[float, float]:
    """Between which of the sorted ratios the true median is with 95% certainty; the outermost where they are few.

    How many pairs lie below the true median is binomial: as many may be left out on either side as are that unlikely.
    """
    count = len(ratios)
    left_out = 0
    while 2 * sum(math.comb(count, below) for below in range(left_out + 2)) <= 0.05 * 2**count:
        left_out += 1
    return ratios[left_out], ratios[count - 1 - left_out]
