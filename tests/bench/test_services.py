"""What the bench measures against answers as the SDKs expect, counts what it is asked, and has the services' limits."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from bench import costs
from bench.client import running
from bench.query_protocol import decoded
from bench.scenarios import this
from bench.services import Services, Stage
from bench.wire import Asked, Held

IAM = ServiceModel(Loader().load_service_model("iam", "service-2"))
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
MAPPINGS = "/_plugins/_security/api/rolesmapping"


def sent(operation: str, parameters: Mapping[str, Any]) -> Asked:
    """A request of IAM as botocore makes it."""
    model = IAM.operation_model(operation)
    made = create_serializer("query").serialize_to_request(dict(parameters), model)
    return Asked("POST", "/", {}, urlencode(made["body"]).encode())


def got(operation: str, held: Held) -> Any:
    """Its answer as botocore reads it."""
    reply = held.reply()
    answer = {"body": reply.body, "headers": {}, "status_code": reply.status}
    shape: Any = IAM.operation_model(operation).output_shape
    return create_parser("query").parse(answer, shape)


def asked(method: str, path: str, content: object = None) -> Asked:
    """A request of the domain."""
    return Asked(method, path, {}, json.dumps(content).encode() if content is not None else b"")


def told(held: Held) -> tuple[int, Any]:
    """Its answer."""
    reply = held.reply()
    return reply.status, json.loads(reply.body)


def test_a_form_is_read_as_boto3_was_given_it() -> None:
    parameters = {
        "RoleName": "r",
        "AssumeRolePolicyDocument": TRUST,
        "MaxSessionDuration": 3600,
        "Tags": [{"Key": str(number), "Value": "ü"} for number in range(12)],
    }
    assert decoded(sent("CreateRole", parameters).body) == ("CreateRole", parameters)


def test_a_role_is_listed_with_everything_on_it_and_every_second_page_is_short() -> None:
    async def listed() -> list[Any]:
        services = Services()
        services.reset(Stage(other_roles=1_999))
        for operation, parameters in (
            (
                "CreateRole",
                {"RoleName": "a", "AssumeRolePolicyDocument": TRUST, "Tags": [{"Key": "k", "Value": "<&>"}]},
            ),
            ("PutRolePolicy", {"RoleName": "a", "PolicyName": "p", "PolicyDocument": TRUST}),
        ):
            got(operation, services.aws(sent(operation, parameters)))
        pages: list[Any] = []
        marker: dict[str, str] = {}
        while True:
            operation = "GetAccountAuthorizationDetails"
            page = got(operation, services.aws(sent(operation, {"Filter": ["Role"], "MaxItems": 1000, **marker})))
            pages.append(page)
            if not page["IsTruncated"]:
                return pages
            marker = {"Marker": page["Marker"]}

    pages = asyncio.run(listed())
    assert [len(page["RoleDetailList"]) for page in pages] == [1_000, 700, 300]
    first = pages[0]["RoleDetailList"][0]
    assert (first["RoleName"], first["Tags"]) == ("a", [{"Key": "k", "Value": "<&>"}])
    assert [one["PolicyName"] for one in first["RolePolicyList"]] == ["p"]


def test_a_refusal_is_read_as_one() -> None:
    async def refused() -> Any:
        return got("GetRole", Services().aws(sent("GetRole", {"RoleName": "absent"})))

    assert asyncio.run(refused())["Error"]["Code"] == "NoSuchEntity"


def test_of_two_writes_to_security_at_once_the_second_is_refused() -> None:
    async def both() -> tuple[Held, Held, tuple[int, Any], tuple[int, Any]]:
        services = Services()
        patch = [{"op": "add", "path": "/readall", "value": {"users": ["ann"]}}]
        one = services.opensearch(asked("PATCH", MAPPINGS, patch))
        other = services.opensearch(asked("PATCH", MAPPINGS, patch))
        return one, other, told(one), told(other)

    one, other, first, second = asyncio.run(both())
    assert one.seconds == other.seconds == costs.security_write(5, 0, 1)
    assert (first[0], second[0]) == (200, 409)
    assert "version conflict" in second[1]["message"]


def test_an_eleventh_deployment_is_refused() -> None:
    async def registered() -> list[tuple[int, Any]]:
        services = Services()
        services.reset(Stage(other_connectors=1))
        search = {"query": {"match_all": {}}, "size": 1, "_source": ["name"]}
        _, found = told(services.opensearch(asked("GET", "/_plugins/_ml/connectors/_search", search)))
        (hit,) = found["hits"]["hits"]
        assert hit["_source"] == {"name": "other-00000"}
        model = {"name": "m", "function_name": "remote", "connector_id": hit["_id"]}
        path = "/_plugins/_ml/models/_register?deploy=true"
        return [told(services.opensearch(asked("POST", path, model))) for _ in range(costs.TASKS + 1)]

    answers = asyncio.run(registered())
    assert [status for status, _ in answers] == [200] * costs.TASKS + [500]
    assert answers[-1][1]["error"]["reason"] == "exceed max running task limit"


def test_requests_are_counted_by_what_they_do() -> None:
    async def counted() -> Mapping[str, Any]:
        services = Services()
        services.opensearch(asked("GET", "/"))
        services.opensearch(asked("GET", "/_plugins/_ml/models/abc"))
        services.opensearch(asked("PUT", "/reconciler-ledger", {"mappings": {"properties": {}}}))
        services.aws(sent("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": TRUST}))
        _, tally = told(services.control(Asked("POST", "/tally", {}, b"")))
        found: Mapping[str, Any] = tally
        return found

    tally = asyncio.run(counted())
    assert tally["classes"] == {"reads": 2, "writes": 1, "ledger_reads": 0, "ledger_writes": 1}
    assert set(tally["operations"]) == {
        "CreateRole",
        "GET /",
        "GET /_plugins/_ml/models/{id}",
        "PUT /reconciler-ledger",
    }


def test_chains_are_applied_planned_and_seen_to_drift(tmp_path: Path) -> None:
    with running() as services:
        tool = this(services, tmp_path)
        path = tool.fill(2)
        tool.checked(2)
        plan = tool.measure("plan", "--detailed-exitcode", path)
        assert plan.tally["classes"]["writes"] == plan.tally["classes"]["ledger_writes"] == 0
        services.drift("bench-ask-00001")
        tool.measure("plan", "--detailed-exitcode", path, code=2)
        services.drift("bench-ask-00001")
        changed = tool.measure("apply", "--yes", tool.write(2, changed=1))
        assert changed.tally["classes"]["writes"] == 1
        tool.checked(2, changed=1)


@pytest.mark.parametrize(
    ("present", "roles", "mappings", "seconds"),
    [
        (0, 100, 0, 0.2),
        (0, 1_000, 0, 1.1),
        (50, 0, 100, 1.7),
        (1_150, 0, 25, 3.9),
        (1_150, 0, 100, 11.8),
        (1_150, 1, 0, 0.85),
    ],
)
def test_a_write_to_security_takes_what_a_real_node_took(
    present: int, roles: int, mappings: int, seconds: float
) -> None:
    assert costs.security_write(present, roles, mappings) == pytest.approx(seconds, rel=0.1)
