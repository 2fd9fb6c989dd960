"""The main job on the sandbox: what people get wrong on the way, run twice, changed by hand."""

from pathlib import Path

import pytest

from tests.sandbox.bed import Bed, policy
from tests.sandbox.command import MANIFESTS, TRUSTED, hits, mapping, run, settings, stats

BEDROCK = MANIFESTS / "deepseek-bedrock.yaml"
SELF_MANAGED = MANIFESTS / "deepseek-self-managed.yaml"
INVOKE, CREATE = "deepseek-bedrock-invoke", "deepseek-bedrock-create-connector"


def test_applied_ten_times_there_is_one_connector_and_one_model(self_managed: Bed) -> None:
    for _ in range(10):
        assert run(self_managed, "apply", SELF_MANAGED, "--yes", "--no-verify").code == 0
    assert len(hits(self_managed, "/_plugins/_ml/connectors")) == 1
    assert len(hits(self_managed, "/_plugins/_ml/models")) == 1
    assert len(hits(self_managed, "/_plugins/_ml/model_groups")) == 1


def test_without_the_mapping_the_message_names_it(aws: Bed, tmp_path: Path) -> None:
    text = BEDROCK.read_text()
    start, end = text.index("role_mappings:"), text.index("connectors:\n")
    manifest = tmp_path / "unmapped.yaml"
    manifest.write_text(text[:start] + text[end:])
    failed = run(aws, "apply", manifest, "--yes")
    assert failed.code == 1
    assert "error[not-mapped] connectors.deepseek-r1" in failed.err
    assert "-> 403" in failed.err
    assert "no permissions for [cluster:admin/opensearch/ml/create_connector]" in failed.err
    assert "fix    add it to role_mappings.ml_full_access.backend_roles" in failed.err
    assert "not started   after connectors.deepseek-r1" in failed.all
    mended = run(aws, "apply", BEDROCK, "--yes")
    assert mended.code == 0, mended.all
    assert len(hits(aws, "/_plugins/_ml/connectors")) == 1


def test_a_role_that_exists_with_a_wrong_trust_policy_is_adopted_and_repaired(aws: Bed) -> None:
    aws.role(INVOKE, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, trust={"Service": "ec2.amazonaws.com"})
    refused = run(aws, "plan", BEDROCK)
    assert refused.code == 1
    assert "error[not-ours] iam_roles.invoke-bedrock" in refused.err
    assert "--adopt iam_roles.invoke-bedrock" in refused.err
    kept = aws.aws("iam").get_role(RoleName=INVOKE)["Role"]
    assert kept["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}

    adopted = run(aws, "apply", BEDROCK, "--yes", "--adopt", "iam_roles.invoke-bedrock")
    assert adopted.code == 0, adopted.all
    role = aws.aws("iam").get_role(RoleName=INVOKE)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "es.amazonaws.com"}
    assert aws.aws("iam").list_role_policies(RoleName=INVOKE)["PolicyNames"] == ["invoke"]
    assert run(aws, "plan", BEDROCK, "--detailed-exitcode").code == 0


def test_what_others_put_into_shared_lists_stays(aws: Bed) -> None:
    other, endpoint = "arn:aws:iam::123456789012:role/somebody-else", r"^https://models\.example\.com/.*$"
    put = aws.ask(
        "PUT",
        "/_plugins/_security/api/rolesmapping/ml_full_access",
        by=aws.automation,
        content={"backend_roles": [other]},
    )
    assert put.status_code == 201
    assert (
        aws.ask(
            "PUT", "/_cluster/settings", by=aws.automation, content={"persistent": {TRUSTED: [endpoint]}}
        ).status_code
        == 200
    )

    applied = run(aws, "apply", BEDROCK, "--yes")
    assert applied.code == 0, applied.all
    members = mapping(aws)["backend_roles"]
    assert members == [other, f"arn:aws:iam::123456789012:role/{CREATE}"]
    assert endpoint in settings(aws)[TRUSTED]
    assert len(settings(aws)[TRUSTED]) == 2

    assert run(aws, "destroy", BEDROCK, "--yes").code == 0
    assert mapping(aws)["backend_roles"] == [other]
    assert settings(aws)[TRUSTED] == [endpoint]


def test_what_changed_by_hand_is_named_and_repaired(aws: Bed) -> None:
    assert run(aws, "apply", BEDROCK, "--yes", "--no-verify").code == 0
    iam = aws.aws("iam")
    iam.update_assume_role_policy(
        RoleName=INVOKE,
        PolicyDocument=policy(
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ),
    )
    iam.put_role_policy(
        RoleName=CREATE, PolicyName="more", PolicyDocument=policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
    )
    (model,) = hits(aws, "/_plugins/_ml/models")
    assert aws.ask("POST", f"/_plugins/_ml/models/{model['_id']}/_undeploy", by=aws.automation).status_code == 200
    wanted = {"description": "by hand"}
    assert aws.ask("PUT", f"/_plugins/_ml/models/{model['_id']}", by=aws.automation, content=wanted).status_code == 200
    members = [{"op": "replace", "path": "/backend_roles", "value": []}]
    assert (
        aws.ask(
            "PATCH", "/_plugins/_security/api/rolesmapping/ml_full_access", by=aws.automation, content=members
        ).status_code
        == 200
    )

    planned = run(aws, "plan", BEDROCK, "--json")
    differing = {
        change["address"]: sorted({one["path"].partition(".")[0] for one in change["change"]["differences"]})
        for change in planned.data["resource_changes"]
        if change["change"]["actions"] != ["no-op"]
    }
    assert differing == {
        "iam_roles.invoke-bedrock": ["assume_role_policy_document"],
        "iam_roles.create-connector": ["inline_policies"],
        "models.deepseek-r1": ["description", "model_state"],
        "role_mappings.ml_full_access": ["backend_roles"],
    }
    repaired = run(aws, "apply", BEDROCK, "--yes")
    assert repaired.code == 0, repaired.all
    assert "2 of 2 queries passed" in repaired.out
    assert run(aws, "plan", BEDROCK, "--detailed-exitcode").code == 0


