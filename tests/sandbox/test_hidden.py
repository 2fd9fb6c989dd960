"""ML Commons' access control on the sandbox: what the caller is not shown is seen as the signer, or said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials

from tests.sandbox.bed import Bed
from tests.sandbox.command import TRUSTED, hits, run

MANIFEST = """\
manifest: hidden
target:
  aws: {{ region: us-east-1 }}
  opensearch: {{ endpoint: "${{var.opensearch_endpoint}}", domain: search-demo, auth: sigv4 }}
variables: {{ opensearch_endpoint: {{ type: string }} }}
connectors:
  mine:
    description: {description}
    protocol: http
    credential: {{ secretArn: "{secret}", roleArn: "{invoke}" }}
    sign_as: {signer}
    actions:
      - action_type: predict
        method: POST
        url: https://api.deepseek.com/v1/chat/completions
        headers: {{ Authorization: "Bearer ${{credential.secretArn.my_deepseek_key}}" }}
"""
LEDGER: dict[str, Any] = {
    "cluster_permissions": ["cluster_monitor", "cluster_composite_ops"],
    "index_permissions": [{"index_patterns": ["reconciler-ledger"], "allowed_actions": ["indices_all"]}],
}


def ask(bed: Bed, method: str, path: str, content: Any) -> None:
    answer = bed.ask(method, path, by=bed.automation, content=content)
    assert answer.is_success, answer.text


def access_control(bed: Bed) -> tuple[str, str, Credentials]:
    """Switch it on. The ARNs of a signer and of a connector's role, and a deployer who is no administrator."""
    ask(
        bed,
        "PUT",
        "/_cluster/settings",
        {
            "persistent": {
                "plugins.ml_commons.connector_access_control_enabled": True,
                TRUSTED: [r"^https://api\.deepseek\.com/.*$"],
            }
        },
    )
    invoke = bed.role("invoke", trust={"Service": "es.amazonaws.com"})
    passing = {"Effect": "Allow", "Action": ["iam:PassRole", "es:ESHttp*"], "Resource": "*"}
    deploying = {"Effect": "Allow", "Action": ["sts:AssumeRole", "es:ESHttp*"], "Resource": "*"}
    deployer = bed.role("deployer", deploying)
    signer = bed.role("signer", passing, trust={"AWS": deployer})
    ask(bed, "PUT", "/_plugins/_security/api/roles/ledger", LEDGER)
    ask(bed, "PUT", "/_plugins/_security/api/rolesmapping/ledger", {"backend_roles": [deployer]})
    ask(bed, "PUT", "/_plugins/_security/api/rolesmapping/ml_full_access", {"backend_roles": [deployer, signer]})
    return signer, invoke, bed.assume(deployer)


def session(credentials: Credentials) -> Mapping[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": str(credentials.token),
    }


def test_a_connector_that_only_its_signer_sees(aws: Bed, tmp_path: Path) -> None:
    signer, invoke, deployer = access_control(aws)
    env = session(deployer)
    path = tmp_path / "hidden.yaml"

    def state(description: str) -> None:
        secret = aws.env["RECONCILER_VAR_secret_arn"]
        path.write_text(MANIFEST.format(description=description, signer=signer, invoke=invoke, secret=secret))

    state("first")
    planned = run(aws, "plan", path, env=env)
    assert planned.code == 0, planned.all
    assert "warning[hidden] connectors" in planned.err
    why = "connector_access_control_enabled is on"
    assert f"others of the same name may be there, unseen ({why}): connectors.mine" in planned.err
    problems = run(aws, "plan", path, "--json", env=env).data["problems"]
    assert [(one["code"], one["severity"]) for one in problems if one["code"] == "hidden"] == [("hidden", "warning")]

    applied = run(aws, "apply", path, "--yes", env=env)
    assert applied.code == 0, applied.all
    (made,) = hits(aws, "/_plugins/_ml/connectors")
    one = f"/_plugins/_ml/connectors/{made['_id']}"
    assert aws.ask("GET", one, by=deployer).status_code == 403
    again = run(aws, "plan", path, "--detailed-exitcode", env=env)
    assert again.code == 0, again.all

    state("second")
    changed = run(aws, "apply", path, "--yes", env=env)
    assert changed.code == 0, changed.all
    assert [hit["_id"] for hit in hits(aws, "/_plugins/_ml/connectors")] == [made["_id"]]
    assert aws.ask("GET", one, by=aws.automation).json()["description"] == "second"

    # Nobody who may read it is left: it is unknown, and not made again.
    aws.aws("iam").delete_role_policy(RoleName="signer", PolicyName="p")
    aws.aws("iam").delete_role(RoleName="signer")
    unknown = run(aws, "apply", path, "--yes", env=env)
    assert unknown.code == 1
    assert "error[unreadable] connectors.mine" in unknown.err
    assert len(hits(aws, "/_plugins/_ml/connectors")) == 1
    # Who sees everything sees it still.
    assert run(aws, "plan", path, "--detailed-exitcode").code == 0
