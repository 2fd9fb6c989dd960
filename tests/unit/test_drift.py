"""Drift of each class, over the in-memory world: named, classed, and never taken for something else."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.drift.report import Class, Finding, Report
from reconciler.model.request import Request
from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Bench, Sections, outcome
from tests.support.chains import SECRETS, action, add_foreign_chain, allow, trust
from tests.support.domain import PREFIX, TRUSTED
from tests.support.exchange import Fault, always
from tests.support.refusal import Doc
from tests.support.world import World

GONE = "AROAABCDEFGHIJKLMNOP"
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
SIGNER = f"arn:aws:iam::{ACCOUNT}:role/signer"


def chain(**changes: Any) -> Sections:
    """One object of each kind; `changes` are fields by kind that are stated otherwise."""
    objects: dict[str, tuple[str, dict[str, Any]]] = {
        "iam_roles": (
            "signer",
            {
                "assume_role_policy_document": trust(CALLER),
                "description": "signs",
                "max_session_duration": 3600,
            },
        ),
        "cluster_settings": ("ml", {TRUSTED: [r"^https://api1\.test/.*$"], f"{PREFIX}native_memory_threshold": 80}),
        "security_roles": ("asks", {"cluster_permissions": ["cluster_monitor"]}),
        "role_mappings": (
            "ml_full_access",
            {"backend_roles": ["${iam_roles.signer.arn}"], "users": ["ann"], "description": "asks models"},
        ),
        "connectors": (
            "c",
            {
                "description": "asks",
                "protocol": "http",
                "credential": {"key": "${secret.key}"},
                "parameters": {"model": "a"},
                "sign_as": "${iam_roles.signer.arn}",
                "actions": [action(1)],
            },
        ),
        "model_groups": ("g", {"description": "group"}),
        "models": ("m", {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}),
    }
    return {kind: {name: {**fields, **changes.get(kind, {})}} for kind, (name, fields) in objects.items()}


def applied(world: World, sections: Sections | None = None, secrets: dict[str, str] = SECRETS) -> Bench:
    bench = Bench(world, secrets=secrets)
    assert outcome(bench.apply(sections or chain())) == []
    return bench


def later(world: World) -> World:
    """The world when everything that was applied can be seen."""
    world.advance(world.now + 100)
    return world


def told(report: Report) -> dict[str, set[str]]:
    """The classes found, with the objects they were found of."""
    found: dict[str, set[str]] = {}
    for one in report.findings:
        found.setdefault(str(one.kind), set()).add(str(one.address))
    return found


def only(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


def differences(finding: Finding) -> list[tuple[str, object, object]]:
    return [(".".join(map(str, one.path)), one.before, one.after) for one in finding.fields]


def document(world: World, kind: str) -> Doc:
    (found,) = {
        "connectors": world.domain.connectors,
        "models": world.domain.models,
        "model_groups": world.domain.groups,
    }[kind].documents.values()
    return found


def test_what_was_applied_is_in_sync_and_costs_what_a_plan_costs() -> None:
    world = World(search=1.5, deploy=0.2)
    bench = applied(world)
    for _ in range(3):
        report = bench.drift(chain())
        assert (told(report), report.in_sync, report.objects) == ({}, 7, 7)
        assert report.exit_code(fail_on_pending=True) == 0
    requests = len(bench.exchange.log)
    bench.plan(chain())
    assert requests <= len(bench.exchange.log)


@pytest.mark.parametrize("settling", [0.0, 4.0])
def test_right_after_an_apply_nothing_drifts(settling: float) -> None:
    world = World(search=1.5, settling=settling)
    bench = Bench(world, secrets=SECRETS)
    for description in ("one", "two"):
        sections = chain(models={"description": description}, connectors={"description": description})
        assert outcome(bench.apply(sections)) == []
        assert told(bench.drift(sections)) == {}


def test_a_role_that_is_not_shown_yet_is_looked_at_until_it_is() -> None:
    world = World()
    bench = applied(world)
    world.account.roles["signer"]["settled"] = world.now + 5
    before = world.now
    assert told(bench.drift(chain())) == {}
    assert 4 < world.now - before < 10
    del world.account.roles["signer"]
    assert told(bench.drift(chain()))["missing"] == {"iam_roles.signer"}
    assert world.now - before < 30


CHANGES: dict[str, Callable[[World], Any]] = {
    "iam_roles.signer description": lambda world: world.account.roles["signer"].update(Description="by hand"),
    "iam_roles.signer max_session_duration": lambda world: world.account.roles["signer"].update(
        MaxSessionDuration=7200
    ),
    "iam_roles.signer permissions_boundary": lambda world: world.account.roles["signer"].update(boundary=ADMIN),
    f"cluster_settings.ml {PREFIX}native_memory_threshold": lambda world: world.domain.persistent.update(
        {f"{PREFIX}native_memory_threshold": "90"}
    ),
    f"cluster_settings.ml {TRUSTED}": lambda world: world.domain.persistent.update({TRUSTED: ["^https://x/$"]}),
    "security_roles.asks cluster_permissions": lambda world: world.domain.roles["asks"].update(
        cluster_permissions=["cluster_all"]
    ),
    "role_mappings.ml_full_access users": lambda world: world.domain.mappings["ml_full_access"].update(users=["eve"]),
    "role_mappings.ml_full_access description": lambda world: world.domain.mappings["ml_full_access"].update(
        description="by hand"
    ),
    "connectors.c parameters": lambda world: document(world, "connectors").update(parameters={"model": "b"}),
    "connectors.c description": lambda world: document(world, "connectors").update(description="by hand"),
    "model_groups.g description": lambda world: document(world, "model_groups").update(description="by hand"),
    "models.m is_enabled": lambda world: document(world, "models").update(is_enabled=False),
    "models.m name": lambda world: document(world, "models").update(name="by hand"),
}


@pytest.mark.parametrize("named", CHANGES)
def test_a_changed_field_is_named(named: str) -> None:
    world = World()
    bench = applied(world)
    CHANGES[named](later(world))
    finding = only(bench.drift(chain()))
    assert (finding.kind, str(finding.address)) == (Class.CHANGED, named.split(maxsplit=1)[0])
    assert {one.field for one in finding.fields} == {named.split()[1]}
    assert bench.drift(chain()).exit_code(fail_on_pending=False) == 2


def test_a_change_leads_from_what_was_applied_to_what_is_live() -> None:
    world = World()
    bench = applied(world)
    document(later(world), "connectors")["parameters"] = {"model": "b", "more": "x"}
    finding = only(bench.drift(chain()))
    assert differences(finding) == [("parameters.model", "a", "b"), ("parameters.more", None, "x")]


def test_a_removed_parameter_is_a_change() -> None:
    world = World()
    bench = applied(world)
    document(later(world), "connectors")["parameters"] = {}
    assert differences(only(bench.drift(chain()))) == [("parameters.model", "a", None)]


def test_what_lets_somebody_do_more_is_marked_and_what_lets_him_do_less_is_not() -> None:
    wide, narrow = allow("s3:*", "*"), allow("s3:GetObject", "arn:aws:s3:::b/*")
    world = World()
    bench = applied(world, chain(iam_roles={"inline_policies": {"p": narrow}}))
    later(world).account.roles["signer"]["policies"]["p"] = wide
    finding = only(bench.drift(chain(iam_roles={"inline_policies": {"p": narrow}})))
    assert (finding.kind, finding.widens) == (Class.CHANGED, True)
    other = World()
    bench = applied(other, chain(iam_roles={"inline_policies": {"p": wide}}))
    later(other).account.roles["signer"]["policies"]["p"] = narrow
    finding = only(bench.drift(chain(iam_roles={"inline_policies": {"p": wide}})))
    assert (finding.kind, finding.widens) == (Class.CHANGED, False)


def test_what_is_gone_is_missing() -> None:
    world = World()
    bench = applied(world)
    later(world).domain.models.documents.clear()
    world.domain.connectors.documents.clear()
    world.domain.groups.documents.clear()
    world.domain.roles.pop("asks")
    world.domain.mappings.pop("ml_full_access")
    report = bench.drift(chain())
    everything = {"models.m", "connectors.c", "model_groups.g", "security_roles.asks", "role_mappings.ml_full_access"}
    # What refers to an object that is gone is not pending: the manifest states what was applied.
    assert told(report) == {"missing": everything}
    assert report.in_sync == 2


def test_another_object_of_the_same_name_is_a_replacement() -> None:
    world = World()
    bench = applied(world)
    role = later(world).account.roles["signer"]
    role["RoleId"] = "AROANEW0000000000000"
    role["tags"].clear()
    ((one, group),) = world.domain.groups.documents.items()
    del world.domain.groups.documents[one]
    world.domain.groups.add(group)
    report = bench.drift(chain())
    assert told(report) == {"replaced": {"iam_roles.signer", "model_groups.g"}}
    assert "AROANEW0000000000000, was AROA" in str([one.reason for one in report.findings])
    # Also where somebody gave it our mark.
    role["tags"]["reconciler:manifest"] = "chain/ledger-1"
    assert told(bench.drift(chain())) == {"replaced": {"iam_roles.signer", "model_groups.g"}}


def test_a_mark_of_another_manifest_is_told() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["tags"]["reconciler:manifest"] = "other/ledger-1"
    finding = only(bench.drift(chain()))
    assert (finding.kind, finding.reason) == (Class.CHANGED, "its mark is of another: other/ledger-1")


def test_what_was_added_to_what_is_ours_as_a_whole_is_extra() -> None:
    world = World()
    sections = chain(role_mappings={"membership": "exclusive"})
    bench = applied(world, sections)
    later(world).account.roles["signer"]["attached"].append(ADMIN)
    world.account.roles["signer"]["policies"]["more"] = allow("s3:*", "*")
    world.domain.mappings["ml_full_access"]["users"].append("eve")
    world.domain.roles["asks"]["cluster_permissions"].append("cluster_all")
    report = bench.drift(sections)
    assert told(report) == {"extra": {"iam_roles.signer", "role_mappings.ml_full_access", "security_roles.asks"}}
    assert all(one.widens for one in report.findings)


def test_what_others_add_to_shared_lists_is_theirs() -> None:
    world = World()
    bench = applied(world)
    later(world).domain.mappings["ml_full_access"]["users"].append("eve")
    world.account.roles["signer"]["tags"]["team"] = "x"
    world.domain.persistent[TRUSTED].append("^https://theirs/$")
    assert told(bench.drift(chain())) == {}


def test_an_object_may_drift_in_several_ways_and_counts_once() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["attached"].append(ADMIN)
    world.account.roles["signer"]["Description"] = "by hand"
    report = bench.drift(chain())
    assert told(report) == {"changed": {"iam_roles.signer"}, "extra": {"iam_roles.signer"}}
    assert (report.counts["drifted"], report.counts["in_sync"]) == (1, 6)


def test_a_principal_that_is_gone_is_orphaned() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["trust"]["Statement"][0]["Principal"] = {"AWS": [GONE]}
    finding = only(bench.drift(chain()))
    assert (finding.kind, GONE in str(finding.fields)) == (Class.ORPHANED, True)


def test_a_mapped_role_that_is_gone_is_orphaned() -> None:
    world = World()
    bench = applied(world)
    del later(world).account.roles["signer"]
    assert told(bench.drift(chain())) == {
        "missing": {"iam_roles.signer"}, "orphaned": {"role_mappings.ml_full_access"},
    }  # fmt: skip


def test_a_mapped_role_of_nobody_is_looked_for_too() -> None:
    theirs = f"arn:aws:iam::{ACCOUNT}:role/service/theirs"
    sections: Sections = {"role_mappings": {"ml_full_access": {"backend_roles": [theirs, "arn:aws:iam::1:role/x"]}}}
    world = World()
    about = {"RoleName": "theirs", "Path": "/service/", "AssumeRolePolicyDocument": '{"Statement": []}'}
    world.account.answer("CreateRole", about, 0.0)
    bench = applied(world, sections)
    assert told(bench.drift(sections)) == {}
    del later(world).account.roles["theirs"]
    finding = only(bench.drift(sections))
    assert (finding.kind, finding.fields[0].text) == (Class.ORPHANED, f"{theirs} is gone")
    # The same name under another path is another role.
    world.account.answer("CreateRole", {**about, "Path": "/"}, 0.0)
    assert told(bench.drift(sections)) == {"orphaned": {"role_mappings.ml_full_access"}}
    refused = always(Fault.FORBIDDEN, lambda request: request.operation.startswith(("GetRole", "List")))
    report = bench.drift(sections, faults=refused)
    assert told(report) == {}
    assert [theirs in note for note in report.notes] == [True]


@pytest.mark.parametrize("state", ["UNDEPLOYED", "DEPLOY_FAILED", "PARTIALLY_DEPLOYED"])
def test_a_model_that_does_not_serve_is_undeployed(state: str) -> None:
    world = World()
    bench = applied(world)
    document(later(world), "models")["model_state"] = state
    assert told(bench.drift(chain())) == {"undeployed": {"models.m"}}


def test_a_model_that_is_to_rest_and_serves_is_changed() -> None:
    sections = chain(models={"model_state": "UNDEPLOYED"})
    world = World()
    bench = applied(world, sections)
    document(later(world), "models")["model_state"] = "DEPLOYED"
    assert told(bench.drift(sections)) == {"changed": {"models.m"}}


def test_a_state_that_passes_is_not_known_yet() -> None:
    world = World()
    bench = applied(world)
    document(later(world), "models")["model_state"] = "DEPLOYING"
    report = bench.drift(chain())
    assert told(report) == {"unknown": {"models.m"}}
    assert report.exit_code(fail_on_pending=True) == 4


def refusing(operation: str) -> Callable[[Request], bool]:
    return lambda request: request.operation.startswith(operation)


@pytest.mark.parametrize(
    ("operation", "unknown"),
    [
        ("GET /_plugins/_security/api/roles", {"security_roles.asks", "role_mappings.ml_full_access"}),
        ("GET /_plugins/_ml/models", {"models.m"}),
        ("GET /_cluster/settings", {"cluster_settings.ml"}),
        ("GetRole", {"iam_roles.signer"}),
    ],
)
def test_a_kind_that_may_not_be_read_is_unknown_and_the_others_are_not(operation: str, unknown: set[str]) -> None:
    world = World()
    bench = applied(world)
    document(later(world), "model_groups")["description"] = "by hand"
    report = bench.drift(chain(), faults=always(Fault.FORBIDDEN, refusing(operation)))
    assert told(report) == {"unknown": unknown, "changed": {"model_groups.g"}}
    assert all("no permissions" in one.reason for one in report.of(Class.UNKNOWN))
    document(world, "model_groups")["description"] = "group"
    report = bench.drift(chain(), faults=always(Fault.FORBIDDEN, refusing(operation)))
    assert report.exit_code(fail_on_pending=False) == 4


def test_what_is_hidden_is_unknown_and_nobody_looks_as_the_signer() -> None:
    world = World()
    bench = applied(world)
    world = later(world)
    document(world, "connectors").update(owner=SIGNER, access="private")
    world.domain.persistent[f"{PREFIX}connector_access_control_enabled"] = "true"
    world.domain.caller, world.domain.caller_roles = "auditor", ["readall"]
    report = bench.drift(chain())
    assert told(report) == {"unknown": {"connectors.c"}}
    assert not [one for one in bench.exchange.log if one.operation == "AssumeRole" or one.identity]


def test_a_connector_that_differs_is_looked_at_again_as_the_caller_alone() -> None:
    world = World(search=1.5)
    bench = applied(world)
    world.domain.connectors.update(next(iter(world.domain.connectors.documents)), {"description": "x"}, world.now - 9)
    assert told(bench.drift(chain())) == {"changed": {"connectors.c"}}
    assert [one.operation for one in bench.exchange.log].count("GET /_plugins/_ml/connectors/{id}") == 1


def test_what_no_service_shows_is_listed_as_such() -> None:
    world = World()
    bench = applied(world)
    document(later(world), "connectors")["credential"] = {"key": "stolen"}
    report = bench.drift(chain())
    assert told(report) == {}
    assert [(str(one.address), one.field) for one in report.invisible] == [("connectors.c", "credential")]


# what is not applied


def test_what_the_manifest_states_otherwise_is_pending_and_no_drift() -> None:
    world = World()
    bench = applied(world)
    sections = chain(iam_roles={"description": "new"}, role_mappings={"users": ["ann", "bob"]})
    report = bench.drift(sections)
    assert told(report) == {"pending": {"iam_roles.signer", "role_mappings.ml_full_access"}}
    assert differences(report.findings[0]) == [("description", "signs", "new")]
    assert differences(report.findings[1]) == [("users", None, "bob")]
    assert (report.exit_code(fail_on_pending=False), report.exit_code(fail_on_pending=True)) == (0, 3)


def test_drift_and_what_is_pending_are_told_apart_in_one_object() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["MaxSessionDuration"] = 7200
    report = bench.drift(chain(iam_roles={"description": "new"}))
    assert told(report) == {"changed": {"iam_roles.signer"}, "pending": {"iam_roles.signer"}}
    assert [one.fields[0].field for one in report.findings] == ["max_session_duration", "description"]


def test_where_live_is_as_the_manifest_states_it_nothing_is_told() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["Description"] = "new"
    world.domain.models.documents.clear()
    without = {kind: objects for kind, objects in chain(iam_roles={"description": "new"}).items() if kind != "models"}
    assert told(bench.drift(without)) == {}


def test_what_others_stated_already_is_not_pending() -> None:
    world = World()
    bench = applied(world)
    others = Bench(world, "others")
    assert outcome(others.apply({"role_mappings": {"ml_read_access": {"users": ["eve"]}}})) == []
    mappings = {**chain()["role_mappings"], "ml_read_access": {"users": ["eve"]}}
    assert told(bench.drift({**chain(), "role_mappings": mappings})) == {}
    mappings = {**mappings, "ml_read_access": {"users": ["eve", "ann"]}}
    report = bench.drift({**chain(), "role_mappings": mappings})
    assert told(report) == {"pending": {"role_mappings.ml_read_access"}}


def test_objects_that_come_and_go_are_pending() -> None:
    world = World()
    bench = applied(world)
    more = {**chain(), "model_groups": {"other": {"description": "group"}}, "models": {}}
    report = bench.drift(more)
    assert told(report) == {"pending": {"model_groups.other", "model_groups.g", "models.m"}}
    assert {one.reason for one in report.findings} == {
        "it is in the manifest and was not applied yet", "it is no longer in the manifest",
    }  # fmt: skip


def test_a_list_that_is_to_be_complete_from_now_on_is_pending() -> None:
    world = World()
    bench = applied(world)
    later(world).domain.mappings["ml_full_access"]["users"].append("eve")
    report = bench.drift(chain(role_mappings={"membership": "exclusive"}))
    assert told(report) == {"pending": {"role_mappings.ml_full_access"}}


def test_a_secret_of_another_value_is_pending() -> None:
    world = World()
    bench = applied(world)
    bench.secrets = {"key": "another horse"}
    report = bench.drift(chain())
    assert told(report) == {"pending": {"connectors.c"}}
    bench.secrets = {}
    assert told(bench.drift(chain())) == {}


def test_before_the_first_apply_everything_is_pending() -> None:
    bench = Bench(World(), secrets=SECRETS)
    report = bench.drift(chain())
    assert (set(told(report)), report.objects, report.last_applied) == ({"pending"}, 0, "")


def test_what_a_killed_apply_left_is_pending() -> None:
    world = World()
    bench = applied(world)
    one = next(document for document in world.ledger.documents.values() if document.get("address") == "models.m")
    one["intent"] = {"action": "update", "fields": {}, "seen": []}
    document(later(world), "models")["description"] = "half"
    finding = only(bench.drift(chain()))
    assert (finding.kind, finding.reason) == (Class.PENDING, "an apply that was to update it did not end")


def test_an_object_that_moved_is_pending() -> None:
    world = World()
    bench = applied(world)
    bench.moved = {"model_groups.g": "model_groups.now"}
    sections = {**chain(model_groups={"name": "g"}, models={"model_group_id": "${model_groups.now.id}"})}
    sections["model_groups"] = {"now": sections["model_groups"]["g"]}
    report = bench.drift(sections)
    assert told(report) == {"pending": {"model_groups.now"}}
    assert only(report).reason == "moved from model_groups.g"


def test_what_the_manifest_ignores_does_not_drift() -> None:
    world = World()
    bench = applied(world)
    later(world).account.roles["signer"]["Description"] = "by hand"
    assert told(bench.drift(chain(iam_roles={"lifecycle": {"ignore": ["description"]}}))) == {}


# what no manifest owns


def test_what_no_manifest_owns_is_listed_with_a_coverage() -> None:
    world = World()
    add_foreign_chain(world)
    world.account.answer("CreateRole", {"RoleName": "theirs", "AssumeRolePolicyDocument": '{"Statement": []}'}, 0.0)
    linked = {"RoleName": "linked", "Path": "/aws-service-role/x/", "AssumeRolePolicyDocument": '{"Statement": []}'}
    world.account.answer("CreateRole", linked, 0.0)
    bench = applied(world)
    other = Bench(world, "other")
    assert outcome(other.apply({"model_groups": {"of-another": {}}})) == []
    report = bench.drift(chain(), everything=True)
    assert told(report)["unmanaged"] == {
        "iam_roles.theirs", "connectors.theirs", "model_groups.theirs", "models.theirs", "role_mappings.all_access",
    }  # fmt: skip
    covered = {one.kind: (one.owned, one.total) for one in report.coverage if one.total}
    assert covered == {
        "connectors": (1, 2),
        "iam_roles": (1, 2),
        "model_groups": (2, 3),
        "models": (1, 2),
        "role_mappings": (1, 2),
        "security_roles": (1, 1),
    }
    assert (report.exit_code(fail_on_pending=True), report.in_sync) == (0, 7)
    assert "unmanaged" not in told(bench.drift(chain()))


def test_a_coverage_that_can_not_be_told_says_why() -> None:
    world = World()
    bench = applied(world)
    world.domain.persistent[f"{PREFIX}model_access_control_enabled"] = "true"
    world.domain.caller_roles = ["ml_full_access"]
    refused = always(Fault.FORBIDDEN, lambda request: request.operation == "GetAccountAuthorizationDetails")
    coverage = {one.kind: one for one in bench.drift(chain(), everything=True, faults=refused).coverage}
    assert "no permissions" in coverage["iam_roles"].untold
    assert coverage["models"].hidden == "model_access_control_enabled is on"
