"""Saved plans: they come back as they were, name what moved, and hold no secret."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.errors import Position, ReconcilerError
from reconciler.manifest.load import (
    AwsTarget,
    BasicAuth,
    EnvironmentSecret,
    FileSecret,
    ManagedSecret,
    Manifest,
    OpenSearchTarget,
    Query,
    Target,
)
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.objects import Address
from reconciler.plan import saved
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Plan
from tests.support.bench import Bench, Sections, desired
from tests.support.chains import SECRETS, action, trust
from tests.support.domain import TRUSTED
from tests.support.world import World

LIFECYCLE = {"on_remove": "forget", "ignore": ["tags"]}
SECTIONS: Sections = {
    "iam_roles": {"r": {"assume_role_policy_document": trust(), "lifecycle": LIFECYCLE}},
    "cluster_settings": {"s": {TRUSTED: ["^https://api1.test/.*$"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "description": "d",
            "credential": {"key": "Bearer ${secret.key}"},
            "parameters": {"model": "m"},
            "actions": [action(1)],
        }
    },
    "model_groups": {"g": {"adopt": True}},
    "models": {"m": {"connector_id": "${connectors.c.id}", "depends_on": ["iam_roles.r"]}},
}
PERMISSIONS = Permissions(frozenset({Address("connectors", "c")}), adopt_all=False, include_adopted=True)


def planned(world: World, sections: Sections = SECTIONS) -> Plan:
    plan = Bench(world, secrets=SECRETS).plan(sections)
    assert not plan.errored
    return plan


def kept(plan: Plan, sections: Sections = SECTIONS, permissions: Permissions = PERMISSIONS) -> saved.Saved:
    """The plan written to a file and read again."""
    text = json.dumps({saved.KEY: saved.dump(plan, desired(sections), permissions)})
    return saved.load(json.loads(text), "plan.json")


def test_a_plan_comes_back_as_it_was() -> None:
    plan = planned(World())
    back = kept(plan)
    assert back.desired == desired(SECTIONS)
    assert back.permissions == PERMISSIONS
    assert (back.manifest.name, back.manifest.target) == (plan.context.manifest.name, plan.context.manifest.target)
    assert saved.stale(back, plan) == []


def test_a_manifests_own_things_come_back() -> None:
    template = Template(("a", Reference("models", "m", "id")))
    manifest = Manifest(
        name="m",
        target=Target(
            AwsTarget("us-east-1", "123456789012", "aws", "p", "arn:aws:iam::123456789012:role/r", "http://localhost"),
            OpenSearchTarget("https://e", "d", BasicAuth("u", FileSecret("/secret")), "ca.pem", False, 5.0),
        ),
        objects=(),
        secrets={"a": EnvironmentSecret("A"), "b": FileSecret("b"), "c": ManagedSecret("id", "key")},
        verify=(Query("hello", "predict", {"model": template, "expect": {"status": 200}}, Position("m.yaml", 3, 5)),),
        files=(),
    )
    plan = planned(World())
    back = kept(replace(plan, context=replace(plan.context, manifest=manifest)))
    assert back.manifest == manifest


def test_no_secret_is_inside() -> None:
    world = World()
    text = json.dumps(saved.dump(planned(world), desired(SECTIONS), PERMISSIONS))
    assert SECRETS["key"] not in text
    assert '"secret", "key"' in text
    # Nor after the secret was sent, nor when it has another value.
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    rotated = Bench(world, secrets={"key": "another value"}).plan(SECTIONS)
    assert [str(change.address) for change in rotated.pending] == ["connectors.c", "models.m"]
    text = json.dumps(saved.dump(rotated, desired(SECTIONS), PERMISSIONS))
    assert "another value" not in text
    assert SECRETS["key"] not in text


def test_a_field_that_moved_is_named() -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    ((name, connector),) = SECTIONS["connectors"].items()
    edited = {**SECTIONS, "connectors": {name: {**connector, "description": "other"}}}
    back = kept(planned(world, edited), edited)
    assert saved.stale(back, planned(world, edited)) == []
    document = next(iter(world.domain.connectors.documents.values()))
    document["description"] = "theirs"
    (found,) = saved.stale(back, planned(world, edited))
    assert (found.code, found.address, found.message) == (
        "stale-plan",
        "connectors.c",
        "description changed since the plan was made",
    )
    document["parameters"]["extra"] = "x"
    document["description"] = "d"
    (found,) = saved.stale(back, planned(world, edited))
    assert found.message == "parameters.extra changed since the plan was made"


def test_an_object_that_came_or_went_is_named() -> None:
    world = World()
    back = kept(planned(world))
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    found = saved.stale(back, planned(world))
    assert {problem.message for problem in found} == {"it has been changed already"}
    assert {problem.address for problem in found} == {str(address) for address in desired(SECTIONS)}


def test_what_others_do_to_shared_lists_does_not_make_it_stale() -> None:
    world = World()
    back = kept(planned(world))
    world.domain.persistent[TRUSTED] = [*world.domain.setting(TRUSTED), "^https://theirs/.*$"]
    assert saved.stale(back, planned(world)) == []


@pytest.mark.parametrize(
    "text", [None, [], {}, {"reconciler": 5}, {"reconciler": {}}, {"reconciler": {"version": "1"}}]
)
def test_what_is_no_plan_is_refused(text: Json) -> None:
    with pytest.raises(ReconcilerError, match="is not a saved plan"):
        saved.load(text, "plan.json")


def test_a_newer_plan_is_refused() -> None:
    with pytest.raises(ReconcilerError, match=r"plan.json has format 2; this version reads up to 1"):
        saved.load({saved.KEY: {"version": 2}}, "plan.json")


@pytest.mark.parametrize("key", ["manifest", "objects", "queries", "target", "permissions", "secrets", "expected"])
@pytest.mark.parametrize("instead", [None, 5, "text", ["text"], {"a": 5}])
def test_a_damaged_plan_is_an_error_with_a_message(key: str, instead: Json) -> None:
    whole: dict[str, Any] = dict(saved.dump(planned(World()), desired(SECTIONS), PERMISSIONS))  # type: ignore[arg-type]
    del whole[key]
    with pytest.raises(ReconcilerError, match="damaged"):
        saved.load({saved.KEY: whole}, "plan.json")
    if key in ("objects", "queries", "permissions") or (key == "target" and instead is not None):
        with pytest.raises(ReconcilerError, match="damaged"):
            saved.load({saved.KEY: {**whole, key: instead}}, "plan.json")


scalars: st.SearchStrategy[Value] = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
templates = st.builds(
    lambda name, text: Template((text, Reference("secret", name))),
    st.text("ab", min_size=1),
    st.text("${}", min_size=1),
)
values: st.SearchStrategy[Value] = st.recursive(
    scalars | templates,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$template", "$literal", "of", "a", "$"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_values_come_back_whatever_they_look_like(value: Value) -> None:
    assert saved.decode(json.loads(json.dumps(saved.encode(value)))) == value
