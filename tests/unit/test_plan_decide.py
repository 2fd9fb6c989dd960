"""Deciding: whose an object is, what is done about it, and what stops a plan."""

import pytest

from reconciler.kinds._aws import MARK
from reconciler.model.change import Action
from reconciler.model.objects import Address
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Plan
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action, add_foreign_chain, trust
from tests.support.domain import TRUSTED
from tests.support.world import World

GROUP: Sections = {"model_groups": {"g": {"description": "ours"}}}
CONNECTOR: Sections = {
    "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
    "connectors": {"c": {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)]}},
}
ROLE: Sections = {"iam_roles": {"r": {"assume_role_policy_document": trust(CALLER)}}}
TAKE = Permissions(adopt_all=True)


def codes(plan: Plan) -> dict[str, str]:
    assert plan.errored is bool(plan.problems)
    return {problem.address: problem.code for problem in plan.problems}


def test_what_is_not_there_is_created_and_then_left_alone() -> None:
    bench = Bench(World())
    plan = bench.plan(CONNECTOR)
    assert actions(plan) == {"cluster_settings.s": Action.UPDATE, "connectors.c": Action.CREATE}
    assert plan.counts[Action.CREATE] == 1
    assert bench.apply(CONNECTOR).succeeded
    assert actions(bench.plan(CONNECTOR)) == {}


@pytest.mark.parametrize("sections", [GROUP, {"model_groups": {"other": {"name": "g"}}}])
def test_what_somebody_else_made_stops_the_plan_until_it_is_adopted(sections: Sections) -> None:
    world = World()
    add_foreign_chain(world, "g")
    bench = Bench(world)
    ((name, _),) = sections["model_groups"].items()
    assert codes(bench.plan(sections)) == {f"model_groups.{name}": "not-ours"}
    for permissions in (TAKE, Permissions(adopt=frozenset({Address("model_groups", name)}))):
        assert actions(bench.plan(sections, permissions)) == {f"model_groups.{name}": Action.ADOPT}
    adopting: Sections = {"model_groups": {name: {**sections["model_groups"][name], "adopt": True}}}
    assert outcome(bench.apply(adopting)) == []
    # It is ours now, and what was adopted is left when we go.
    assert actions(bench.plan(sections)) == {}
    assert actions(bench.plan({})) == {f"model_groups.{name}": Action.FORGET}
    assert actions(bench.plan({}, Permissions(include_adopted=True))) == {f"model_groups.{name}": Action.DELETE}


def test_a_role_of_another_manifest_is_refused_even_to_who_adopts() -> None:
    world = World()
    assert Bench(world, "first").apply(ROLE).succeeded
    plan = Bench(world, "second").plan(ROLE, TAKE)
    assert codes(plan) == {"iam_roles.r": "owned-by-other"}
    assert "first" in plan.problems[0].message


def test_an_object_of_another_manifest_is_refused_by_its_row() -> None:
    world = World()
    assert Bench(world, "first").apply(GROUP).succeeded
    assert codes(Bench(world, "second").plan(GROUP, TAKE)) == {"model_groups.g": "owned-by-other"}


def test_a_role_marked_under_another_ledger_is_not_ours() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(ROLE).succeeded
    world.account.roles["r"]["tags"][MARK] = "chain/another-ledger"
    assert codes(bench.plan(ROLE)) == {"iam_roles.r": "not-ours"}


def test_names_are_not_enough_where_they_may_repeat() -> None:
    world = World()
    add_foreign_chain(world, "c")
    add_foreign_chain(world, "c")
    bench = Bench(world)
    assert codes(bench.plan(CONNECTOR, TAKE)) == {"connectors.c": "ambiguous"}


def test_ours_is_known_by_its_id_among_namesakes() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(CONNECTOR).succeeded
    theirs, _, _ = add_foreign_chain(world, "c")
    assert actions(bench.plan(CONNECTOR)) == {}
    assert outcome(bench.destroy()) == []
    assert list(world.domain.connectors.documents) == [theirs]


def test_what_is_gone_is_made_again_and_forgotten_when_nobody_wants_it() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(GROUP).succeeded
    world.domain.groups.documents.clear()
    plan = bench.plan(GROUP)
    assert [(change.action, change.reason) for change in plan.changes] == [(Action.CREATE, "it is gone")]
    assert actions(bench.plan({})) == {"model_groups.g": Action.FORGET}
    assert outcome(bench.destroy()) == []
    assert world.ledger.rows("chain") == {}


def test_a_role_that_somebody_made_anew_is_not_ours_any_more() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(ROLE).succeeded
    del world.account.roles["r"]
    about = {"RoleName": "r", "AssumeRolePolicyDocument": '{"Statement": []}'}
    world.account.answer("CreateRole", about, world.now)
    assert codes(bench.plan(ROLE)) == {"iam_roles.r": "not-ours"}
    assert actions(bench.plan({})) == {"iam_roles.r": Action.FORGET}


def test_what_is_protected_is_not_replaced() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(CONNECTOR).succeeded
    ((name, connector),) = CONNECTOR["connectors"].items()
    moved = {**connector, "protocol": "aws_sigv4", "lifecycle": {"prevent_destroy": True}}
    assert codes(bench.plan({**CONNECTOR, "connectors": {name: moved}})) == {"connectors.c": "prevented"}


def test_a_reserved_mapping_is_left_to_its_owner() -> None:
    world = World()
    world.domain.mappings["kibana_server"] = {**world.domain.mappings["all_access"], "reserved": True}
    plan = Bench(world).plan({"role_mappings": {"kibana_server": {"users": ["me"]}}})
    assert codes(plan) == {"role_mappings.kibana_server": "guarded"}


def test_an_ignored_field_may_differ() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(GROUP).succeeded
    next(iter(world.domain.groups.documents.values()))["description"] = "theirs"
    assert actions(bench.plan(GROUP)) == {"model_groups.g": Action.UPDATE}
    ignoring: Sections = {"model_groups": {"g": {"description": "ours", "lifecycle": {"ignore": ["description"]}}}}
    assert actions(bench.plan(ignoring)) == {}


def test_a_rotated_secret_is_sent_again() -> None:
    world = World()
    sections = {
        **CONNECTOR,
        "connectors": {"c": {**CONNECTOR["connectors"]["c"], "credential": {"key": "${secret.k}"}}},
    }
    assert Bench(world, secrets={"k": "one"}).apply(sections).succeeded
    assert actions(Bench(world, secrets={"k": "one"}).plan(sections)) == {}
    bench = Bench(world, secrets={"k": "two"})
    assert actions(bench.plan(sections)) == {"connectors.c": Action.UPDATE}
    assert outcome(bench.apply(sections)) == []
    assert next(iter(world.domain.connectors.documents.values()))["credential"] == {"key": "two"}
    assert "two" not in str(world.ledger.documents)
