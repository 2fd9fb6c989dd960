"""Customer managed policies in the engine: what is attached to them, their versions, and what can not be changed."""

import pytest

from reconciler.canonical.json import Json
from reconciler.model.change import Action
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import allow, trust
from tests.support.exchange import Fault, once
from tests.support.world import World


def policy(document: Json, **fields: Json) -> Sections:
    return {"iam_policies": {"p": {"policy_document": document, **fields}}}


def test_a_role_is_attached_after_its_policy_is_made_and_detached_before_it_goes() -> None:
    role: dict[str, Json] = {"assume_role_policy_document": trust(), "managed_policy_arns": ["${iam_policies.p.arn}"]}
    both: Sections = {**policy(allow("s3:Get*", "*")), "iam_roles": {"r": role}}
    for seed in range(5):
        world = World()
        bench = Bench(world)
        assert outcome(bench.apply(both, seed=seed)) == []
        assert world.account.roles["r"]["attached"] == ["arn:aws:iam::123456789012:policy/p"]
        assert outcome(bench.destroy(seed=seed)) == []
        assert (world.account.roles, world.account.managed.policies) == ({}, {})


def test_many_changes_leave_the_five_versions_that_iam_keeps() -> None:
    world = World()
    bench = Bench(world)
    for number in range(9):
        assert outcome(bench.apply(policy(allow(f"s3:Get{number}*", "*")))) == []
    kept = world.account.managed.policies["p"]
    assert (sorted(kept["versions"]), kept["default"]) == (["v5", "v6", "v7", "v8", "v9"], "v9")
    assert outcome(bench.destroy()) == []
    assert world.account.managed.policies == {}


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNAVAILABLE_AFTER])
def test_a_version_whose_answer_is_lost_is_made_once(fault: Fault) -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply(policy(allow("s3:Get*", "*")))) == []
    failing = once(fault, lambda request: request.operation == "CreatePolicyVersion")
    assert outcome(bench.apply(policy(allow("s3:Put*", "*")), faults=failing)) == []
    assert sorted(world.account.managed.policies["p"]["versions"]) == ["v1", "v2"]


@pytest.mark.parametrize("field", ["description", "path", "policy_name"])
def test_what_iam_can_not_change_is_refused_before_anything_is_done(field: str) -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply(policy(allow("s3:Get*", "*")))) == []
    plan = bench.plan(policy(allow("s3:Get*", "*"), **{field: "/new/"}))
    assert actions(plan) == {"iam_policies.p": Action.REPLACE}
    ((code, message),) = [(one.code, one.message) for one in plan.problems]
    assert code == "wrong-value"
    assert message.startswith(f"{field} can not be changed")
