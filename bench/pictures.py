"""Pictures of the growth, as SVG. Both axes are logarithmic: what grows in proportion is a line of slope 1."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 50, 55
_COLOURS = {
    "first apply": "#0072b2",
    "no-change plan": "#009e73",
    "drifted plan": "#e69f00",
    "drift": "#56b4e9",
    "one change": "#cc79a7",
}


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    colour: str
    dashes: str
    points: Sequence[tuple[float, float]]


def pictures(figures: Mapping[str, Any]) -> dict[str, str]:
    """Each picture by its file's name."""
    cases = [one for one in figures["cases"] if one["scenario"] in _COLOURS]

    def requests(one: Mapping[str, Any]) -> float:
        return float(sum(one["requests"].values()))

    return {
        "wall.svg": _picture("Wall time, s (dashed: the bound)", cases, lambda one: one["wall"], _bound_wall),
        "memory.svg": _picture("Peak memory, MiB", cases, lambda one: one["peak"], None),
        "requests.svg": _picture("Requests (dashed: needed at least)", cases, requests, _bound_requests),
    }


def _bound_wall(one: Mapping[str, Any]) -> float:
    return float(one["bound"]["wall"])


def _bound_requests(one: Mapping[str, Any]) -> float:
    return float(one["bound"]["reads"] + one["bound"]["writes"])


_Figure = Callable[[Mapping[str, Any]], float]


def _picture(title: str, cases: Sequence[Mapping[str, Any]], figure: _Figure, bound: _Figure | None) -> str:
    lines = []
    for scenario, colour in _COLOURS.items():
        own = sorted((one for one in cases if one["scenario"] == scenario), key=lambda one: int(one["chains"]))
        lines.append(_Line(scenario, colour, "", [(one["chains"], figure(one)) for one in own]))
        if bound is not None:
            lines.append(_Line("", colour, "5 4", [(one["chains"], bound(one)) for one in own]))
    lines = [line for line in lines if line.points]
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    return "\n".join(_svg(title, lines, _axis(xs), _axis(ys))) + "\n" if xs else ""


def _axis(values: Sequence[float]) -> tuple[int, int]:
    """The decades that hold the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _svg(title: str, lines: Sequence[_Line], across: tuple[int, int], up: tuple[int, int]) -> Iterator[str]:
    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - across[0]) / (across[1] - across[0]) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(value) - up[0]) / (up[1] - up[0]) * (_HEIGHT - _TOP - _BOTTOM)

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13">'
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    yield f'<text x="{_LEFT}" y="28" font-size="16">{escape(title)}</text>'
    for power in range(across[0], across[1] + 1):
        at = x(10.0**power)
        yield _ruler(at, _TOP, at, _HEIGHT - _BOTTOM)
        yield f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{10.0**power:,.10g}</text>'
    for power in range(up[0], up[1] + 1):
        at = y(10.0**power)
        yield _ruler(_LEFT, at, _WIDTH - _RIGHT, at)
        yield f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,.10g}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">chains</text>'
    for line in lines:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points)
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        yield f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}/>'
        if line.name:
            for a, b in line.points:
                yield f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{line.colour}"/>'
    for place, line in enumerate(line for line in lines if line.name):
        top = _TOP + 12 + 22 * place
        left = _WIDTH - _RIGHT + 16
        yield f'<rect x="{left}" y="{top - 10}" width="12" height="12" fill="{line.colour}"/>'
        yield f'<text x="{left + 20}" y="{top}">{escape(line.name)}</text>'
    yield "</svg>"


def _ruler(left: float, top: float, right: float, bottom: float) -> str:
    return f'<line x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" stroke="#dddddd"/>'
