"""Export, case by case: what is referred to, what is left out, what things are called, what is to be filled in."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.canonical.json import Json
from reconciler.export.collect import Export
from reconciler.export.gather import Choice, gathered
from reconciler.export.inverse import stated
from reconciler.ledger import INDEX
from reconciler.model.kind import Place
from reconciler.model.objects import Live
from reconciler.plan.decide import Permissions
from reconciler.plan.survey import Question, introduce
from reconciler.render.exported import files
from reconciler.runner import Runner, reading_only
from tests.support.account import ACCOUNT
from tests.support.bench import Bench, Sections, actions, kinds, manifest, outcome
from tests.support.chains import SECRETS, add_foreign_chain, allow, trust
from tests.support.exchange import Fault, WorldExchange, always
from tests.support.exports import export, orphaned, read_back, sections
from tests.support.world import World

ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
DOMAIN = f"arn:aws:es:us-east-1:{ACCOUNT}:domain/demo"
LITERAL = "arn:aws:iam::${target.account_id}:role/"


def role(world: World, name: str, trusted: Json = None, policy: Json = None, **about: Json) -> None:
    document = json.dumps(trusted or trust())
    world.account.answer("CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": document, **about}, 0.0)
    if policy is not None:
        put = {"RoleName": name, "PolicyName": "p", "PolicyDocument": json.dumps(policy)}
        world.account.answer("PutRolePolicy", put, 0.0)


def texts(made: Export) -> Mapping[str, str]:
    """The files; that they can be read is checked."""
    found = files(made)
    read_back(found)
    return found


def told(world: World, kind: str, choice: Choice = Choice()) -> Mapping[str, Any]:  # noqa: B008
    return sections(texts(export(world, choice))).get(kind, {})


def resource(stated: Mapping[str, Any]) -> Any:
    return stated["inline_policies"]["p"]["Statement"][0]["Resource"]


def test_roles_that_let_each_other_in_refer_to_each_other_one_way_only() -> None:
    world = World()
    role(world, "one", policy=allow("sts:AssumeRole", f"{ROLE}two"))
    role(world, "two", trust(f"{ROLE}one"), allow("sts:AssumeRole", f"{ROLE}one"))
    trusting = {"RoleName": "one", "PolicyDocument": json.dumps(trust(f"{ROLE}two"))}
    world.account.answer("UpdateAssumeRolePolicy", trusting, 0.0)
    role(world, "self", policy=allow("sts:AssumeRole", f"{ROLE}self"))
    roles = told(world, "iam_roles")
    principals = {name: one["assume_role_policy_document"]["Statement"][0]["Principal"] for name, one in roles.items()}
    assert principals["two"] == {"AWS": ["${iam_roles.one.arn}"]}
    assert principals["one"] == {"AWS": [f"{LITERAL}two"]}
    assert resource(roles["two"]) == "${iam_roles.one.arn}"
    assert resource(roles["one"]) == f"{LITERAL}two"
    assert resource(roles["self"]) == f"{LITERAL}self"
    bench = Bench(world)
    assert outcome(bench.apply({"iam_roles": roles}, Permissions(adopt_all=True))) == []
    assert actions(bench.plan({"iam_roles": roles})) == {}


@pytest.mark.parametrize(
    ("literal", "referring"),
    [
        (f"{ROLE}invoke", "${iam_roles.invoke.arn}"),
        (f"{ROLE}invoke*", f"{LITERAL}invoke*"),
        (f"{ROLE}invoked", f"{LITERAL}invoked"),
        (f"{ROLE}invoke/more", f"{LITERAL}invoke/more"),
        (DOMAIN, "${target.domain_arn}"),
        (f"{DOMAIN}/*", "${target.domain_arn}/*"),
        (
            f"arn:aws:es:us-east-1:{ACCOUNT}:domain/demo2",
            "arn:aws:es:${target.region}:${target.account_id}:domain/demo2",
        ),
        (f"arn:aws:s3:::bucket-{ACCOUNT}", f"arn:aws:s3:::bucket-{ACCOUNT}"),
        ("arn:aws:s3:::us-east-1/${aws:username}", "arn:aws:s3:::${target.region}/${aws:username}"),
        (f"arn:aws:iam::aws:policy/x-${{var.{ACCOUNT}}}", "arn:aws:iam::aws:policy/x-$${var.${target.account_id}}"),
        ("$us-east-1 $${x}", "$us-east-1 $$${x}"),
    ],
)
def test_what_is_referred_to_in_place_of_a_literal(literal: str, referring: str) -> None:
    world = World()
    role(world, "invoke")
    role(world, "invok")
    role(world, "signer", policy=allow("iam:PassRole", literal))
    found = files(export(world))
    assert resource(sections(found)["iam_roles"]["signer"]) == referring


def test_names_and_prose_are_left_as_they_are() -> None:
    world = World()
    add_foreign_chain(world, f"in us-east-1 of {ACCOUNT}")
    role(world, "r", Description=f"for {ACCOUNT} in us-east-1")
    assert told(world, "iam_roles")["r"]["description"] == f"for {ACCOUNT} in us-east-1"
    (group,) = told(world, "model_groups").values()
    assert group == {"name": f"in us-east-1 of {ACCOUNT}"}


def test_what_the_services_keep_and_the_ledger_are_left_out() -> None:
    world = World()
    role(world, "AWSServiceRoleForX", Path="/aws-service-role/x/")
    for name in (INDEX, ".system", "mine"):
        world.domain.indices.answer("PUT", f"/{name}", {})
    made = export(world)
    assert [str(address) for address in made.objects] == ["indices.mine", "role_mappings.all_access"]
    # five roles, one user, one action group, one tenant, a role of IAM, an index
    assert made.kept == 10
    assert sections(files(made))["indices"]["mine"] == {
        "settings": {
            "index.number_of_replicas": "1",
            "index.number_of_shards": "1",
            "index.replication.type": "DOCUMENT",
        }
    }


def test_choices_go_by_kind_by_name_and_by_tag() -> None:
    world = World()
    role(world, "chat-invoke", Tags=[{"Key": "team", "Value": "search"}])
    role(world, "chat-other", Tags=[{"Key": "team", "Value": "other"}])
    role(world, "else")
    add_foreign_chain(world, "chat")

    def chosen(**choice: Any) -> list[str]:
        return [str(address) for address in export(world, Choice(**choice)).objects]

    assert chosen(kinds=frozenset({"models"})) == ["models.chat"]
    assert chosen(names=("chat*",)) == [
        "connectors.chat", "iam_roles.chat-invoke", "iam_roles.chat-other", "model_groups.chat", "models.chat",
    ]  # fmt: skip
    assert chosen(names=("else", "chat-?ther")) == ["iam_roles.chat-other", "iam_roles.else"]
    tagged = chosen(tags={"team": "search"})
    assert [one for one in tagged if one.startswith("iam")] == ["iam_roles.chat-invoke"]
    assert "models.chat" in tagged
    # What is not exported is named as it is.
    one = told(world, "models", Choice(frozenset({"models"})))["chat"]
    assert (one["connector_id"], one["model_group_id"]) == ("connector-0001", "group-0001")


def test_what_can_not_be_stated_is_left_out_and_told() -> None:
    world = World()
    _, _, model = add_foreign_chain(world)
    world.domain.models.documents[model]["model_state"] = "DEPLOY_FAILED"
    world.domain.models.add({"name": "local", "algorithm": "TEXT_EMBEDDING", "model_state": "DEPLOYED"})
    world.domain.cluster.search_pipelines["a{b}"] = {}
    world.domain.mappings["readall"] = {"users": []}
    role(world, "nobody", {"Version": "2012-10-17", "Statement": []})
    made = export(world)
    texts(made)
    assert {
        str(address) for address in made.objects if address.kind in ("models", "search_pipelines", "iam_roles")
    } == {"models.theirs"}
    assert "model_state" not in next(one for address, one in made.objects.items() if address.kind == "models")
    said = {(one.code, one.address): one.message for one in made.warnings}
    assert said == {
        ("left-out", "search_pipelines"): "'a{b}' can not be the name of an object of a manifest",
        ("left-out", "models.theirs.model_state"): 'model_state can not be stated as it is (enum): "DEPLOY_FAILED"',
        ("left-out", "models.local.function_name"): 'function_name can not be stated as it is (enum): "text_embedding"',
        ("left-out", "models.local"): "it can not be stated as it is (required)",
        ("left-out", "role_mappings.readall"): "it can not be stated as it is (minProperties)",
        ("left-out", "iam_roles.nobody.assume_role_policy_document"): "it can not be stated: `Statement` is empty",
    }


def test_objects_of_one_name_have_addresses_of_their_own_and_are_told() -> None:
    world = World()
    add_foreign_chain(world, "Chat model")
    one = dict(world.domain.connectors.documents["connector-0001"])
    for name in ("Chat model", "chat/model!", "chat-model", "ü", "…"):
        world.domain.connectors.add({**one, "name": name})
    made = export(world, Choice(frozenset({"connectors"})))
    found = {address.name: fields.get("name", address.name) for address, fields in made.objects.items()}
    assert found == {
        "chat-model": "chat-model",
        "chat-model-2": "Chat model",
        "chat-model-3": "Chat model",
        "chat-model-4": "chat/model!",
        "connectors": "…",
        "ü": "ü",
    }
    assert [(one.code, one.message) for one in made.warnings] == [
        ("ambiguous", "2 objects are called 'Chat model', and a plan can not tell which is whose")
    ]
    texts(made)


@pytest.mark.parametrize(
    ("protocol", "header", "managed", "keys"),
    [
        ("http", "Bearer ${credential.key}", False, ["key"]),
        ("http", "Bearer ${credential.secretArn.key}", True, ["secretArn", "roleArn"]),
        ("http", "", True, ["roleArn"]),
        ("http", "", False, ["key"]),
        ("aws_sigv4", "", True, ["roleArn"]),
        ("aws_sigv4", "", False, ["access_key", "secret_key"]),
    ],
)
def test_the_keys_of_a_credential(protocol: str, header: str, managed: bool, keys: list[str]) -> None:
    live = Live("x", "1", {"protocol": protocol, "actions": [{"headers": {"Authorization": header}}]})
    assert kinds()["connectors"].withheld(live, Place(managed=managed)) == {"credential": tuple(keys)}


def test_secrets_are_declared_once_each_and_listed() -> None:
    world = World()
    bench = Bench(world, secrets=SECRETS)
    users = {"ann": {"password": "${secret.key}"}, "Ann": {"password": "${secret.key}"}, "1": {"password": "x" * 20}}
    assert outcome(bench.apply({"internal_users": users})) == []
    made = export(orphaned(world))
    assert [(one.name, one.variable, str(one.address), one.path) for one in made.secrets] == [
        ("internal_users_1_password", "INTERNAL_USERS_1_PASSWORD", "internal_users.1", ("password",)),
        ("ann_password", "ANN_PASSWORD", "internal_users.Ann", ("password",)),
        ("ann_password_2", "ANN_PASSWORD_2", "internal_users.ann", ("password",)),
    ]
    found = texts(made)
    assert found["secrets.yaml"].count("\n  # internal_users.") == 3
    assert "  # To fill in: password\n  ann:\n    password: ${secret.ann_password_2}\n" in found["internal_users.yaml"]


def test_what_another_manifest_owns_is_told() -> None:
    world = World()
    owned: Sections = {"iam_roles": {"r": {"assume_role_policy_document": trust()}}, "tenants": {"room": {}}}
    assert outcome(Bench(world, "other").apply(owned)) == []
    (warning,) = export(world).warnings
    assert (warning.code, warning.message) == (
        "owned-by-other",
        "these belong to the manifest other: iam_roles.r, tenants.room",
    )
    assert export(world, name="other").warnings == []


def test_nothing_is_sent_for_what_is_taken_over_as_it_is() -> None:
    world = World()
    written = {"index_patterns": ["a-*"], "template": {"mappings": {}, "aliases": {}}}
    world.domain.cluster.answer("/_index_template", "PUT", "/_index_template/shapes", written)
    before = world.state()
    bench = Bench(world)
    assert (
        outcome(bench.apply({"index_templates": {"shapes": {"index_patterns": ["a-*"]}}}, Permissions(adopt_all=True)))
        == []
    )
    assert world.state() == before
    assert [one for one in bench.exchange.writes if one.service != "ledger"] == []


def test_text_becomes_what_the_schema_says_it_is() -> None:
    prefix = "plugins.ml_commons."
    shown: Mapping[str, Json] = {
        f"{prefix}only_run_on_ml_node": "false",
        f"{prefix}native_memory_threshold": "90",
        f"{prefix}jvm_heap_memory_threshold": "much",
        f"{prefix}memory_feature_enabled": "1",
        f"{prefix}else": "true",
    }
    assert stated(kinds()["cluster_settings"].schema, shown) == {
        f"{prefix}only_run_on_ml_node": False,
        f"{prefix}native_memory_threshold": 90,
        f"{prefix}jvm_heap_memory_threshold": "much",
        f"{prefix}memory_feature_enabled": "1",
        f"{prefix}else": "true",
    }
    tags: Mapping[str, Json] = {"tags": {"aws:cloudformation:stack-name": "x", "team": "y"}}
    assert stated(kinds()["iam_roles"].schema, tags) == {"tags": {"team": "y"}}


def test_a_kind_that_can_not_be_read_is_told_and_keeps_no_other_from_being_read() -> None:
    world = World()
    exchange = WorldExchange(world, faults=always(Fault.FORBIDDEN, lambda one: "/_security/api/" in one.path))
    runner = Runner(exchange, guard=reading_only)
    found = gathered(runner, introduce(runner, Question(manifest("chain"), kinds())), Choice())
    assert sorted(found.failed) == ["action_groups", "internal_users", "role_mappings", "security_roles", "tenants"]
    assert "iam_roles" not in found.failed


def test_what_may_be_hidden_is_told() -> None:
    world = World()
    add_foreign_chain(world)
    domain = world.domain
    domain.persistent["plugins.ml_commons.connector_access_control_enabled"] = "true"
    domain.caller, domain.caller_roles = "deployer", ["ml_full_access"]
    for one in domain.connectors.documents.values():
        one["owner"] = "somebody"
    (warning,) = export(world, Choice(frozenset({"connectors"}))).warnings
    assert (warning.code, warning.address) == ("hidden", "connectors")
    assert warning.message == "others may be there, unseen (connector_access_control_enabled is on)"
