"""What changes is seen and mended: behind our back, or in the manifest."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds._aws import MARK
from reconciler.model.change import Action
from reconciler.plan.decide import Permissions
from tests.support.account import ACCOUNT
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import SECRETS, add_foreign_chain, allow, manifests, trust, worlds
from tests.support.compare import same
from tests.support.domain import TRUSTED
from tests.support.refusal import Doc
from tests.support.world import World

seeds = st.integers(0, 2**16)
Drift = tuple[str, str, Callable[[], object]]
"""An address, the field that is to be named, and what somebody else does."""


def owner(world: World) -> Bench:
    return Bench(world, secrets=SECRETS)


def drifts(world: World, sections: Sections) -> Iterator[Drift]:
    """Every single change that somebody else could make to what the manifest states."""
    for kind, objects in sections.items():
        for name, fields in objects.items():
            one = {
                "iam_policies": _policy_drifts,
                "iam_roles": _role_drifts,
                "cluster_settings": _settings_drifts,
                "security_roles": _security_drifts,
                "action_groups": _action_group_drifts,
                "tenants": _tenant_drifts,
                "search_pipelines": _search_pipeline_drifts,
                "index_templates": _template_drifts,
                "indices": _index_drifts,
                "ingest_pipelines": _ingest_pipeline_drifts,
                "internal_users": _user_drifts,
                "role_mappings": _mapping_drifts,
                "connectors": _connector_drifts,
                "model_groups": _group_drifts,
                "models": _model_drifts,
                "secretsmanager_secrets": _managed_secret_drifts,
                "agents": _agent_drifts,
            }[kind]
            for field, act in one(world, name, fields):
                yield f"{kind}.{name}", field, act


def _role_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    role = world.account.roles[str(fields.get("role_name", name)).casefold()]
    yield "assume_role_policy_document", lambda: role.update(trust=trust(service="ec2.amazonaws.com"))
    yield "inline_policies", lambda: role["policies"].update(extra={"Version": "2012-10-17", "Statement": []})
    yield "managed_policy_arns", lambda: role["attached"].append("arn:aws:iam::aws:policy/Other")
    yield "permissions_boundary", lambda: role.update(boundary=f"arn:aws:iam::{ACCOUNT}:policy/other")
    if fields.get("inline_policies"):
        yield "inline_policies", role["policies"].popitem
    if fields.get("managed_policy_arns"):
        yield "managed_policy_arns", role["attached"].pop
    if "description" in fields:
        yield "description", lambda: role.update(Description="theirs")
    if "max_session_duration" in fields:
        yield "max_session_duration", lambda: role.update(MaxSessionDuration=9000)
    for key in fields.get("tags", ()):
        yield "tags", partial(role["tags"].update, {key: "theirs"})
        yield "tags", partial(role["tags"].pop, key)


def _settings_drifts(world: World, _name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    persistent = world.domain.persistent
    own = fields[TRUSTED][0]
    yield TRUSTED, lambda: persistent.update({TRUSTED: [one for one in world.domain.setting(TRUSTED) if one != own]})
    for key in fields.keys() - {TRUSTED}:
        other = "true" if key.endswith("node") else "11"
        yield key, partial(persistent.update, {key: other})


def _security_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    role = world.domain.roles[name]
    yield "cluster_permissions", lambda: role["cluster_permissions"].append("cluster_all")
    indices = {"index_patterns": ["*"], "fls": [], "masked_fields": [], "allowed_actions": ["read"]}
    yield "index_permissions", lambda: role["index_permissions"].append(indices)
    yield (
        "tenant_permissions",
        role["tenant_permissions"].clear
        if fields.get("tenant_permissions")
        else lambda: role["tenant_permissions"].append(
            {"tenant_patterns": ["*"], "allowed_actions": ["kibana_all_write"]}
        ),
    )
    if "description" in fields:
        yield "description", lambda: role.update(description="theirs")


def _action_group_drifts(
    world: World, name: str, fields: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    group = world.domain.security.action_groups[name]
    yield "allowed_actions", lambda: group["allowed_actions"].append("*")
    if "type" in fields:
        yield "type", lambda: group.pop("type")
    if "description" in fields:
        yield "description", lambda: group.update(description="theirs")


def _tenant_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    tenant = world.domain.security.tenants[name]
    if "description" in fields:
        yield "description", lambda: tenant.update(description="theirs")


def _search_pipeline_drifts(
    world: World, name: str, fields: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    pipeline = world.domain.cluster.search_pipelines[name]
    theirs = {"truncate_hits": {"target_size": 9}}
    for section in ("request_processors", "phase_results_processors", "response_processors"):
        yield section, partial(pipeline.update, {section: [*pipeline.get(section, ()), theirs]})
    for key in fields.keys() & {"description", "version"}:
        yield key, partial(pipeline.update, {key: "theirs"})


def _ingest_pipeline_drifts(
    world: World, name: str, fields: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    pipeline = world.domain.cluster.ingest_pipelines[name]
    for section in ("processors", "on_failure"):
        yield section, partial(pipeline.update, {section: [*pipeline.get(section, ()), {"drop": {}}]})
    for key in fields.keys() & {"description", "version"}:
        yield key, partial(pipeline.update, {key: "theirs"})


def _template_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    shown = world.domain.cluster.index_templates[name]
    template = shown.get("template", {})
    for key, value in (
        ("settings", {"index": {"number_of_shards": "7"}}),
        ("mappings", {"properties": {"theirs": {"type": "text"}}}),
        ("aliases", {**template.get("aliases", {}), "theirs": {}}),
    ):
        yield "template", partial(shown.update, template={**template, key: value})
    yield "index_patterns", lambda: shown.update(index_patterns=["theirs"])
    yield "composed_of", lambda: shown.update(composed_of=["theirs"])
    for key in fields.keys() & {"priority", "version"}:
        yield key, partial(shown.update, {key: 99})
    if "data_stream" in fields:
        yield "data_stream", lambda: shown.pop("data_stream")


def _index_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    index = world.domain.indices.named[fields.get("name", name)]
    if "index.refresh_interval" in fields["settings"]:
        yield "settings", lambda: index["settings"].update({"index.refresh_interval": "99s"})
    yield "mappings", lambda: index["mappings"]["properties"]["d"].update(ignore_above=99)
    for alias in fields.get("aliases", ()):
        yield "aliases", partial(index["aliases"].update, {alias: {"is_hidden": True}})
        yield "aliases", partial(index["aliases"].pop, alias)


def _policy_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    one = world.account.managed.policies[str(fields.get("policy_name", name)).casefold()]
    yield "policy_document", lambda: one["versions"].update({one["default"]: allow("*", "*")})
    for key in fields.get("tags", ()):
        yield "tags", partial(one["tags"].update, {key: "theirs"})
        yield "tags", partial(one["tags"].pop, key)


def _user_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    user = world.domain.security.users[name]
    yield "backend_roles", lambda: user["backend_roles"].append("theirs")
    yield "opendistro_security_roles", lambda: user["opendistro_security_roles"].append("all_access")
    yield "attributes", lambda: user["attributes"].update(theirs="x")
    if "description" in fields:
        yield "description", lambda: user.update(description="theirs")


def _mapping_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    mapping = world.domain.mappings[name]
    for field in fields.keys() & {"backend_roles", "users"}:
        yield field, partial(mapping[field].remove, _entry(fields[field][0], mapping[field]))
    if "description" in fields:
        yield "description", lambda: mapping.update(description="theirs")
    yield "backend_roles", lambda: world.domain.mappings.pop(name)


def _entry(text: str, present: list[str]) -> str:
    """The entry as stated, or where a role's ARN is stated one that is there."""
    return next(one for one in present if one == text or (text.startswith("${") and f"{ACCOUNT}:role/" in one))


