"""Two applies at once, a killed one, and what stands in the ledger: on the sandbox's real node."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler import ledger
from reconciler.model.objects import Address, Row
from reconciler.model.request import Answer
from reconciler.model.steps import Call, Failed, Reply
from tests.sandbox.bed import Bed

MANIFEST = """\
manifest: %s
target:
  opensearch:
    endpoint: ${var.opensearch_endpoint}
variables:
  opensearch_endpoint: { type: string }
secrets:
  key: { env: DEEPSEEK_API_KEY }
role_mappings:
  ml_full_access:
    users: [%s]
connectors:
  %s:
    protocol: http
    credential: { key: "${secret.key}" }
    parameters: { model: deepseek-chat }
    actions:
      - action_type: predict
        method: POST
        url: https://api.deepseek.com/v1/chat/completions
        headers: { Authorization: "Bearer ${credential.key}" }
        request_body: '{ "model": "${parameters.model}", "messages": ${parameters.messages} }'
model_groups:
  %s:
    description: a group
models:
  %s:
    connector_id: ${connectors.%s.id}
    model_group_id: ${model_groups.%s.id}
"""


def manifest(folder: Path, name: str, user: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(MANIFEST % (name, user, name, name, name, name, name))
    return path


def start(bed: Bed, *arguments: str | Path) -> subprocess.Popen[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OPENSEARCH_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *map(str, arguments)],
        env={**inherited, **bed.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in out + err
    return process.returncode, out + err


def run(bed: Bed, *arguments: str | Path) -> str:
    code, said = ended(start(bed, *arguments))
    assert code == 0, said
    return said


def names(bed: Bed, kind: str) -> list[str]:
    body: Mapping[str, Any] = {"query": {"match_all": {}}, "size": 100}
    answer = bed.ask("GET", f"/_plugins/_ml/{kind}/_search", by=bed.master, content=body)
    return sorted(hit["_source"]["name"] for hit in answer.json()["hits"]["hits"])


def rows(bed: Bed) -> list[dict[str, Any]]:
    answer = bed.ask("GET", "/reconciler-ledger/_search?size=1000", by=bed.master)
    return [hit["_source"] for hit in answer.json()["hits"]["hits"]]


@pytest.mark.parametrize("_", range(3))
def test_two_applies_of_one_manifest_make_everything_once(self_managed: Bed, tmp_path: Path, _: int) -> None:
    path = manifest(tmp_path, "one", "somebody")
    both = [start(self_managed, "apply", path, "--yes", "--lock-timeout", "120") for _ in range(2)]
    results = [ended(one) for one in both]
    assert [code for code, _ in results] == [0, 0], results
    assert [names(self_managed, kind) for kind in ("connectors", "models", "model_groups")] == [["one"]] * 3
    assert self_managed.ask("GET", "/reconciler-ledger/_doc/lock:one", by=self_managed.master).status_code == 404


def test_two_manifests_share_a_mapping(self_managed: Bed, tmp_path: Path) -> None:
    paths = {name: manifest(tmp_path, name, user) for name, user in (("one", "ann"), ("two", "bob"))}
    results = [ended(one) for one in [start(self_managed, "apply", path, "--yes") for path in paths.values()]]
    assert [code for code, _ in results] == [0, 0], results
    mapping = "/_plugins/_security/api/rolesmapping/ml_full_access"
    members = self_managed.ask("GET", mapping, by=self_managed.master).json()["ml_full_access"]["users"]
    assert sorted(members) == ["ann", "bob"]
    run(self_managed, "destroy", paths["one"], "--yes")
    assert self_managed.ask("GET", mapping, by=self_managed.master).json()["ml_full_access"]["users"] == ["bob"]
    run(self_managed, "destroy", paths["two"], "--yes")
    assert self_managed.ask("GET", mapping, by=self_managed.master).status_code == 404


def test_who_does_not_wait_is_told_who_holds_the_lock(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    run(self_managed, "apply", path, "--yes")
    held = {"type": "lock", "manifest": "one", "at": "2026-01-01T00:00:00Z", "by": "ann", "body": {"token": "t"}}
    lock = "/reconciler-ledger/_doc/lock:one?refresh=true"
    assert self_managed.ask("PUT", lock, by=self_managed.master, content=held).status_code == 201
    code, said = ended(start(self_managed, "destroy", path, "--yes"))
    assert (code, "error[locked]" in said, "held by ann" in said) == (1, True, True)
    assert "is free" in run(self_managed, "unlock", path, "--yes")
    run(self_managed, "destroy", path, "--yes")


def test_what_an_earlier_holder_of_the_lock_writes_late_is_refused(self_managed: Bed, tmp_path: Path) -> None:
    for user in ("ann", "bob"):
        run(self_managed, "apply", manifest(tmp_path, "one", user), "--yes")
    before = [one for one in rows(self_managed) if one["type"] == "row"]
    row = Row(Address("role_mappings", "ml_full_access"), "one", name="late")
    for steps in (ledger.write([row], fence=1), ledger.remove(row, fence=1)):
        step = next(steps)
        assert isinstance(step, Call)
        (request,) = step.requests
        assert isinstance(request.body, tuple)
        lines = "".join(json.dumps(line) + "\n" for line in request.body)
        answer = self_managed.ask("POST", "/_bulk?refresh=true", by=self_managed.master, content=lines)
        (item,) = (one for item in answer.json()["items"] for one in item.values())
        assert item["status"] == 409
        with pytest.raises(Failed, match="a later apply"):
            steps.send(Reply((Answer(200, answer.json()),), 0.0))
    assert [one for one in rows(self_managed) if one["type"] == "row"] == before


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5])
def test_after_a_kill_the_next_apply_finishes(self_managed: Bed, tmp_path: Path, lines: int) -> None:
    """Killed as soon as that many lines of progress are out: each kill at another moment of the apply."""
    path = manifest(tmp_path, "one", "somebody")
    process = start(self_managed, "apply", path, "--yes")
    assert process.stderr is not None
    seen: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if len(seen) >= lines:
                process.send_signal(signal.SIGKILL)
                return

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(60)
    process.kill()
    process.communicate(timeout=60)
    run(self_managed, "apply", path, "--yes")
    assert [names(self_managed, kind) for kind in ("connectors", "models", "model_groups")] == [["one"]] * 3
    assert [row for row in rows(self_managed) if row["type"] == "row" and row["intent"]] == []
    planned = json.loads(run(self_managed, "plan", path, "--json"))
    assert {tuple(change["change"]["actions"]) for change in planned["resource_changes"]} == {("no-op",)}
    run(self_managed, "destroy", path, "--yes")
    assert [names(self_managed, kind) for kind in ("connectors", "models", "model_groups")] == [[], [], []]
