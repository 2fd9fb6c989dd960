"""Drift on the sandbox: tampering of every kind is found, classed and located; nothing else is told or written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconciler.sandbox import lifecycle
from tests.sandbox import test_hidden as hidden
from tests.sandbox.bed import Bed
from tests.sandbox.command import Ran, run, until_searches_show_all
from tests.sandbox.test_mutations import (
    ANY,
    IDLE,
    KINDS,
    MODEL,
    READ_ONLY,
    allowed,
    document,
    domain,
    iam,
    member,
    one,
    persistent,
)
from tests.sandbox.test_mutations import MANIFEST as MUTATED
from tests.support.campaign import LOOKS

MANIFEST = MUTATED.replace(
    "iam_policies:",
    """\
  leaves:
    assume_role_policy_document: &trust
      Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: sts:AssumeRole, Principal: { Service: ec2.amazonaws.com } }]
  trusts:
    assume_role_policy_document: *trust
iam_policies:""",
).replace(
    "role_mappings:\n  mutated: { users: [ann] }",
    'role_mappings:\n  mutated: { users: [ann], backend_roles: ["${iam_roles.leaves.arn}"] }\n'
    "  readall: { users: [ann], membership: exclusive }",
)
FIRST: list[tuple[str, str, str, Callable[[Bed], Any]]] = [
    ("changed", "iam_roles.role", "description", iam("update_role", Description="", MaxSessionDuration=7200)),
    ("extra", "iam_roles.role", "managed_policy_arns", iam("attach_role_policy", PolicyArn=READ_ONLY)),
    (
        "extra",
        "iam_roles.role",
        "inline_policies.more",
        iam("put_role_policy", PolicyName="more", PolicyDocument=document(ANY)),
    ),
    (
        "changed",
        "iam_roles.role",
        "permissions_boundary",
        iam("put_role_permissions_boundary", PermissionsBoundary=READ_ONLY),
    ),
    ("changed", "iam_roles.role", "tags.team", iam("tag_role", Tags=[{"Key": "team", "Value": "by hand"}])),
    (
        "changed",
        "cluster_settings.ml",
        "plugins.ml_commons.native_memory_threshold",
        persistent(native_memory_threshold=90),
    ),
    (
        "extra",
        "security_roles.mutated",
        "cluster_permissions",
        allowed("cluster_permissions", ["cluster_monitor", "cluster_all"])[1],
    ),
    ("changed", "security_roles.mutated", "description", allowed("description", "by hand")[1]),
    ("changed", "role_mappings.ml_read_access", "users", member("users")),
    (
        "extra",
        "role_mappings.readall",
        "users",
        domain(
            "PATCH", "/_plugins/_security/api/rolesmapping/readall", [{"op": "add", "path": "/users/-", "value": "eve"}]
        ),
    ),
    ("changed", "connectors.idle", "parameters.model", domain("PUT", IDLE, {"parameters": {"model": "b"}})),
    ("changed", "connectors.idle", "parameters.more", domain("PUT", IDLE, {"parameters": {"more": "x"}})),
    (
        "changed",
        "connectors.idle",
        "client_config.max_retry_times",
        domain("PUT", IDLE, {"client_config": {"max_retry_times": 5}}),
    ),
    (
        "changed",
        "model_groups.group",
        "description",
        domain("PUT", one("model_groups", "group"), {"description": "by hand"}),
    ),
    ("changed", "models.model", "is_enabled", domain("PUT", MODEL, {"is_enabled": False})),
    (
        "changed",
        "models.model",
        "rate_limiter.limit",
        domain("PUT", MODEL, {"rate_limiter": {"limit": "5", "unit": "MINUTES"}}),
    ),
    ("undeployed", "models.model", "model_state", domain("POST", one("models", "model", "/_undeploy"))),
]
LATER = [
    f"{kind}.{name}"
    for kind, name in (
        ("iam_policies", "policy"),
        ("secretsmanager_secrets", "kept"),
        ("action_groups", "mutated_group"),
        ("tenants", "mutated"),
        ("search_pipelines", "mutated"),
        ("index_templates", "mutated"),
        ("ingest_pipelines", "mutated"),
        ("internal_users", "mutated"),
    )
]
OBJECTS = 22
READING = ("Get", "List", "DescribeSecret")


def found(ran: Ran, *classes: str) -> list[tuple[str, str, str]]:
    return sorted(
        (one["class"], one["address"], difference["path"] if difference else "")
        for one in ran.data["findings"]
        for difference in one["differences"] or [None]
        if one["class"] in classes or not classes
    )


def requests(bed: Bed) -> list[str]:
    """What the sandbox was asked since its reset."""
    return [str(entry["request"]) for entry in lifecycle.log(bed.name, 5_000)]


def reads(request: str) -> bool:
    return request.startswith(("GET /", "HEAD /")) or request.partition(" ")[0].rpartition(":")[2].startswith(READING)


def test_tampering_is_found_and_nothing_is_written(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "mutated.yaml"
    path.write_text(MANIFEST)
    applied = run(aws, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    # Right after an apply, and again and again: nothing.
    before = len(requests(aws))
    for _ in range(LOOKS):
        clean = run(aws, "drift", path)
        assert clean.code == 0, clean.all
        assert clean.out.splitlines()[-1].startswith(
            f"0 drifted, 0 not applied yet, {OBJECTS} in sync, 0 unknown (last applied 2"
        )
    # With credentials that could write everything, as the sandbox heard it.
    assert [request for request in requests(aws)[before:] if not reads(request)] == []

    for _, _, _, deed in FIRST:
        deed(aws)
    also = {address: KINDS[address][0] for address in LATER}
    for _, deed in also.values():
        deed(aws)
    domain("PUT", IDLE, {"credential": {"roleArn": "arn:aws:iam::123456789012:role/leaves"}})(aws)
    domain(
        "PATCH", "/_plugins/_security/api/rolesmapping/mutated", [{"op": "add", "path": "/users/-", "value": "eve"}]
    )(aws)
    until_searches_show_all(aws)
    before = len(requests(aws))
    drifted = run(aws, "drift", path, "--json")
    assert [request for request in requests(aws)[before:] if not reads(request)] == []
    assert drifted.code == 2, drifted.all
    told = found(drifted)
    assert [one for one in told if one[1] not in also] == sorted(one[:3] for one in FIRST)
    assert {(one[1], one[2].partition(".")[0]) for one in told if one[1] in also} == {
        (address, name) for address, (name, _) in also.items()
    }
    lines = {one["address"]: one["line"] for one in drifted.data["findings"]}
    text = path.read_text().splitlines()
    assert all(text[line - 1].strip().startswith(address.partition(".")[2]) for address, line in lines.items())
    # What no service shows is said to be so.
    assert {(one["address"], one["field"]) for one in drifted.data["invisible"]} == {
        ("connectors.idle", "credential"), ("connectors.used", "credential"), ("internal_users.mutated", "password"),
        ("secretsmanager_secrets.kept", "secret_string"),
    }  # fmt: skip
    widened = {one["address"] for one in drifted.data["findings"] if one["widens"]}
    assert {"iam_roles.role", "role_mappings.readall"} <= widened
    shown = run(aws, "drift", path)
    assert "undeployed  models.model" in shown.out
    many = 8 + len(also)
    assert shown.out.splitlines()[-1].startswith(f"{many} drifted, 0 not applied yet, {OBJECTS - many} in sync"), (
        shown.out
    )

    mended = run(aws, "apply", path, "--yes")
    assert mended.code == 0, mended.all
    assert run(aws, "drift", path).code == 0


def test_what_is_gone_or_made_anew_by_somebody_else(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "mutated.yaml"
    path.write_text(MANIFEST)
    assert run(aws, "apply", path, "--yes").code == 0
    client = aws.aws("iam")
    client.delete_role(RoleName="leaves")
    trust = client.get_role(RoleName="trusts")["Role"]["AssumeRolePolicyDocument"]
    client.delete_role(RoleName="trusts")
    client.create_role(RoleName="trusts", AssumeRolePolicyDocument=document(trust["Statement"][0]))
    domain("DELETE", IDLE)(aws)
    domain("DELETE", "/_plugins/_security/api/rolesmapping/readall")(aws)
    gone = run(aws, "drift", path, "--unmanaged", "--json")
    assert gone.code == 2, gone.all
    assert found(gone, "missing", "orphaned", "replaced") == [
        ("missing", "connectors.idle", ""),
        ("missing", "iam_roles.leaves", ""),
        ("missing", "role_mappings.readall", ""),
        ("orphaned", "role_mappings.mutated", "backend_roles"),
        ("replaced", "iam_roles.trusts", ""),
    ]

    # What nobody manages, and how much somebody does.
    covered = {one["kind"]: one for one in gone.data["coverage"]}
    assert covered["connectors"]["owned"] == 1
    assert 0 < covered["iam_roles"]["owned"] < covered["iam_roles"]["total"]
    assert ("unmanaged", "iam_roles.trusts", "") in found(gone, "unmanaged")


def test_what_is_accepted_is_told_apart_and_no_alarm(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "mutated.yaml"
    path.write_text(MANIFEST)
    assert run(aws, "apply", path, "--yes").code == 0
    for deed in (domain("PUT", MODEL, {"is_enabled": False}), domain("DELETE", IDLE), member("users")):
        deed(aws)
    said = ("--reason", "goes with the old chain", "--until", "2999-12-31")
    two = ("--accept", "models.model", "--accept", "role_mappings.ml_read_access")
    accepted = run(aws, "drift", path, *two, *said)
    assert accepted.code == 0, accepted.all
    rest = run(aws, "drift", path)
    assert (rest.code, "1 drifted" in rest.out, "2 accepted" in rest.out) == (2, True, True), rest.out
    assert run(aws, "drift", path, "--accept", "connectors.idle", *said).code == 0
    quiet = run(aws, "drift", path)
    assert (quiet.code, "0 drifted" in quiet.out, "3 accepted" in quiet.out) == (0, True, True), quiet.out
    assert "changed, accepted until 2999-12-31: goes with the old chain" in quiet.out
    again = run(aws, "drift", path, "--accept", "connectors.idle", *said)
    assert (again.code, "it does not drift" in again.err) == (1, True)
    baseline = tmp_path / "drift-baseline.yaml"
    baseline.write_text(baseline.read_text().replace("2999-12-31", "2001-01-01"))
    expired = run(aws, "drift", path)
    assert (expired.code, expired.err.count("warning[stale-baseline]")) == (2, 3), expired.all


def test_what_is_not_applied_is_no_drift(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "mutated.yaml"
    path.write_text(MANIFEST)
    assert run(aws, "drift", path).code == 0
    assert run(aws, "drift", path, "--fail-on-pending").code == 3
    assert run(aws, "apply", path, "--yes").code == 0
    path.write_text(MANIFEST.replace("max_session_duration: 7200", "max_session_duration: 3600"))
    pending = run(aws, "drift", path, "--fail-on-pending", "--json")
    assert (pending.code, found(pending)) == (3, [("pending", "iam_roles.role", "max_session_duration")])
    assert run(aws, "drift", path).code == 0


def test_what_the_caller_is_not_shown_is_unknown(aws: Bed, tmp_path: Path) -> None:
    signer, invoke, deployer = hidden.access_control(aws)
    env = hidden.session(deployer)
    path = tmp_path / "hidden.yaml"
    secret = aws.env["RECONCILER_VAR_secret_arn"]
    path.write_text(hidden.MANIFEST.format(description="one", signer=signer, invoke=invoke, secret=secret))
    assert run(aws, "apply", path, "--yes", env=env).code == 0
    before = len(requests(aws))
    unknown = run(aws, "drift", path, "--json", env=env)
    assert (unknown.code, found(unknown)) == (4, [("unknown", "connectors.mine", "")]), unknown.all
    assert [request for request in requests(aws)[before:] if not reads(request)] == []
    assert run(aws, "drift", path).code == 0
