"""Secrets kept in Secrets Manager, the password for OpenSearch among them: read, repeated, refused, gone."""

import json
from pathlib import Path
from typing import Any

from reconciler.sandbox import lifecycle
from reconciler.sandbox.faults import Fault
from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, hits, run, stats

READ = "secretsmanager:GetSecretValue"
PLAIN = (MANIFESTS / "deepseek-self-managed.yaml").read_text()
SECRETS = """\
secrets:
  deepseek_key: { secretsmanager: { secret_id: deepseek, key: api } }
  admin: { secretsmanager: { secret_id: opensearch } }
"""


def manifest(folder: Path, version: int | None = None) -> Path:
    """The self-managed chain with both its secrets in Secrets Manager."""
    text = PLAIN.replace("target:\n", "target:\n  aws: { region: us-east-1 }\n")
    text = text.replace("${env.OPENSEARCH_PASSWORD}", "${secret.admin}")
    text = text.replace("secrets:\n  deepseek_key: { env: DEEPSEEK_API_KEY }\n", SECRETS)
    assert SECRETS in text
    if version is not None:
        text = text.replace(
            "    parameters:\n      endpoint", f"    credential_version: {version}\n    parameters:\n      endpoint"
        )
        assert "credential_version" in text
    path = folder / "managed.yaml"
    path.write_text(text)
    return path


def store(bed: Bed, key: str) -> Any:
    """Keep the model's key and the administrator's password."""
    kept = bed.aws("secretsmanager")
    secrets = {"deepseek": json.dumps({"api": key}), "opensearch": bed.env["OPENSEARCH_PASSWORD"]}
    for name, text in secrets.items():
        kept.create_secret(Name=name, SecretString=text)
    return kept


def test_managed_secrets_from_the_first_apply_to_the_last(self_managed: Bed, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    env = {"OPENSEARCH_PASSWORD": "", "DEEPSEEK_API_KEY": ""}
    key = self_managed.env["DEEPSEEK_API_KEY"]
    kept = store(self_managed, key)
    path = manifest(tmp_path)

    def go(*arguments: str, code: int = 0) -> Any:
        ran = run(self_managed, arguments[0], path, "--stats", figures, *arguments[1:], env=env)
        assert ran.code == code, ran.all
        assert key not in ran.all
        assert self_managed.env["OPENSEARCH_PASSWORD"] not in ran.all
        return ran

    # Nothing to compare yet: the password alone is read. Then what is sent.
    go("plan")
    assert stats(figures)["operations"][READ] == 1
    go("apply", "--yes")
    assert stats(figures)["operations"][READ] == 2

    # Throttled reads are repeated, and counted.
    lifecycle.add_fault(self_managed.name, Fault("throttle", "aws", "GetSecretValue", times=3).as_json())
    assert "No changes" in go("plan").out
    assert stats(figures)["operations"][READ] == 5

    # A rotation is seen, and makes a new connector, since the old one is in use.
    kept.put_secret_value(SecretId="deepseek", SecretString=json.dumps({"api": "sk-of-nobody-at-all"}))
    planned = go("plan", "--detailed-exitcode", code=2)
    assert "the secret has another value" in planned.out
    kept.put_secret_value(SecretId="deepseek", SecretString=json.dumps({"api": key}))
    go("plan", "--detailed-exitcode")

    # What can not be read is no difference, and stops an apply that would send it, before anything is written.
    kept.delete_secret(SecretId="deepseek", ForceDeleteWithoutRecovery=True)
    go("plan", "--detailed-exitcode")
    manifest(tmp_path, version=1)
    forced = go("plan", "--detailed-exitcode", code=2)
    assert "sent again: credential_version is 1, was not stated" in forced.out
    assert "(secret not read: deepseek_key)" in forced.out
    (connector,) = hits(self_managed, "/_plugins/_ml/connectors")
    stopped = go("apply", "--yes", code=1)
    assert stats(figures)["requests"]["writes"] == 0
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "secret_id: deepseek," in text)
    assert f"{path}:{line}:3: error[secret-unreadable] secrets.deepseek_key" in stopped.err
    assert "ResourceNotFoundException" in stopped.err
    assert "correct `secret_id`, or store the secret first" in stopped.err

    kept.create_secret(Name="deepseek", SecretString=json.dumps({"api": key}))
    go("apply", "--yes")
    (successor,) = hits(self_managed, "/_plugins/_ml/connectors")
    assert successor["_id"] != connector["_id"]
    go("plan", "--detailed-exitcode")

    log = json.dumps(lifecycle.log(self_managed.name, 5000))
    assert "GetSecretValue" in log
    assert key not in log
    assert self_managed.env["OPENSEARCH_PASSWORD"] not in log


def test_a_refused_read_names_the_grant(self_managed: Bed, tmp_path: Path) -> None:
    store(self_managed, self_managed.env["DEEPSEEK_API_KEY"])
    deny = {"Effect": "Deny", "Action": READ, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam = self_managed.aws("iam")
    iam.put_user_policy(UserName="automation", PolicyName="deny", PolicyDocument=document)
    try:
        refused = run(self_managed, "plan", manifest(tmp_path), env={"OPENSEARCH_PASSWORD": ""})
    finally:
        iam.delete_user_policy(UserName="automation", PolicyName="deny")
    assert refused.code == 1
    assert "error[secret-unreadable] secrets.admin" in refused.err
    assert "AccessDenied" in refused.err
    assert "secretsmanager:GetSecretValue" in refused.err
