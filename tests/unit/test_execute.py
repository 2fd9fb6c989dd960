"""Carrying a plan out: what an error stops and what it does not, in which order things are done, what is reported."""

from collections.abc import Callable

import pytest

from reconciler.execute import Status, calls
from reconciler.model.change import Action
from reconciler.model.objects import Address
from reconciler.model.request import Request, Service
from reconciler.plan.decide import Permissions
from reconciler.runner import Runner
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import SECRETS, action, add_foreign_chain, allow, trust
from tests.support.domain import PREFIX, TRUSTED
from tests.support.exchange import Fault, Killed, WorldExchange, always, once
from tests.support.world import World


def chain(number: int) -> dict[str, dict[str, dict[str, object]]]:
    """One chain without a role, with everything of its own."""
    connector = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(number)]}
    model = {"connector_id": f"${{connectors.c{number}.id}}", "model_group_id": f"${{model_groups.g{number}.id}}"}
    return {
        "connectors": {f"c{number}": connector},  # type: ignore[dict-item]
        "model_groups": {f"g{number}": {}},
        "models": {f"m{number}": model},  # type: ignore[dict-item]
    }


def chains(*numbers: int) -> Sections:
    endpoints = [rf"^https://api{number}\.test/.*$" for number in numbers]
    found: dict[str, dict[str, dict[str, object]]] = {"cluster_settings": {"s": {TRUSTED: endpoints}}}
    for number in numbers:
        for kind, objects in chain(number).items():
            found.setdefault(kind, {}).update(objects)
    return found  # type: ignore[return-value]


def test_the_first_error_stops_dependants_and_nothing_else() -> None:
    world = World()
    bench = Bench(world)
    sections = chains(1, 2)
    sections["connectors"]["c1"]["actions"][0]["url"] = "https://untrusted/x"  # type: ignore[index]
    report = bench.apply(sections)
    found = {str(one.change.address): one for one in report.results}
    assert {address: one.status for address, one in found.items()} == {
        "cluster_settings.s": Status.DONE,
        "model_groups.g1": Status.DONE,
        "model_groups.g2": Status.DONE,
        "connectors.c1": Status.FAILED,
        "connectors.c2": Status.DONE,
        "models.m1": Status.NOT_STARTED,
        "models.m2": Status.DONE,
    }
    assert "trusted connector endpoint" in str(found["connectors.c1"].error)
    assert found["models.m1"].waits_for == (Address("connectors", "c1"),)
    assert not report.succeeded
    assert [str(address) for address in bench.progress.begun].count("models.m1") == 0
    # The next apply finishes the rest, and only that.
    report = bench.apply(chains(1, 2))
    assert {str(one.change.address) for one in report.results} == {"connectors.c1", "models.m1"}
    assert report.succeeded


def test_a_ledger_that_can_not_be_written_stops_every_create() -> None:
    world = World()
    assert Bench(world).apply(chains(1)).succeeded
    made = dict(world.made)

    def bulk(request: Request) -> bool:
        return request.operation == "POST /_bulk"

    report = Bench(world).apply(chains(1, 2), faults=always(Fault.FORBIDDEN, bulk))
    assert {one.status for one in report.results} == {Status.FAILED, Status.NOT_STARTED}
    assert dict(world.made) == made


def test_an_intent_stands_before_the_first_write_of_every_object_without_a_mark() -> None:
    world = World()
    made: list[str] = []

    def watch(_number: int, request: Request) -> Fault | None:
        about = {"_create": "connectors", "_register": "models"}.get(request.operation.rpartition("/")[2], "")
        if about and request.service is Service.OPENSEARCH:
            kind = "model_groups" if "model_groups" in request.operation else about
            made.extend(
                address
                for address, row in world.ledger.rows("chain").items()
                if address.startswith(f"{kind}.") and row["intent"] is not None and not row["id"]
            )
        return None

    assert Bench(world).apply(chains(1), faults=watch).succeeded
    assert sorted(made) == ["connectors.c1", "model_groups.g1", "models.m1"]
    assert world.intents("chain") == []


def order(requests: list[Request], *wanted: Callable[[Request], bool]) -> list[int]:
    return [next(index for index, request in enumerate(requests) if match(request)) for match in wanted]