def _connector_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    connector = _named(world.domain.connectors.documents, fields.get("name", name))
    yield "actions", lambda: connector["actions"][0].update(url="https://api1.test/other")
    if "description" in fields:
        yield "description", lambda: connector.update(description="theirs")
    if "version" in fields:
        yield "version", lambda: connector.update(version="theirs")
    if "parameters" in fields:
        yield "parameters", lambda: connector["parameters"].update(extra="theirs")
    for key in fields.get("parameters", ()):
        yield "parameters", partial(connector["parameters"].update, {key: "theirs"})
        yield "parameters", partial(connector["parameters"].pop, key)
    if fields.get("client_config"):
        yield "client_config", lambda: connector["client_config"].update(max_retry_times=99)


def _group_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    group = _named(world.domain.groups.documents, fields.get("name", name))
    yield "name", lambda: group.update(name="theirs now")
    if "description" in fields:
        yield "description", lambda: group.update(description="theirs")
    if "access_mode" in fields:
        other = "public" if fields["access_mode"] != "public" else "private"
        yield "access_mode", lambda: group.update(access=other)


def _model_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    model = _named(world.domain.models.documents, name)
    wanted = fields.get("model_state", "DEPLOYED")
    yield "model_state", lambda: model.update(model_state="UNDEPLOYED" if wanted == "DEPLOYED" else "DEPLOYED")
    yield "connector_id", lambda: model.update(connector_id=add_foreign_chain(world, "another")[0])
    yield "is_enabled", lambda: model.update(is_enabled=not fields.get("is_enabled", True))
    if "description" in fields:
        yield "description", lambda: model.update(description="theirs")
    if "rate_limiter" in fields:
        yield "rate_limiter", lambda: model["rate_limiter"].update(limit="99")


