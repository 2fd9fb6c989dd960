"""Drift can not write: whatever could is refused before it is sent, whoever asks for it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from reconciler.drift.guard import looking_only
from reconciler.model.kind import Place, Work
from reconciler.model.objects import Address, Live, Row
from reconciler.model.request import Request, Service, ServiceFailure, writes
from reconciler.model.steps import Failed, NeverHappened, Steps
from reconciler.runner import Runner, WriteRefused
from tests.support.account import ACCOUNT
from tests.support.bench import kinds
from tests.support.chains import action, allow, trust
from tests.support.exchange import WorldExchange
from tests.support.world import World

ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
READING = [
    Request(Service.IAM, "GetRole", {"RoleName": "r"}),
    Request(Service.IAM, "ListRoles"),
    Request(Service.IAM, "GetAccountAuthorizationDetails"),
    Request(Service.STS, "GetCallerIdentity"),
    Request(Service.SECRETS, "GetSecretValue", {"SecretId": "s"}),
    Request(Service.SECRETS, "DescribeSecret", {"SecretId": "s"}),
    Request(Service.SECRETS, "ListSecrets"),
    Request(Service.OPENSEARCH, "GET /_plugins/_ml/models/_search", body={"query": {"match_all": {}}}),
    Request(Service.OPENSEARCH, "HEAD /x"),
    Request(Service.LEDGER, "GET /reconciler-ledger/_search", body={}),
]
NOT_READING = [
    Request(Service.IAM, "CreateRole"),
    Request(Service.IAM, "GenerateServiceLastAccessedDetails"),
    Request(Service.STS, "AssumeRole", {"RoleArn": ROLE}),
    Request(Service.STS, "GetSessionToken"),
    Request(Service.SECRETS, "PutSecretValue"),
    Request(Service.SECRETS, "RestoreSecret"),
    Request(Service.OPENSEARCH, "POST /_plugins/_ml/models/_search"),
    Request(Service.OPENSEARCH, "POST /_plugins/_ml/models/{id}/_predict", {"id": "x"}),
    Request(Service.OPENSEARCH, "PATCH /_plugins/_security/api/roles"),
    Request(Service.OPENSEARCH, "PUT /_cluster/settings"),
    Request(Service.OPENSEARCH, "DELETE /x"),
    Request(Service.OPENSEARCH, "GET /x", identity=ROLE),
    Request(Service.LEDGER, "POST /_bulk"),
]


def named(request: Request) -> str:
    return f"{request.service} {request.operation}"


@pytest.mark.parametrize("request_", READING, ids=named)
def test_what_only_reads_is_let_through(request_: Request) -> None:
    looking_only(request_)


@pytest.mark.parametrize("request_", NOT_READING, ids=named)
def test_whatever_else_is_refused(request_: Request) -> None:
    with pytest.raises(WriteRefused):
        looking_only(request_)


FIELDS: Mapping[str, dict[str, Any]] = {
    "iam_roles": {"role_name": "x", "assume_role_policy_document": trust()},
    "cluster_settings": {"plugins.ml_commons.native_memory_threshold": 80},
    "security_roles": {"cluster_permissions": ["cluster_all"]},
    "role_mappings": {"users": ["eve"]},
    "connectors": {"name": "x", "protocol": "http", "credential": {"key": "k"}, "actions": [action(1)]},
    "model_groups": {"name": "x", "description": "new"},
    "models": {"name": "x", "connector_id": "c", "model_state": "DEPLOYED"},
    "iam_policies": {"policy_name": "x", "policy_document": allow("s3:*", "*")},
    "action_groups": {"allowed_actions": ["read"]},
    "internal_users": {"password": "x"},
    "tenants": {"description": "new"},
    "search_pipelines": {"description": "new"},
    "ingest_pipelines": {"description": "new"},
    "index_templates": {"index_patterns": ["x-*"]},
    "indices": {"settings": {"number_of_replicas": 2}},
    "secretsmanager_secrets": {"name": "x", "description": "new", "secret_string": "s"},
    "agents": {"name": "x", "type": "flow", "description": "new"},
}
LIVE: Mapping[str, dict[str, Any]] = {
    "iam_roles": {
        "assume_role_policy_document": {}, "description": "", "max_session_duration": 3600, "inline_policies": {},
        "managed_policy_arns": [ROLE], "tags": {},
    },
    "connectors": {},
    "secretsmanager_secrets": {"description": "", "kms_key_id": "alias/aws/secretsmanager", "tags": {}},
    "models": {"model_state": "UNDEPLOYED"},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("verb", ["create", "update", "delete", "release"])
def test_no_kind_writes_through_it(name: str, verb: str) -> None:
    assert FIELDS.keys() == kinds().keys()
    world, kind = World(), kinds()[name]
    exchange = WorldExchange(world)
    before = world.state()
    address = Address(name, "x")
    arn = {"arn": f"arn:aws:iam::{ACCOUNT}:policy/x"}
    live = Live("x", "id-1", LIVE.get(name, {}), arn, mark="chain/other")
    row = Row(address, "chain", "id-1", "x", applied=FIELDS[name], prior=None)
    place = Place("us-east-1", ACCOUNT)
    changed = frozenset(FIELDS[name])
    work = Work(address, "x", place, FIELDS[name], changed, None if verb == "create" else live, row, "chain/ledger-1")
    steps: Callable[[Work], Steps[object]] = getattr(kind, verb)
    # What it reads may make it end before it comes to write anything.
    with suppress(WriteRefused, Failed, NeverHappened, ServiceFailure):
        Runner(exchange, guard=looking_only).run(steps(work))
    assert [one for one in exchange.log if writes(one)] == []
    assert world.state() == before
