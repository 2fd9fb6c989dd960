"""What an apply promises besides its plan: what is ignored stays, order, patience, the requests shown."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.execute import Status, calls
from reconciler.ledger import INDEX, VERSION
from reconciler.model.change import Action
from reconciler.model.objects import Address
from reconciler.model.request import Request, writes
from reconciler.plan.decide import Permissions
from reconciler.plan.looking import planned
from reconciler.plan.survey import Question, introduce
from reconciler.references import without_circles
from reconciler.runner import Runner
from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Bench, Sections, actions, desired, kinds, manifest, outcome
from tests.support.chains import action, allow, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, WorldExchange
from tests.support.world import World

ONE, TWO = allow("s3:Get", "*"), allow("s3:Put", "*")
SIGNER = f"arn:aws:iam::{ACCOUNT}:role/r"


def role(**fields: Any) -> Sections:
    return {"iam_roles": {"r": {"assume_role_policy_document": trust(CALLER), **fields}}}


def chain(**fields: Any) -> dict[str, Any]:
    connector = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)], **fields}
    return {
        "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
        "connectors": {"c": connector},
        "model_groups": {"g": {}},
        "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}},
    }


def signed(mapped: str = "${iam_roles.r.arn}") -> dict[str, Any]:
    return {
        **chain(sign_as="${iam_roles.r.arn}"),
        **role(),
        "role_mappings": {"ml_full_access": {"backend_roles": [mapped]}},
    }


def operations(requests: list[Request]) -> list[str]:
    return [request.operation for request in requests if request.operation != "POST /_bulk"]


# ignored parts


def test_what_is_ignored_is_not_overwritten_by_a_change_beside_it() -> None:
    world = World()
    ignoring = {"lifecycle": {"ignore": ["inline_policies.theirs-*", "description", "tags.cost"]}}
    bench = Bench(world)
    first = role(description="ours", inline_policies={"p": ONE}, tags={"team": "a", "cost": "1"}, **ignoring)
    assert bench.apply(first).succeeded
    live = world.account.roles["r"]
    live["policies"]["theirs-1"] = TWO
    live["Description"] = "theirs"
    live["tags"]["cost"] = "2"
    edited = role(
        description="ours",
        inline_policies={"p": TWO},
        max_session_duration=7200,
        tags={"team": "b", "cost": "1"},
        **ignoring,
    )
    assert bench.apply(edited).succeeded
    assert live["policies"] == {"p": TWO, "theirs-1": TWO}
    assert (live["Description"], live["MaxSessionDuration"]) == ("theirs", 7200)
    assert (live["tags"]["team"], live["tags"]["cost"]) == ("b", "2")


def test_an_ignored_parameter_keeps_its_value_in_an_update_and_in_what_replaces_it() -> None:
    world = World()
    stated = {"parameters": {"model": "a", "n": "1"}, "lifecycle": {"ignore": ["parameters.n"]}}
    for users in (False, True):
        bench = Bench(world.copy())
        sections = chain(**stated)
        if not users:
            sections["models"] = {}
        assert bench.apply(sections).succeeded
        (connector,) = bench.world.domain.connectors.documents.values()
        connector["parameters"]["n"] = "2"
        sections["connectors"]["c"] = {**sections["connectors"]["c"], "parameters": {"model": "b", "n": "1"}}
        assert actions(bench.plan(sections))["connectors.c"] is (Action.REPLACE if users else Action.UPDATE)
        assert bench.apply(sections).succeeded
        (connector,) = bench.world.domain.connectors.documents.values()
        assert connector["parameters"] == {"model": "b", "n": "2"}
        assert connector["credential"] == {"key": "x"}


# secrets


def test_a_rotation_that_was_not_sent_yet_is_not_taken_for_sent() -> None:
    world = World()
    stated = chain(credential={"key": "${secret.k}"})
    stated["models"] = {}
    assert Bench(world, secrets={"k": "one"}).apply(stated).succeeded
    # Planned where the secret can not be read, applied where it has another value.
    planner = Bench(world, secrets={})
    edited = {**stated, "connectors": {"c": {**stated["connectors"]["c"], "description": "new"}}}
    plan = planner.plan(edited)
    rotated = Bench(world, secrets={"k": "two"})
    rotated.exchange = WorldExchange(world)
    assert rotated.carry_out(Runner(rotated.exchange), plan).succeeded
    assert actions(rotated.plan(edited)) == {"connectors.c": Action.UPDATE}
    assert rotated.apply(edited).succeeded
    assert next(iter(world.domain.connectors.documents.values()))["credential"] == {"key": "two"}


# rows and edges


def test_a_dependency_that_comes_or_goes_is_recorded() -> None:
    world = World()
    bench = Bench(world)
    groups: Sections = {"model_groups": {"a": {}, "b": {}}}
    assert bench.apply(groups).succeeded
    after: Sections = {"model_groups": {"a": {"depends_on": ["model_groups.b"]}, "b": {}}}
    assert bench.apply(after).succeeded
    assert world.ledger.rows("chain")["model_groups.a"]["depends_on"] == ["model_groups.b"]
    assert bench.plan(after).work == []


def test_rows_that_point_in_a_circle_are_removed_all_the_same() -> None:
    world = World()
    assert Bench(world).apply({"model_groups": {"a": {"depends_on": ["model_groups.b"]}, "b": {}}}).succeeded
    world.ledger.rows("chain")["model_groups.b"]["depends_on"] = ["model_groups.a"]
    assert outcome(Bench(world).destroy()) == []
    assert world.domain.groups.documents == {}


def test_only_what_closes_a_circle_is_left_out() -> None:
    a, b, c = (Address("models", name) for name in "abc")
    edges = {a: frozenset({b}), b: frozenset({c}), c: frozenset({a, c})}
    left = without_circles(edges)
    assert sum(map(len, left.values())) == 2
    assert without_circles(left) == left


# IAM


def moments(exchange: WorldExchange) -> list[str]:
    return [operation for operation in operations(exchange.writes) if "Role" in operation]


def test_a_role_is_limited_first_then_given_more_and_then_less() -> None:
    world = World()
    bench = Bench(world)
    old, new = "arn:aws:iam::aws:policy/Old", "arn:aws:iam::aws:policy/New"
    limits = f"arn:aws:iam::{ACCOUNT}:policy/limits"
    assert bench.apply(role(managed_policy_arns=[old], inline_policies={"a": ONE})).succeeded
    assert bench.apply(
        role(managed_policy_arns=[new], inline_policies={"b": TWO}, permissions_boundary=limits)
    ).succeeded
    found = moments(bench.exchange)
    assert found[0] == "PutRolePermissionsBoundary"
    assert set(found[1:3]) == {"PutRolePolicy", "AttachRolePolicy"}
    assert set(found[3:]) == {"DeleteRolePolicy", "DetachRolePolicy"}
    assert bench.apply(role(managed_policy_arns=[old])).succeeded
    assert moments(bench.exchange).index("AttachRolePolicy") < moments(bench.exchange).index(
        "DeleteRolePermissionsBoundary"
    )


def test_attachments_make_room_first_only_where_there_is_none() -> None:
    world = World()
    bench = Bench(world)
    ten = [f"arn:aws:iam::aws:policy/P{number}" for number in range(10)]
    assert bench.apply(role(managed_policy_arns=ten)).succeeded
    assert bench.apply(role(managed_policy_arns=[*ten[1:], "arn:aws:iam::aws:policy/New"])).succeeded
    assert moments(bench.exchange) == ["DetachRolePolicy", "AttachRolePolicy"]


def test_a_role_in_an_instance_profile_is_not_taken_out_of_it() -> None:
    world = World()
    assert Bench(world).apply(role(inline_policies={"p": ONE})).succeeded
    live = world.account.roles["r"]
    live["profiles"].append("machines")
    report = Bench(world).destroy()
    (failed,) = report.results
    assert failed.status is Status.FAILED
    assert "instance profile machines" in str(failed.error)
    assert (live["profiles"], live["policies"]) == (["machines"], {"p": ONE})


def first(count: int, fault: Fault, matching: Callable[[Request], bool]) -> Callable[[int, Request], Fault | None]:
    seen: list[int] = []

    def choose(number: int, request: Request) -> Fault | None:
        if len(seen) < count and matching(request):
            seen.append(number)
            return fault
        return None

    return choose


def test_a_role_that_still_counts_its_policies_is_deleted_a_little_later() -> None:
    world = World()
    assert Bench(world).apply(role(inline_policies={"p": ONE})).succeeded
    policies = world.account.roles["r"]["policies"]
    pending: list[int] = []

    def still_there(_number: int, request: Request) -> Fault | None:
        if request.operation == "DeleteRole" and len(pending) < 2:
            pending.append(1)
            policies["late"] = ONE
        elif request.operation == "DeleteRole":
            policies.clear()
        return None

    assert outcome(Bench(world).apply({}, faults=still_there)) == []
    assert len(pending) == 2


# rights that were just given


def test_a_refusal_right_after_the_signers_rights_changed_is_waited_out() -> None:
    world = World()
    bench = Bench(world)
    late = first(3, Fault.FORBIDDEN, lambda request: request.operation.endswith("connectors/_create"))
    assert outcome(bench.apply(signed(), faults=late)) == []
    assert world.made["connectors"] == 1
    # Nothing of the signer changes: a refusal is one.
    edited = signed()
    edited["connectors"]["c"]["description"] = "other"
    late = first(3, Fault.FORBIDDEN, lambda request: request.operation.endswith("connectors/_create"))
    report = bench.apply(edited, faults=late)
    assert [str(one.change.address) for one in report.results if one.status is Status.FAILED] == ["connectors.c"]


def test_a_refusal_that_stays_is_told_in_the_services_words() -> None:
    world = World()
    started = world.now
    late = first(10_000, Fault.FORBIDDEN, lambda request: request.operation.endswith("connectors/_create"))
    report = Bench(world).apply(signed(), faults=late)
    (failed,) = [one for one in report.results if one.status is Status.FAILED]
    assert "no permissions for [x]" in str(failed.error)
    assert 60 < world.now - started < 90
    assert "connectors.c" not in world.ledger.rows("chain")


def test_a_role_whose_trust_was_just_changed_is_waited_for() -> None:
    world = World()
    assert Bench(world).apply(signed()).succeeded
    edited = signed()
    edited["iam_roles"]["r"]["description"] = "changed"
    edited["connectors"]["c"]["description"] = "changed"
    slow = first(25, Fault.FORBIDDEN, lambda request: request.operation == "AssumeRole")
    assert outcome(Bench(world).apply(edited, faults=slow)) == []


def test_a_connector_waits_for_the_mapping_that_names_its_signer_in_other_words() -> None:
    sections = signed(mapped=SIGNER)
    plan = Bench(World()).plan(sections)
    assert Address("role_mappings", "ml_full_access") in plan.graph[Address("connectors", "c")]
    for seed in range(3):
        assert outcome(Bench(World()).apply(sections, seed=seed)) == []


# plans that are refused


def targeted(world: World, sections: Sections, *only: str) -> Any:
    addresses = frozenset(Address.parse(text) for text in only)
    wanted = {address: one for address, one in desired(sections).items() if address in addresses}
    runner = Runner(WorldExchange(world))
    question = Question(manifest("chain"), kinds(), "us-east-1")
    context = introduce(runner, question)
    return planned(runner, question, context, wanted, Permissions(only=addresses))


def test_a_target_that_would_be_replaced_without_its_users_is_refused() -> None:
    world = World()
    assert Bench(world).apply(chain()).succeeded
    edited = chain(description="other")
    plan = targeted(world, edited, "connectors.c", "cluster_settings.s")
    (problem,) = plan.problems
    assert (problem.code, problem.address) == ("usage", "connectors.c")
    assert problem.hint == "add --target models.m"
    assert targeted(world, edited, "connectors.c", "cluster_settings.s", "models.m", "model_groups.g").problems == []


def test_what_a_model_group_can_not_lose_is_refused() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply({"model_groups": {"g": {"access_mode": "private"}}}).succeeded
    (problem,) = bench.plan({"model_groups": {"g": {}}}).problems
    assert (problem.code, problem.address) == ("wrong-value", "model_groups.g")
    assert "access_mode can not be unset" in problem.message


# the requests shown


def shown(bench: Bench, sections: Sections) -> list[str]:
    return sorted(
        request.operation for _, requests in calls(bench.plan(sections)) for request in requests if writes(request)
    )


@pytest.mark.parametrize("change", ["destroy", "replace", "undeploy", "rename", "path"])
def test_every_write_of_an_apply_is_shown_beforehand(change: str) -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply({**chain(), **role(inline_policies={"p": ONE})}).succeeded
    after: dict[str, Sections] = {
        "destroy": {},
        "replace": {**chain(description="other"), **role(inline_policies={"p": ONE})},
        "undeploy": {**chain(), **role(inline_policies={"p": ONE})},
        "rename": {**chain(), **role(inline_policies={"p": ONE}, role_name="other")},
        "path": {**chain(), **role(inline_policies={"p": ONE}, path="/x/")},
    }
    if change == "undeploy":
        after[change]["models"]["m"]["model_state"] = "UNDEPLOYED"  # type: ignore[index]
    beforehand = shown(bench, after[change])
    assert beforehand
    assert outcome(bench.apply(after[change])) == []
    assert sorted(operations(bench.exchange.writes)) == beforehand


def test_the_mark_that_a_forgotten_role_loses_is_shown_beforehand() -> None:
    bench = Bench(World())
    assert bench.apply(role(lifecycle={"on_remove": "forget"})).succeeded
    assert shown(bench, {}) == ["UntagRole"]


# models


def test_a_model_that_is_registered_while_its_deployment_begins_is_not_deployed_twice() -> None:
    world = World(deploy=2.0)
    bench = Bench(world)
    sections = chain()
    sections["models"]["m"]["model_state"] = "UNDEPLOYED"
    assert bench.apply(sections).succeeded
    sections["models"]["m"] = {**sections["models"]["m"], "model_state": "DEPLOYED"}
    assert bench.apply(sections).succeeded
    assert operations(bench.exchange.writes).count("POST /_plugins/_ml/models/{id}/_deploy") == 1


# the ledger


def test_a_ledger_of_an_older_version_learns_the_new_fields_before_it_is_written() -> None:
    world = World()
    assert Bench(world).apply({"model_groups": {"g": {}}}).succeeded
    world.ledger.documents["identity"]["body"]["version"] = 1
    known = dict(world.ledger._fields)
    world.ledger._fields = {name: rule for name, rule in known.items() if name != "lifecycle"}
    bench = Bench(world)
    assert outcome(bench.apply({"model_groups": {"g": {"description": "new"}}})) == []
    assert operations(bench.exchange.writes)[0] == f"PUT /{INDEX}/_mapping"
    assert world.ledger._fields == known
    assert world.ledger.documents["identity"]["body"]["version"] == VERSION
    assert outcome(bench.apply({"model_groups": {"g": {"description": "newer"}}})) == []
    assert f"PUT /{INDEX}/_mapping" not in operations(bench.exchange.writes)


def test_rows_that_are_too_much_for_one_request_go_in_several() -> None:
    world = World()
    bench = Bench(world)
    long = "x" * 800_000
    groups: Sections = {"model_groups": {f"g{number}": {"description": long} for number in range(10)}}
    assert outcome(bench.apply(groups)) == []
    sizes = [len(str(request.body)) for request in bench.exchange.log if request.operation == "POST /_bulk"]
    assert max(sizes) < 6 * 2**20
    assert len(world.ledger.rows("chain")) == 10
    assert bench.plan(groups).work == []
