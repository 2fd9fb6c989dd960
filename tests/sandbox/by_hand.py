"""A domain and an account that somebody built by hand: bare requests, as their documentation has them."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from reconciler.sandbox.settings import ACCOUNT, DOMAIN_ARN
from tests.sandbox.bed import Bed, policy
from tests.support.exports import MARK

ML = "/_plugins/_ml"
COLLECTIONS = ("connectors", "model_groups", "models", "agents")
SECURITY = "/_plugins/_security/api"
ARN = f"arn:aws:iam::{ACCOUNT}"
TRUSTED = "plugins.ml_commons.trusted_connector_endpoints_regex"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:deepseek-AbCdEf"
OF_NOBODY = frozenset({"id", "created_time", "last_updated_time", "created_at", "last_registered_time",
                       "last_deployed_time", "last_undeployed_time", "current_worker_node_count",
                       "planning_worker_node_count", "planning_worker_nodes", "auto_redeploy_retry_times",
                       "deploy_to_all_nodes", "latest_version", "model_version", "owner", "is_hidden"})  # fmt: skip
"""What tells an object of ML Commons from another like it."""


def allow(action: Any, resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def trust(principal: Any, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return policy({**statement, **({"Condition": condition} if condition else {})})


def ask(bed: Bed, method: str, path: str, content: Any = None) -> Any:
    answer = bed.ask(method, path, by=bed.automation, content=content)
    assert answer.is_success, (method, path, answer.text)
    return answer.json()


def build(bed: Bed) -> None:
    """More than fifty objects of all kinds, some of which name others by ARN, id or name."""
    account(bed)
    security(bed)
    _settings(bed)
    models = chains(bed)
    search(bed, models)
    agents(bed, models)


def account(bed: Bed) -> None:
    iam = bed.aws("iam")
    for number in range(6):
        about = {"Path": "/teams/", "Description": f"made by hand, {number}"} if number % 2 else {}
        iam.create_policy(
            PolicyName=f"Hand-{number}",
            PolicyDocument=policy(allow(["bedrock:InvokeModel"], f"arn:aws:bedrock:us-east-1:{ACCOUNT}:x/{number}")),
            Tags=[{"Key": "team", "Value": "search"}],
            **about,
        )
    for number in range(4):
        iam.create_role(
            RoleName=f"invoke-{number}",
            Path="/service/" if number == 1 else "/",
            Description="${var.looks} like ours, $${and} so",
            MaxSessionDuration=7200 if number else 3600,
            AssumeRolePolicyDocument=trust(
                {"Service": "es.amazonaws.com"}, StringEquals={"aws:SourceAccount": ACCOUNT}
            ),
            Tags=[{"Key": "team", "Value": "search" if number < 2 else "other"}],
        )
        iam.put_role_policy(
            RoleName=f"invoke-{number}", PolicyName="invoke", PolicyDocument=policy(allow("bedrock:InvokeModel*", "*"))
        )
    iam.attach_role_policy(RoleName="invoke-0", PolicyArn=f"{ARN}:policy/Hand-0")
    iam.attach_role_policy(RoleName="invoke-0", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    iam.put_role_permissions_boundary(RoleName="invoke-1", PermissionsBoundary=f"{ARN}:policy/teams/Hand-1")
    bed.aws("secretsmanager").create_secret(
        Name="hand/key", Description="by hand", SecretString='{"key": "x"}', Tags=[{"Key": "team", "Value": "search"}]
    )
    # One may become the other, which lets it in: a circle.
    bed.role("one", allow("sts:AssumeRole", f"{ARN}:role/other"), allow("iam:PassRole", f"{ARN}:role/invoke-0"))
    bed.role("other", allow("sts:AssumeRole", f"{ARN}:role/one"), trust={"AWS": f"{ARN}:role/one"})
    bed.role(
        "writes",
        allow("es:ESHttp*", [DOMAIN_ARN, f"{DOMAIN_ARN}/*"]),
        allow("iam:PassRole", [f"{ARN}:role/service/invoke-1", f"{ARN}:role/invoke-*"]),
        allow("logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/*"),
    )


def security(bed: Bed) -> None:
    for number in range(3):
        ask(bed, "PUT", f"{SECURITY}/actiongroups/asking{number}", {
            "allowed_actions": ["cluster:admin/opensearch/ml/predict"] + ([f"asking{number - 1}"] if number else []),
            "type": "cluster", "description": "who may ask",
        })  # fmt: skip
        ask(bed, "PUT", f"{SECURITY}/tenants/room-{number}", {"description": f"room of {number}"})
        ask(bed, "PUT", f"{SECURITY}/roles/reader{number}", {
            "cluster_permissions": [f"asking{number}", "cluster_composite_ops_ro"],
            "index_permissions": [{
                "index_patterns": [f"hand-{number}", "logs-${user.name}-*"], "allowed_actions": ["read"],
                "dls": '{"term": {"public": true}}' if number else "", "fls": ["~secret"], "masked_fields": [],
            }],
            "tenant_permissions": [{"tenant_patterns": [f"room-{number}"], "allowed_actions": ["kibana_all_read"]}],
        })  # fmt: skip
        ask(bed, "PUT", f"{SECURITY}/internalusers/ann{number}", {
            "password": f"Aa1-nobody-guesses-{number}", "backend_roles": ["readers"],
            "opendistro_security_roles": [f"reader{number}"], "attributes": {"country": "de"},
        })  # fmt: skip
        ask(bed, "PUT", f"{SECURITY}/rolesmapping/reader{number}", {
            "users": [f"ann{number}"], "backend_roles": [f"{ARN}:role/one", "readers"],
        })  # fmt: skip
    mapped = {"backend_roles": [f"{ARN}:role/writes"], "description": "made by hand"}
    ask(bed, "PUT", f"{SECURITY}/rolesmapping/ml_full_access", mapped)


def _settings(bed: Bed) -> None:
    shown = ask(bed, "GET", "/_cluster/settings?include_defaults=true&flat_settings=true")
    endpoints = [*shown["defaults"][TRUSTED], r"^https://models\.example\.com/.*$"]
    set_now = {"plugins.ml_commons.native_memory_threshold": 95, "plugins.ml_commons.only_run_on_ml_node": False}
    ask(bed, "PUT", "/_cluster/settings", {"persistent": {TRUSTED: endpoints, **set_now}})


def chains(bed: Bed) -> list[str]:
    """Connectors, groups and models; the ids of the models."""
    models = []
    for number in range(4):
        group = ask(bed, "POST", f"{ML}/model_groups/_register", {
            "name": f"Group {number}", "description": "by hand: #1 & more",
        })["model_group_id"]  # fmt: skip
        connector = ask(bed, "POST", f"{ML}/connectors/_create", _connector(number))["connector_id"]
        told = {"function_name": "remote", "connector_id": connector, "model_group_id": group}
        deploy = "?deploy=true" if number < 3 else ""
        model = ask(bed, "POST", f"{ML}/models/_register{deploy}", {"name": f"Model {number}", **told})["model_id"]
        models.append(model)
    until = time.monotonic() + 30
    while [_state(bed, one) for one in models[:3]] != ["DEPLOYED"] * 3:
        assert time.monotonic() < until
    limiter = {"limit": "100", "unit": "MINUTES"}
    ask(bed, "PUT", f"{ML}/models/{models[0]}", {"description": "limited", "rate_limiter": limiter})
    # Searches show an update a moment later.
    while "rate_limiter" not in str(_found(bed, "models")) or str(_found(bed, "models")).count("'DEPLOYED'") != 3:
        assert time.monotonic() < until
    return models


def _state(bed: Bed, model: str) -> Any:
    return ask(bed, "GET", f"{ML}/models/{model}")["model_state"]


def _connector(number: int) -> dict[str, Any]:
    if number == 3:
        return {
            "name": "Model behind a key", "description": "", "version": 1, "protocol": "http",
            "credential": {"secretArn": SECRET, "roleArn": f"{ARN}:role/invoke-0"},
            "parameters": {"model": "m-1", "n": 5},
            "actions": [{
                "action_type": "predict", "method": "POST", "url": "https://models.example.com/v1/${parameters.model}",
                "headers": {"Authorization": "Bearer ${credential.secretArn.key}"},
                "request_body": '{ "messages": ${parameters.messages} }',
            }],
        }  # fmt: skip
    return {
        "name": f"bedrock-{number}", "description": "asks ${parameters.model}", "version": "1",
        "protocol": "aws_sigv4", "credential": {"roleArn": f"{ARN}:role/invoke-0"},
        "parameters": {"service_name": "bedrock", "region": "us-east-1", "model": "us.deepseek.r1-v1:0"},
        "client_config": {"max_retry_times": number},
        "actions": [{
            "action_type": "predict", "method": "POST",
            "url": "https://bedrock-runtime.us-east-1.amazonaws.com/model/${parameters.model}/invoke",
            "request_body": '{ "prompt": "<|User|>${parameters.inputs}<|Assistant|>", "temperature": 0.5, '
                            '"max_gen_len": 4000, "stop": ["a", "b"] }',
            "post_process_function": "String s = params.generation;\n  return '{\"name\": \"response\"}';\n",
        }],
    }  # fmt: skip


def agents(bed: Bed, models: Sequence[str]) -> None:
    for number in range(2):
        tool = {"type": "MLModelTool", "parameters": {"model_id": models[number], "prompt": "${parameters.question}"}}
        flow = {"name": f"Agent {number}", "type": "flow", "description": "by hand", "tools": [tool]}
        ask(bed, "POST", f"{ML}/agents/_register", flow)


def search(bed: Bed, models: Sequence[str]) -> None:
    for number in range(3):
        rag = {"retrieval_augmented_generation": {"model_id": models[number], "context_field_list": ["text"]}}
        ask(bed, "PUT", f"/_search/pipeline/answers-{number}", {
            "description": "answers", "response_processors": [rag],
            "request_processors": [{"filter_query": {"query": {"term": {"public": True}}}}],
        })  # fmt: skip
        ask(bed, "PUT", f"/_ingest/pipeline/tidy-{number}", {
            "processors": [{"set": {"field": "seen", "value": "{{_ingest.timestamp}}"}}, {"trim": {"field": "text"}}],
            "version": number,
        })  # fmt: skip
        ask(bed, "PUT", f"/hand-{number}", {
            "settings": {"number_of_shards": 1, "number_of_replicas": 0, "default_pipeline": f"tidy-{number}",
                         "index.search.default_pipeline": f"answers-{number}"},
            "mappings": {"dynamic": "strict", "properties": {
                "text": {"type": "text", "analyzer": "english"}, "public": {"type": "boolean"},
                "tags": {"type": "keyword", "ignore_above": 50}}},
            "aliases": {"hand": {"filter": {"term": {"public": True}}}, f"h{number}": {}},
        })  # fmt: skip
    for number in range(2):
        ask(bed, "PUT", f"/_index_template/shapes-{number}", {
            "index_patterns": [f"shaped-{number}-*"], "priority": number + 1, "_meta": {"by": "hand"},
            "template": {"settings": {"index": {"number_of_shards": 2, "default_pipeline": "tidy-0"}},
                         "mappings": {"properties": {"a": {"type": "keyword"}}}, "aliases": {f"shaped{number}": {}}},
        })  # fmt: skip


def _found(bed: Bed, collection: str) -> list[dict[str, Any]]:
    body = {"query": {"match_all": {}}, "size": 1000}
    found: list[dict[str, Any]] = ask(bed, "GET", f"{ML}/{collection}/_search", body)["hits"]["hits"]
    return found


def snapshot(bed: Bed, kinds: Collection[str]) -> dict[str, Any]:
    """All there is of these kinds, in the services' own words, with names in place of ids, without times and marks."""
    hits = {collection: _found(bed, collection) for collection in COLLECTIONS if collection in kinds}
    names = {hit["_id"]: f"<{hit['_source']['name']}>" for found in hits.values() for hit in found}
    ml = {
        collection: sorted(
            ({key: value for key, value in hit["_source"].items() if key not in OF_NOBODY} for hit in found),
            key=lambda one: str(one["name"]),
        )
        for collection, found in hits.items()
    }
    named = {
        path: ask(bed, "GET", path)
        for path in (
            *(f"{SECURITY}/{one}" for one in ("roles", "rolesmapping", "actiongroups", "tenants", "internalusers")),
            "/_search/pipeline", "/_ingest/pipeline", "/_index_template",
        )
    }  # fmt: skip
    settings = ask(bed, "GET", "/_cluster/settings?flat_settings=true")["persistent"]
    found = {**ml, **named, "settings": settings, "indices": _indices(bed), "iam": _account(bed)}
    if "secretsmanager_secrets" in kinds:
        found["secrets"] = _secrets(bed)
    plain: dict[str, Any] = _alike(json.loads(_renamed(json.dumps(found, sort_keys=True), names)))
    return plain


