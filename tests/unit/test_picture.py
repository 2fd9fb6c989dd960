"""The picture: who stands where, what leads to what, what is said of each object, and no name that is markup."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

import pytest

from reconciler.drift.report import Acceptance, Class, Finding, Report
from reconciler.ledger import Ledger
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.plan.plan import Context
from reconciler.redaction import Redaction
from reconciler.render.drawing import PALETTE, dot, mermaid, svg
from reconciler.render.picture import (
    DECLARED,
    LONGEST,
    UNCHANGED,
    Node,
    Picture,
    folded,
    laid_out,
    of_drift,
    of_manifest,
    of_plan,
    shortened,
)
from reconciler.render.risks import Risk
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, desired, kinds, manifest, outcome
from tests.support.chains import SECRETS, action, trust
from tests.support.domain import TRUSTED
from tests.support.world import World

ROLE, MAPPING = Address("iam_roles", "signer"), Address("role_mappings", "ml_full_access")
CONNECTOR, MODEL = Address("connectors", "c"), Address("models", "m")
SECTIONS: Sections = {
    "cluster_settings": {"ml": {TRUSTED: [r"^https://api1\.test/.*$"]}},
    "iam_roles": {"signer": {"assume_role_policy_document": trust(CALLER)}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.signer.arn}"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "credential": {"key": "${secret.key}"},
            "sign_as": "${iam_roles.signer.arn}",
            "actions": [action(1)],
        }
    },
    "models": {"m": {"connector_id": "${connectors.c.id}"}},
}


def picture(needs: Mapping[str, Sequence[str]]) -> Picture:
    parsed = {Address.parse(then): frozenset(map(Address.parse, firsts)) for then, firsts in needs.items()}
    return Picture("chain", {address: Node(address, DECLARED) for address in parsed}, parsed)


def test_a_chain_is_drawn_from_what_is_needed_to_what_needs_it() -> None:
    drawn = of_manifest("chain", desired(SECTIONS), kinds())
    assert set(drawn.edges) >= {(ROLE, MAPPING), (ROLE, CONNECTOR), (MAPPING, CONNECTOR), (CONNECTOR, MODEL)}
    layout = laid_out(drawn)
    assert layout.columns == [["cluster_settings", "iam_roles"], ["role_mappings"], ["connectors"], ["models"]]
    for first, then in drawn.edges:
        assert layout.boxes[first].x + layout.boxes[first].width < layout.boxes[then].x


def test_boxes_do_not_overlap_and_are_inside() -> None:
    drawn = picture({"a.1": [], "a.2": [], "b.1": ["a.1"], "b.2": ["a.2", "b.1"], "c.1": ["b.2", "a.1"], "d.1": []})
    layout = laid_out(drawn)
    for column in {box.x for box in layout.boxes.values()}:
        rows = sorted(box.y for box in layout.boxes.values() if box.x == column)
        assert all(below - above >= 26 for above, below in pairwise(rows))
    assert all(box.x + box.width <= layout.width and box.y + 26 <= layout.height for box in layout.boxes.values())


def test_kinds_that_need_each_other_are_drawn_all_the_same() -> None:
    layout = laid_out(picture({"a.1": ["b.2"], "a.2": [], "b.1": ["a.2"], "b.2": []}))
    assert sorted(kind for column in layout.columns for kind in column) == ["a", "b"]


def test_what_needs_neighbours_stands_beside_them() -> None:
    layout = laid_out(picture({"a.1": [], "a.2": [], "a.3": [], "b.x": ["a.3"], "b.y": ["a.2"], "b.z": ["a.1"]}))
    assert [box.node.name for box in sorted(layout.boxes.values(), key=lambda box: (box.x, box.y))][3:] == [*"zyx"]


def test_nothing_to_draw_is_drawn() -> None:
    assert ET.fromstring(svg(picture({}))).tag.endswith("svg")  # noqa: S314


def test_a_plan_says_what_is_done_and_what_is_at_risk() -> None:
    world = World()
    bench = Bench(world, secrets=SECRETS)
    assert of_plan(bench.plan(SECTIONS)).nodes[MODEL].status.word == "create"
    assert outcome(bench.apply(SECTIONS)) == []
    assert {node.status for node in of_plan(bench.plan(SECTIONS)).nodes.values()} == {UNCHANGED}
    gone = of_plan(bench.plan({kind: SECTIONS[kind] for kind in SECTIONS if kind != "models"}))
    assert (gone.nodes[MODEL].status.word, gone.nodes[MODEL].risks) == ("delete", (Risk.DELETES,))
    assert (CONNECTOR, MODEL) in gone.edges


def test_a_widened_policy_is_a_risk() -> None:
    world = World()
    bench = Bench(world, secrets=SECRETS)
    assert outcome(bench.apply(SECTIONS)) == []
    wider = {"signer": {"assume_role_policy_document": trust("*")}}
    assert of_plan(bench.plan({**SECTIONS, "iam_roles": wider})).nodes[ROLE].risks == (Risk.WIDENS,)


def test_a_connector_that_is_edited_in_place_disrupts_who_uses_it() -> None:
    world = World()
    bench = Bench(world, secrets=SECRETS)
    connector = {**SECTIONS["connectors"]["c"], "update_strategy": "in_place"}
    assert outcome(bench.apply({**SECTIONS, "connectors": {"c": connector}})) == []
    changed = {**connector, "description": "another"}
    drawn = of_plan(bench.plan({**SECTIONS, "connectors": {"c": changed}}))
    assert drawn.nodes[CONNECTOR].risks == (Risk.DISRUPTS,)


def test_drift_is_told_by_its_first_class_that_nobody_accepted() -> None:
    rows = {
        ROLE: Row(ROLE, "chain"),
        CONNECTOR: Row(CONNECTOR, "chain", depends_on=(str(ROLE),)),
        MODEL: Row(MODEL, "chain", depends_on=(str(CONNECTOR), "models.gone-long-ago")),
    }
    accepted = Acceptance("by hand", date(2027, 1, 31))
    report = Report(
        Context(manifest("chain"), kinds(), Place(), ledger=Ledger("l", rows=rows)),
        [
            Finding(CONNECTOR, Class.MISSING, accepted=accepted),
            Finding(CONNECTOR, Class.CHANGED),
            Finding(MODEL, Class.UNDEPLOYED),
            Finding(MODEL, Class.PENDING),
            Finding(Address("models", "theirs"), Class.UNMANAGED),
        ],
    )
    drawn = of_drift(report)
    words = {str(address): node.status.word for address, node in drawn.nodes.items()}
    assert words == {"iam_roles.signer": "in sync", "connectors.c": "changed", "models.m": "undeployed"}
    assert drawn.nodes[MODEL].risks == (Risk.DISRUPTS,)
    assert drawn.edges == [(ROLE, CONNECTOR), (CONNECTOR, MODEL)]


def test_of_many_objects_those_far_from_any_change_are_one_box() -> None:
    nodes = {Address(kind, f"{n}"): Node(Address(kind, f"{n}"), UNCHANGED) for n in range(500) for kind in ("a", "b")}
    needs = {Address("b", f"{n}"): frozenset({Address("a", f"{n}")}) for n in range(500)}
    changed = Address("b", "7")
    nodes[changed] = Node(changed, DECLARED)
    found = folded(Picture("chain", nodes, needs), 150)
    assert sorted(node.name for node in found.nodes.values()) == ["499 unchanged", "499 unchanged", "7", "7"]
    assert (Address("a", "7"), changed) in found.edges
    assert (Address("a", ""), Address("b", "")) in found.edges
    assert folded(found, 150) is found


NAMES = [
    '"]; x -->|y| z["',
    "<script>alert(1)</script>",
    "a\\",
    "end",
    "`x`",
    "-- b",
    "\x00\u202ez",
    "#35;",
    "%%",
    "\ud800",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_taken_for_markup(name: str) -> None:
    address, other = Address("models", name), Address("models", "other")
    drawn = Picture(name, {one: Node(one, DECLARED) for one in (address, other)}, {address: frozenset({other})})
    tree = ET.fromstring(svg(drawn))  # noqa: S314
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}rect"))) == 2
    assert not list(tree.iter("{http://www.w3.org/2000/svg}script"))
    tame = picture({"models.x": ["models.other"], "models.other": []})
    assert mermaid(drawn).count("\n") == mermaid(tame).count("\n")
    assert not {*'"`<>\\'} & {*mermaid(drawn).split('["')[2].split('"]')[0]}
    assert dot(drawn).count("\n") == dot(tame).count("\n")
    assert all(draw(drawn).encode() for draw in (svg, mermaid, dot))


@pytest.mark.parametrize("draw", [svg, mermaid, dot])
def test_a_secret_in_a_name_is_in_no_drawing(draw: object) -> None:
    secret = "sk-" + "0123456789abcdef" * 3  # longer than there is room for
    address = Address("models", f"model-{secret}")
    drawn = Picture("chain", {address: Node(address, DECLARED)}, {})
    assert callable(draw)
    assert "0123456789abcdef" not in draw(drawn, Redaction([secret]).text)


def test_a_long_name_keeps_both_its_ends() -> None:
    assert shortened("x" * LONGEST) == "x" * LONGEST
    short = shortened(f"begin-{'x' * 100}-end")
    assert (short[:6], short[-4:]) == ("begin-", "-end")
    assert len(short) <= LONGEST


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("hue", PALETTE)
def test_letters_can_be_told_from_their_ground(hue: str) -> None:
    """https://www.w3.org/TR/WCAG22/#contrast-minimum"""
    paint = next(one for name, one in PALETTE.items() if name == hue)
    grounds = ((paint.ink, paint.ground), (paint.ink, "#f6f8fa"))
    dark = ((paint.dark_ink, paint.dark_ground), (paint.dark_ink, "#161b22"))
    assert all(contrast(ink, ground) >= 4.5 for ink, ground in (*grounds, *dark))