def sent(method: str, part: str) -> Callable[[Request], bool]:
    return lambda request: request.method == method and part in request.path


def test_a_connector_in_use_is_replaced_before_its_model_is_pointed_at_it_and_the_old_one_goes_last() -> None:
    world = World(search=0.5)
    bench = Bench(world)
    assert bench.apply(chains(1)).succeeded
    edited = chains(1)
    edited["connectors"]["c1"]["parameters"] = {"model": "x"}  # type: ignore[index]
    assert actions(bench.plan(edited)) == {"connectors.c1": Action.REPLACE, "models.m1": Action.UPDATE}
    assert bench.apply(edited).succeeded
    places = order(
        bench.exchange.writes,
        sent("POST", "/connectors/_create"),
        sent("PUT", "/models/"),
        sent("DELETE", "/connectors/connector-0001"),
    )
    assert places == sorted(places)
    assert list(world.domain.connectors.documents) == ["connector-0002"]
    assert world.domain.models.documents["model-0001"]["model_state"] == "DEPLOYED"


def test_a_removed_connector_goes_after_the_model_that_leaves_it() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(chains(1, 2)).succeeded
    after = chains(1, 2)
    after = {**after, "connectors": {"c2": after["connectors"]["c2"]}, "models": {**after["models"]}}
    after["models"]["m1"] = {**after["models"]["m1"], "connector_id": "${connectors.c2.id}"}  # type: ignore[index]
    assert bench.apply(after).succeeded
    deletes = [request for request in bench.exchange.writes if sent("DELETE", "/connectors/")(request)]
    assert len(deletes) == 1
    places = order(bench.exchange.writes, sent("PUT", "/models/"), sent("DELETE", "/connectors/"))
    assert places == sorted(places)


def test_settings_that_share_a_list_are_written_one_after_the_other() -> None:
    world = World()
    sections: Sections = {"cluster_settings": {f"s{n}": {TRUSTED: [f"^https://{n}/.*$"]} for n in range(5)}}
    for seed in range(5):
        other = world.copy()
        report = Bench(other).apply(sections, seed=seed)
        assert outcome(report) == []
        assert len(other.domain.persistent[TRUSTED]) == len(world.domain.setting(TRUSTED)) + 5


def test_a_failing_settings_object_does_not_stop_its_neighbours() -> None:
    world = World()
    sections: Sections = {
        "cluster_settings": {
            "a": {f"{PREFIX}rag_pipeline_feature_enabled": "perhaps"},
            "b": {f"{PREFIX}native_memory_threshold": 80},
            "c": {f"{PREFIX}jvm_heap_memory_threshold": 80},
        }
    }
    report = Bench(world).apply(sections)
    assert [one.status for one in report.results] == [Status.FAILED, Status.DONE, Status.DONE]


def test_a_rival_write_to_a_mapping_is_not_overwritten() -> None:
    world = World()
    bench = Bench(world)
    mapping: Sections = {"role_mappings": {"ml_full_access": {"users": ["ours", "also ours"]}}}
    assert bench.apply(mapping).succeeded
    world.domain.mappings["ml_full_access"]["users"].append("theirs")

    def rival(_number: int, request: Request) -> Fault | None:
        if request.method == "PATCH" and "late" not in world.domain.mappings["ml_full_access"]["users"]:
            world.domain.mappings["ml_full_access"]["users"].append("late")
            return Fault.CONFLICT
        return None

    assert bench.apply({"role_mappings": {"ml_full_access": {"users": ["ours"]}}}, faults=rival).succeeded
    assert world.domain.mappings["ml_full_access"]["users"] == ["ours", "theirs", "late"]


def test_a_lost_answer_appends_no_member_twice() -> None:
    world = World()
    world.domain.mappings["ml_full_access"] = {
        **world.domain.mappings["all_access"],
        "backend_roles": [],
        "users": ["a"],
    }
    faults = once(Fault.LOST_AFTER, lambda request: request.method == "PATCH")
    assert Bench(world).apply({"role_mappings": {"ml_full_access": {"users": ["b"]}}}, faults=faults).succeeded
    assert world.domain.mappings["ml_full_access"]["users"] == ["a", "b"]