def test_a_saved_plan_does_what_it_showed_or_refuses(aws: Bed, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    assert run(aws, "plan", BEDROCK, "--out", saved).code == 0
    applied = run(aws, "apply", saved, "--yes")
    assert applied.code == 0, applied.all
    refused = run(aws, "apply", saved, "--yes")
    assert refused.code == 1
    assert "error[stale-plan] iam_roles.invoke-bedrock" in refused.err


def test_a_rotated_secret_makes_a_new_connector_and_the_model_follows(self_managed: Bed) -> None:
    assert run(self_managed, "apply", SELF_MANAGED, "--yes", env={"DEEPSEEK_API_KEY": "sk-old-and-wrong"}).code == 1
    (old,) = hits(self_managed, "/_plugins/_ml/connectors")
    (model,) = hits(self_managed, "/_plugins/_ml/models")
    rotated = run(self_managed, "apply", SELF_MANAGED, "--yes")
    assert rotated.code == 0, rotated.all
    (new,) = hits(self_managed, "/_plugins/_ml/connectors")
    (same,) = hits(self_managed, "/_plugins/_ml/models")
    assert new["_id"] != old["_id"]
    assert same["_id"] == model["_id"]
    assert run(self_managed, "plan", SELF_MANAGED, "--detailed-exitcode").code == 0


def test_no_secret_is_written_anywhere(self_managed: Bed, tmp_path: Path) -> None:
    secrets = (self_managed.env["DEEPSEEK_API_KEY"], self_managed.env["OPENSEARCH_PASSWORD"])
    saved, figures = tmp_path / "plan.json", tmp_path / "stats.json"
    said = [
        run(self_managed, "validate", SELF_MANAGED, "--debug"),
        run(self_managed, "plan", SELF_MANAGED, "--out", saved, "--calls", "--debug"),
        run(self_managed, "plan", SELF_MANAGED, "--json", "--calls"),
        run(self_managed, "apply", saved, "--yes", "--stats", figures, "--debug"),
        run(self_managed, "apply", SELF_MANAGED, "--yes", "--json"),
        run(self_managed, "show", SELF_MANAGED),
        run(self_managed, "show", SELF_MANAGED, "--json"),
        run(self_managed, "verify", SELF_MANAGED, "--debug"),
        run(self_managed, "plan", SELF_MANAGED, "--var", "opensearch_endpoint=https://127.0.0.1:9", "--debug"),
    ]
    ledger = self_managed.ask("GET", "/reconciler-ledger/_search?size=1000", by=self_managed.master).text
    assert "connectors.deepseek-chat" in ledger
    texts = [one.all for one in said] + [ledger, saved.read_text(), figures.read_text()]
    assert [text for text in texts for secret in secrets if secret in text] == []


def test_the_wrong_account_stops_before_any_write(aws: Bed, tmp_path: Path) -> None:
    figures = tmp_path / "stats.json"
    stopped = run(aws, "apply", BEDROCK, "--yes", "--var", "account_id=999999999999", "--stats", figures)
    assert (stopped.code, stats(figures)["requests"]["writes"]) == (1, 0)
    assert "error[wrong-account]" in stopped.err


BAD = {
    "wrong password": ({"OPENSEARCH_PASSWORD": "wrong"}, "error[not-authenticated]"),
    "unreachable": ({"RECONCILER_VAR_opensearch_endpoint": "https://127.0.0.1:9"}, "error[unreachable]"),
    "unknown host": ({"RECONCILER_VAR_opensearch_endpoint": "https://nowhere.invalid"}, "error[unreachable]"),
    "untrusted": ({"OPENSEARCH_CA_FILE": ""}, "error[tls]"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_surroundings_end_in_a_message(case: str, self_managed_sandbox: Bed, tmp_path: Path) -> None:
    env, expected = BAD[case]
    figures = tmp_path / "stats.json"
    stopped = run(self_managed_sandbox, "apply", SELF_MANAGED, "--yes", "--stats", figures, env=env)
    assert (stopped.code, stats(figures)["requests"]["writes"]) == (1, 0)
    assert expected in stopped.err


def test_an_expired_token_ends_in_a_message(aws: Bed, tmp_path: Path) -> None:
    figures = tmp_path / "stats.json"
    env = {"AWS_ACCESS_KEY_ID": "ASIAEXPIRED000000000", "AWS_SESSION_TOKEN": "long gone"}
    stopped = run(aws, "apply", BEDROCK, "--yes", "--stats", figures, env=env)
    assert (stopped.code, stats(figures)["requests"]["writes"]) == (1, 0)
    assert "error[expired-credentials]" in stopped.err
