"""Every field that a service lets one change, changed behind the tool's back: named by drift and by the plan, repaired
by an apply, and then in sync.

In each round one field of each kind is changed by a plain call of the service's own interface.
"""

import json
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox.settings import ACCOUNT
from tests.sandbox.bed import Bed
from tests.sandbox.command import hits, run, until_searches_show_all

MANIFEST = """\
manifest: mutated
target:
  aws: { region: us-east-1 }
  opensearch: { endpoint: "${var.opensearch_endpoint}", domain: search-demo, auth: sigv4 }
variables: { opensearch_endpoint: { type: string } }
iam_roles:
  role:
    role_name: mutated
    description: as stated
    max_session_duration: 7200
    assume_role_policy_document:
      Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: sts:AssumeRole, Principal: { Service: es.amazonaws.com } }]
    inline_policies:
      p:
        Version: "2012-10-17"
        Statement: [{ Effect: Allow, Action: "bedrock:InvokeModel", Resource: "*" }]
    tags: { team: search }
iam_policies:
  policy:
    policy_name: mutated
    policy_document:
      Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: "bedrock:InvokeModel", Resource: "*" }]
    tags: { team: search }
secretsmanager_secrets:
  kept:
    name: mutated
    description: as stated
    kms_key_id: alias/search
    secret_string: ${secret.password}
    tags: { team: search }
cluster_settings:
  ml:
    plugins.ml_commons.only_run_on_ml_node: false
    plugins.ml_commons.native_memory_threshold: 95
    plugins.ml_commons.trusted_connector_endpoints_regex: ['^https://models\\.example\\.com/.*$']
action_groups:
  mutated_group: { allowed_actions: [read], type: index, description: as stated }
tenants:
  mutated: { description: as stated }
ingest_pipelines:
  mutated:
    description: as stated
    version: 1
    processors: [{ set: { field: a, value: 1 } }]
    on_failure: [{ set: { field: b, value: 1 } }]
index_templates:
  mutated:
    index_patterns: ["mutated-*"]
    priority: 7
    version: 1
    _meta: { by: us }
    template:
      settings: { number_of_shards: 1, index.refresh_interval: 5s, index: { default_pipeline: mutated } }
      mappings: { properties: { a: { type: text } } }
      aliases: { x: {} }
indices:
  index:
    name: mutated-1
    settings: { number_of_shards: 1, refresh_interval: 5s, index: { number_of_replicas: 0 } }
    mappings:
      dynamic: strict
      _meta: { by: us }
      properties:
        k: { type: keyword, ignore_above: 50 }
        n: { type: long, coerce: true }
    aliases: { z: { is_hidden: true }, v: {} }
search_pipelines:
  mutated:
    description: as stated
    version: 1
    request_processors: [{ filter_query: { query: { term: { a: 1 } } } }]
    response_processors:
      - retrieval_augmented_generation: { model_id: "${models.model.id}", context_field_list: [text] }
security_roles:
  mutated:
    description: as stated
    cluster_permissions: [cluster_monitor]
    index_permissions:
      - index_patterns: ["m-*"]
        dls: '{ "term": { "a": 1 } }'
        fls: [a]
        masked_fields: [b]
        allowed_actions: [read]
    tenant_permissions:
      - { tenant_patterns: [t], allowed_actions: [kibana_all_read] }
secrets: { password: { env: DEEPSEEK_API_KEY } }
internal_users:
  mutated:
    description: as stated
    password: Aa1-${secret.password}
    backend_roles: [readers]
    opendistro_security_roles: [ml_read_access]
    attributes: { country: de }
role_mappings:
  mutated: { users: [ann] }
  ml_read_access:
    backend_roles: [readers]
    users: [ann]
    hosts: [host.example.com]
    and_backend_roles: [both]
    description: as stated
connectors:
  used: &connector
    description: as stated
    protocol: aws_sigv4
    credential: { roleArn: "${iam_roles.role.arn}" }
    parameters: { service_name: bedrock, region: us-east-1, model: a }
    client_config: { max_retry_times: 3 }
    actions:
      - action_type: predict
        method: POST
        url: https://bedrock-runtime.us-east-1.amazonaws.com/model/x/invoke
        request_body: '{ "prompt": "${parameters.inputs}" }'
  idle: *connector
model_groups:
  group: { description: as stated }
models:
  model:
    description: as stated
    connector_id: ${connectors.used.id}
    model_group_id: ${model_groups.group.id}
    is_enabled: true
    rate_limiter: { limit: "100", unit: MINUTES }
agents:
  asks:
    type: flow
    tools: [{ type: MLModelTool, parameters: { model_id: "${models.model.id}" } }]
"""
MAPPING = "/_plugins/_security/api/rolesmapping/ml_read_access"
ROLE = "/_plugins/_security/api/roles/mutated"
GROUP = "/_plugins/_security/api/actiongroups/mutated_group"
TENANT = "/_plugins/_security/api/tenants/mutated"
PIPELINES = "/_search/pipeline"
USER = "/_plugins/_security/api/internalusers/mutated"
ENTRY: dict[str, Any] = {
    "index_patterns": ["m-*"],
    "dls": '{ "term": { "a": 1 } }',
    "fls": ["a"],
    "masked_fields": ["b"],
    "allowed_actions": ["read"],
}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
ANY = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
Mutation = tuple[str, Callable[[Bed], Any]]


