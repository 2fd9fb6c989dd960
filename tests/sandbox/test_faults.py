"""Faults of the services in the middle of an apply, on the real node: the next apply ends it, and nothing is twice."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, Ran, run, start
from tests.sandbox.small import add_others, ends_well, manifest, of_others
from tests.support.campaign import CAMPAIGN

CREATE = "^POST /_plugins/_ml/(connectors/_create|model_groups/_register|models/_register)"
MAPPING = "^(PUT|PATCH) /_plugins/_security/api/rolesmapping"
BULK = "^POST /_bulk"
NEVER = 600.0


@pytest.fixture
def bed(self_managed: Bed) -> Iterator[Bed]:
    """A sandbox with objects of somebody else, who has them unchanged in the end, and where all is well then."""
    add_others(self_managed)
    before = of_others(self_managed)
    yield self_managed
    lifecycle.mend(self_managed.name)
    assert of_others(self_managed) == before


def fault(bed: Bed, kind: str, **about: Any) -> None:
    lifecycle.add_fault(bed.name, {"kind": kind, **about})


def ends(bed: Bed, path: Path) -> None:
    lifecycle.mend(bed.name)
    ends_well(bed, path, ["theirs"])


Faults = Mapping[str, Any]
PASSING: Mapping[str, Sequence[Faults]] = {
    "throttling": [{"kind": "throttle", "share": 0.3}],
    "reads": [{"kind": "error", "match": "^GET /_plugins", "share": 0.3}],
    "Security plugin": [
        {"kind": "error", "status": 409, "match": MAPPING, "times": 3},
        {"kind": "drop", "match": MAPPING, "times": 1},
    ],
    "ledger": [{"kind": "error", "match": BULK, "times": 2}, {"kind": "drop", "match": BULK, "times": 2}],
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_out(bed: Bed, tmp_path: Path, name: str) -> None:
    path = manifest(tmp_path, "one", "somebody")
    for wrong in PASSING[name]:
        lifecycle.add_fault(bed.name, wrong)
    applied = run(bed, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    met = {entry["fault"] for entry in lifecycle.log(bed.name, 5_000)} - {""}
    assert {wrong["kind"] for wrong in PASSING[name]} <= {kind for kinds in met for kind in str(kinds).split("+")}
    ends(bed, path)


ENDING: Mapping[str, tuple[Faults, str]] = {
    "lost answers of creates": ({"kind": "drop", "match": CREATE, "times": 2}, "error[outcome-unknown]"),
    "creates broken": ({"kind": "error", "status": 500, "match": CREATE, "times": 2}, "error[bad-answer]"),
    "conflicts of creates": ({"kind": "error", "status": 409, "match": CREATE, "times": 2}, "error["),
}


@pytest.mark.parametrize("name", ENDING)
def test_what_may_have_been_done_is_told_and_looked_up_by_the_next_apply(bed: Bed, tmp_path: Path, name: str) -> None:
    path = manifest(tmp_path, "one", "somebody")
    wrong, told = ENDING[name]
    lifecycle.add_fault(bed.name, wrong)
    applied = run(bed, "apply", path, "--yes")
    assert (applied.code, told in applied.err) == (1, True), applied.all
    assert "Run the same command again" in applied.out
    ends(bed, path)


def test_a_create_that_is_never_answered(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    fault(bed, "latency", seconds=NEVER, match="/connectors/_create", times=1)
    fault(bed, "error", match="/connectors/_create", times=1)  # it is never carried out either
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=2")
    assert (applied.code, "no answer after 2 s" in applied.err) == (1, True), applied.all
    assert "error[outcome-unknown]" in applied.err
    ends(bed, path)


def test_a_create_that_is_carried_out_after_nobody_waits_for_it_any_more(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    fault(bed, "latency", seconds=5, match="/connectors/_create", times=1)
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=2")
    assert (applied.code, "error[outcome-unknown]" in applied.err) == (1, True), applied.all
    ends(bed, path)


def test_reads_and_entries_in_the_ledger_that_are_not_answered_are_asked_again(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    for match in ("^GET /_plugins/_ml/models/", BULK, "^GET /_plugins/_security"):
        fault(bed, "latency", seconds=NEVER, match=match, times=1)
        fault(bed, "error", match=match, times=1)
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=2")
    assert applied.code == 0, applied.all
    ends(bed, path)


def test_an_endpoint_that_never_answers_at_all(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    fault(bed, "latency", seconds=NEVER, on="domain")
    fault(bed, "error", on="domain")
    applied = run(bed, "apply", path, "--yes", "--var", "timeout=1")
    assert (applied.code, "error[unreachable]" in applied.err) == (1, True), applied.all


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["connectors.one", "model_groups.one"] if CAMPAIGN else ["connectors.one"])
def test_the_node_restarts_in_mid_apply(bed: Bed, tmp_path: Path, moment: str) -> None:
    path = manifest(tmp_path, "one", "somebody")
    fault(bed, "latency", seconds=1, match="/(connectors/_create|models/_register)", times=2)
    apply = start(bed, "apply", path, "--yes")
    apply.hears(moment)
    lifecycle.restart_node(bed.name)
    applied = apply.end()
    assert applied.code in (0, 1), applied.all
    assert "error[internal]" not in applied.err
    ends(bed, path)


def test_deployments_that_fail(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    lifecycle.switch(bed.name, {"deploys": {"answer": "error"}})
    applied = run(bed, "apply", path, "--yes")
    assert (applied.code, "error[deploy-failed]" in applied.err) == (1, True), applied.all
    assert "models.one is DEPLOY_FAILED" in applied.err
    lifecycle.switch(bed.name, {"deploys": {"answer": "error", "times": 1}})
    again = run(bed, "apply", path, "--yes")
    assert again.code == 0, again.all
    ends(bed, path)


@pytest.mark.skipif(not CAMPAIGN, reason="takes minutes: see make campaign")
@pytest.mark.timeout(400)
def test_deployments_that_never_end(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    lifecycle.switch(bed.name, {"deploys": {"answer": "stuck"}})
    applied = run(bed, "apply", path, "--yes")
    assert (applied.code, "error[not-in-time]" in applied.err) == (1, True), applied.all
    assert "models.one deployed: not after 120 s (DEPLOYING)" in applied.err
    ends(bed, path)


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
    ends(bed, path)


def again(command: Callable[[], Ran], most: int) -> Ran:
    """Run a command until it succeeds."""
    ran = command()
    for _ in range(most):
        if ran.code == 0:
            break
        ran = command()
    return ran


def test_one_request_in_five_fails(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    fault(bed, "error", share=0.2)
    applied = again(lambda: run(bed, "apply", path, "--yes"), 5)
    assert applied.code == 0, applied.all
    ends(bed, path)


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