ROLE: Sections = {
    "iam_roles": {"r": {"assume_role_policy_document": trust(CALLER), "inline_policies": {"p": allow("s3:*", "*")}}}
}


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.UNAVAILABLE_AFTER])
def test_a_role_whose_creation_got_no_answer_is_gone_on_with(fault: Fault) -> None:
    world = World()
    report = Bench(world).apply(ROLE, faults=once(fault, lambda request: request.operation == "CreateRole"))
    assert outcome(report) == []
    assert list(world.account.roles["r"]["policies"]) == ["p"]
    assert world.made["iam_roles"] == 1


def test_a_role_of_somebody_else_that_appears_meanwhile_is_not_touched() -> None:
    world = World()

    def rival(_number: int, request: Request) -> Fault | None:
        if request.operation == "CreateRole" and not world.account.roles:
            about = {"RoleName": "R", "AssumeRolePolicyDocument": '{"Statement": []}'}
            world.account.answer("CreateRole", about, world.now)
        return None

    report = Bench(world).apply(ROLE, faults=rival)
    assert [one.status for one in report.results] == [Status.FAILED]
    assert world.account.roles["r"]["policies"] == {}


def test_a_tag_whose_keys_case_changes_is_kept() -> None:
    world = World()
    bench = Bench(world)
    for tags in ({"Team": "a"}, {"team": "b"}):
        role = {**ROLE["iam_roles"]["r"], "tags": tags}
        assert outcome(bench.apply({"iam_roles": {"r": role}})) == []
    assert world.account.roles["r"]["tags"]["team"] == "b"


def test_a_new_role_is_waited_for() -> None:
    world = World(settling=8.0, deploy=2.0)
    sections: Sections = {
        **chains(1),
        "iam_roles": {"r": {"assume_role_policy_document": trust(CALLER)}},
        "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.r.arn}"]}},
    }
    sections["connectors"]["c1"]["sign_as"] = "${iam_roles.r.arn}"  # type: ignore[index]
    assert outcome(Bench(world).apply(sections)) == []
    assert 8 < world.now < 30


def test_a_deployment_that_fails_is_tried_again_and_then_told() -> None:
    world = World(deploy=1.0)
    world.domain.failing_deploys = 2
    assert outcome(Bench(world).apply(chains(1))) == []
    world.domain.failing_deploys = 9
    report = Bench(world).apply(chains(1, 2))
    (failed,) = [one for one in report.results if one.status is Status.FAILED]
    assert "DEPLOY_FAILED" in str(failed.error)


def test_a_deployment_that_is_stuck_is_begun_anew() -> None:
    world = World(deploy=1.0)
    world.domain.stuck_deploys = 1
    assert outcome(Bench(world).apply(chains(1))) == []
    assert 30 < world.now < 60
    world.domain.models.documents["model-0001"]["model_state"] = "DEPLOYING"  # and never anything else
    edited = chains(1)
    edited["models"]["m1"]["description"] = "edited"  # type: ignore[index]
    assert outcome(Bench(world).apply(edited)) == []
    assert world.domain.models.documents["model-0001"]["model_state"] == "DEPLOYED"


def test_a_deployment_that_never_ends_is_told_in_time_and_the_next_apply_repairs_it() -> None:
    world = World(deploy=1.0)
    world.domain.stuck_deploys = 99
    report = Bench(world).apply(chains(1))
    (failed,) = [one for one in report.results if one.status is Status.FAILED]
    assert str(failed.error) == "models.m1 deployed: not after 120 s (DEPLOYING)"
    assert world.now < 180
    world.domain.stuck_deploys = 0
    assert outcome(Bench(world).apply(chains(1))) == []
    assert dict(world.made) == {"connectors": 1, "model_groups": 1, "models": 1}


def test_stopping_lets_what_runs_end_and_the_next_apply_goes_on() -> None:
    world = World()
    bench = Bench(world)
    exchange = WorldExchange(world)
    runner = Runner(exchange)
    plan = bench._plan(runner, chains(1), Permissions())
    faults = iter(range(10_000))

    def stop_at_the_first_write(_number: int, request: Request) -> Fault | None:
        if request.operation.endswith("_cluster/settings") and request.method == "PUT" and next(faults) == 0:
            runner.stop()
        return None

    exchange._faults = stop_at_the_first_write
    report = bench.carry_out(runner, plan)
    statuses = {str(one.change.address): one.status for one in report.results}
    assert report.stopped
    assert statuses["cluster_settings.s"] is Status.DONE
    assert statuses["connectors.c1"] is statuses["models.m1"] is Status.NOT_STARTED
    assert world.intents("chain") == []
    assert bench.apply(chains(1)).succeeded