def document(statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def iam(call: str, **parameters: Any) -> Callable[[Bed], Any]:
    return lambda bed: getattr(bed.aws("iam"), call)(RoleName="mutated", **parameters)


def domain(method: str, path: Callable[[Bed], str] | str, content: Any = None) -> Callable[[Bed], Any]:
    def change(bed: Bed) -> None:
        answer = bed.ask(method, path if isinstance(path, str) else path(bed), by=bed.automation, content=content)
        assert answer.is_success, answer.text

    return change


def one(kind: str, name: str, tail: str = "") -> Callable[[Bed], str]:
    def path(bed: Bed) -> str:
        (found,) = [hit["_id"] for hit in hits(bed, f"/_plugins/_ml/{kind}") if hit["_source"]["name"] == name]
        return f"/_plugins/_ml/{kind}/{found}{tail}"

    return path


def member(field: str) -> Callable[[Bed], Any]:
    return domain("PATCH", MAPPING, [{"op": "add", "path": f"/{field}", "value": ["somebody else"]}])


def allowed(field: str, value: Any) -> Mutation:
    return field, domain("PATCH", ROLE, [{"op": "add", "path": f"/{field}", "value": value}])


def of_group(field: str, value: Any) -> Mutation:
    return field, domain("PATCH", GROUP, [{"op": "add", "path": f"/{field}", "value": value}])


def of_user(field: str, value: Any) -> Mutation:
    return field, domain("PATCH", USER, [{"op": "add", "path": f"/{field}", "value": value}])


def persistent(**values: Any) -> Callable[[Bed], Any]:
    named = {f"plugins.ml_commons.{key}": value for key, value in values.items()}
    return domain("PUT", "/_cluster/settings", {"persistent": named})


ROLES: list[Mutation] = [
    ("assume_role_policy_document", iam("update_assume_role_policy", PolicyDocument=document(TRUST))),
    ("description", iam("update_role", Description="by hand", MaxSessionDuration=7200)),
    ("max_session_duration", iam("update_role", Description="as stated", MaxSessionDuration=3600)),
    ("inline_policies", iam("put_role_policy", PolicyName="p", PolicyDocument=document(ANY))),
    ("inline_policies", iam("put_role_policy", PolicyName="more", PolicyDocument=document(ANY))),
    ("managed_policy_arns", iam("attach_role_policy", PolicyArn=READ_ONLY)),
    ("permissions_boundary", iam("put_role_permissions_boundary", PermissionsBoundary=READ_ONLY)),
    ("tags", iam("tag_role", Tags=[{"Key": "team", "Value": "by hand"}])),
]
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/mutated"


def managed(call: str, **parameters: Any) -> Callable[[Bed], Any]:
    return lambda bed: getattr(bed.aws("iam"), call)(PolicyArn=POLICY, **parameters)


def version(statement: Any) -> Callable[[Bed], Any]:
    """Somebody else's version; IAM keeps five, so that others go where there are that many."""

    def change(bed: Bed) -> None:
        versions = managed("list_policy_versions")(bed)["Versions"]
        for one in [one for one in versions if not one["IsDefaultVersion"]][3:]:
            managed("delete_policy_version", VersionId=one["VersionId"])(bed)
        managed("create_policy_version", PolicyDocument=document(statement), SetAsDefault=True)(bed)

    return change


POLICIES: list[Mutation] = [
    ("policy_document", version(ANY)),
    ("tags", managed("tag_policy", Tags=[{"Key": "team", "Value": "by hand"}])),
    ("policy_document", version({**ANY, "Effect": "Deny"})),
    ("tags", managed("untag_policy", TagKeys=["team"])),
    ("policy_document", version({**ANY, "Action": "s3:Get*"})),
    ("policy_document", version(ANY)),
]


def kept(call: str, **parameters: Any) -> Callable[[Bed], Any]:
    return lambda bed: getattr(bed.aws("secretsmanager"), call)(SecretId="mutated", **parameters)


SECRETS: list[Mutation] = [
    ("description", kept("update_secret", Description="by hand")),
    ("kms_key_id", kept("update_secret", KmsKeyId="alias/other")),
    ("tags", kept("tag_resource", Tags=[{"Key": "team", "Value": "by hand"}])),
    ("tags", kept("untag_resource", TagKeys=["team"])),
]
SETTINGS: list[Mutation] = [
    ("plugins.ml_commons.only_run_on_ml_node", persistent(only_run_on_ml_node=True)),
    ("plugins.ml_commons.native_memory_threshold", persistent(native_memory_threshold=90)),
    (
        "plugins.ml_commons.trusted_connector_endpoints_regex",
        persistent(trusted_connector_endpoints_regex=["^https://bedrock-runtime\\..*$"]),
    ),
]
SECURITY: list[Mutation] = [
    allowed("description", "by hand"),
    allowed("cluster_permissions", ["cluster_monitor", "cluster_all"]),
    allowed("index_permissions", [{**ENTRY, "index_patterns": ["*"]}]),
    allowed("index_permissions", [{**ENTRY, "dls": ""}]),
    allowed("index_permissions", [{**ENTRY, "fls": []}]),
    allowed("index_permissions", [{**ENTRY, "masked_fields": []}]),
    allowed("index_permissions", [{**ENTRY, "allowed_actions": ["read", "write"]}]),
    allowed("tenant_permissions", [{"tenant_patterns": ["t"], "allowed_actions": ["kibana_all_write"]}]),
]
ACTION_GROUPS: list[Mutation] = [
    of_group("description", "by hand"),
    of_group("type", "cluster"),
    of_group("allowed_actions", ["read", "write"]),
    of_group("allowed_actions", ["write"]),
    ("type", domain("PATCH", GROUP, [{"op": "remove", "path": "/type"}])),
]
TENANTS: list[Mutation] = [
    ("description", domain("PATCH", TENANT, [{"op": "add", "path": "/description", "value": "by hand"}])),
    ("description", domain("PATCH", TENANT, [{"op": "add", "path": "/description", "value": ""}])),
]


def written(path: str, field: str, value: Any) -> Mutation:
    """A pipeline as it is, with one field changed."""

    def change(bed: Bed) -> None:
        there = bed.ask("GET", f"{path}/mutated", by=bed.automation).json()["mutated"]
        domain("PUT", f"{path}/mutated", {**there, field: value})(bed)

    return field, change


def answering(field: str, value: Any) -> Mutation:
    return written("/_search/pipeline", field, value)


def ingesting(field: str, value: Any) -> Mutation:
    return written("/_ingest/pipeline", field, value)


SEARCH_PIPELINES: list[Mutation] = [
    answering("description", "by hand"),
    answering("version", 2),
    answering("request_processors", [{"filter_query": {"query": {"term": {"a": 2}}}}]),
    answering("response_processors", [{"rename_field": {"field": "a", "target_field": "b"}}]),
    answering("request_processors", []),
]
INGEST_PIPELINES: list[Mutation] = [
    ingesting("description", "by hand"),
    ingesting("version", 2),
    ingesting("processors", [{"set": {"field": "a", "value": "1"}}]),
    ingesting("processors", []),
    ingesting("on_failure", [{"set": {"field": "b", "value": 1}}, {"drop": {}}]),
]
TEMPLATE = "/_index_template/mutated"
SHAPE: dict[str, Any] = {
    "index_patterns": ["mutated-*"],
    "priority": 7,
    "version": 1,
    "_meta": {"by": "us"},
    "template": {
        "settings": {"number_of_shards": 1, "refresh_interval": "5s", "default_pipeline": "mutated"},
        "mappings": {"properties": {"a": {"type": "text"}}},
        "aliases": {"x": {}},
    },
}


def shaped(field: str, value: Any) -> Mutation:
    return field, domain("PUT", TEMPLATE, {**SHAPE, field: value})


def made_with(part: str, value: Any) -> Mutation:
    return shaped("template", {**SHAPE["template"], part: value})


INDEX_TEMPLATES: list[Mutation] = [
    shaped("index_patterns", ["mutated-*", "more-*"]),
    shaped("priority", 8),
    shaped("version", 2),
    shaped("_meta", {"by": "hand"}),
    shaped("data_stream", {}),
    made_with("settings", {**SHAPE["template"]["settings"], "number_of_replicas": 0}),
    made_with("mappings", {"properties": {"a": {"type": "keyword"}}}),
    made_with("aliases", {"x": {}, "y": {}}),
]
INDICES: list[Mutation] = [
    ("settings", domain("PUT", "/mutated-1/_settings", {"refresh_interval": "9s"})),
    ("mappings", domain("PUT", "/mutated-1/_mapping", {"properties": {"k": {"type": "keyword", "ignore_above": 9}}})),
    ("mappings", domain("PUT", "/mutated-1/_mapping", {"properties": {"n": {"type": "long", "coerce": False}}})),
    ("mappings", domain("PUT", "/mutated-1/_mapping", {"dynamic": True})),
    ("mappings", domain("PUT", "/mutated-1/_mapping", {"_meta": {"by": "hand"}})),
    ("aliases", domain("PUT", "/mutated-1/_alias/z", {"filter": {"term": {"k": "x"}}})),
    ("aliases", domain("DELETE", "/mutated-1/_alias/v")),
    ("settings", domain("PUT", "/mutated-1/_settings", {"number_of_replicas": None})),
]
USERS: list[Mutation] = [
    of_user("description", "by hand"),
    of_user("backend_roles", ["readers", "admin"]),
    of_user("opendistro_security_roles", ["ml_read_access", "all_access"]),
    of_user("attributes", {"country": "fr"}),
    of_user("attributes", {"country": "de", "more": "x"}),
]
MAPPINGS: list[Mutation] = [
    *((field, member(field)) for field in ("backend_roles", "users", "hosts", "and_backend_roles")),
    ("description", domain("PATCH", MAPPING, [{"op": "add", "path": "/description", "value": "by hand"}])),
]
IDLE = one("connectors", "idle")
CONNECTORS: list[Mutation] = [
    ("description", domain("PUT", IDLE, {"description": "by hand"})),
    ("parameters", domain("PUT", IDLE, {"parameters": {"model": "b"}})),
    ("parameters", domain("PUT", IDLE, {"parameters": {"more": "x"}})),
    ("client_config", domain("PUT", IDLE, {"client_config": {"max_retry_times": 5}})),
    (
        "actions",
        domain(
            "PUT",
            IDLE,
            {
                "actions": [
                    {
                        "action_type": "predict",
                        "method": "POST",
                        "url": "https://bedrock-runtime.us-east-1.amazonaws.com/model/y/invoke",
                    }
                ]
            },
        ),
    ),
]
GROUPS: list[Mutation] = [("description", domain("PUT", one("model_groups", "group"), {"description": "by hand"}))]
MODEL = one("models", "model")
MODELS: list[Mutation] = [
    ("description", domain("PUT", MODEL, {"description": "by hand"})),
    ("is_enabled", domain("PUT", MODEL, {"is_enabled": False})),
    ("rate_limiter", domain("PUT", MODEL, {"rate_limiter": {"limit": "5", "unit": "MINUTES"}})),
    ("model_state", domain("POST", one("models", "model", "/_undeploy"))),
    ("name", domain("PUT", MODEL, {"name": "by hand"})),
]
KINDS = {
    "iam_roles.role": ROLES,
    "iam_policies.policy": POLICIES,
    "secretsmanager_secrets.kept": SECRETS,
    "agents.asks": [],  # before 3.1 no field can be changed
    "cluster_settings.ml": SETTINGS,
    "security_roles.mutated": SECURITY,
    "action_groups.mutated_group": ACTION_GROUPS,
    "tenants.mutated": TENANTS,
    "search_pipelines.mutated": SEARCH_PIPELINES,
    "index_templates.mutated": INDEX_TEMPLATES,
    "indices.index": INDICES,
    "ingest_pipelines.mutated": INGEST_PIPELINES,
    "internal_users.mutated": USERS,
    "role_mappings.ml_read_access": MAPPINGS,
    "connectors.idle": CONNECTORS,
    "model_groups.group": GROUPS,
    "models.model": MODELS,
}


def differing(bed: Bed, path: Path) -> dict[str, list[str]]:
    planned = run(bed, "plan", path, "--json")
    assert planned.code == 0, planned.all
    return {
        change["address"]: sorted({field(change["address"], one["path"]) for one in change["change"]["differences"]})
        for change in planned.data["resource_changes"]
        if change["change"]["actions"] != ["no-op"]
    }


def field(address: str, path: str) -> str:
    """The top-level field of a path; a setting's name has dots of its own."""
    return path if address.startswith("cluster_settings.") else path.partition(".")[0].partition("[")[0]


def drifted(bed: Bed, path: Path) -> dict[str, list[str]]:
    """As `differing`, by drift, which has to have the line of each object."""
    found = run(bed, "drift", path, "--json")
    assert found.code == 2, found.all
    lines = path.read_text().splitlines()
    told: dict[str, set[str]] = {}
    for one in found.data["findings"]:
        address, classes = one["address"], {"changed", "extra", "undeployed"}
        assert one["class"] in classes, one
        assert lines[one["line"] - 1].strip().startswith(address.partition(".")[2]), one
        told.setdefault(address, set()).update(field(address, change["path"]) for change in one["differences"])
    return {address: sorted(fields) for address, fields in told.items()}


@pytest.mark.timeout(400)
def test_what_is_changed_by_hand_is_named_and_repaired(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "mutated.yaml"
    path.write_text(MANIFEST)
    applied = run(aws, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    for number, mutations in enumerate(zip_longest(*KINDS.values())):
        expected = {}
        for address, mutation in zip(KINDS, mutations, strict=True):
            if mutation is not None:
                name, change = mutation
                change(aws)
                expected[address] = [name]
        until_searches_show_all(aws)
        assert drifted(aws, path) == expected, f"round {number}"
        assert differing(aws, path) == expected, f"round {number}"
        repaired = run(aws, "apply", path, "--yes")
        assert repaired.code == 0, repaired.all
        assert run(aws, "drift", path).code == 0
        assert differing(aws, path) == {}, f"round {number}"
