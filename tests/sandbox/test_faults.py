"""Faults of the services in the middle of an apply, on the real node: the next apply ends it, and nothing is twice."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, run, start
from tests.sandbox.small import add_others, is_well, manifest, of_others
from tests.support.campaign import CAMPAIGN

MAPPING = "^(PUT|PATCH) /_plugins/_security/api/rolesmapping"
BULK = "^POST /_bulk"
NEVER = 600.0

pytestmark = pytest.mark.figure("faults in the middle of an apply on the real node")


@pytest.fixture
def bed(self_managed: Bed) -> Iterator[Bed]:
    """A sandbox with objects of somebody else, who has them unchanged in the end, and where all is well then."""
    add_others(self_managed)
    before = of_others(self_managed)
    yield self_managed
    lifecycle.mend(self_managed.name)
    assert of_others(self_managed) == before


Fault = Mapping[str, Any]


def wrong(bed: Bed, *faults: Fault) -> None:
    """Let these things go wrong from now on."""
    for fault in faults:
        lifecycle.add_fault(bed.name, fault)


def silent(match: str) -> tuple[Fault, Fault]:
    """A request that is never answered, nor carried out."""
    about = {"match": match, "times": 1}
    return {"kind": "latency", "seconds": NEVER, **about}, {"kind": "error", **about}


def goes_on(bed: Bed, path: Path) -> None:
    """When all is well again the next apply ends it, without a trace of what went wrong."""
    lifecycle.mend(bed.name)
    applied = run(bed, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    is_well(bed, path, ["theirs"])


PASSING: Mapping[str, Sequence[Fault]] = {
    "throttling": [{"kind": "throttle", "share": 0.2}],
    "reads": [{"kind": "error", "match": "^GET /_plugins", "share": 0.2}],
    "Security plugin": [
        {"kind": "error", "status": 409, "match": MAPPING, "times": 3},
        {"kind": "drop", "match": MAPPING, "times": 1},
    ],
    "ledger": [{"kind": "error", "match": BULK, "times": 2}, {"kind": "drop", "match": BULK, "times": 2}],
    "silence": [*silent("^GET /_plugins/_ml/models/"), *silent(BULK), *silent("^GET /_plugins/_security")],
}
ALL_AT_ONCE = {"all at once": [fault for faults in PASSING.values() for fault in faults]}


@pytest.mark.parametrize("faults", (PASSING if CAMPAIGN else ALL_AT_ONCE).values(), ids=PASSING if CAMPAIGN else None)
def test_what_passes_is_waited_out(bed: Bed, tmp_path: Path, faults: Sequence[Fault]) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong(bed, *faults)
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=2")
    assert applied.code == 0, applied.all
    met = {kind for entry in lifecycle.log(bed.name, 5_000) for kind in str(entry["fault"]).split("+")}
    # What is never answered is in the log when it is over, which may be later.
    assert {fault["kind"] for fault in faults} - {"latency"} <= met
    lifecycle.mend(bed.name)
    is_well(bed, path, ["theirs"])


def test_what_may_have_been_done_is_told_and_looked_up_by_the_next_apply(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong(
        bed,
        {"kind": "drop", "match": "connectors/_create", "times": 1},
        {"kind": "error", "status": 500, "match": "model_groups/_register", "times": 1},
    )
    applied = run(bed, "apply", path, "--yes")
    assert applied.code == 1, applied.all
    assert "error[outcome-unknown]" in applied.err
    assert "error[bad-answer]" in applied.err
    assert "Run the same command again" in applied.out
    goes_on(bed, path)


def test_writes_that_are_answered_never_or_too_late(bed: Bed, tmp_path: Path) -> None:
    """One is never carried out, the other one when nobody waits for it any more."""
    path = manifest(tmp_path, "one", "somebody")
    wrong(bed, *silent("model_groups/_register"))
    wrong(bed, {"kind": "latency", "seconds": 5, "match": "connectors/_create", "times": 1})
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=2")
    assert applied.code == 1, applied.all
    assert applied.err.count("error[outcome-unknown]") == 2, applied.err
    assert "no answer after 2 s" in applied.err
    goes_on(bed, path)


def test_an_endpoint_that_never_answers_at_all(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong(bed, {"kind": "latency", "seconds": NEVER, "on": "domain"}, {"kind": "error", "on": "domain"})
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=1")
    assert (applied.code, "error[unreachable]" in applied.err) == (1, True), applied.all


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["connectors.one", "model_groups.one"] if CAMPAIGN else ["connectors.one"])
def test_the_node_restarts_in_mid_apply(bed: Bed, tmp_path: Path, moment: str) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong(bed, {"kind": "latency", "seconds": 1, "match": "/(connectors/_create|models/_register)", "times": 2})
    apply = start(bed, "apply", path, "--yes")
    apply.hears(moment)
    lifecycle.restart_node(bed.name)
    applied = apply.end()
    assert applied.code in (0, 1), applied.all
    assert "error[internal]" not in applied.err
    goes_on(bed, path)


def test_deployments_that_fail(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    lifecycle.switch(bed.name, {"deploys": {"answer": "error"}})
    applied = run(bed, "apply", path, "--yes")
    assert (applied.code, "error[deploy-failed]" in applied.err) == (1, True), applied.all
    assert "models.one is DEPLOY_FAILED" in applied.err
    goes_on(bed, path)


@pytest.mark.skipif(not CAMPAIGN, reason="takes minutes: see make campaign")
@pytest.mark.timeout(400)
def test_deployments_that_never_end(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    lifecycle.switch(bed.name, {"deploys": {"answer": "stuck"}})
    applied = run(bed, "apply", path, "--yes")
    assert (applied.code, "error[not-in-time]" in applied.err) == (1, True), applied.all
    assert "models.one deployed: not after 120 s (DEPLOYING)" in applied.err
    goes_on(bed, path)


def test_somebody_else_changes_mappings_all_the_time(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    ended = threading.Event()
    statuses: list[int] = []

    def rival() -> None:
        while not ended.is_set():
            about: Any = [{"op": "add", "path": "/description", "value": str(len(statuses))}]
            asked = bed.ask("PATCH", "/_plugins/_security/api/rolesmapping/own_index", by=bed.master, content=about)
            statuses.append(asked.status_code)

    rivals = [threading.Thread(target=rival) for _ in range(2)]
    for one in rivals:
        one.start()
    try:
        applied = run(bed, "apply", path, "--yes")
    finally:
        ended.set()
        for one in rivals:
            one.join()
    assert applied.code == 0, applied.all
    assert len(statuses) > 2
    goes_on(bed, path)


@pytest.mark.skipif(not CAMPAIGN, reason="takes minutes: see make campaign")
@pytest.mark.timeout(400)
def test_one_request_in_five_fails(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong(bed, {"kind": "error", "share": 0.2})
    codes: list[int] = []
    while 0 not in codes and len(codes) < 6:
        codes.append(run(bed, "apply", path, "--yes").code)
    assert 0 in codes
    goes_on(bed, path)


@pytest.mark.timeout(300)
def test_iam_and_searches_that_show_changes_late(aws: Bed) -> None:
    path = MANIFESTS / "deepseek-bedrock.yaml"
    lifecycle.switch(aws.name, {"propagation_delay_s": 2, "stale_reads_s": 2, "stale_search_s": 2})
    try:
        assert (applied := run(aws, "apply", path, "--yes")).code == 0, applied.all
        assert (same := run(aws, "plan", path, "--detailed-exitcode")).code == 0, same.all
        assert (gone := run(aws, "destroy", path, "--yes")).code == 0, gone.all
    finally:
        lifecycle.mend(aws.name)
