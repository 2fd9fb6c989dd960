"""The domain endpoint of both flavours, in front of the real node."""

import gzip
import json
import time

import httpx
import pytest

from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import AUTOMATION_ARN, DOMAIN_ARN
from tests.sandbox.bed import Bed, policy

AUTHINFO = "/_plugins/_security/authinfo"
MAPPING = "/_plugins/_security/api/rolesmapping/ml_full_access"
ES_ALL = {"Effect": "Allow", "Action": "es:ESHttp*", "Resource": f"{DOMAIN_ARN}/*"}


def test_the_automation_user_is_master_user(aws: Bed) -> None:
    seen = aws.ask("GET", AUTHINFO, by=aws.automation).json()
    assert seen["user_name"] == AUTOMATION_ARN
    assert seen["backend_roles"] == []
    assert {"all_access", "security_manager"} <= set(seen["roles"])


def test_a_role_is_seen_by_its_arn_and_admitted_by_a_mapping(aws: Bed) -> None:
    role = aws.role("create-connector", ES_ALL, path="/team/")
    session = aws.assume(role)
    seen = aws.ask("GET", AUTHINFO, by=session).json()
    assert (seen["user_name"], seen["backend_roles"], seen["roles"]) == (role, [role], ["own_index"])
    assert aws.ask("PUT", MAPPING, by=aws.automation, content={"backend_roles": [role]}).status_code == 201
    assert "ml_full_access" in aws.ask("GET", AUTHINFO, by=session).json()["roles"]


def test_iam_refuses_in_its_own_words_and_security_in_its_own(aws: Bed) -> None:
    session = aws.assume(aws.role("reader", {**ES_ALL, "Action": "es:ESHttpGet"}))
    by_iam = aws.ask("PUT", "/x", by=session, content={})
    assert by_iam.status_code == 403
    assert by_iam.json()["Message"].endswith("because no identity-based policy allows the es:ESHttpPut action")
    by_security = aws.ask("GET", "/_cluster/health", by=session)
    assert by_security.status_code == 403
    assert by_security.json()["error"]["type"] == "security_exception"


def test_permissions_follow_the_policies_at_once(aws: Bed) -> None:
    session = aws.assume(aws.role("r"))
    assert aws.ask("GET", AUTHINFO, by=session).status_code == 403
    aws.aws("iam").put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=policy(ES_ALL))
    assert aws.ask("GET", AUTHINFO, by=session).status_code == 200


def test_nobody_and_proxy_headers_from_outside(aws: Bed) -> None:
    claimed = {"x-proxy-user": AUTOMATION_ARN, "x-proxy-roles": "admin", "x-forwarded-for": "127.0.0.1"}
    assert aws.ask("GET", AUTHINFO, headers=claimed).status_code == 403
    seen = aws.ask("GET", AUTHINFO, by=aws.master, headers=claimed).json()
    assert seen["user_name"] == "master"
    role = aws.role("r", ES_ALL)
    seen = aws.ask("GET", AUTHINFO, by=aws.assume(role), headers=claimed).json()
    assert seen["user_name"] == role


def test_basic_authentication_goes_through(aws: Bed) -> None:
    assert aws.ask("GET", AUTHINFO, by=aws.master).json()["user_name"] == "master"
    assert aws.ask("GET", AUTHINFO, by=("master", "wrong")).status_code == 401


def test_the_managed_service_shows_itself(aws: Bed) -> None:
    page = aws.ask("GET", "/", by=aws.automation).json()
    assert (page["cluster_name"], page["version"]["number"]) == ("123456789012:search-demo", "2.19.0")
    listed = aws.ask("GET", "/_cat/plugins?format=json", by=aws.automation).json()
    assert {row["component"] for row in listed} >= {"opensearch-security", "opensearch-ml"}


def test_settings_of_ml_commons_flat_or_not_at_all(aws: Bed) -> None:
    flat = {"persistent": {"plugins.ml_commons.memory_feature_enabled": True}}
    nested = {"persistent": {"plugins": {"ml_commons": {"memory_feature_enabled": True}}}}
    assert aws.ask("PUT", "/_cluster/settings", by=aws.automation, content=flat).status_code == 200
    assert aws.ask("PUT", "/_cluster/settings", by=aws.automation, content=nested).status_code == 401


def test_self_managed_is_the_node_itself(self_managed: Bed) -> None:
    page = self_managed.ask("GET", "/", by=self_managed.master).json()
    assert page["version"]["number"] == "2.19.4"
    assert self_managed.ask("GET", "/").status_code == 401
    nested = {"transient": {"cluster": {"max_shards_per_node": 500}}}
    assert self_managed.ask("PUT", "/_cluster/settings", by=self_managed.master, content=nested).status_code == 200
    for user, roles in {"plain": {"own_index"}, "mlread": {"ml_read_access", "own_index"}}.items():
        seen = self_managed.ask("GET", AUTHINFO, by=(user, self_managed.info.settings.passwords[user])).json()
        assert set(seen["roles"]) == roles


