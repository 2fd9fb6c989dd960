"""Measuring the reconciler.

    python -m bench run [--chains 1 10 100 1000] [--only "no-change plan" ...] [--repeat 5]
    python -m bench compare BASE [--chains 100] [--pairs 7]
    python -m bench node [--chains 300]
    python -m bench profile [--chains 1000] plan|apply
    python -m bench publish
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import calibration, costs, report
from bench.bound import Sdk
from bench.client import ROOT, running
from bench.command import first_in_line
from bench.offline import offline
from bench.pictures import pictures
from bench.scenarios import CROWDED, SCENARIOS, crowded, growth, this

OUT = ROOT / "build" / "bench"
FIGURES = OUT / "figures.json"
PUBLISHED = ROOT / "docs" / "performance"
OFFLINE = "offline"


def main() -> None:
    """Do what the arguments ask for."""
    options = _parser().parse_args()
    with first_in_line(options.first):
        options.act(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the reconciler.")
    parser.add_argument("--first", action="store_true", help="go before others' work on a shared machine (as root)")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="measure all scenarios and print the figures")
    one.add_argument("--chains", type=int, nargs="+", default=[1, 10, 100, 1_000])
    one.add_argument("--only", nargs="+", choices=(*SCENARIOS, CROWDED, OFFLINE), help="only these scenarios")
    one.add_argument("--repeat", type=int, default=5, help="how often each command is run")
    one.add_argument("--out", type=Path, default=FIGURES, help="where the figures go; those of other cases stay")
    one.set_defaults(act=_run)
    one = commands.add_parser("publish", help="put the last figures into the documentation")
    one.add_argument("--figures", type=Path, default=FIGURES)
    one.set_defaults(act=_publish)
    return parser


def _run(options: argparse.Namespace) -> None:
    wanted = options.only or [*SCENARIOS, CROWDED, OFFLINE]
    figures: dict[str, Any] = {"cases": [], "offline": []}
    if options.out.is_file():
        figures |= json.loads(options.out.read_text("utf-8"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with running() as services, tempfile.TemporaryDirectory() as folder:
        tool = this(services, Path(folder))
        sdk = calibration.measured(services, Path(folder))
        figures["made"] = {**_made(sdk), "first": options.first}
        tool.run("version")

        def keep() -> None:
            figures["cases"].sort(key=lambda one: (one["scenario"] == CROWDED, one["chains"]))
            options.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")

        if OFFLINE in wanted:
            figures["offline"] = [one.json() for one in offline(tool, options.repeat)]
            keep()
        if CROWDED in wanted:
            _replace(figures["cases"], crowded(tool, sdk, options.repeat).json())
            keep()
        if set(SCENARIOS) & set(wanted):
            for chains in options.chains:
                for case in growth(tool, sdk, chains, options.repeat, wanted):
                    _replace(figures["cases"], case.json())
                    keep()
                    note = f"{case.scenario}, N = {chains:,}: {case.middle.ran.wall:.2f} s"
                    print(note, file=sys.stderr, flush=True)
    for name, picture in pictures(figures).items():
        (options.out.parent / name).write_text(picture, "utf-8")
    print(report.text(figures), end="")


def _publish(options: argparse.Namespace) -> None:
    figures = json.loads(options.figures.read_text("utf-8"))
    for case in figures["cases"]:
        for name in ("runs", "operations", "refused"):
            case.pop(name, None)
    PUBLISHED.mkdir(exist_ok=True)
    (PUBLISHED / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, picture in pictures(figures).items():
        (PUBLISHED / name).write_text(picture, "utf-8")
    subprocess.run([sys.executable, "scripts/generate_docs.py"], cwd=ROOT, check=True)


def _replace(cases: list[dict[str, Any]], case: dict[str, Any]) -> None:
    """Put a case in the place of an earlier one."""
    about = (case["scenario"], case["chains"])
    cases[:] = [one for one in cases if (one["scenario"], one["chains"]) != about] + [case]


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
