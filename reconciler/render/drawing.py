"""A picture drawn: as SVG, as Mermaid for Markdown, as DOT for Graphviz. Nothing in a name is taken for markup.

https://www.w3.org/TR/SVG2/, https://mermaid.js.org/syntax/flowchart.html, https://graphviz.org/doc/info/lang.html
"""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from reconciler.model.objects import Address
from reconciler.render.picture import BOX_HEIGHT, Box, Hue, Node, Picture, laid_out, shortened


class Paint(NamedTuple):
    """A colour of lines and letters, and one of grounds, each on light and on dark."""

    ink: str
    ground: str
    dark_ink: str
    dark_ground: str


PALETTE: Mapping[Hue, Paint] = {
    Hue.GREEN: Paint("#116329", "#dafbe1", "#56d364", "#10301c"),
    Hue.YELLOW: Paint("#7d4e00", "#fff3c4", "#e3b341", "#352a0b"),
    Hue.PURPLE: Paint("#6e3bc4", "#f3e8ff", "#c9a5ff", "#2c1f47"),
    Hue.RED: Paint("#b3141f", "#ffe4e1", "#ff938a", "#45171a"),
    Hue.CYAN: Paint("#0b5e6f", "#d9f5fa", "#66d4e6", "#0c3039"),
    Hue.BLUE: Paint("#0757ba", "#ddf0ff", "#84baff", "#122c4d"),
    Hue.GREY: Paint("#57606a", "#e9ecef", "#a7b0ba", "#2b3138"),
    Hue.PLAIN: Paint("#57606a", "#ffffff", "#a7b0ba", "#161b22"),
}
"""What hues look like; letters on their ground have a contrast of 4.5 or more."""

Link = Callable[[Address], str]
"""Where the box of an object leads to; "" where nowhere."""

Hide = Callable[[str], str]
"""Takes out of a text what must not be seen."""

