"""Access control on: what the caller is not shown is neither made a second time nor taken for gone."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.errors import Severity
from reconciler.model.change import Action
from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action, trust
from tests.support.domain import PREFIX, TRUSTED
from tests.support.exchange import Fault, always
from tests.support.world import World

SIGNER = f"arn:aws:iam::{ACCOUNT}:role/signer"


def world(*, on: bool = True, admin: bool = False) -> World:
    made = World()
    for kind in ("connector", "model"):
        made.domain.persistent[f"{PREFIX}{kind}_access_control_enabled"] = "true" if on else "false"
    made.domain.persistent[TRUSTED] = [r"^https://api1\.test/.*$"]
    if not admin:
        made.domain.caller, made.domain.caller_roles = "deployer", ["ml_full_access", "security_manager", "ledger"]
    made.account.answer(
        "CreateRole", {"RoleName": "signer", "AssumeRolePolicyDocument": str(trust(CALLER)).replace("'", '"')}, 0.0
    )
    made.domain.mappings["ml_full_access"] = {**made.domain.mappings["all_access"], "backend_roles": [SIGNER]}
    return made


def manifest(**fields: Any) -> Sections:
    connector = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)], "sign_as": SIGNER, **fields}
    return {"connectors": {"c": connector}}


def somebody_elses(there: World, maker: Callable[[World], object]) -> None:
    """Let `eve` do something."""
    before, there.domain.caller = there.domain.caller, "eve"
    maker(there)
    there.domain.caller = before


def make_connector(there: World) -> None:
    body = {
        "name": "c",
        "version": "1",
        "protocol": "http",
        "credential": {"key": "x"},
        "actions": manifest()["connectors"]["c"]["actions"],
    }
    there.domain.answer("POST", "/_plugins/_ml/connectors/_create", {}, body, None, 0.0)


def make_group(there: World) -> None:
    there.domain.answer("POST", "/_plugins/_ml/model_groups/_register", {}, {"name": "g"}, None, 0.0)


def warned(bench: Bench, sections: Sections) -> list[tuple[str, str, str]]:
    return [(one.code, one.address, one.message) for one in bench.plan(sections).problems if one.code == "hidden"]


def test_what_the_signer_made_is_seen_as_the_signer() -> None:
    there = world()
    bench = Bench(there)
    assert outcome(bench.apply(manifest())) == []
    ((one, document),) = there.domain.connectors.documents.items()
    assert document["owner"] == SIGNER
    # The caller by himself is not shown it.
    shown = there.domain.answer("GET", "/_plugins/_ml/connectors/_search", {}, SEARCH, None, 0.0)
    assert shown["hits"]["hits"] == []
    plan = bench.plan(manifest())
    assert (actions(plan), plan.problems) == ({}, [])
    assert outcome(bench.apply(manifest(description="new"))) == []
    assert there.domain.connectors.documents[one]["description"] == "new"
    assert outcome(bench.apply(manifest(protocol="aws_sigv4"))) == []
    assert len(there.domain.connectors.documents) == 1
    assert outcome(bench.destroy()) == []
    assert there.domain.connectors.documents == {}


SEARCH: Any = {"query": {"bool": {"should": [{"terms": {"name.keyword": ["c"]}}]}}, "size": 10}


def test_a_signer_of_the_manifest_is_known_by_its_reference() -> None:
    there = world()
    role: Sections = {"iam_roles": {"signs": {"role_name": "own", "assume_role_policy_document": trust(CALLER)}}}
    mapping: Sections = {"role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.signs.arn}"]}}}
    sections: Sections = {**role, **mapping, **manifest(sign_as="${iam_roles.signs.arn}")}
    bench = Bench(there)
    assert outcome(bench.apply(sections)) == []
    # The ledger is lost: there is nothing but the manifest that says who signs.
    there.ledger.documents.clear()
    refused = [one for one in bench.plan(sections).problems if one.address == "connectors.c"]
    assert [one.code for one in refused] == ["not-ours"]


def test_what_nobody_can_read_is_unknown_and_not_made_again() -> None:
    there = world()
    bench = Bench(there)
    assert outcome(bench.apply(manifest())) == []
    del there.account.roles["signer"]
    for sections in (manifest(), {}):
        plan = bench.plan(sections)
        assert actions(plan) == {}
        assert [(one.code, one.severity) for one in plan.problems] == [("unreadable", Severity.ERROR)]
    assert len(there.domain.connectors.documents) == 1


@pytest.mark.parametrize(
    ("maker", "sections"), [(make_connector, manifest()), (make_group, {"model_groups": {"g": {}}})]
)
def test_a_plan_that_makes_what_others_may_have_says_so(maker: Callable[[World], object], sections: Sections) -> None:
    there = world()
    somebody_elses(there, maker)
    (address,) = [f"{kind}.{name}" for kind, objects in sections.items() for name in objects]
    kind = address.partition(".")[0]
    assert actions(Bench(there).plan(sections)) == {address: Action.CREATE}
    setting = f"{'connector' if kind == 'connectors' else 'model'}_access_control_enabled"
    text = f"others of the same name may be there, unseen ({setting} is on): {address}"
    assert warned(Bench(there), sections) == [("hidden", kind, text)]
    # Who sees everything is told what is there.
    there.domain.caller_roles = ["all_access"]
    assert [one.code for one in Bench(there).plan(sections).problems] == ["not-ours"]


def test_of_many_the_first_are_named() -> None:
    sections: Sections = {"model_groups": {f"g{number}": {} for number in range(5)}}
    ((_, _, message),) = warned(Bench(world()), sections)
    assert message.endswith("model_groups.g0, model_groups.g1, model_groups.g2, 2 more")


@pytest.mark.parametrize("there", [world(on=False), world(admin=True)])
def test_where_nothing_is_hidden_nothing_is_said(there: World) -> None:
    bench = Bench(there)
    assert warned(bench, manifest()) == []
    assert not [one for one in bench.exchange.log if one.operation == "AssumeRole"]
    asked = [one for one in bench.exchange.log if one.operation == "GET /_cluster/settings"]
    assert len(asked) == (0 if "all_access" in there.domain.caller_roles else 1)


def test_the_settings_are_read_once_for_all_kinds() -> None:
    there = world()
    bench = Bench(there)
    bench.plan({**manifest(), "model_groups": {"g": {}}})
    assert len([one for one in bench.exchange.log if one.operation == "GET /_cluster/settings"]) == 1


def test_who_may_not_read_the_settings_is_told_that_nothing_is_known() -> None:
    faults = always(Fault.FORBIDDEN, lambda request: request.operation == "GET /_cluster/settings")
    plan = Bench(world(on=False)).plan(manifest(), faults=faults)
    (message,) = [one.message for one in plan.problems if one.code == "hidden"]
    assert "(whether connector_access_control_enabled is on can not be told: no permissions for [x])" in message
