"""The chain as a picture: objects as boxes in columns, from what is needed first to what needs it.

One layout serves all drawings of it. Columns are made of kinds: a kind stands to the right of all kinds its objects
need.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reconciler.drift.report import Class, Report
from reconciler.model.change import Action
from reconciler.model.kind import Kind
from reconciler.model.objects import Address, Desired
from reconciler.plan.plan import Plan
from reconciler.references import Graph, graph, ordered, without_circles
from reconciler.render.risks import Risk, risks_of_change, risks_of_finding
from reconciler.render.text import MOVED, SIGNS, VERBS


class Hue(StrEnum):
    """What a status looks like. Its sign says the same without colour."""

    GREEN = "green"
    YELLOW = "yellow"
    PURPLE = "purple"
    RED = "red"
    CYAN = "cyan"
    BLUE = "blue"
    GREY = "grey"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of an object: in one word, by a sign, and by a colour."""

    word: str
    sign: str
    hue: Hue


_HUES: Mapping[str, Hue] = {
    "green": Hue.GREEN,
    "yellow": Hue.YELLOW,
    "magenta": Hue.PURPLE,
    "red": Hue.RED,
    "cyan": Hue.CYAN,
    "bright_black": Hue.GREY,
}
DECLARED = Status("declared", "", Hue.PLAIN)
UNCHANGED = Status("unchanged", "=", Hue.PLAIN)
IN_SYNC = Status("in sync", "=", Hue.PLAIN)
ACCEPTED = Status("accepted", "a", Hue.GREY)
MOVES = Status("move", MOVED[0], _HUES[MOVED[1]])
ACTIONS: Mapping[Action, Status] = {
    action: Status(VERBS[action], sign, _HUES[style]) for action, (sign, style) in SIGNS.items() if style
}
"""What is said of an object that something is done to."""

CLASSES: Mapping[Class, Status] = {
    Class.MISSING: Status("missing", "-", Hue.RED),
    Class.REPLACED: Status("replaced", "-/+", Hue.RED),
    Class.CHANGED: Status("changed", "~", Hue.YELLOW),
    Class.EXTRA: Status("extra", "+", Hue.YELLOW),
    Class.ORPHANED: Status("orphaned", "o", Hue.PURPLE),
    Class.UNDEPLOYED: Status("undeployed", "!", Hue.RED),
    Class.UNKNOWN: Status("unknown", "?", Hue.CYAN),
    Class.PENDING: Status("pending", ">", Hue.BLUE),
    Class.UNMANAGED: Status("unmanaged", "x", Hue.GREY),
}
"""What is said of an object that is not as it was applied."""

_QUIET = (UNCHANGED, IN_SYNC)


@dataclass(frozen=True, slots=True)
class Node:
    """One object, or, with a `label` of its own, all the objects of a kind that nothing is said of."""

    address: Address
    status: Status
    risks: tuple[Risk, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """What stands in its box."""
        return self.label or self.address.name


@dataclass(frozen=True, slots=True)
class Picture:
    """The objects, and for each those it needs first."""

    title: str
    nodes: Mapping[Address, Node]
    needs: Graph

    @property
    def edges(self) -> Sequence[tuple[Address, Address]]:
        """What is needed, and what needs it."""
        return [(first, then) for then in self.nodes for first in sorted(self.needs.get(then, ()))]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node is drawn, in pixels from the upper left."""

    node: Node
    x: int
    y: int
    width: int


@dataclass(frozen=True, slots=True)
class Heading:
    """Where the name of a kind stands over its boxes."""

    kind: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is drawn. `columns` are the kinds of each column, from the left and from the top."""

    boxes: Mapping[Address, Box]
    headings: Sequence[Heading]
    columns: Sequence[Sequence[str]]
    width: int
    height: int


BOX_HEIGHT = 26
LONGEST = 34
"""Characters of a name that a box has room for."""

MARGIN = 16
_ROW = 34
_HEAD = 26
_GAP = 72
_CHARACTER = 7.3  # pixels of one in 12 px of a fixed width
_SIGN = 44  # pixels beside the name, for the sign and the letters of risks
_LETTER = 18


def of_manifest(title: str, desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]) -> Picture:
    """The picture of what a manifest declares. Nothing live is in it."""
    return Picture(title, {address: Node(address, DECLARED) for address in desired}, graph(desired, kinds))


def of_plan(plan: Plan) -> Picture:
    """The picture of a plan, coloured by what is done to each object; what goes hangs where it was."""
    needs: dict[Address, frozenset[Address]] = {}
    for change in plan.changes:
        if change.desired is not None:
            needs[change.address] = plan.graph.get(change.address, frozenset())
        elif change.row is not None:
            needs[change.address] = frozenset(map(Address.parse, change.row.depends_on))
    nodes = {
        change.address: Node(
            change.address,
            ACTIONS.get(change.action, MOVES if change.moved_from else UNCHANGED),
            risks_of_change(plan, change),
        )
        for change in plan.changes
    }
    return Picture(plan.context.manifest.name, nodes, _known(needs, nodes))


