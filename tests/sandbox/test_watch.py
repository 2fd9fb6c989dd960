"""`drift --watch` on the sandbox: a line for each change of state, metrics and health as of the last look."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.sandbox.bed import Bed
from tests.sandbox.command import run, start

MANIFEST = """\
manifest: watched
target:
  aws: { region: us-east-1 }
  opensearch: { endpoint: "${var.opensearch_endpoint}", domain: search-demo, auth: sigv4 }
variables: { opensearch_endpoint: { type: string } }
iam_roles:
  watched:
    description: as applied
    assume_role_policy_document:
      Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: sts:AssumeRole, Principal: { Service: es.amazonaws.com } }]
cluster_settings:
  ml: { plugins.ml_commons.native_memory_threshold: 91 }
"""


def set_threshold(bed: Bed, value: int) -> None:
    content = {"persistent": {"plugins.ml_commons.native_memory_threshold": value}}
    assert bed.ask("PUT", "/_cluster/settings", by=bed.automation, content=content).is_success


def metrics(page: str) -> dict[tuple[str, ...], float]:
    """The samples of a page by their name and their label beside the manifest's."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    labels = [[text for key, text in one.labels.items() if key != "manifest"] for one in samples]
    return {
        (one.name.removeprefix("reconciler_drift_"), *also): one.value
        for one, also in zip(samples, labels, strict=True)
    }


def health(client: httpx.Client) -> tuple[int, Any]:
    answer = client.get("/health")
    return answer.status_code, answer.json()


def test_each_change_of_state_is_a_line_and_the_pages_tell_the_last_look(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(MANIFEST)
    applied = run(aws, "apply", path, "--yes")
    assert applied.code == 0, applied.all

    watch = start(aws, "drift", path, "--watch", "1s", "--listen", "127.0.0.1:0")
    said = re.search(r"http://[^/]+", watch.hears("metrics at"))
    assert said is not None
    with httpx.Client(base_url=said[0], trust_env=False) as client:
        watch.printed("in sync     0 drifted, 0 not applied yet, 2 in sync, 0 unknown")
        assert health(client)[0] == 200
        set_threshold(aws, 80)
        assert "new: changed cluster_settings.ml." in watch.printed("drift       1 drifted")
        found = metrics(client.get("/metrics").text)
        assert (found["objects", "changed"], found["objects", "in_sync"], found["status", "drift"]) == (1, 1, 1)
        code, told = health(client)
        assert (code, told["manifest"], told["status"], told["counts"]["drifted"]) == (200, "watched", "drift", 1)

        path.write_text(MANIFEST.replace("as applied", "as stated since"))
        assert "new: pending iam_roles.watched." in watch.printed("drift       1 drifted, 1 not applied yet")
        set_threshold(aws, 91)
        assert "gone: changed cluster_settings.ml." in watch.printed("pending     0 drifted, 1 not applied yet")

        path.write_text("manifest: watched\nnothing: of this\n")
        assert "[unknown-key]" in watch.printed("error")
        code, told = health(client)
        assert (code, told["status"], told["problems"][0]["code"]) == (503, "error", "unknown-key")
        found = metrics(client.get("/metrics").text)
        assert (found["status", "error"], found["objects", "pending"]) == (1, 1)
        path.write_text(MANIFEST)
        watch.printed("in sync     0 drifted, 0 not applied yet, 2 in sync")
        assert metrics(client.get("/metrics").text)["looks_total", "error"] >= 1
    watch.send(signal.SIGTERM)
    ended = watch.end()
    assert ended.code == 0, ended.all
    assert "SIGTERM came; the watch ended, and nothing was changed" in ended.err
    assert len(ended.out.splitlines()) == 6


def test_events_for_programs_and_what_does_not_go_together(aws: Bed, tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(MANIFEST)
    watch = start(aws, "drift", path, "--watch", "1s", "--json")
    event = json.loads(watch.printed('"event": "state"'))
    assert (event["status"], event["counts"]["drifted"]) == ("pending", 0)
    assert sorted(one["address"] for one in event["new"]) == ["cluster_settings.ml", "iam_roles.watched"]
    watch.send(signal.SIGINT)
    ended = watch.end()
    assert (ended.code, ended.err) == (0, "")

    refused = run(aws, "drift", path, "--watch", "1s", "--html", tmp_path / "page.html")
    assert (refused.code, "--watch goes with the formats" in refused.err) == (1, True)
    path.write_text("manifest: [\n")
    wrong = run(aws, "drift", path, "--watch", "1s")
    assert (wrong.code, wrong.out) == (1, "")
    assert "error[syntax]" in wrong.err
