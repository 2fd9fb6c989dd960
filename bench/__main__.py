"""Measuring the reconciler.

    python -m bench run [--chains 1 10 100 1000] [--only "no-change plan" ...] [--repeat 5] [--add]
    python -m bench compare BASE [--chains 100] [--pairs 7]
    python -m bench node [--chains 300]
    python -m bench profile [--chains 1000] plan|drift|apply|validate
    python -m bench publish

Figures go to `build/bench` until they are published.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import calibration, compare, costs, profiled, report
from bench.bound import Sdk
from bench.client import ROOT, running
from bench.command import first_in_line
from bench.offline import offline
from bench.pictures import pictures
from bench.scenarios import CROWDED, SCENARIOS, Case, Tool, crowded, growth, this

OUT = ROOT / "build" / "bench"
FIGURES = OUT / "figures.json"
PUBLISHED = ROOT / "docs" / "performance"
OFFLINE = "offline"


def main() -> None:
    """Do what the arguments ask for."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # what was started is ended all the same
    with first_in_line(os.getpid()) if options.first else nullcontext():
        options.act(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the reconciler.")
    parser.add_argument("--first", action="store_true", help="go before others' work on a shared machine (as root)")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="measure all scenarios and print the figures")
    one.add_argument("--chains", type=int, nargs="+", default=[1, 10, 100, 1_000])
    one.add_argument("--only", nargs="+", choices=(*SCENARIOS, CROWDED, OFFLINE), help="only these scenarios")
    one.add_argument("--repeat", type=int, default=5, help="how often each command is run")
    one.add_argument("--out", type=Path, default=FIGURES, help="where the figures go")
    one.add_argument("--add", action="store_true", help="keep the figures there of what is not measured now")
    one.set_defaults(act=_run)
    one = commands.add_parser("compare", help="let another commit and this checkout take turns")
    one.add_argument("base", help="a commit")
    one.add_argument("--chains", type=int, default=100)
    one.add_argument("--pairs", type=int, default=7)
    one.add_argument("--only", nargs="+", choices=compare.SCENARIOS, default=compare.SCENARIOS[:3])
    one.set_defaults(act=lambda given: compare.main(given.base, given.chains, given.pairs, given.only))
    one = commands.add_parser("node", help="a first apply on the sandbox's real node, against a bare client")
    one.add_argument("--chains", type=int, default=300)
    one.add_argument("--repeat", type=int, default=3)
    one.add_argument("--out", type=Path, default=FIGURES, help="where the figures go, beside those that are there")
    one.set_defaults(act=_node)
    one = commands.add_parser("profile", help="where the processor time of a command goes, in all its threads")
    one.add_argument("command", choices=("plan", "drift", "apply", "validate"))
    one.add_argument("--chains", type=int, default=1_000)
    one.add_argument("--at-once", action="store_true", help="the services hold nothing back and have no limits")
    one.set_defaults(act=_profile)
    one = commands.add_parser("publish", help="put the last figures into the documentation")
    one.add_argument("--figures", type=Path, default=FIGURES)
    one.set_defaults(act=_publish)
    return parser


def _run(options: argparse.Namespace) -> None:
    wanted = options.only or [*SCENARIOS, CROWDED, OFFLINE]
    figures: dict[str, Any] = {"cases": [], "offline": []}
    if options.add:
        figures |= _read(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with running() as services, tempfile.TemporaryDirectory() as folder:
        tool = this(services, Path(folder))
        sdk = calibration.measured(services, Path(folder))
        figures["made"] = {**_made(sdk), "first": options.first}
        tool.run("version")
        for name, found in _measured(tool, sdk, options, wanted):
            _keep(figures[name], {**found, "commit": figures["made"]["commit"]})
            options.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, picture in pictures(figures).items():
        (options.out.parent / name).write_text(picture, "utf-8")
    print(report.text(figures), end="")


def _measured(
    tool: Tool, sdk: Sdk, options: argparse.Namespace, wanted: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is measured, and the section of the figures it belongs to."""
    if OFFLINE in wanted:
        for one in offline(tool, options.repeat):
            yield "offline", one.json()
    for case in _cases(tool, sdk, options, wanted):
        _tell(f"{case.scenario}, N = {case.chains:,}: {case.middle.ran.wall:.2f} s")
        yield "cases", case.json()


def _cases(tool: Tool, sdk: Sdk, options: argparse.Namespace, wanted: Collection[str]) -> Iterator[Case]:
    if CROWDED in wanted:
        yield crowded(tool, sdk, options.repeat)
    if {*SCENARIOS} & {*wanted}:
        for chains in options.chains:
            yield from growth(tool, sdk, chains, options.repeat, wanted)


def _keep(section: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """Put something measured in the place of its like."""
    about = [found.get(name) for name in ("name", "scenario", "chains")]
    section[:] = [one for one in section if [one.get(name) for name in ("name", "scenario", "chains")] != about]
    section.append(found)


def _node(options: argparse.Namespace) -> None:
    from bench import node

    found = node.main(options.chains, options.repeat, options.first, _tell)
    figures = {"cases": [], "offline": [], **_read(options.out), "node": found}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


def _profile(options: argparse.Namespace) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    target = OUT / f"{options.command}-{options.chains}.pstats"
    with running() as services, tempfile.TemporaryDirectory() as folder:
        tool = this(services, Path(folder))
        path = tool.write(options.chains)
        if options.command in ("plan", "drift"):
            tool.fill(options.chains)
        else:
            tool.reset(options.chains)
        if options.at_once:
            services.pace(latency=0.0, limits=False)
        arguments = [options.command, str(path), *(["--yes"] if options.command == "apply" else [])]
        profiled.show(ROOT, Path(folder), arguments, target)
        if options.command != "apply":
            page = target.with_suffix(".html")
            tool.run("--profile", page, *arguments)
            print(f"the same as a page: {page.relative_to(ROOT)}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _read(path: Path) -> dict[str, Any]:
    """The figures measured before."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _publish(options: argparse.Namespace) -> None:
    figures = _read(options.figures)
    for case in figures["cases"]:
        for name in ("runs", "operations", "refused"):
            case.pop(name, None)
    PUBLISHED.mkdir(exist_ok=True)
    (PUBLISHED / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, picture in pictures(figures).items():
        (PUBLISHED / name).write_text(picture, "utf-8")
    subprocess.run([sys.executable, "scripts/generate_docs.py"], cwd=ROOT, check=True)


def _made(sdk: Sdk) -> dict[str, Any]:
    """Where, when and of what the figures are."""
    return {
        "commit": _git("describe", "--always", "--dirty"),
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "latency": costs.LATENCY,
        "sdk": {"start": round(sdk.start, 3), **sdk.calls},
    }


def _git(*arguments: str) -> str:
    done: Sequence[str] = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(done, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
