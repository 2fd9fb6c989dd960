"""SIGINT and SIGTERM at an apply: what is under way comes to its end, the lock is free, and the next apply goes on."""

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.sandbox.command import run, start
from tests.sandbox.small import ends_well, everything, is_locked, manifest, members, rows

LOCK = "/reconciler-ledger/_doc/lock:one?refresh=true"
HELD = {"type": "lock", "manifest": "one", "at": "2026-01-01T00:00:00Z", "by": "ann", "body": {"token": "t"}}
QUERY = """\
verify:
  queries:
    hello:
      predict:
        model: ${models.one.id}
        body: { parameters: { messages: [ { role: user, content: hello } ] } }
"""

pytestmark = pytest.mark.figure("signals")
both = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def bed(self_managed: Bed) -> Iterator[Bed]:
    """A sandbox where all is well again afterwards."""
    yield self_managed
    lifecycle.mend(self_managed.name)


def slow(bed: Bed, match: str, seconds: float) -> None:
    """Let the requests in which `match` is found be handled later."""
    lifecycle.add_fault(bed.name, {"kind": "latency", "match": match, "seconds": seconds})


def test_what_has_written_goes_on_and_nothing_else_is_begun(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    slow(bed, "^POST /_plugins/_ml/connectors/_create", 2)
    apply = start(bed, "apply", path, "--yes")
    apply.hears("model_groups.one")
    apply.send(signal.SIGTERM)
    apply.hears("Stopping: what is under way comes to its end")
    stopped = apply.end()
    assert stopped.code == 1, stopped.all
    assert "connectors.one" in stopped.err
    assert "models.one" in next(line for line in stopped.out.splitlines() if "not started" in line)
    assert "error[interrupted]" in stopped.err
    assert "run the same command again" in stopped.err
    assert everything(bed) == [["one"], [], ["one"]]
    assert {row["address"] for row in rows(bed)} == {
        "connectors.one",
        "model_groups.one",
        "role_mappings.ml_full_access",
    }
    assert [row["address"] for row in rows(bed) if row["intent"]] == []
    assert not is_locked(bed, "one")
    lifecycle.mend(bed.name)
    ends_well(bed, path)
    assert not is_locked(bed, "one")


def test_the_report_as_json(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    slow(bed, "^POST /_plugins/_ml/connectors/_create", 2)
    apply = start(bed, "apply", path, "--yes", "--json")
    while not is_locked(bed, "one") or "model_groups.one" not in [row["address"] for row in rows(bed)]:
        assert apply.runs
    apply.send(signal.SIGINT)
    stopped = apply.end()
    assert stopped.code == 1, stopped.all
    report = stopped.data
    assert not report["applied"]
    assert [problem["code"] for problem in report["problems"]] == ["interrupted"]
    assert {change["address"]: change["status"] for change in report["changes"]}["models.one"] == "not started"


def test_a_second_signal_leaves_what_a_kill_leaves(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    slow(bed, "^POST /_plugins/_ml/connectors/_create", 2)
    apply = start(bed, "apply", path, "--yes")
    apply.hears("model_groups.one")
    apply.send(signal.SIGINT)
    apply.hears("Stopping")
    apply.send(signal.SIGINT)
    assert apply.end().code == -signal.SIGINT
    lifecycle.mend(bed.name)
    ends_well(bed, path)


@both
def test_while_planning_nothing_is_waited_for(bed: Bed, tmp_path: Path, number: signal.Signals) -> None:
    path = manifest(tmp_path, "one", "somebody")
    slow(bed, "^GET /_plugins", 100)
    lifecycle.add_fault(bed.name, {"kind": "throttle", "match": "^GET /$"})
    plan = start(bed, "plan", path)
    plan.hears("waiting for GET /")
    plan.send(number)
    ended = plan.end()
    assert ended.code == 128 + number
    assert f"error[interrupted] {number.name} came" in ended.err.replace(":", "")
    assert "nothing was changed" in ended.err


def test_while_waiting_for_the_lock(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    assert run(bed, "apply", path, "--yes").code == 0
    path.write_text(path.read_text().replace("a group", "another group"))
    assert bed.ask("PUT", LOCK, by=bed.master, content=HELD).status_code == 201
    apply = start(bed, "apply", path, "--yes", "--lock-timeout", "100")
    apply.hears("waiting for the lock of one: held by ann")
    apply.send(signal.SIGTERM)
    ended = apply.end()
    assert (ended.code, "error[interrupted]" in ended.err) == (143, True), ended.all
    held = bed.ask("GET", LOCK.partition("?")[0], by=bed.master).json()["_source"]
    assert held["by"] == "ann"


def test_at_the_prompt_the_lock_is_given_back(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    assert run(bed, "apply", path, "--yes").code == 0
    path.write_text(path.read_text().replace("a group", "another group"))
    screen, line = pty.openpty()
    apply = start(bed, "apply", path, terminal=line)
    shown = b""
    while b"Only `yes` does" not in shown:
        shown += os.read(screen, 4096)
    assert is_locked(bed, "one")
    apply.send(signal.SIGINT)
    ended = apply.end()
    os.close(screen)
    os.close(line)
    assert ended.code == 130
    assert "error[interrupted]" in ended.err
    assert not is_locked(bed, "one")


def test_while_the_queries_are_asked(bed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    path.write_text(path.read_text() + QUERY)
    lifecycle.steer(bed.name, "api.deepseek.com", "slow", times=None, seconds=50)
    apply = start(bed, "apply", path, "--yes")
    apply.hears("models.one")
    while is_locked(bed, "one"):
        assert apply.runs
    apply.send(signal.SIGINT)
    ended = apply.end()
    assert ended.code == 130, ended.all
    assert "Applied: 4 created" in ended.out
    assert "the test queries were not asked" in ended.err
    assert members(bed) == ["somebody"]