_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """The text with what is not to be seen, or turns other text round, written out."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def escaped(text: str) -> str:
    """The text as it may stand anywhere in HTML and XML, also between quotes."""
    return html.escape(visible(text), quote=True)


def svg(picture: Picture, hide: Hide = str) -> str:
    """The picture as a file of its own, for light and dark. Every text goes through `hide`, here and below."""
    rules = "".join(
        f".{hue} rect{{fill:{paint.dark_ground};stroke:{paint.dark_ink}}}.{hue} text{{fill:{paint.dark_ink}}}"
        for hue, paint in PALETTE.items()
    )
    plain = PALETTE[Hue.PLAIN]
    rules += f".head{{fill:{plain.dark_ink}}}.edge{{stroke:{plain.dark_ink}}}.tip{{fill:{plain.dark_ink}}}"
    dark = f"@media (prefers-color-scheme:dark){{svg{{background:#0d1117}}{rules}}}"
    return drawn(picture, style=f"<style>svg{{background:#fff}}{dark}</style>", hide=hide) + "\n"


def drawn(picture: Picture, link: Link = lambda address: "", style: str = "", hide: Hide = str) -> str:
    """The picture as an `svg` element, in the colours for light; boxes lead to where `link` says."""
    layout = laid_out(picture)

    def told(text: str) -> str:
        return escaped(hide(text))

    size = f'width="{layout.width}" height="{layout.height}" viewBox="0 0 {layout.width} {layout.height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="group" aria-label="{told(picture.title)}: the chain"'
        f' font-family="{escaped(_FONT)}" font-size="12">',
        style,
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path class="tip" d="M0 0L6 3L0 6z" fill="{PALETTE[Hue.PLAIN].ink}"/></marker></defs>',
        *(_edge(layout.boxes[first], layout.boxes[then]) for first, then in picture.edges),
        *(
            f'<text class="head" x="{one.x}" y="{one.y}" font-weight="600" fill="{PALETTE[Hue.PLAIN].ink}">'
            f"{told(one.kind)}</text>"
            for one in layout.headings
        ),
        *(_box(box, link(box.node.address), hide) for box in layout.boxes.values()),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def mermaid(picture: Picture, hide: Hide = str) -> str:
    """The picture as a Mermaid flowchart. It lays itself out, in the order of the columns."""
    return "\n".join(_mermaid(picture, lambda text: _mermaid_text(hide(text)))) + "\n"


def dot(picture: Picture, hide: Hide = str) -> str:
    """The picture as a graph for Graphviz, with the same columns."""
    return "\n".join(_dot(picture, lambda text: _dot_text(hide(text)))) + "\n"


def told_of(node: Node) -> str:
    """What is said of a node, in words."""
    name = f"{node.address.kind}: {node.label}" if node.label else str(node.address)
    return ", ".join([f"{node.status.word} {name}", *node.risks])


def _edge(start: Box, end: Box) -> str:
    x1, y1 = start.x + start.width, start.y + BOX_HEIGHT // 2
    x2, y2 = end.x, end.y + BOX_HEIGHT // 2
    if x2 > x1:
        bend = max(24, (x2 - x1) // 2)
        path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 1} {y2}"
    else:  # in one column, or back: round the right side
        x2 = end.x + end.width
        far = max(x1, x2) + 30
        path = f"M{x1} {y1}C{far} {y1} {far} {y2} {x2 + 1} {y2}"
    ink = PALETTE[Hue.PLAIN].ink
    line = f'fill="none" stroke="{ink}" stroke-opacity="0.55" marker-end="url(#tip)"'
    return f'<path class="edge" d="{path}" {line}/>'


def _box(box: Box, target: str, hide: Hide) -> str:
    node, label = box.node, escaped(hide(told_of(box.node)))
    paint = PALETTE[node.status.hue]
    middle = box.y + BOX_HEIGHT // 2 + 4
    letters = "".join(risk.letter for risk in node.risks)
    parts = [
        f"<title>{label}</title>",
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{BOX_HEIGHT}" rx="5" fill="{paint.ground}"'
        f' stroke="{paint.ink}"/>',
        f'<text x="{box.x + 20}" y="{middle}" text-anchor="middle" font-weight="700" fill="{paint.ink}"'
        f' aria-hidden="true">{escaped(node.status.sign)}</text>',
        f'<text x="{box.x + 36}" y="{middle}" fill="{paint.ink}">{escaped(shortened(hide(node.name)))}</text>',
    ]
    if letters:
        parts.append(
            f'<text class="letters" x="{box.x + box.width - 8}" y="{middle}" text-anchor="end" font-weight="700"'
            f' fill="{paint.ink}" aria-hidden="true">{letters}</text>'
        )
    inside = "".join(parts)
    if not target:
        return f'<g class="node {node.status.hue}">{inside}</g>'
    return f'<a class="node {node.status.hue}" href="{escaped(target)}" aria-label="{label}">{inside}</a>'


def _named(node: Node) -> str:
    """Its name, then the sign and the letters: Mermaid takes a sign in front for that of a list."""
    marks = " ".join([*filter(None, [node.status.sign]), *(risk.letter for risk in node.risks)])
    return f"{node.name} ({marks})" if marks else node.name


def _mermaid(picture: Picture, tell: Hide) -> Iterator[str]:
    layout = laid_out(picture)
    names = {address: f"n{number}" for number, address in enumerate(layout.boxes)}
    yield "flowchart LR"
    for column in layout.columns:
        for kind in column:
            yield f'  subgraph {kind}["{tell(kind)}"]'
            for address, box in layout.boxes.items():
                if address.kind == kind:
                    yield f'    {names[address]}["{tell(_named(box.node))}"]:::{box.node.status.hue}'
            yield "  end"
    yield from (f"  {names[first]} --> {names[then]}" for first, then in picture.edges)
    used = {node.status.hue for node in picture.nodes.values()}
    yield from (
        f"  classDef {hue} fill:{paint.ground},stroke:{paint.ink},color:{paint.ink}"
        for hue, paint in PALETTE.items()
        if hue in used
    )


def _mermaid_text(text: str) -> str:
    """A text between quotes: whatever could be markup is written by its number."""
    return re.sub(r"[^\w .:/=+~<>?!,()-]|[<>]|-(?=-)", lambda found: f"#{ord(found.group())};", visible(text))


def _dot(picture: Picture, tell: Hide) -> Iterator[str]:
    layout = laid_out(picture)
    names = {address: f"n{number}" for number, address in enumerate(layout.boxes)}
    yield f"digraph {tell(picture.title)} {{"
    yield '  rankdir=LR; node [shape=box, style="rounded,filled", fontname="monospace"];'
    for column in layout.columns:
        yield "  { rank=same;"
        for address, box in layout.boxes.items():
            if address.kind in column:
                paint = PALETTE[box.node.status.hue]
                label, tip = tell(f"{address.kind}\n{_named(box.node)}"), tell(told_of(box.node))
                colours = f'color="{paint.ink}", fontcolor="{paint.ink}", fillcolor="{paint.ground}"'
                yield f"    {names[address]} [label={label}, tooltip={tip}, {colours}];"
        yield "  }"
    yield from (f"  {names[first]} -> {names[then]};" for first, then in picture.edges)
    yield "}"


def _dot_text(text: str) -> str:
    lines = [visible(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'
