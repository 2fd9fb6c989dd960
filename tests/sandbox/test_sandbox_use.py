"""What one can do with a running sandbox: read its log, make things go wrong, reset it, test with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import AUTOMATION_ARN, DOMAIN_ARN, SECRET_ARN
from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, Ran, caller, hits, run

CHAT, SAGEMAKER = MANIFESTS / "deepseek-chat.yaml", MANIFESTS / "deepseek-sagemaker.yaml"
MEMORY = 700  # MB, at most
SECURITY = "/_plugins/_security/api"


def sandbox(bed: Bed, *arguments: str) -> Ran:
    """A command about the sandbox of a test."""
    return run(bed, "sandbox", *arguments, "--name", bed.name)


@pytest.fixture
def well(aws: Bed) -> Iterator[Bed]:
    """The AWS flavour, in which nothing goes wrong any more when the test is over."""
    yield aws
    lifecycle.mend(aws.name)


def last(bed: Bed, **wanted: Any) -> dict[str, Any]:
    """The last request in the log with these values."""
    found = [entry for entry in lifecycle.log(bed.name, 500) if wanted.items() <= entry.items()]
    assert found, lifecycle.log(bed.name, 20)
    return dict(found[-1])


# --- the log


def test_the_log_says_who_asked_and_which_rule_decided(aws: Bed) -> None:
    reader = aws.role("reader", {"Effect": "Allow", "Action": "es:ESHttpGet", "Resource": f"{DOMAIN_ARN}/*"})
    session = aws.assume(reader)
    who = "arn:aws:sts::123456789012:assumed-role/reader/session"
    cases: list[tuple[httpx.Response, str, str, str]] = [
        (aws.ask("PUT", "/i", by=session), who, "IAM", "es:ESHttpPut"),
        (aws.ask("GET", "/_cat/indices", by=session), who, "Security plugin", "indices:monitor/settings/get"),
        (aws.ask("GET", "/_plugins/_ml/models/x", by=aws.master), "master", "ML Commons", "status_exception"),
        (aws.ask("GET", "/nowhere", by=aws.master), "master", "OpenSearch", "index_not_found_exception"),
        (aws.ask("GET", "/nowhere", by=("master", "wrong")), "master", "Security plugin", ""),
        (aws.ask("GET", "/nowhere"), "anonymous", "access policy", "es:ESHttpGet"),
        (aws.ask("GET", "/", by=Credentials("AKIANOBODY", "x")), "key AKIANOBODY", "signature", ""),
    ]
    entries = lifecycle.log(aws.name, len(cases))
    for entry, (answer, asked, layer, rule) in zip(entries, cases, strict=True):
        assert (entry["status"], entry["decision"]) == (answer.status_code, "refused"), entry
        assert (entry["who"], entry["layer"], entry["rule"]) == (asked, layer, rule), entry
    assert aws.ask("GET", "/", by=aws.automation).is_success
    entry = last(aws, request="GET /")
    assert (entry["who"], entry["decision"], entry["layer"]) == (AUTOMATION_ARN, "answered", "OpenSearch")


def test_the_log_of_the_account(aws: Bed) -> None:
    weak = aws.role("weak", {"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*"})
    session = aws.assume(weak)
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.aws("iam", session).delete_role(RoleName="weak")
    entry = last(aws, decision="refused")
    assert (entry["server"], entry["request"], entry["status"]) == ("aws", "iam:DeleteRole weak", 403)
    assert (entry["layer"], entry["rule"]) == ("IAM", "iam:DeleteRole")
    other = aws.role("other", trust={"Service": "ec2.amazonaws.com"})
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.assume(other)
    entry = last(aws, decision="refused")
    assert (entry["request"], entry["layer"]) == (f"sts:AssumeRole {other}", "trust policy")
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        aws.role("absent", trust={"AWS": "arn:aws:iam::123456789012:role/absent"})
    assert last(aws, decision="refused")["rule"] == "MalformedPolicyDocument"


def test_the_log_follows_a_question_to_the_model(aws: Bed) -> None:
    assert run(aws, "apply", CHAT, "--yes", "--no-verify").code == 0
    assert ask_model(aws).status_code == 200
    secret, model, question = lifecycle.log(aws.name, 3)
    assert secret["request"] == f"secretsmanager:GetSecretValue {SECRET_ARN}"
    assert secret["who"] == "arn:aws:sts::123456789012:assumed-role/deepseek-chat-read-secret/opensearch-service"
    assert (model["server"], model["request"]) == ("models", "POST api.deepseek.com/v1/chat/completions")
    assert str(question["request"]).endswith("/_predict")

    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    aws.aws("iam").update_assume_role_policy(RoleName="deepseek-chat-read-secret", PolicyDocument=document)
    assert ask_model(aws).status_code == 403
    entry = last(aws, layer="trust policy")
    assert (entry["rule"], entry["who"]) == (
        "sts:AssumeRole",
        "es.amazonaws.com for arn:aws:iam::123456789012:role/deepseek-chat-read-secret",
    )


def test_the_log_as_text_and_json_without_secrets(aws: Bed) -> None:
    aws.ask("GET", "/nowhere", by=aws.master)
    aws.ask("GET", "/", by=aws.master)
    aws.aws("secretsmanager").get_secret_value(SecretId=SECRET_ARN)
    text = sandbox(aws, "log")
    assert "GET /nowhere  master  404 refused by OpenSearch (index_not_found_exception)" in text.out
    assert len(text.out.splitlines()) == 3
    assert len(sandbox(aws, "log", "--last", "1").out.splitlines()) == 1
    assert ":secret:deepseek-api" in text.out
    shown = sandbox(aws, "log", "--refused", "--json")
    assert [entry["status"] for entry in shown.data["entries"]] == [404]
    settings = aws.info.settings
    secrets = [*settings.passwords.values(), settings.secret_access_key, settings.model_api_key]
    assert not [secret for secret in secrets if secret in text.all + shown.all]


# --- faults


def ask_model(bed: Bed, **parameters: Any) -> httpx.Response:
    """Ask the one model there is, by default in the way of chats."""
    (model,) = hits(bed, "/_plugins/_ml/models")
    content = {"parameters": parameters or {"messages": [{"role": "user", "content": "hello"}]}}
    return bed.ask("POST", f"/_plugins/_ml/models/{model['_id']}/_predict", by=caller(bed), content=content)


def test_latency(well: Bed) -> None:
    assert sandbox(well, "fault", "latency", "--seconds", "0.4", "--on", "domain", "--times", "1").code == 0
    began = time.monotonic()
    assert well.ask("GET", "/", by=well.master).status_code == 200
    assert time.monotonic() - began >= 0.4
    assert last(well, fault="latency")["milliseconds"] >= 400
    well.ask("GET", "/", by=well.master)
    assert lifecycle.log(well.name, 1)[0]["fault"] == ""


def test_a_write_is_done_and_its_answer_dropped(well: Bed) -> None:
    assert sandbox(well, "fault", "drop", "--times", "1").code == 0
    assert well.ask("GET", "/", by=well.master).status_code == 200  # reads are answered
    with pytest.raises(httpx.TransportError):
        well.ask("PUT", "/written", by=well.master)
    assert well.ask("HEAD", "/written", by=well.master).status_code == 200
    assert last(well, request="PUT /written")["decision"] == "unanswered"
    assert well.ask("PUT", "/another", by=well.master).status_code == 200

    lifecycle.add_fault(well.name, {"kind": "drop", "on": "aws", "match": "CreateRole"})
    with pytest.raises(Exception, match=r"closed|aborted"):
        well.role("dropped")
    lifecycle.mend(well.name)
    assert well.aws("iam").get_role(RoleName="dropped")["Role"]["RoleName"] == "dropped"


def test_an_apply_survives_dropped_answers(well: Bed) -> None:
    for request in ("POST /_plugins/_ml/connectors/_create", "iam:CreateRole"):
        lifecycle.add_fault(well.name, {"kind": "drop", "match": request, "times": 1})
    first = run(well, "apply", CHAT, "--yes")
    again = run(well, "apply", CHAT, "--yes") if first.code else first
    assert again.code == 0, first.all + again.all
    assert len(hits(well, "/_plugins/_ml/connectors")) == 1
    assert len(hits(well, "/_plugins/_ml/models")) == 1


def test_throttling_in_the_words_of_each_service(well: Bed) -> None:
    assert sandbox(well, "fault", "throttle", "--times", "3").code == 0
    with pytest.raises(ClientError, match=r"\(Throttling\).*Rate exceeded"):
        well.aws("iam").list_roles()
    with pytest.raises(ClientError, match=r"\(ThrottlingException\).*Rate exceeded"):
        well.aws("secretsmanager").list_secrets()
    answer = well.ask("GET", "/_search", by=well.master)
    assert (answer.status_code, answer.text) == (429, "429 Too Many Requests /_search")
    assert well.ask("GET", "/_search", by=well.master).status_code == 200


def test_a_share_of_requests_is_throttled(well: Bed) -> None:
    assert sandbox(well, "fault", "throttle", "--share", "0.5", "--on", "domain").code == 0
    statuses = [well.ask("GET", "/", by=well.master).status_code for _ in range(40)]
    assert 5 < statuses.count(429) < 35
    assert sandbox(well, "fault", "off").code == 0
    assert well.ask("GET", "/", by=well.master).status_code == 200


def test_requests_that_go_wrong(well: Bed) -> None:
    assert sandbox(well, "fault", "error", "--status", "409", "--match", "^PATCH /_plugins/_security").code == 0
    patch: Any = [{"op": "add", "path": "/description", "value": "x"}]
    answer = well.ask("PATCH", f"{SECURITY}/rolesmapping/all_access", by=well.master, content=patch)
    assert (answer.status_code, answer.json()["message"].startswith("[rolesmapping]: version conflict")) == (409, True)
    assert last(well, fault="error")["status"] == 409
    assert sandbox(well, "fault", "error", "--on", "aws", "--times", "1").code == 0
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        well.aws("iam").list_roles()
    assert well.aws("iam").list_roles()["Roles"] == []


def test_deployments_that_go_wrong(well: Bed) -> None:
    assert run(well, "apply", CHAT, "--yes", "--no-verify").code == 0
    (model,) = [hit["_id"] for hit in hits(well, "/_plugins/_ml/models")]
    path = f"/_plugins/_ml/models/{model}"

    def state() -> str:
        return str(well.ask("GET", path, by=well.master).json()["model_state"])

    def deployed() -> str:
        """What becomes of the model that is undeployed and deployed again."""
        assert well.ask("POST", f"{path}/_undeploy", by=well.master).status_code == 200
        task = well.ask("POST", f"{path}/_deploy", by=well.master).json()["task_id"]
        while well.ask("GET", f"/_plugins/_ml/tasks/{task}", by=well.master).json()["state"] == "CREATED":
            pass
        deadline = time.monotonic() + 2
        while state() == "DEPLOYING" and time.monotonic() < deadline:
            pass
        return state()

    assert sandbox(well, "fault", "deploy", "--answer", "error", "--times", "1").code == 0
    assert deployed() == "DEPLOY_FAILED"
    assert deployed() == "DEPLOYED"
    assert sandbox(well, "fault", "deploy", "--answer", "stuck").code == 0
    assert deployed() == "DEPLOYING"
    assert sandbox(well, "fault", "off").code == 0
    assert deployed() == "DEPLOYED"


def test_propagation(well: Bed) -> None:
    assert sandbox(well, "fault", "propagation", "--seconds", "600").code == 0
    arn = well.role("new")
    with pytest.raises(ClientError, match="AccessDenied"):
        well.assume(arn)
    assert sandbox(well, "fault", "off").code == 0
    assert well.assume(arn).token


def test_searches_that_show_updates_late(well: Bed) -> None:
    groups = "/_plugins/_ml/model_groups"
    made = well.ask("POST", f"{groups}/_register", by=well.master, content={"name": "g", "description": "before"})
    path = f"{groups}/{made.json()['model_group_id']}"
    assert sandbox(well, "fault", "stale", "--seconds", "600").code == 0
    assert well.ask("PUT", path, by=well.master, content={"description": "after"}).status_code == 200
    assert well.ask("GET", path, by=well.master).json()["description"] == "after"
    body: Any = {"query": {"match_all": {}}}
    found = well.ask("GET", f"{groups}/_search", by=well.master, content=body).json()["hits"]["hits"]
    assert [hit["_source"]["description"] for hit in found] == ["before"]


def test_models_that_do_not_answer_as_they_should(well: Bed) -> None:
    assert run(well, "apply", CHAT, "--yes").code == 0
    for kind, status, words in (
        ("throttled", 429, "Rate limit reached"),
        ("balance", 402, "Insufficient Balance"),
        ("unauthorised", 401, "Authentication Fails"),
        ("error", 500, "Internal server error"),
    ):
        steered = sandbox(well, "fault", "model", "--on", "api.deepseek.com", "--answer", kind, "--times", "1")
        assert steered.code == 0
        answer = ask_model(well)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
    lifecycle.steer(well.name, "api.deepseek.com", "malformed")
    assert ask_model(well).status_code >= 400
    lifecycle.steer(well.name, "api.deepseek.com", "slow", seconds=0.5)
    began = time.monotonic()
    assert ask_model(well).status_code == 200
    assert time.monotonic() - began >= 0.5
    lifecycle.steer(well.name, "api.deepseek.com", "balance", times=None)
    failed = run(well, "verify", CHAT)
    assert failed.code != 0
    assert "Insufficient Balance" in failed.all


def test_what_aws_throttles_is_asked_again_as_often_as_the_connector_says(well: Bed) -> None:
    assert run(well, "apply", SAGEMAKER, "--yes", "--no-verify").code == 0  # it says: 3 times
    host = "runtime.sagemaker.us-east-1.amazonaws.com"
    lifecycle.steer(well.name, host, "throttled", times=3)
    assert ask_model(well, inputs="hello").status_code == 200
    lifecycle.steer(well.name, host, "throttled", times=4)
    answer = ask_model(well, inputs="hello")
    assert answer.status_code == 400
    assert "Error from remote service: The request was denied due to remote server throttling." in answer.text


def test_the_node_is_restarted_and_all_is_there_again(well: Bed) -> None:
    assert run(well, "apply", CHAT, "--yes").code == 0
    node = node_of(well.info.settings.node_folder)
    restarted = sandbox(well, "fault", "restart", "--json")
    assert restarted.data["done"] == "the node was restarted"
    assert node_of(well.info.settings.node_folder) != node
    assert lifecycle.status(well.name) == well.info
    assert ask_model(well).status_code == 200
    assert run(well, "plan", CHAT, "--detailed-exitcode").code == 0


BAD = {
    "no kind": (("fault", "earthquake"), "no fault is called earthquake"),
    "no server": (("fault", "latency", "--on", "moon"), "no server is called 'moon'"),
    "no host": (("fault", "model", "--on", "example.com"), "no model is served at 'example.com'"),
    "no answer": (("fault", "model", "--on", "api.cohere.ai", "--answer", "x"), "api.cohere.ai has no answer 'x'"),
    "no share": (("fault", "throttle", "--share", "2"), "share is a number above 0 and up to 1"),
    "no pattern": (("fault", "drop", "--match", "("), "is no pattern"),
    "no status": (("fault", "error", "--status", "418"), "status is 409, 500, 502, 503 or 504"),
    "no deployment": (("fault", "deploy", "--answer", "slow"), "a deployment has no answer 'slow'"),
    "no seconds": (("fault", "propagation", "--seconds", "-1"), "propagation_delay_s is a number"),
    "no flavour": (("up", "--flavour", "x"), "no flavour is called x"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_done_ends_in_a_message(case: str, aws_sandbox: Bed) -> None:
    arguments, message = BAD[case]
    failed = sandbox(aws_sandbox, *arguments)
    assert (failed.code, "error[usage]" in failed.err, message in failed.err) == (1, True, True), failed.err


@pytest.mark.parametrize("command", [("reset",), ("log",), ("fault", "off"), ("env",)])
def test_commands_on_a_sandbox_that_does_not_run(command: tuple[str, ...], aws_sandbox: Bed) -> None:
    failed = run(aws_sandbox, "sandbox", *command, "--name", "nobody-started-it")
    assert failed.code == 1
    assert "error[sandbox-not-running]" in failed.err


# --- several, and back to the beginning


def test_two_side_by_side_know_nothing_of_each_other(aws: Bed, self_managed: Bed) -> None:
    listed = run(aws, "sandbox", "list", "--json").data["sandboxes"]
    flavours = {one["name"]: one["flavour"] for one in listed}
    assert (flavours[aws.name], flavours[self_managed.name]) == ("aws", "self-managed")
    lifecycle.add_fault(aws.name, {"kind": "throttle"})
    try:
        assert aws.ask("PUT", "/here", by=aws.master).status_code == 429
        assert self_managed.ask("PUT", "/here", by=self_managed.master).status_code == 200
        assert [entry["status"] for entry in lifecycle.log(self_managed.name)] == [200]
        lifecycle.reset(aws.name)  # takes the fault away too
        assert aws.ask("HEAD", "/here", by=aws.master).status_code == 404
        assert self_managed.ask("HEAD", "/here", by=self_managed.master).status_code == 200
    finally:
        lifecycle.mend(aws.name)


def test_reset(aws: Bed) -> None:
    assert run(aws, "apply", CHAT, "--yes").code == 0
    environment = lifecycle.env(aws.name)
    assert "as it was when it started" in sandbox(aws, "reset").out
    assert lifecycle.env(aws.name) == environment
    assert lifecycle.log(aws.name) == []
    assert aws.aws("iam").list_roles()["Roles"] == []
    assert hits(aws, "/_plugins/_ml/models") == []
    assert run(aws, "apply", CHAT, "--yes").code == 0  # the secret is there again


# --- what it takes, and what it leaves


def node_of(folder: Path) -> int:
    """The process id of the node in a folder; 0 when there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and f"opensearch.path.home={folder}".encode() in read(entry / "cmdline").split(b"\0-D"):
            return int(entry.name)
    return 0


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_memory(aws: Bed) -> None:
    """Of the node and of all else, as the kernel shares it out."""
    assert run(aws, "apply", CHAT, "--yes").code == 0
    pids = (aws.info.pid, node_of(aws.info.settings.node_folder))
    lines = [line.split() for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    assert sum(int(line[1]) for line in lines if line[0] == "Pss:") / 1024 <= MEMORY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for sandboxes, stopped at the end."""
    monkeypatch.setenv("RECONCILER_SANDBOX_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for name in lifecycle.names():
        lifecycle.down(name)


PROJECT = """
import base64, pathlib, ssl, urllib.request, pytest
from reconciler.sandbox import lifecycle

def ask(sandbox, method, path):
    request = urllib.request.Request(sandbox.url + path, method=method)
    token = base64.b64encode(":".join(sandbox.master).encode()).decode()
    request.add_header("authorization", "Basic " + token)
    return urllib.request.urlopen(request, context=ssl.create_default_context(cafile=sandbox.ca_file)).status

@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_it_new(opensearch_sandbox, turn):
    assert opensearch_sandbox.flavour == "self-managed"
    assert ask(opensearch_sandbox, "PUT", "/mine") == 200
    node = lifecycle.status(opensearch_sandbox.name).settings.node_folder
    pathlib.Path("node").write_text(str(node))
"""


def test_the_pytest_plugin_in_another_project(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_mine.py").write_text(PROJECT)
    (project / "pytest.ini").write_text("[pytest]\nopensearch_sandbox_flavour = self-managed\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "reconciler.sandbox.pytest_plugin", "--rootdir", "."]
    done = subprocess.run([*command, "."], cwd=project, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert list(home.iterdir()) == []
    node = Path((project / "node").read_text())
    assert (node.exists(), node_of(node)) == (False, 0)


def test_the_pytest_plugin_is_light_until_it_is_asked_for() -> None:
    heavy = ("boto3", "botocore", "httpx", "moto", "starlette", "uvicorn", "yaml", "reconciler.sandbox.lifecycle")
    code = f"import sys, reconciler.sandbox.pytest_plugin; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_killed_it_takes_the_node_along_and_status_cleans_up(home: Path) -> None:
    info = lifecycle.up("doomed")
    node = info.settings.node_folder
    assert node_of(node)
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    deadline = time.monotonic() + 10
    while node_of(node):
        assert time.monotonic() < deadline, "the node outlives its daemon"
    assert node.exists()
    assert lifecycle.status("doomed") is None
    assert not node.exists()
    assert list(home.iterdir()) == []