def test_self_managed_believes_proxy_headers_where_told_to(self_managed: Bed) -> None:
    arn = "arn:aws:iam::123456789012:role/create-connector"
    claimed = {"x-proxy-user": arn, "x-proxy-roles": f"{arn},other", "x-forwarded-for": "127.0.0.1"}
    seen = self_managed.ask("GET", AUTHINFO, headers=claimed).json()
    assert (seen["user_name"], set(seen["backend_roles"])) == (arn, {arn, "other"})
    del claimed["x-forwarded-for"]
    assert self_managed.ask("GET", AUTHINFO, headers=claimed).status_code == 401


def test_bodies_pass_as_they_are(self_managed: Bed) -> None:
    packed = gzip.compress(json.dumps({"text": "é" * 200_000}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip", "accept-encoding": "gzip"}
    url = f"{self_managed.env['OPENSEARCH_URL']}/docs/_doc/a%2Fb"
    with self_managed.client() as client:
        put = client.put(url, content=packed, headers=headers, auth=self_managed.master)
        got = client.get(url, headers=headers, auth=self_managed.master)
        head = client.head(url, auth=self_managed.master)
        absent = client.head(f"{url}c", auth=self_managed.master)
    assert put.status_code == 201
    assert got.json()["_id"] == "a/b"
    assert got.json()["_source"] == {"text": "é" * 200_000}
    assert (head.status_code, head.content, absent.status_code) == (200, b"", 404)
    assert int(head.headers["content-length"]) > 200_000


def test_reset_brings_everything_back(aws: Bed) -> None:
    def everything() -> dict[str, object]:
        paths = (
            "/_plugins/_security/api/roles",
            "/_plugins/_security/api/rolesmapping",
            "/_plugins/_security/api/internalusers",
            "/_cluster/settings",
            "/_ingest/pipeline",
            "/_search/pipeline",
            "/_index_template",
            "/_component_template",
            "/_template",
            "/_scripts/s",
            "/_cat/indices?format=json&h=index&expand_wildcards=all",
        )
        seen: dict[str, object] = {path: aws.ask("GET", path, by=aws.automation).json() for path in paths}
        roles = aws.aws("iam").list_roles()["Roles"]
        return {**seen, "roles": roles, "secrets": aws.aws("secretsmanager").list_secrets()["SecretList"]}

    def put(path: str, body: object, method: str = "PUT") -> None:
        answer = aws.ask(method, path, by=aws.automation, content=body)
        assert answer.is_success, answer.text

    before = everything()
    role = aws.role("r", ES_ALL)
    aws.aws("secretsmanager").create_secret(Name="s", SecretString="s")
    put(MAPPING, {"backend_roles": [role]})
    put("/_plugins/_security/api/roles/mine", {"cluster_permissions": ["cluster_monitor"]})
    put("/_plugins/_security/api/internalusers/u", {"password": "Str0ng-Passw0rd!x"})
    put("/_plugins/_security/api/internalusers/master", {"password": "An0ther-Passw0rd!x"})
    put("/_plugins/_security/api/rolesmapping/all_access", {"users": [AUTOMATION_ARN]})
    put("/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 500}})
    put("/_cluster/settings", {"persistent": {"plugins.ml_commons.memory_feature_enabled": False}})
    put("/docs/_doc/1", {"a": 1})
    put("/.hidden/_doc/1", {"a": 1})
    put("/_ingest/pipeline/p", {"processors": []})
    put("/_search/pipeline/p", {"request_processors": []})
    put("/_component_template/c", {"template": {}})
    put("/_index_template/t", {"index_patterns": ["t-*"], "composed_of": ["c"]})
    put("/_template/l", {"index_patterns": ["l-*"]})
    put("/_scripts/s", {"script": {"lang": "painless", "source": "1"}})
    put("/_plugins/_ml/model_groups/_register", {"name": "g"}, "POST")
    session = aws.assume(role)
    started = time.monotonic()
    lifecycle.reset(aws.name)
    assert time.monotonic() - started < 10
    assert everything() == before
    assert aws.ask("GET", AUTHINFO, by=aws.master).status_code == 200
    assert aws.ask("GET", AUTHINFO, by=session).json() == {
        "message": "The security token included in the request is invalid."
    }


@pytest.mark.parametrize("path", ["/reset", "/"])
def test_the_control_endpoint_is_private(aws_sandbox: Bed, path: str) -> None:
    answer = httpx.post(f"{aws_sandbox.info.endpoints.control}{path}", trust_env=False)
    assert answer.status_code == 401
