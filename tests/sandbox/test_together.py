"""Two applies at once, a killed one, and what stands in the ledger: on the sandbox's real node."""

import json
import signal
from pathlib import Path

import pytest

from reconciler import ledger
from reconciler.model.objects import Address, Row
from reconciler.model.request import Answer
from reconciler.model.steps import Call, Failed, Reply
from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.sandbox.command import run, start
from tests.sandbox.small import ends_well, everything, is_locked, manifest, members, rows
from tests.support.campaign import KILLS, RACES, SHARED


@pytest.mark.figure("two applies of one manifest at once")
@pytest.mark.parametrize("_", range(RACES))
def test_two_applies_of_one_manifest_make_everything_once(self_managed: Bed, tmp_path: Path, _: int) -> None:
    path = manifest(tmp_path, "one", "somebody")
    both = [start(self_managed, "apply", path, "--yes", "--lock-timeout", "120") for _ in range(2)]
    results = [one.end() for one in both]
    assert [one.code for one in results] == [0, 0], "\n".join(one.all for one in results)
    assert everything(self_managed) == [["one"]] * 3
    assert not is_locked(self_managed, "one")


@pytest.mark.figure("two manifests that share ml_full_access at once")
@pytest.mark.parametrize("_", range(SHARED))
def test_two_manifests_share_a_mapping(self_managed: Bed, tmp_path: Path, _: int) -> None:
    paths = {name: manifest(tmp_path, name, user) for name, user in (("one", "ann"), ("two", "bob"))}
    results = [one.end() for one in [start(self_managed, "apply", path, "--yes") for path in paths.values()]]
    assert [one.code for one in results] == [0, 0], "\n".join(one.all for one in results)
    assert members(self_managed) == ["ann", "bob"]
    assert run(self_managed, "destroy", paths["one"], "--yes").code == 0
    assert members(self_managed) == ["bob"]
    assert run(self_managed, "destroy", paths["two"], "--yes").code == 0
    assert members(self_managed) is None


def test_models_of_one_group_are_made_at_once(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    text = path.read_text()
    head, model = text[: text.index("  one:\n    connector_id")], text[text.index("  one:\n    connector_id") :]
    path.write_text(head + "".join(model.replace("  one:", f"  m{number}:", 1) for number in range(8)))
    applied = run(self_managed, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    assert everything(self_managed) == [["one"], [f"m{number}" for number in range(8)], ["one"]]


def test_who_does_not_wait_is_told_who_holds_the_lock(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "one", "somebody")
    assert run(self_managed, "apply", path, "--yes").code == 0
    held = {"type": "lock", "manifest": "one", "at": "2026-01-01T00:00:00Z", "by": "ann", "body": {"token": "t"}}
    lock = "/reconciler-ledger/_doc/lock:one?refresh=true"
    assert self_managed.ask("PUT", lock, by=self_managed.master, content=held).status_code == 201
    refused = run(self_managed, "destroy", path, "--yes")
    assert (refused.code, "error[locked]" in refused.err, "held by ann" in refused.err) == (1, True, True)
    assert "is free" in run(self_managed, "unlock", path, "--yes").out
    assert run(self_managed, "destroy", path, "--yes").code == 0


def test_what_an_earlier_holder_of_the_lock_writes_late_is_refused(self_managed: Bed, tmp_path: Path) -> None:
    for user in ("ann", "bob"):
        run(self_managed, "apply", manifest(tmp_path, "one", user), "--yes")
    before = rows(self_managed)
    row = Row(Address("role_mappings", "ml_full_access"), "one", name="late")
    for steps in (ledger.write([row], fence=1), ledger.remove(row, fence=1)):
        step = next(steps)
        assert isinstance(step, Call)
        (request,) = step.requests
        assert isinstance(request.body, tuple)
        assert request.combine is not None
        assert request.combine.digest is not None
        lines = "".join(json.dumps(line) + "\n" for line in request.body)
        answer = self_managed.ask("POST", "/_bulk?refresh=true", by=self_managed.master, content=lines)
        (item,) = (one for item in answer.json()["items"] for one in item.values())
        assert item["status"] == 409
        with pytest.raises(Failed, match="a later apply"):
            steps.send(Reply((Answer(200, request.combine.digest(answer.json())),), 0.0))
    assert rows(self_managed) == before


@pytest.fixture(scope="module")
def length(self_managed_sandbox: Bed, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many requests an apply takes that is left alone."""
    lifecycle.reset(self_managed_sandbox.name)
    path = manifest(tmp_path_factory.mktemp("length"), "one", "somebody")
    assert run(self_managed_sandbox, "apply", path, "--yes").code == 0
    return answered(self_managed_sandbox)


def answered(bed: Bed) -> int:
    """How many requests the sandbox has answered since its reset."""
    return len(lifecycle.log(bed.name, 5_000))


@pytest.mark.figure("SIGKILL at another moment of an apply")
@pytest.mark.parametrize("moment", range(KILLS))
def test_after_a_kill_the_next_apply_finishes(self_managed: Bed, tmp_path: Path, length: int, moment: int) -> None:
    """Killed once so many requests are answered: each kill at another moment of the apply."""
    path = manifest(tmp_path, "one", "somebody")
    killed = start(self_managed, "apply", path, "--yes")
    while killed.runs and answered(self_managed) < length * (moment + 1) // (KILLS + 1):
        pass
    killed.send(signal.SIGKILL)
    killed.end()
    ends_well(self_managed, path)
