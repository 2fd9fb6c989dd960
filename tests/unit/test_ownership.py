"""Whose an object is, and what becomes of it: kills, renames, refusals, adoption, letting go."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.execute import Status, let_go
from reconciler.kinds._aws import MARK
from reconciler.manifest.load import Lifecycle
from reconciler.model.change import Action
from reconciler.model.kind import Place
from reconciler.model.objects import Address
from reconciler.model.request import Request
from reconciler.plan.decide import Permissions
from reconciler.plan.survey import Question, introduce
from reconciler.runner import Runner
from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Bench, Sections, actions, kinds, manifest, outcome
from tests.support.chains import SECRETS, action, add_foreign_chain, allow, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, Killed, WorldExchange, always, at, once
from tests.support.world import World

ROLE: Sections = {"iam_roles": {"r": {"assume_role_policy_document": trust(CALLER)}}}
TAKE = Permissions(adopt_all=True)
SETTINGS: dict[str, dict[str, Any]] = {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}}


def named(name: str) -> Sections:
    return {"iam_roles": {"r": {**ROLE["iam_roles"]["r"], "role_name": name}}}


def connector(**fields: object) -> Sections:
    one: dict[str, Any] = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)], **fields}
    return {
        "cluster_settings": SETTINGS,
        "connectors": {"c": one},
        "models": {"m": {"connector_id": "${connectors.c.id}"}},
    }


def ends(operation: str) -> Callable[[Request], bool]:
    return lambda request: request.operation.endswith(operation)


# kills


@pytest.mark.parametrize("sections", [{}, {"model_groups": {"g": {}}}])
def test_a_role_made_just_before_a_kill_is_found_again_to_be_removed(sections: Sections) -> None:
    world = World()
    with pytest.raises(Killed):
        Bench(world).apply(ROLE, faults=once(Fault.KILLED_AFTER, ends("CreateRole")))
    assert list(world.account.roles) == ["r"]
    assert outcome(Bench(world).apply(sections)) == []
    assert world.account.roles == {}


# marks


def test_a_first_apply_does_not_take_the_roles_of_another_ledger() -> None:
    world = World()
    assert Bench(world).apply(ROLE).succeeded
    elsewhere = World()
    elsewhere.account, elsewhere.now = world.account, world.now
    plan = Bench(elsewhere).plan(ROLE)
    (problem,) = plan.problems
    assert problem.code == "not-ours"
    assert "ledger-1" in problem.message
    assert actions(Bench(elsewhere).plan(ROLE, TAKE)) == {"iam_roles.r": Action.ADOPT}


# renames


def test_a_renamed_role_is_made_anew_before_the_old_one_goes() -> None:
    world = World()
    bench = Bench(world)
    user: Sections = {"role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.r.arn}"]}}}
    assert bench.apply({**named("old"), **user}).succeeded
    plan = bench.plan({**named("new"), **user})
    assert actions(plan) == {"iam_roles.r": Action.REPLACE, "role_mappings.ml_full_access": Action.UPDATE}
    assert bench.apply({**named("new"), **user}).succeeded
    assert list(world.account.roles) == ["new"]
    assert world.domain.mappings["ml_full_access"]["backend_roles"] == [f"arn:aws:iam::{ACCOUNT}:role/new"]
    operations = [request.operation for request in bench.exchange.writes if request.operation != "POST /_bulk"]
    assert operations.index("CreateRole") < operations.index("DeleteRole") == len(operations) - 1


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
@pytest.mark.parametrize("then", ["new", "old", "third", ""])
def test_a_rename_that_was_killed_leaves_one_role_whatever_is_wanted_next(fault: Fault, then: str) -> None:
    before = World()
    assert Bench(before).apply(named("old")).succeeded
    number = 0
    while True:
        world = before.copy()
        try:
            Bench(world).apply(named("new"), faults=at({number: fault}))
        except Killed:
            assert outcome(Bench(world).apply(named(then) if then else {})) == []
            assert list(world.account.roles) == ([then] if then else [])
            number += 1
        else:
            break
    assert number > 8


def test_roles_that_swap_their_names_are_changed_in_place() -> None:
    world = World()
    one, two = allow("s3:Get", "*"), allow("s3:Put", "*")

    def pair(first: str, second: str) -> Sections:
        roles = {"a": (first, one), "b": (second, two)}
        return {
            "iam_roles": {
                name: {**ROLE["iam_roles"]["r"], "role_name": called, "inline_policies": {"p": policy}}
                for name, (called, policy) in roles.items()
            }
        }

    assert Bench(world).apply(pair("x", "y")).succeeded
    assert Bench(world).apply(pair("y", "x")).succeeded
    assert {name: role["policies"]["p"] for name, role in world.account.roles.items()} == {"y": one, "x": two}
    assert Bench(world).apply(pair("z", "y")).succeeded
    assert {name: role["policies"]["p"] for name, role in world.account.roles.items()} == {"z": one, "y": two}


def test_an_old_role_that_goes_without_a_replacement_is_shown() -> None:
    world = World()
    roles = named("x")["iam_roles"]["r"]
    assert Bench(world).apply({"iam_roles": {"a": roles, "b": {**roles, "role_name": "y"}}}).succeeded
    wanted: Sections = {"iam_roles": {"a": {**roles, "role_name": "y"}}}
    plan = Bench(world).plan(wanted)
    assert actions(plan) == {"iam_roles.a": Action.UPDATE, "iam_roles.b": Action.FORGET}
    assert "'x', which it was, is removed" in plan.pending[0].notes
    kept: Sections = {"iam_roles": {"a": {**wanted["iam_roles"]["a"], "lifecycle": {"prevent_destroy": True}}}}
    assert [problem.code for problem in Bench(world).plan(kept).problems] == ["prevented"]
    assert Bench(world).apply(wanted).succeeded
    assert list(world.account.roles) == ["y"]
    assert Bench(world).plan(wanted).work == []


def test_a_role_that_moves_to_another_address_stays() -> None:
    world = World()
    assert Bench(world).apply(named("x")).succeeded
    moved: Sections = {"iam_roles": {"other": named("x")["iam_roles"]["r"]}}
    plan = Bench(world).plan(moved)
    assert actions(plan) == {"iam_roles.r": Action.FORGET}
    assert Bench(world).apply(moved).succeeded
    assert MARK in world.account.roles["x"]["tags"]
    assert actions(Bench(world).plan(moved)) == {}


# refusals


def test_a_refused_creation_leaves_nothing_that_a_strangers_object_could_be_taken_for() -> None:
    world = World()
    bench = Bench(world)
    report = bench.apply(connector(), faults=always(Fault.FORBIDDEN, ends("connectors/_create")))
    assert [one.status for one in report.results] == [Status.DONE, Status.FAILED, Status.NOT_STARTED]
    assert set(world.ledger.rows("chain")) == {"cluster_settings.s"}
    add_foreign_chain(world, "c")
    assert {problem.code for problem in bench.plan(connector()).problems} == {"not-ours"}


def test_a_refused_replacement_restores_the_row() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(connector()).succeeded
    row = world.ledger.rows("chain")["connectors.c"]
    edited = connector(description="other")
    assert not bench.apply(edited, faults=always(Fault.FORBIDDEN, ends("connectors/_create"))).succeeded
    assert world.ledger.rows("chain")["connectors.c"] == row


def test_a_creation_whose_answer_was_lost_keeps_its_intent() -> None:
    world = World()
    bench = Bench(world)
    assert not bench.apply(connector(), faults=once(Fault.BROKEN_AFTER, ends("connectors/_create"))).succeeded
    assert world.intents("chain") == ["connectors.c"]
    assert bench.apply(connector()).succeeded
    assert world.made["connectors"] == 1


# adoption


def test_what_is_adopted_is_not_replaced() -> None:
    world = World()
    add_foreign_chain(world, "c")
    other: Sections = {"connectors": {"c": {**connector()["connectors"]["c"], "protocol": "aws_sigv4"}}}
    plan = Bench(world).plan(other, TAKE)
    (problem,) = plan.problems
    assert (problem.code, problem.address) == ("not-ours", "connectors.c")
    assert "it would be replaced" in problem.message
    assert Action.REPLACE not in actions(plan).values()


def test_an_adopted_connector_keeps_the_credential_it_has() -> None:
    world = World()
    theirs, _, _ = add_foreign_chain(world, "c")
    document = world.domain.connectors.documents[theirs]
    stated = {"protocol": "http", "credential": {"key": "${secret.key}"}, "actions": document["actions"]}
    sections: Sections = {"connectors": {"c": stated}}
    bench = Bench(world, secrets=SECRETS)
    (change,) = bench.plan(sections, TAKE).pending
    assert (change.action, change.fields) == (Action.ADOPT, ())
    assert change.notes == ("(credential not compared)",)
    assert bench.apply(sections, TAKE).succeeded
    assert document["credential"] == {"key": "theirs"}
    assert actions(bench.plan(sections)) == {}
    # From now on it is compared with what was recorded.
    other = Bench(world, secrets={"key": "rotated"})
    assert actions(other.plan(sections)) == {"connectors.c": Action.UPDATE}


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
def test_a_killed_adoption_does_not_send_the_credential_later(fault: Fault) -> None:
    before = World()
    theirs, _, _ = add_foreign_chain(before, "c")
    actions_ = before.domain.connectors.documents[theirs]["actions"]
    stated: dict[str, Any] = {"protocol": "http", "credential": {"key": "x"}, "actions": actions_}
    number = 0
    while True:
        world = before.copy()
        try:
            Bench(world).apply({"connectors": {"c": stated}}, TAKE, faults=at({number: fault}))
        except Killed:
            assert outcome(Bench(world).apply({"connectors": {"c": stated}}, TAKE)) == []
            assert world.domain.connectors.documents[theirs]["credential"] == {"key": "theirs"}
            assert world.ledger.rows("chain")["connectors.c"]["adopted"] is True
            number += 1
        else:
            break
    assert number > 5


def test_what_replaced_an_adopted_object_is_ours_to_delete() -> None:
    world = World()
    theirs, _, _ = add_foreign_chain(world, "c")
    stated: dict[str, Any] = {"protocol": "http", "credential": {"key": "x"}}
    stated["actions"] = world.domain.connectors.documents[theirs]["actions"]
    assert Bench(world).apply({"connectors": {"c": stated}}, TAKE).succeeded
    world.domain.models.documents.clear()
    again: Sections = {**connector(), "models": {}}
    again["connectors"]["c"]["protocol"] = "aws_sigv4"  # type: ignore[index]
    assert actions(Bench(world).plan(again))["connectors.c"] is Action.REPLACE
    assert Bench(world).apply(again).succeeded
    assert Bench(world).destroy().succeeded
    assert world.domain.connectors.documents == {}


# letting go


def test_a_forgotten_role_carries_our_mark_no_longer() -> None:
    world = World()
    kept: Sections = {"iam_roles": {"r": {**ROLE["iam_roles"]["r"], "lifecycle": {"on_remove": "forget"}}}}
    assert Bench(world).apply(kept).succeeded
    assert MARK in world.account.roles["r"]["tags"]
    assert Bench(world).destroy().succeeded
    assert world.account.roles["r"]["tags"] == {}
    assert world.rows("chain") == {}


@pytest.mark.parametrize(("mark", "left"), [("chain/ledger-1", {}), ("other/ledger-1", {MARK: "other/ledger-1"})])
def test_letting_go_removes_our_mark_and_nobody_elses(mark: str, left: dict[str, str]) -> None:
    world = World()
    assert Bench(world).apply(ROLE).succeeded
    world.account.roles["r"]["tags"] = {MARK: mark}
    runner = Runner(WorldExchange(world))
    context = introduce(runner, Question(manifest("chain"), kinds()))
    row = context.ledger.rows[Address("iam_roles", "r")]
    runner.run(let_go(kinds()["iam_roles"], Place(), context.mark, row))
    assert world.account.roles["r"]["tags"] == left
    assert world.rows("chain") == {}
    assert row.lifecycle == Lifecycle()


# what can not be read


def hidden(_number: int, request: Request) -> Fault | None:
    """A fault at every request for one connector."""
    return Fault.FORBIDDEN if request.method == "GET" and "/connectors/connector-" in request.path else None


@pytest.mark.parametrize("wanted", [True, False])
def test_what_can_not_be_read_is_neither_made_nor_forgotten(wanted: bool) -> None:
    world = World()
    assert Bench(world).apply(connector()).succeeded
    exchange = WorldExchange(world, faults=hidden)
    searched = world.domain.connectors.searched
    world.domain.connectors.searched = lambda now: {}  # type: ignore[method-assign]
    plan = Bench(world)._plan(Runner(exchange), connector() if wanted else {}, Permissions())
    world.domain.connectors.searched = searched  # type: ignore[method-assign]
    change = plan.change(Address("connectors", "c"))
    assert change is not None
    assert (change.action, change.reason) == (Action.NO_OP, "can not be read")
    assert [problem.code for problem in plan.problems] == ["unreadable"]


def test_an_old_connector_that_can_not_be_read_is_told_and_removed_by_the_next_apply() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(connector()).succeeded
    edited = connector(description="other")
    report = bench.apply(edited, faults=hidden)
    failed = {str(one.change.address): str(one.error) for one in report.results if one.status is Status.FAILED}
    assert "connector-0001" in failed["connectors.c"]
    assert len(world.domain.connectors.documents) == 2
    assert bench.apply(edited).succeeded
    assert list(world.domain.connectors.documents) == ["connector-0002"]


def test_a_deletion_that_can_not_be_seen_is_not_reported_as_done() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(connector()).succeeded
    report = bench.apply({}, faults=hidden)
    assert "no permissions" in report.differing[Address("connectors", "c")]
