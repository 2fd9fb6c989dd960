"""`permissions` on the command line: what is printed for whom, on what, and what is no use of it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.run import run

Run = Callable[..., tuple[int, str]]
ACCOUNT = "123456789012"
BASE: Mapping[str, Any] = {
    "manifest": "chat",
    "target": {
        "aws": {"region": "us-east-1", "account_id": ACCOUNT},
        "opensearch": {"endpoint": "https://search.example", "domain": "search", "auth": "sigv4"},
    },
}
OWN: Mapping[str, Any] = {"opensearch": {"endpoint": "https://localhost:9200", "auth": "basic"}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
CONNECTOR: Mapping[str, Any] = {
    "protocol": "http",
    "credential": {"roleArn": "${iam_roles.invoke.arn}"},
    "actions": [{"action_type": "predict", "method": "POST", "url": "https://api.example/x"}],
}
ROLES = {"iam_roles": {"invoke": {"path": "/ml/", "assume_role_policy_document": TRUST}}}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run permissions on a manifest of these sections; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)

    def ran(sections: Mapping[str, Any], *words: str) -> tuple[int, str]:
        Path("chat.json").write_text(json.dumps({**BASE, **sections}))
        code = run(("permissions", "chat.json", *words))
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return ran


@pytest.fixture
def told(command: Run) -> Callable[..., Any]:
    """What it prints as JSON."""

    def ran(sections: Mapping[str, Any], purpose: str, *words: str) -> Any:
        code, printed = command(sections, "--for", purpose, "--json", *words)
        assert code == 0, printed
        return json.loads(printed)

    return ran


def statements(policy: Any) -> dict[str, tuple[list[str], list[str]]]:
    return {one["Sid"]: (one["Action"], one["Resource"]) for one in policy["Statement"]}


def test_each_action_is_on_what_it_is_about(told: Callable[..., Any]) -> None:
    sections = {
        **ROLES,
        "secretsmanager_secrets": {"key": {"name": "search/key", "secret_string": "${secret.key}"}},
        "secrets": {"key": {"secretsmanager": {"secret_id": "from-elsewhere"}}},
        "indices": {"docs": {}},
    }
    found = told(sections, "plan")
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret"
    assert statements(found["iam_policy"]) == {
        "Domain": (["es:ESHttpGet"], [f"arn:aws:es:us-east-1:{ACCOUNT}:domain/search/*"]),
        "Listings": (["iam:GetAccountAuthorizationDetails", "iam:ListRoles"], ["*"]),
        "ReadSecrets": (["secretsmanager:GetSecretValue"], [f"{secret}:from-elsewhere-??????"]),
        "Roles": (
            ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
            [f"arn:aws:iam::{ACCOUNT}:role/ml/invoke"],
        ),
        "Secrets": (["secretsmanager:DescribeSecret"], [f"{secret}:search/key", f"{secret}:search/key-??????"]),
    }
    assert found["opensearch_role"] == {
        "cluster_permissions": ["cluster:monitor/main"],
        "index_permissions": [
            {"index_patterns": ["docs"], "allowed_actions": ["indices:admin/get"]},
            {"index_patterns": ["reconciler-ledger"], "allowed_actions": ["indices:data/read/search"]},
        ],
    }
    assert (found["also_map_to"], found["signers"], found["assumes_caller"], found["notes"]) == ([], {}, None, [])


def test_who_signs_has_needs_of_its_own(told: Callable[..., Any]) -> None:
    signer = f"arn:aws:iam::{ACCOUNT}:role/ml/invoke"
    signed = {**ROLES, "connectors": {"one": {**CONNECTOR, "sign_as": "${iam_roles.invoke.arn}"}}}
    plain = {**ROLES, "connectors": {"one": CONNECTOR}}
    drift, apply, alone = told(signed, "drift"), told(signed, "apply"), told(plain, "apply")
    assert drift["signers"] == {}
    assert {"AssumeRoles", "PassRoles"} & statements(drift["iam_policy"]).keys() == set()
    assert statements(apply["iam_policy"])["AssumeRoles"] == (["sts:AssumeRole"], [signer])
    assert "PassRoles" not in statements(apply["iam_policy"])
    assert statements(apply["signers"][signer]["iam_policy"])["PassRoles"] == (["iam:PassRole"], [signer])
    create = "cluster:admin/opensearch/ml/create_connector"
    assert create in apply["signers"][signer]["opensearch_role"]["cluster_permissions"]
    assert create not in apply["opensearch_role"]["cluster_permissions"]
    assert create in alone["opensearch_role"]["cluster_permissions"]
    assert statements(alone["iam_policy"])["PassRoles"] == (["iam:PassRole"], [signer])


def test_what_the_target_does_not_state_is_anything(told: Callable[..., Any], command: Run) -> None:
    target = {"aws": {"assume_role": f"arn:aws:iam::{ACCOUNT}:role/reader"}}
    sections = {**ROLES, "target": {**target, "opensearch": {"endpoint": "https://search.example", "auth": "sigv4"}}}
    found = told(sections, "drift")
    assert statements(found["iam_policy"])["Roles"][1] == ["arn:aws:iam::*:role/ml/invoke"]
    assert statements(found["iam_policy"])["Domain"][1] == ["arn:aws:es:*:*:domain/*/*"]
    assert statements(found["assumes_caller"]) == {
        "AssumeRoles": (["sts:AssumeRole"], [f"arn:aws:iam::{ACCOUNT}:role/reader"])
    }
    assert "does not state" in command(sections, "--for", "drift")[1]
    assert "does not state" not in command(ROLES, "--for", "drift")[1]


def test_drift_looks_for_the_roles_that_mappings_name(told: Callable[..., Any]) -> None:
    named = f"arn:aws:iam::{ACCOUNT}:role/team/elsewhere"
    sections = {"role_mappings": {"readall": {"backend_roles": [named]}}}
    assert statements(told(sections, "drift")["iam_policy"])["Roles"][1] == [named]
    assert "Roles" not in statements(told(sections, "plan")["iam_policy"])
    assert told(sections, "plan")["also_map_to"] == ["security_manager"]


def test_a_cluster_of_ones_own_has_no_iam(told: Callable[..., Any]) -> None:
    found = told({"target": OWN, "tenants": {"team": {}}}, "apply", "--ledger", "ledger.json")
    assert found["iam_policy"] is None
    assert found["opensearch_role"] == {"cluster_permissions": ["cluster:monitor/main"], "index_permissions": []}
    assert found["also_map_to"] == ["security_rest_api_access"]
    roles = told({**ROLES, "target": {"aws": BASE["target"]["aws"]}}, "apply")
    assert roles["opensearch_role"] is None
    assert roles["iam_policy"] is not None


def test_options_of_the_commands_count(told: Callable[..., Any]) -> None:
    queries = {"raw": {"raw": {"method": "HEAD", "path": "/docs"}}, "all": {"search": {"index": "a,b", "body": {}}}}
    sections = {"verify": {"queries": queries}, "target": {**BASE["target"]}}
    with_queries, without = told(sections, "apply"), told(sections, "apply", "--no-verify")
    entries = with_queries["opensearch_role"]["index_permissions"]
    assert {"index_patterns": ["a", "b"], "allowed_actions": ["indices:data/read/search"]} in entries
    assert with_queries["notes"] == ["verify.queries.raw asks HEAD /docs, which has to be allowed, too"]
    assert (len(without["opensearch_role"]["index_permissions"]), without["notes"]) == (1, [])
    listing = told({}, "drift", "--unmanaged")
    assert "secretsmanager:ListSecrets" in statements(listing["iam_policy"])["Listings"][0]
    assert "cluster:admin/opensearch/ml/agents/search" in listing["opensearch_role"]["cluster_permissions"]
    assert listing["also_map_to"] == ["security_manager"]


def test_a_managed_password_is_read(told: Callable[..., Any]) -> None:
    auth = {"type": "basic", "username": "admin", "password": "${secret.admin}"}
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:opensearch-AbCdEf"
    target = {"aws": BASE["target"]["aws"], "opensearch": {"endpoint": "https://localhost:9200", "auth": auth}}
    found = told({"target": target, "secrets": {"admin": {"secretsmanager": {"secret_id": secret}}}}, "plan")
    assert statements(found["iam_policy"]) == {"ReadSecrets": (["secretsmanager:GetSecretValue"], [secret])}


def test_the_text_has_headings_and_documents(command: Run) -> None:
    signed = {**ROLES, "connectors": {"one": {**CONNECTOR, "sign_as": "${iam_roles.invoke.arn}"}}, "tenants": {"t": {}}}
    code, printed = command(signed, "--for", "apply")
    assert code == 0
    assert printed.startswith("apply on chat: the caller\n=====")
    assert f"apply on chat: arn:aws:iam::{ACCOUNT}:role/ml/invoke\n=====" in printed
    assert "Map it to the security role security_manager, too" in printed
    for document in printed.split("\n{\n")[1:]:
        json.JSONDecoder().raw_decode("{" + document)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "permissions are for a command; give --for drift, plan, apply"),
        (("--for", "destroy"), "there are no permissions for 'destroy'; give --for drift, plan, apply"),
        (("--for", "plan", "--unmanaged"), "plan has no --unmanaged; it is of drift"),
        (("--for", "drift", "--no-verify"), "drift has no --no-verify; it is of apply"),
    ],
)
def test_wrong_uses(command: Run, words: tuple[str, ...], said: str) -> None:
    code, printed = command({}, *words)
    assert (code, f"error[usage]: {said}" in printed) == (1, True), printed