def _managed_secret_drifts(
    world: World, name: str, fields: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    secret = world.vault.named[fields.get("name", name)]
    if "description" in fields:
        yield "description", lambda: secret.update(Description="theirs")
    if "kms_key_id" in fields:
        yield "kms_key_id", lambda: secret.update(KmsKeyId="alias/theirs")
    for key in fields.get("tags", ()):
        others = [one for one in secret["Tags"] if one["Key"] != key]
        yield "tags", partial(secret.update, Tags=others)
        yield "tags", partial(secret.update, Tags=[*others, {"Key": key, "Value": "theirs"}])


def _agent_drifts(world: World, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    agent = _named(world.domain.agents.documents, name)
    yield "tools", lambda: agent.update(tools=[*agent.get("tools", ()), {"type": "Theirs"}])
    for key in fields.keys() & {"description", "app_type"}:
        yield key, partial(agent.update, {key: "theirs"})
    for key in fields.get("parameters", ()):
        yield "parameters", partial(agent["parameters"].update, {key: "theirs"})
    if "memory" in fields:
        yield "memory", lambda: agent["memory"].update(type="theirs")


def _named(documents: Mapping[str, Doc], name: str) -> Doc:
    return next(document for document in documents.values() if document["name"] == name)


@worlds_each(25)
@given(worlds(), manifests(), st.data())
def test_a_change_behind_our_back_is_named_and_repaired(world: World, sections: Sections, data: st.DataObject) -> None:
    bench = owner(world)
    same(outcome(bench.apply(sections)), [])
    address, field, act = data.draw(st.sampled_from(list(drifts(world, sections))))
    act()
    plan = bench.plan(sections)
    others = {change.address.kind for change in plan.pending if str(change.address) != address}
    change = next(change for change in plan.pending if str(change.address) == address)
    if change.action is Action.CREATE:
        assert (field, others) == ("backend_roles", set())
    else:
        # What refers to an object that is made anew follows it.
        assert (set(change.changed_fields), others - {"models", "agents"}) == ({field}, set())
        assert change.action in (Action.UPDATE, Action.REPLACE)
    before = world.copy()
    same(outcome(bench.apply(sections)), [])
    assert actions(bench.plan(sections)) == {}
    assert before.count() == world.count()


@worlds_each(25)
@given(worlds(), manifests(), st.integers(0, 2**16))
def test_what_others_do_beside_us_is_no_change(world: World, sections: Sections, seed: int) -> None:
    bench = owner(world)
    same(outcome(bench.apply(sections)), [])
    domain = world.domain
    add_foreign_chain(world, "c1")
    domain.mappings["ml_full_access"]["backend_roles"].insert(0, "arn:new")
    domain.persistent[TRUSTED] = ["^https://new/.*$", *domain.setting(TRUSTED)]
    for one in (*world.account.roles.values(), *world.account.managed.policies.values()):
        one["tags"]["theirs"] = "x"
    for secret in world.vault.named.values():
        secret["Tags"].append({"Key": "theirs", "Value": "x"})
    plan = bench.plan(sections)
    assert (actions(plan), list(plan.problems)) == ({}, [])
    same(outcome(bench.destroy(seed=seed)), [])
    assert "arn:new" in domain.mappings["ml_full_access"]["backend_roles"]
    assert "^https://new/.*$" in domain.persistent[TRUSTED]
    assert [one["name"] for one in domain.connectors.documents.values()].count("c1") == 1


@worlds_each(25)
@given(worlds(), manifests(), manifests(), seeds)
def test_an_edited_manifest_converges_in_one_apply(world: World, first: Sections, second: Sections, seed: int) -> None:
    fresh, before = world.copy(), world.state()
    same(outcome(owner(fresh).apply(second)), [])
    bench = owner(world)
    same(outcome(bench.apply(first)), [])
    same(outcome(bench.apply(second, seed=seed)), [])
    same(world.state(), fresh.state())
    assert actions(bench.plan(second)) == {}
    assert world.intents("chain") == []
    same(outcome(bench.destroy()), [])
    same(world.state(), before)


@worlds_each(25)
@given(worlds(), manifests(most=2), seeds)
def test_two_manifests_share_lists_and_leave_them_one_by_one(world: World, sections: Sections, seed: int) -> None:
    before = world.state()
    shared = {kind: sections[kind] for kind in ("cluster_settings", "role_mappings")}
    mappings = {
        name: {key: value for key, value in mapping.items() if key == "users"} | {"backend_roles": ["arn:both"]}
        for name, mapping in shared["role_mappings"].items()
        if name not in sections["security_roles"]
    }
    settings = {"all": {TRUSTED: [one for fields in shared["cluster_settings"].values() for one in fields[TRUSTED]]}}  # type: ignore[union-attr]
    both: Sections = {"cluster_settings": settings, "role_mappings": mappings}
    first, second = Bench(world, "first"), Bench(world, "second")
    same(outcome(first.apply(both)), [])
    same(outcome(second.apply(both)), [])
    same(outcome(first.destroy(seed=seed)), [])
    assert actions(second.plan(both)) == {}
    same(outcome(second.destroy(seed=seed)), [])
    same(world.state()["mappings"], before["mappings"])  # type: ignore[index,call-overload]


@worlds_each(25)
@given(worlds(), manifests(most=2), seeds)
def test_what_exists_is_adopted_only_when_told_and_then_left(world: World, sections: Sections, seed: int) -> None:
    maker = Bench(world, "maker", secrets=SECRETS)
    same(outcome(maker.apply(sections)), [])
    there = world.state()
    # The ledger is lost: nothing but roles says whose it is.
    world.ledger.documents.clear()
    for role in world.account.roles.values():
        role["tags"].pop(MARK, None)
    for policy in world.account.managed.policies.values():
        policy["tags"].pop(MARK, None)
    for secret in world.vault.named.values():
        secret["Tags"] = [tag for tag in secret["Tags"] if tag["Key"] != MARK]
    taker = Bench(world, "taker", secrets=SECRETS)
    refused = taker.plan(sections)
    owned = {kind for kind in sections if kind not in ("cluster_settings", "role_mappings")}
    assert {problem.code for problem in refused.problems} == {"not-ours"}
    assert {problem.address for problem in refused.problems} == {f"{k}.{name}" for k in owned for name in sections[k]}
    made = dict(world.made)
    same(outcome(taker.apply(sections, Permissions(adopt_all=True))), [])
    assert {kind: count - made[kind] for kind, count in world.made.items() if kind != "connectors"} == dict.fromkeys(
        made.keys() - {"connectors"}, 0
    )
    assert actions(taker.plan(sections)) == {}
    same(outcome(taker.destroy(seed=seed)), [])
    after = world.state()
    for kind in ("model_groups", "models"):
        same([one["name"] for one in after[kind]], [one["name"] for one in there[kind]])  # type: ignore[index,call-overload,union-attr]
