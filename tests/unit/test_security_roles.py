"""Security roles in the engine: whose they are, what comes after them, and what would lock the caller out."""

from collections import Counter
from dataclasses import replace

import pytest

from reconciler.canonical.json import Json
from reconciler.model.change import Action
from reconciler.model.kind import Caller
from reconciler.model.objects import Address
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Context, Plan
from reconciler.plan.safety import lockout
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.exchange import Fault, once
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


def many(count: int) -> Sections:
    roles: dict[str, dict[str, Json]] = {f"r{n}": {"cluster_permissions": [f"p{n}"]} for n in range(count)}
    return {"security_roles": roles, "role_mappings": {f"r{n}": {"users": [f"u{n}"]} for n in range(count)}}


def sent(bench: Bench) -> Counter[str]:
    """How many requests there were for security objects."""
    return Counter(one.operation for one in bench.exchange.log if "_security/api" in one.path)


def test_many_objects_take_few_requests() -> None:
    world = World()
    bench, sections = Bench(world), many(100)
    assert outcome(bench.apply(sections)) == []
    assert {name: role["cluster_permissions"] for name, role in world.domain.roles.items() if name[0] == "r"} == {
        **{f"r{n}": [f"p{n}"] for n in range(100)},
        "readall": [],
    }
    assert all(world.domain.mappings[f"r{n}"]["users"] == [f"u{n}"] for n in range(100))
    api = "/_plugins/_security/api"
    assert sent(bench) == {
        # to look, to make, and to look again; in batches of 25 and 75
        f"GET {api}/roles": 3,
        f"PATCH {api}/roles": 2,
        f"GET {api}/rolesmapping": 3,
        f"PATCH {api}/rolesmapping": 2,
    }
    assert len([request for request in bench.exchange.writes if request.operation == "POST /_bulk"]) < 20
    assert outcome(bench.destroy()) == []
    assert sent(bench)[f"PATCH {api}/roles"] + sent(bench)[f"PATCH {api}/rolesmapping"] == 4
    assert not [
        name for name in (*world.domain.roles, *world.domain.mappings) if name.startswith("r") and name[1:].isdigit()
    ]


def test_one_that_is_refused_does_not_keep_the_others_from_being_written() -> None:
    world = World()
    sections = many(60)
    # The role of one mapping is nowhere.
    sections = {
        "security_roles": {name: role for name, role in sections["security_roles"].items() if name != "r11"},
        "role_mappings": {**sections["role_mappings"], "ml_read_access": {"users": ["ann"]}},
    }
    bench = Bench(world)
    (failed,) = outcome(bench.apply(sections))
    assert failed.startswith("role_mappings.r11: failed")
    assert "role 'r11' not found." in failed
    there = {name for name in world.domain.mappings if name.startswith("r")}
    assert there == {f"r{n}" for n in range(60) if n != 11}
    assert world.domain.mappings["ml_read_access"]["users"] == ["ann"]
    assert len([r for r in bench.exchange.writes if r.path.endswith("/rolesmapping")]) < 15
    # What was refused wrote nothing, and its row says so.
    assert (world.intents("chain"), "role_mappings.r11" in world.ledger.rows("chain")) == ([], False)


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNAVAILABLE_AFTER])
def test_many_are_written_once_whatever_becomes_of_a_request(fault: Fault) -> None:
    world = World()
    bench = Bench(world)
    failing = once(fault, lambda request: request.operation.startswith("PATCH") and "rolesmapping" in request.operation)
    world.domain.mappings["r3"] = {**world.domain.mappings["all_access"], "users": ["theirs"], "backend_roles": []}
    assert outcome(bench.apply(many(40), faults=failing)) == []
    assert world.domain.mappings["r3"]["users"] == ["theirs", "u3"]
    assert all(world.domain.mappings[f"r{n}"]["users"] == [f"u{n}"] for n in range(40) if n != 3)


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
