"""Test queries on the real node: documents are searched and gone afterwards, whatever happens meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reconciler.sandbox import lifecycle
from reconciler.verify.guard import NEEDED
from tests.sandbox.bed import Bed
from tests.sandbox.command import run, start

MANIFEST = """\
manifest: one
target: { opensearch: { endpoint: "${var.opensearch_endpoint}" } }
variables:
  opensearch_endpoint: { type: string }
ingest_pipelines:
  one-shout: { processors: [{ uppercase: { field: text } }] }
search_pipelines:
  one-first: { response_processors: [{ truncate_hits: { target_size: 1 } }] }
verify:
  documents:
    texts:
      settings: { default_pipeline: one-shout }
      mappings: { properties: { text: { type: text }, day: { type: date } } }
      documents:
        - { text: a cat }
        - { text: a dog, day: "2026-01-31", legs: 4 }
  queries:
    cats:
      search:
        documents: texts
        body: { query: { match: { text: cat } } }
        expect: { json: [{ path: "$.hits.hits[0]._source.text", equals: A CAT }] }
    first:
      search:
        documents: texts
        pipeline: one-first
        body: { query: { match_all: {} } }
        expect: { json: [{ path: "$.hits.total.value", equals: 2 }, { path: "$.hits.hits[1]", exists: false }] }
    root:
      raw:
        path: /
        expect: { contains: opensearch, latency_ms: 60000 }
"""
FAILING = """\
    birds:
      search:
        documents: texts
        body: { query: { match: { text: bird } } }
        expect: { json: [{ path: "$.hits.total.value", equals: 1 }] }
    unknown:
      search: { index: nowhere, expect: { status: 404, contains: no such index } }
"""


@pytest.fixture
def bed(self_managed: Bed) -> Iterator[Bed]:
    """A sandbox where all is well again afterwards."""
    yield self_managed
    lifecycle.mend(self_managed.name)


@pytest.fixture
def path(bed: Bed, tmp_path: Path) -> Path:
    """The manifest, applied but not verified."""
    path = tmp_path / "one.yaml"
    path.write_text(MANIFEST)
    assert run(bed, "apply", path, "--yes", "--no-verify").code == 0
    return path


def temporary(bed: Bed) -> list[str]:
    answer = bed.ask("GET", "/reconciler-verify-*?expand_wildcards=all", by=bed.master)
    return sorted(answer.json())


def test_documents_are_searched_and_gone(bed: Bed, path: Path, tmp_path: Path) -> None:
    verified = run(bed, "verify", path)
    assert verified.code == 0, verified.all
    assert verified.out.splitlines()[-1] == "3 of 3 queries passed."
    assert max(map(len, verified.out.splitlines())) <= 80
    assert temporary(bed) == []

    path.write_text(MANIFEST + FAILING)
    results = tmp_path / "results.xml"
    failed = run(bed, "verify", path, "--json", "--junit", results)
    assert failed.code == 1
    assert {one["name"]: one["passed"] for one in failed.data["queries"]} == {
        "cats": True, "first": True, "root": True, "birds": False, "unknown": True,
    }  # fmt: skip
    (problem,) = failed.data["problems"]
    assert (problem["code"], problem["message"]) == ("query-failed", "$.hits.total.value is 0, not 1")
    whole = ElementTree.parse(results).getroot()  # noqa: S314  (our own)
    assert (whole.get("tests"), whole.get("failures"), whole.get("errors")) == ("5", "1", "0")
    assert temporary(bed) == []

    assert run(bed, "verify", path, "--only", "root", "--only", "cats").code == 0
    unknown = run(bed, "verify", path, "--only", "roots")
    assert (unknown.code, "no query is called roots" in unknown.err) == (1, True)


def test_refused_documents_are_told(bed: Bed, path: Path) -> None:
    path.write_text(MANIFEST.replace("2026-01-31", "someday"))
    failed = run(bed, "verify", path)
    assert failed.code == 1
    assert "error[not-loaded] verify.documents.texts" in failed.err
    assert "document 2: failed to parse field [day] of type [date]" in failed.err
    assert temporary(bed) == []


def test_the_grants_that_are_documented_are_enough(bed: Bed, path: Path) -> None:
    everywhere = {"index_patterns": ["reconciler-verify-*"], "allowed_actions": list(NEEDED.opensearch)}
    ledger = {"index_patterns": ["reconciler-ledger"], "allowed_actions": ["read"]}
    reading = ["cluster:monitor/main", "cluster:admin/ingest/pipeline/get", "cluster:admin/search/pipeline/get"]
    role = {"cluster_permissions": [*reading, "indices:data/write/bulk"], "index_permissions": [everywhere, ledger]}
    env = {"OPENSEARCH_USERNAME": "prover", "OPENSEARCH_PASSWORD": "A-word-0f-passage!"}
    user = {"password": env["OPENSEARCH_PASSWORD"], "opendistro_security_roles": ["prover"]}
    for where, content in (("roles", role), ("internalusers", user)):
        made = bed.ask("PUT", f"/_plugins/_security/api/{where}/prover", by=bed.master, content=content)
        assert made.status_code == 201, made.text
    verified = run(bed, "verify", path, env=env)
    assert verified.code == 0, verified.all


def searching(bed: Bed, path: Path) -> Any:
    """A verify whose searches take their time, once its documents are loaded."""
    lifecycle.add_fault(bed.name, {"kind": "latency", "match": "^POST /reconciler-verify-[^ ]*/_search", "seconds": 4})
    verify = start(bed, "verify", path)
    while not [one for one in temporary(bed) if count(bed, one) == 2]:
        assert verify.runs
    return verify


def count(bed: Bed, index: str) -> int:
    return int(bed.ask("GET", f"/{index}/_count", by=bed.master).json().get("count", 0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_index_go_first(bed: Bed, path: Path, number: signal.Signals) -> None:
    verify = searching(bed, path)
    verify.send(number)
    verify.hears("Stopping")
    ended = verify.end()
    assert ended.code == 128 + number, ended.all
    assert temporary(bed) == []


def test_what_a_kill_left_goes_with_the_next_verify(bed: Bed, path: Path) -> None:
    verify = searching(bed, path)
    verify.send(signal.SIGKILL)
    verify.end()
    (left,) = temporary(bed)
    lifecycle.mend(bed.name)
    others = {"mappings": {"_meta": {"reconciler": {"verify": {"manifest": "two"}}}}}
    for name, content in (("reconciler-verify-one-000000000001", {}), ("reconciler-verify-one-000000000002", others)):
        assert bed.ask("PUT", f"/{name}", by=bed.master, content=content).status_code == 200
    verified = run(bed, "verify", path)
    assert verified.code == 0, verified.all
    assert f"Removed {left}, which an earlier verify left." in verified.err
    assert temporary(bed) == ["reconciler-verify-one-000000000001", "reconciler-verify-one-000000000002"]


def test_what_a_kill_left_goes_with_a_destroy(bed: Bed, path: Path) -> None:
    verify = searching(bed, path)
    verify.send(signal.SIGKILL)
    verify.end()
    assert len(temporary(bed)) == 1
    lifecycle.mend(bed.name)
    destroyed = run(bed, "destroy", path, "--yes")
    assert destroyed.code == 0, destroyed.all
    assert temporary(bed) == []


def test_two_at_once_do_not_disturb_each_other(bed: Bed, path: Path) -> None:
    slow = searching(bed, path)
    lifecycle.mend(bed.name)
    assert run(bed, "verify", path).code == 0
    ended = slow.end()
    assert ended.code == 0, ended.all
    assert temporary(bed) == []
