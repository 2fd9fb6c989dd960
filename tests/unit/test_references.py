"""References: what they are worth, the order they ask for, and what is wrong with them."""

from typing import Any

import pytest

from reconciler.errors import Position
from reconciler.manifest.templates import Reference, Template
from reconciler.model.kind import Place
from reconciler.model.objects import Address
from reconciler.plan.known import Attributes
from reconciler.references import graph, ordered, place_value, problems, resolve
from tests.support.bench import Sections, desired, kinds, templated
from tests.support.chains import action, trust

CHAIN: Sections = {
    "iam_roles": {"r": {"assume_role_policy_document": trust()}},
    "cluster_settings": {"s": {"plugins.ml_commons.only_run_on_ml_node": False}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.r.arn}"]}, "readall": {"users": ["u"]}},
    "connectors": {"c": {"sign_as": "${iam_roles.r.arn}", "actions": [action(1)]}},
    "model_groups": {"g": {}},
    "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}},
}


def found(sections: Sections) -> list[tuple[str, str, str, str]]:
    def locate(_address: Address, _path: tuple[str | int, ...], _reference: Reference) -> Position:
        return Position("m.yaml", 1, 1)

    return [(one.code, one.address, one.message, one.hint) for one in problems(desired(sections), kinds(), locate)]


def test_the_order_of_a_chain() -> None:
    edges = graph(desired(CHAIN), kinds())
    assert {str(address): sorted(map(str, needs)) for address, needs in edges.items()} == {
        "iam_roles.r": [],
        "cluster_settings.s": [],
        "role_mappings.ml_full_access": ["iam_roles.r"],
        "role_mappings.readall": [],
        "connectors.c": ["cluster_settings.s", "iam_roles.r", "role_mappings.ml_full_access"],
        "model_groups.g": [],
        "models.m": ["connectors.c", "model_groups.g"],
    }
    assert [str(address) for address in ordered(edges)] == [
        "cluster_settings.s",
        "iam_roles.r",
        "model_groups.g",
        "role_mappings.readall",
        "role_mappings.ml_full_access",
        "connectors.c",
        "models.m",
    ]
    assert found(CHAIN) == []


def test_depends_on_adds_an_edge() -> None:
    sections = {**CHAIN, "model_groups": {"g": {"depends_on": ["models.other"]}}, "models": {"other": {}}}
    assert Address("models", "other") in graph(desired(sections), kinds())[Address("model_groups", "g")]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            {"connector_id": "${connectors.cc.id}"},
            ("unknown-reference", "models.m.connector_id", "no object connectors.cc", "did you mean c?"),
        ),
        (
            {"connector_id": "${connectors.wholly-other.id}"},
            ("unknown-reference", "models.m.connector_id", "no object connectors.wholly-other", ""),
        ),
        (
            {"connector_id": "${connectors.c.idd}"},
            ("unknown-reference", "models.m.connector_id", "connectors.c has no attribute 'idd'", "did you mean id?"),
        ),
        (
            {"connector_id": "${connectors.c.xyz}"},
            ("unknown-reference", "models.m.connector_id", "connectors.c has no attribute 'xyz'", "it has id"),
        ),
        (
            {"depends_on": ["connectors.gone"]},
            ("unknown-reference", "models.m", "depends_on names connectors.gone, which is not declared", ""),
        ),
    ],
)
def test_unknown_references(model: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    assert found({**CHAIN, "models": {"m": model}}) == [expected]


def test_all_unknown_references_at_once() -> None:
    sections = {
        **CHAIN,
        "models": {"m": {"connector_id": "${connectors.x.id}", "model_group_id": "${model_groups.y.id}"}},
    }
    assert len(found(sections)) == 2


def test_circles_are_named() -> None:
    circle: Sections = {
        "models": {"a": {"description": "${models.b.id}"}, "b": {"description": "${models.a.id}"}},
    }
    ((code, _, message, _),) = found(circle)
    assert code == "reference-cycle"
    assert message in (
        "these refer to each other: models.a -> models.b -> models.a",
        "these refer to each other: models.b -> models.a -> models.b",
    )


def test_resolving_fills_in_what_is_known_and_leaves_the_rest() -> None:
    known = {"a": "1", "empty": ""}

    def lookup(reference: Reference) -> str | None:
        return known.get(reference.name)

    def text(*names: str) -> Template:
        return Template(tuple(Reference("secret", name) for name in names))

    assert resolve({"x": [text("a"), "plain"], "y": 5}, lookup) == {"x": ["1", "plain"], "y": 5}
    assert resolve(text("a", "b"), lookup) == Template(("1", Reference("secret", "b")))
    # An empty value is a value.
    assert resolve(text("a", "empty"), lookup) == "1"
    assert resolve(text("empty"), lookup) == ""


def test_fields_can_be_referred_to_even_when_they_refer_themselves() -> None:
    sections: Sections = {
        "iam_roles": {"r": {"assume_role_policy_document": trust(), "description": "plain"}},
        "connectors": {"c": {"description": "for ${iam_roles.r.arn}"}},
    }
    attributes = Attributes(kinds(), Place(account_id="123456789012"), desired(sections))
    value = templated("${connectors.c.description}, ${iam_roles.r.description}")
    assert resolve(value, attributes.lookup) == "for arn:aws:iam::123456789012:role/r, plain"
    assert resolve(templated("${connectors.c.id}"), attributes.lookup) == templated("${connectors.c.id}")
    attributes.learn(Address("connectors", "c"), {"id": "x"})
    assert resolve(templated("${connectors.c.id}"), attributes.lookup) == "x"


def test_the_target() -> None:
    place = Place(region="us-east-1", account_id="123456789012", domain="demo", endpoint="https://d")
    values = {
        name: place_value(Reference("target", name), place) for name in ("region", "domain_arn", "partition", "x")
    }
    assert values == {
        "region": "us-east-1",
        "domain_arn": "arn:aws:es:us-east-1:123456789012:domain/demo",
        "partition": "aws",
        "x": None,
    }
    assert place_value(Reference("target", "domain_arn"), Place()) is None
