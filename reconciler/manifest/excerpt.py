"""Problems as text: the line they are about, carets under it, what is wrong and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import combining, east_asian_width

from reconciler.errors import Position, Problem
from reconciler.manifest.masking import masked_spans

WIDEST = 80
"""Columns of a line that are shown; longer lines are cut around the place."""

_LONGEST = 20_000
_BEFORE = 30
_TAB = "    "
_BARE = frozenset({"request", "reason"})
_GUTTER = " " * 5 + " |"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line as it is shown: its number, its text without tabs and secrets, the columns (from 0) to point at."""

    number: int
    text: str
    column: int
    width: int


def excerpt(position: Position, read_line: Callable[[str, int], str]) -> Excerpt | None:
    """The line at `position`; None when there is nothing to show. `read_line` takes a file and a number from 1."""
    line = read_line(position.file, position.line)
    if not line.strip() or len(line) > _LONGEST:
        return None
    cells = [_cell(character) for character in line]
    for start, end in masked_spans(position.line, lambda number: read_line(position.file, number)):
        cells[start:end] = ["***", *[""] * (end - start - 1)]
    first = min(position.column - 1, len(cells))
    last = min(first + max(position.length, 1), len(cells))
    edges = [0, *accumulate(map(_width, cells))]
    begin, end = _window(edges, first)
    before = "..." if begin else ""
    after = "..." if end < len(cells) else ""
    column = edges[first] - edges[begin] + len(before)
    width = max(1, edges[min(last, end)] - edges[first])
    return Excerpt(position.line, before + "".join(cells[begin:end]).rstrip() + after, column, width)


def format_problem(problem: Problem, read_line: Callable[[str, int], str]) -> str:
    """`problem` as plain text without a line end.

    A heading that editors and terminals can follow, the line with carets where there is one, and for problems
    that came from a service their facts. `read_line` gives a line of a file by its number from 1, "" when it
    can not.
    """
    return "\n".join(_lines(problem, read_line))


def _lines(problem: Problem, read_line: Callable[[str, int], str]) -> Iterator[str]:
    place = problem.position
    shown = excerpt(place, read_line) if place else None
    facts = dict(problem.facts)
    hint = problem.hint
    if facts and hint and "fix" not in facts:
        facts["fix"], hint = hint, ""
    said = _clean("; ".join(filter(None, (problem.message, hint))))
    heading = f"{problem.severity}[{problem.code}]"
    heading = _clean(" ".join(filter(None, (f"{place}:" if place else "", heading, problem.address))))
    if shown is None:
        yield f"{heading}: {said}"
    else:
        yield heading
        yield f"{shown.number:>5} | {shown.text}"
        yield f"{_GUTTER} {' ' * shown.column}{'^' * shown.width} {said}"
    yield from _facts(facts)


def _facts(facts: dict[str, str]) -> Iterator[str]:
    width = max((len(label) for label in facts if label not in _BARE), default=0) + 2
    for label, text in facts.items():
        start = "" if label in _BARE else label.ljust(width)
        for line in text.splitlines() or [""]:
            yield f"   {start}{_clean(line)}"
            start = " " * len(start)


def _window(edges: list[int], first: int) -> tuple[int, int]:
    """Which cells to show so that the one at `first` is among them."""
    count = len(edges) - 1
    if edges[-1] <= WIDEST:
        return 0, count
    begin = next(i for i in range(count + 1) if edges[i] >= edges[first] - _BEFORE)
    if edges[-1] - edges[begin] < WIDEST - 6:
        begin = next(i for i in range(count + 1) if edges[-1] - edges[i] <= WIDEST - 3)
    room = WIDEST - (3 if begin else 0)
    if edges[-1] - edges[begin] <= room:
        return begin, count
    end = max(i for i in range(begin, count + 1) if edges[i] - edges[begin] <= room - 3)
    return begin, end


def _cell(character: str) -> str:
    """One character as it is shown: tabs as spaces, what has no shape or turns the text around as a dot."""
    if character == "\t":
        return _TAB
    return character if character.isprintable() else "\N{MIDDLE DOT}"


def _width(cell: str) -> int:
    if len(cell) != 1:
        return len(cell)
    return 0 if combining(cell) else 2 if east_asian_width(cell) in "WF" else 1


def _clean(text: str) -> str:
    return "".join(map(_cell, text))
