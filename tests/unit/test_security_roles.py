"""Security roles in the engine: whose they are, what comes after them, and what would lock the caller out."""

from dataclasses import replace

import pytest

from reconciler.model.change import Action
from reconciler.model.objects import Address
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Caller, Context, Plan
from reconciler.plan.safety import lockout
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.world import World

ROLE: Sections = {"security_roles": {"asks": {"cluster_permissions": ["cluster_monitor"]}}}
BOTH: Sections = {**ROLE, "role_mappings": {"asks": {"users": ["ann"]}}}


def paths(bench: Bench) -> list[str]:
    """The security objects that were written, in order."""
    return [f"{r.method} {r.path.rpartition('/api/')[2]}" for r in bench.exchange.writes if "_security" in r.path]


def test_a_mapping_comes_after_its_role_and_goes_before_it() -> None:
    world, order = World(), []
    for seed in range(5):
        bench = Bench(world)
        assert outcome(bench.apply(BOTH, seed=seed)) == []
        assert world.domain.mappings["asks"]["users"] == ["ann"]
        order.append([path.split()[1].split("/")[0] for path in paths(bench)])
        assert outcome(bench.destroy(seed=seed)) == []
        order.append([path.split()[1].split("/")[0] for path in paths(bench)])
    assert "asks" not in {*world.domain.roles, *world.domain.mappings}
    assert order == [["roles", "rolesmapping"], ["rolesmapping", "roles"]] * 5


def test_a_role_that_somebody_else_made_is_taken_over_only_when_told() -> None:
    world = World()
    theirs = {**world.domain.roles["readall"], "reserved": False, "cluster_permissions": ["theirs"]}
    world.domain.roles["asks"] = theirs
    bench = Bench(world)
    assert [(one.code, one.address) for one in bench.plan(ROLE).problems] == [("not-ours", "security_roles.asks")]
    plan = bench.plan(ROLE, Permissions(adopt_all=True))
    (change,) = plan.pending
    assert (change.action, set(change.changed_fields)) == (Action.ADOPT, {"cluster_permissions"})
    assert outcome(bench.apply(ROLE, Permissions(adopt_all=True))) == []
    assert world.domain.roles["asks"]["cluster_permissions"] == ["cluster_monitor"]
    assert actions(bench.plan(ROLE)) == {}
    assert [one.code for one in Bench(world, "other").plan(ROLE).problems] == ["owned-by-other"]
    assert outcome(bench.destroy()) == []
    assert "asks" in world.domain.roles


def test_the_services_own_roles_are_never_ours() -> None:
    world = World()
    plan = Bench(world).plan({"security_roles": {"ml_full_access": {}}}, Permissions(adopt_all=True))
    assert [(one.code, one.address) for one in plan.problems] == [("guarded", "security_roles.ml_full_access")]


def test_a_role_that_was_made_since_the_plan_is_not_written_over() -> None:
    world = World()
    bench = Bench(world)

    def appears(_number: int, request: object) -> None:
        if "/roles" in str(request) and "_security" in str(request) and bench.progress.begun:
            world.domain.roles.setdefault("asks", {**world.domain.roles["readall"], "reserved": False})

    report = bench.apply(ROLE, faults=appears)
    assert len(outcome(report)) == 1
    assert "a role called 'asks' was made since the plan" in outcome(report)[0]
    assert world.domain.roles["asks"]["cluster_permissions"] == []
    assert world.intents("chain") == []


@pytest.mark.parametrize(("roles", "codes"), [(("asks",), ["lockout"]), (("asks", "all_access"), []), (("x",), [])])
def test_deleting_a_role_that_the_caller_has_is_refused(roles: tuple[str, ...], codes: list[str]) -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply(ROLE)) == []
    plan: Plan = bench.plan({})
    assert actions(plan) == {"security_roles.asks": Action.DELETE}
    context: Context = replace(plan.context, caller=Caller(user="ann", roles=roles))
    assert [problem.code for problem in lockout(replace(plan, context=context))] == codes


def test_a_role_edited_by_hand_is_named_and_repaired() -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply(BOTH)) == []
    world.domain.roles["asks"]["index_permissions"] = [{"index_patterns": ["*"], "allowed_actions": ["*"]}]
    (change,) = bench.plan(BOTH).pending
    assert (change.address, set(change.changed_fields)) == (Address("security_roles", "asks"), {"index_permissions"})
    assert outcome(bench.apply(BOTH)) == []
    assert world.domain.roles["asks"]["index_permissions"] == []