def of_drift(report: Report) -> Picture:
    """The picture of what was applied, coloured by how it is not so any more."""
    rows = report.context.ledger.rows
    nodes = {address: Node(address, IN_SYNC) for address in rows}
    found = [one for one in report.findings if one.kind is not Class.UNMANAGED]
    found.sort(key=lambda one: one.accepted is not None)
    for one in reversed(found):  # of several ways the first counts, one that nobody accepted before the others
        known = nodes[one.address].risks if one.address in nodes else ()
        risks = tuple(dict.fromkeys((*risks_of_finding(one), *known)))
        nodes[one.address] = Node(one.address, ACCEPTED if one.accepted else CLASSES[one.kind], risks)
    needs = {address: frozenset(map(Address.parse, row.depends_on)) for address, row in rows.items()}
    return Picture(report.context.manifest.name, nodes, _known(needs, nodes))


def folded(picture: Picture, most: int) -> Picture:
    """The picture with at most so many boxes, if that is enough: else what is unchanged and far from what changes is
    one box for each kind."""
    if len(picture.nodes) <= most:
        return picture
    loud = {address for address, node in picture.nodes.items() if node.status not in _QUIET}
    near = {end for edge in picture.edges if loud & {*edge} for end in edge}
    away: dict[Address, list[Node]] = {}
    for address, node in picture.nodes.items():
        if address not in loud | near:
            away.setdefault(Address(address.kind, ""), []).append(node)
    stands = {node.address: kept for kept, nodes in away.items() for node in nodes}
    nodes = {address: node for address, node in picture.nodes.items() if address not in stands}
    nodes |= {
        address: Node(address, found[0].status, label=f"{len(found):,} {found[0].status.word}")
        for address, found in away.items()
    }
    needs: dict[Address, frozenset[Address]] = {}
    for then, firsts in picture.needs.items():
        here = stands.get(then, then)
        needs[here] = needs.get(here, frozenset()) | {stands.get(first, first) for first in firsts} - {here}
    return Picture(picture.title, nodes, needs)


def laid_out(picture: Picture) -> Layout:
    """Where everything is drawn: the same for the same picture."""
    columns = _columns(picture)
    boxes: dict[Address, Box] = {}
    headings: list[Heading] = []
    x, lowest = MARGIN, MARGIN
    by_kind: dict[str, list[Node]] = {}
    for node in picture.nodes.values():
        by_kind.setdefault(node.address.kind, []).append(node)
    for kinds in columns:
        width = max(_width(kind, by_kind[kind]) for kind in kinds)
        y = MARGIN
        for kind in kinds:
            headings.append(Heading(kind, x, y + 12))
            y += _HEAD
            for node in sorted(by_kind[kind], key=lambda node: _height(node, picture, boxes)):
                boxes[node.address] = Box(node, x, y, width)
                y += _ROW
            y += MARGIN
        lowest = max(lowest, y)
        x += width + _GAP
    return Layout(boxes, headings, columns, x - _GAP + MARGIN if columns else 2 * MARGIN, lowest)


def shortened(name: str) -> str:
    """A name as it fits into a box: the middle of a long one is left out."""
    if len(name) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[:half]}\u2026{name[-half:]}"


def _known(needs: Graph, nodes: Mapping[Address, Node]) -> Graph:
    return {then: frozenset(first for first in firsts if first in nodes) for then, firsts in needs.items()}


def _columns(picture: Picture) -> Sequence[Sequence[str]]:
    needs: dict[Address, set[Address]] = {Address(address.kind, ""): set() for address in picture.nodes}
    for first, then in picture.edges:
        if first.kind != then.kind:
            needs[Address(then.kind, "")].add(Address(first.kind, ""))
    straight = without_circles({kind: frozenset(firsts) for kind, firsts in needs.items()})
    depths: dict[Address, int] = {}
    for kind in ordered(straight):
        depths[kind] = max((depths[first] + 1 for first in straight[kind]), default=0)
    return [[kind.kind for kind in sorted(depths) if depths[kind] == depth] for depth in sorted({*depths.values()})]


def _height(node: Node, picture: Picture, boxes: Mapping[Address, Box]) -> tuple[float, str]:
    """Beside what it needs: the mean of where that stands, then the name."""
    found = [boxes[first].y for first in picture.needs.get(node.address, ()) if first in boxes]
    return (sum(found) / len(found) if found else 0.0, node.name)


def _width(kind: str, nodes: Iterable[Node]) -> int:
    room = [len(shortened(node.name)) * _CHARACTER + _SIGN + _LETTER * len(node.risks) for node in nodes]
    return round(max(len(kind) * _CHARACTER, *room))
