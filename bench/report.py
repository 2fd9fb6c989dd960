"""The figures as people read them: tables for the terminal and for the documentation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.targets import Figures, Target, targets

_CASES = (
    "scenario", "N", "reads", "writes", "ledger", "wall s", "CPU s", "MiB",
    "bound s", "of it: start", "latency", "SDK", "services", "wall / bound", "served in CPU s", "slowed",
)  # fmt: skip
_SHORT = (
    "Scenario",
    "N",
    "Reads",
    "Writes",
    "Ledger writes",
    "Wall s",
    "CPU s",
    "MiB",
    "Bound s",
    "Wall / bound",
    "Slowed",
)
_KEPT = (0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 15)
_MET = {True: "met", False: "missed", None: "not measured"}


def case_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each scenario and size."""
    fastest = min((one["yardstick"] for one in figures["cases"]), default=1.0)
    for one in sorted(figures["cases"], key=lambda one: int(one["chains"])):
        asked, bound = one["requests"], one["bound"]
        yield (
            one["scenario"],
            f"{one['chains']:,}",
            f"{asked['reads'] + asked['ledger_reads']:,} ({bound['reads']:,})",
            f"{asked['writes']:,} ({bound['writes']:,})",
            f"{asked['ledger_writes']:,}",
            f"{one['wall']:.2f}",
            f"{one['cpu']:.2f}",
            f"{one['peak']:.0f}",
            *(f"{bound[name]:.2f}" for name in ("wall", "start", "latency", "sdk")),
            f"{max(bound['security'], bound['tasks']):.2f}",
            f"{one['wall'] / bound['wall']:.1f}",
            f"{one['served']:.2f}",
            f"{one['yardstick'] / fastest:.2f}",
        )


def offline_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each command that asks nobody."""
    for one in figures["offline"]:
        about = f" ({one['lines']:,} lines, {one['objects']:,} objects)" if "lines" in one else ""
        sdks = ", ".join(one["sdks_loaded"]) or "none"
        yield one["name"] + about, f"{one['wall']:.2f}", f"{one['cpu']:.2f}", f"{one['peak']:.0f}", sdks


def target_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each promise."""
    for one in targets(Figures(figures)):
        yield one.of, one.figure, f"{_number(one.most)} {one.unit}".strip(), _measured(one), _MET[one.met]


def text(figures: Mapping[str, Any]) -> str:
    """The figures for the terminal."""
    made = figures["made"]
    commits = ", ".join(sorted({one["commit"] for one in (*figures["cases"], *figures["offline"])}))
    lines = [
        f"{commits}: Python {made['python']}, {made['cores']} cores, load {made['load']}, "
        f"{made['latency'] * 1000:.0f} ms a request; in brackets what is needed at least",
        "",
        *_plain(_CASES, list(case_rows(figures))),
        "slowed: how much longer than at the fastest moment the same work took just before and after",
        "",
        *_plain(("command", "wall s", "CPU s", "MiB", "SDKs imported"), list(offline_rows(figures))),
        "",
        *_plain(("of", "figure", "at most", "measured", ""), list(target_rows(figures))),
    ]
    return "\n".join(lines) + "\n"


def markdown(figures: Mapping[str, Any]) -> str:
    """The figures for the documentation."""
    made = figures["made"]
    said = (
        f"Measured with Python {made['python']} on {made['cores']} cores, every answer held back for "
        f"{made['latency'] * 1000:.0f} ms. Numbers in brackets are what is needed at least. "
        "*Slowed* says how much longer the same work took just before and after than at the fastest moment, where "
        "others share the machine."
    )
    parts = [
        said,
        _piped(("Of", "Figure", "At most", "Measured", ""), list(target_rows(figures))),
        _piped(_SHORT, [[row[place] for place in _KEPT] for row in case_rows(figures)]),
        _piped(("Command", "Wall s", "CPU s", "MiB", "SDKs imported"), list(offline_rows(figures))),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(target: Target) -> str:
    return "" if target.measured is None else f"{_number(target.measured)} {target.unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if index and _is_number(rows, index) else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _is_number(rows: Sequence[Sequence[str]], index: int) -> bool:
    return all(not row[index] or row[index][0].isdigit() or row[index][0] == "-" for row in rows)


def _piped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---:" if index and _is_number(rows, index) else "---" for index in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ruler, *rows))