def test_a_plan_shows_the_very_requests_that_are_sent() -> None:
    world = World()
    bench = Bench(world, secrets=SECRETS)
    plan = bench.plan(chains(1))
    shown = [request.label for _, requests in calls(plan) for request in requests if request.method not in ("", "GET")]
    assert bench.apply(chains(1)).succeeded
    done = [request.label for request in bench.exchange.writes if request.service is Service.OPENSEARCH]
    assert sorted(shown) == sorted(done)


def test_an_adopted_object_stays_adopted_after_a_kill() -> None:
    world = World()
    add_foreign_chain(world, "g1")
    before = world.copy()
    sections: Sections = {"model_groups": {"g1": {"description": "ours now", "adopt": True}}}
    length = _requests(before.copy(), sections)
    for number in range(length):
        for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
            other = before.copy()
            with pytest.raises(Killed):
                Bench(other).apply(sections, faults=lambda n, request, k=number, f=fault: f if n == k else None)  # type: ignore[misc]
            assert outcome(Bench(other).apply(sections)) == []
            assert outcome(Bench(other).destroy()) == []
            assert [group["name"] for group in other.domain.groups.documents.values()] == ["g1"]


def _requests(world: World, sections: Sections) -> int:
    bench = Bench(world)
    assert outcome(bench.apply(sections)) == []
    return bench.exchange.ended


def test_a_namesake_of_somebody_else_is_not_taken_for_what_a_killed_apply_made() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(chains(1)).succeeded
    theirs, _, _ = add_foreign_chain(world, "c1")
    edited = chains(1)
    edited["connectors"]["c1"]["description"] = "edited"  # type: ignore[index]
    killed_before_the_create = once(Fault.KILLED_BEFORE, lambda request: request.operation.endswith("_create"))
    with pytest.raises(Killed):
        bench.apply(edited, faults=killed_before_the_create)
    assert outcome(bench.apply(edited)) == []
    assert outcome(bench.destroy()) == []
    assert list(world.domain.connectors.documents) == [theirs]


def test_many_objects_are_read_again_together() -> None:
    world = World(search=0.5, deploy=0.5)
    bench = Bench(world)
    sections = chains(*range(1, 9))
    assert outcome(bench.apply(sections)) == []
    alone = [request.path for request in bench.exchange.log if request.operation == "GET /_plugins/_ml/connectors/{id}"]
    assert alone == []

    def meddle(_number: int, _request: Request) -> Fault | None:
        for one in world.domain.connectors.documents.values():
            if one["name"] == "c3":
                one["description"] = "somebody else's"
        return None

    edited = {
        **sections,
        "connectors": {name: {**one, "description": "new"} for name, one in sections["connectors"].items()},
    }
    report = bench.apply(edited, faults=meddle)
    assert outcome(report) == ["connectors.c3: differs in description"]


def test_a_change_whose_write_is_refused_when_it_is_asked_to_stop_takes_its_intent_back() -> None:
    world = World()
    bench = Bench(world)
    sections = chains(1)
    sections["connectors"]["c1"]["actions"][0]["url"] = "https://untrusted/x"  # type: ignore[index]
    seen: list[str] = []

    def stop_at_the_refusal(_number: int, request: Request) -> Fault | None:
        taken_back = "refused" in seen and request.operation == "POST /_bulk"
        if request.operation.endswith("/connectors/_create"):
            seen.append("refused")
        if taken_back and "stopped" not in seen:
            # It came too fast, and waits to be sent again.
            seen.append("stopped")
            bench.runner.stop()
            return Fault.THROTTLED
        return None

    report = bench.apply(sections, faults=stop_at_the_refusal)
    (failed,) = [one for one in report.results if one.status is Status.FAILED]
    assert failed.change.address == Address("connectors", "c1")
    assert "trusted connector endpoint" in str(failed.error)
    assert world.intents("chain") == []