def _alike(value: Any) -> Any:
    """What is said by nothing left out, and lists of words, all of which are sets here, in one order."""
    if isinstance(value, dict):
        return {key: _alike(one) for key, one in value.items() if one not in ("", None)}
    if isinstance(value, list):
        listed = [_alike(one) for one in value]
        return sorted(listed) if all(isinstance(one, str) for one in listed) else listed
    return value


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for one, name in names.items():
        text = text.replace(one, name)
    return text


def _indices(bed: Bed) -> dict[str, Any]:
    own = ("uuid", "creation_date", "provided_name", "version")
    found = ask(bed, "GET", "/hand*")
    for one in found.values():
        one["settings"]["index"] = {key: value for key, value in one["settings"]["index"].items() if key not in own}
    return dict(found)


def _secrets(bed: Bed) -> dict[str, Any]:
    listed = bed.aws("secretsmanager").list_secrets()["SecretList"]
    return {
        one["Name"]: {
            "description": one.get("Description"),
            "tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", ()) if tag["Key"] != MARK},
        }
        for one in listed
    }


def _account(bed: Bed) -> dict[str, Any]:
    iam = bed.aws("iam")
    details = iam.get_account_authorization_details(Filter=["Role", "LocalManagedPolicy"])
    about = {role["RoleName"]: role for role in iam.list_roles()["Roles"]}
    roles = {
        role["RoleName"]: {
            **{key: role.get(key) for key in ("Arn", "AssumeRolePolicyDocument", "PermissionsBoundary")},
            **{key: about[role["RoleName"]].get(key) for key in ("Description", "MaxSessionDuration")},
            "inline": {one["PolicyName"]: one["PolicyDocument"] for one in role["RolePolicyList"]},
            "attached": sorted(one["PolicyArn"] for one in role["AttachedManagedPolicies"]),
            "tags": {one["Key"]: one["Value"] for one in role["Tags"] if one["Key"] != MARK},
        }
        for role in details["RoleDetailList"]
    }
    policies = {
        one["Arn"]: [v["Document"] for v in one["PolicyVersionList"] if v["IsDefaultVersion"]]
        for one in details["Policies"]
    }
    return {"roles": roles, "policies": policies}
