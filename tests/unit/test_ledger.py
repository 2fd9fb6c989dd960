"""The ledger: what is an empty one and what is an error, and that rows come back as they were written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from reconciler import ledger
from reconciler.canonical.json import Json
from reconciler.ledger import Ledger
from reconciler.ledger import lock as locks
from reconciler.ledger.lock import Holder
from reconciler.model.objects import Address, Row
from reconciler.model.request import Answer, Request, ServiceFailure
from reconciler.model.steps import Call, Failed, Reply, Step, Steps
from reconciler.runner import Flow, Runner
from tests.support.exchange import Fault, WorldExchange, always, once
from tests.support.world import World

ROW = Row(
    address=Address("connectors", "c"),
    manifest="m",
    id="connector-1",
    name="Connector",
    applied={"name": "Connector", "credential": {"key": "${secret.key}"}, "parameters": {"a.b": [1, None]}},
    prior={"users": ["before"]},
    adopted=True,
    depends_on=("iam_roles.r",),
    fingerprints={"key": "00ff"},
    intent={"action": "create", "seen": ["x"]},
    applied_at="2026-01-01T00:00:00Z",
)
BARE = Row(Address("role_mappings", "r.with.dots"), "m")


def runner(world: World, exchange: WorldExchange | None = None) -> Runner:
    return Runner(exchange or WorldExchange(world), jitter=lambda: 0.5)


def created() -> World:
    world = World()
    runner(world).run(ledger.create(Ledger("ledger-1", "cluster-1", "123456789012")))
    return world


def fed(steps: Steps[Ledger], *answers: Answer) -> Ledger:
    """The result of reading when the service says just this."""
    left = iter(answers)
    try:
        step: Step = next(steps)
        while True:
            assert not isinstance(step, Request)
            step = steps.send(Reply((next(left),), 0.0))
    except StopIteration as end:
        found: Ledger = end.value
        return found


def hits(*sources: Json) -> Json:
    return {"hits": {"hits": [{"_source": source} for source in sources]}}


def test_rows_come_back_as_they_were_written() -> None:
    world = created()
    foreign = replace(BARE, manifest="other")
    runner(world).run(ledger.write([ROW, BARE, foreign]))
    found = runner(world).run(ledger.read("m"))
    assert (found.id, found.cluster, found.account) == ("ledger-1", "cluster-1", "123456789012")
    assert found.rows == {ROW.address: ROW, BARE.address: BARE}
    assert found.others == (foreign,)
    runner(world).run(ledger.remove(ROW))
    runner(world).run(ledger.remove(ROW))
    assert runner(world).run(ledger.read("m")).rows == {BARE.address: BARE}


def test_no_index_is_a_first_run() -> None:
    assert runner(World()).run(ledger.read("m")) == Ledger()


def test_more_rows_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    world = created()
    rows = [Row(Address("connectors", f"c{number:02d}"), manifest) for number in range(7) for manifest in ("a", "m")]
    runner(world).run(ledger.write(rows))
    monkeypatch.setattr("reconciler.ledger.rows._PAGE", 4)
    found = runner(world).run(ledger.read("m"))
    assert len(found.rows) == len(found.others) == 7
    assert found.id == "ledger-1"


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.BROKEN_AFTER])
def test_a_refusal_is_no_empty_ledger(fault: Fault) -> None:
    exchange = WorldExchange(created(), faults=always(fault, lambda request: True))
    with pytest.raises(ServiceFailure):
        Runner(exchange).run(ledger.read("m"))


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"hits": None},
        {"hits": {"hits": {}}},
        {"hits": {"hits": ["text"]}},
        {"hits": {"hits": [{}]}},
        {"hits": {"hits": [{"_source": None}]}},
        {"hits": {"hits": []}, "timed_out": True},
        {"hits": {"hits": []}, "_shards": {"failed": 1}},
        hits({"type": "row", "manifest": "m"}),
        hits({"type": "row", "manifest": "m", "address": "no-dot"}),
        hits({"type": "identity", "body": {"version": "text"}}),
        hits({"type": "identity", "body": {"version": None}}),
    ],
)
def test_a_broken_answer_is_no_empty_ledger(body: Json) -> None:
    with pytest.raises(Failed) as caught:
        fed(ledger.read("m"), Answer(200, body))
    assert caught.value.code == "bad-answer"


@pytest.mark.parametrize("reason", ["", "404 page not found", "Not Found"])
def test_a_404_that_does_not_speak_of_the_index_is_no_empty_ledger(reason: str) -> None:
    with pytest.raises(Failed) as caught:
        fed(ledger.read("m"), Answer(404, None, "404", reason))
    assert caught.value.code == "bad-answer"


def test_a_newer_ledger_is_refused() -> None:
    body = hits({"type": "identity", "body": {"version": ledger.VERSION + 1, "id": "x"}})
    with pytest.raises(Failed) as caught:
        fed(ledger.read("m"), Answer(200, body))
    assert caught.value.code == "ledger-newer"


def test_a_row_that_is_not_taken_is_an_error_and_its_neighbours_are_not() -> None:
    world = created()
    bad = replace(BARE, applied_at="")
    exchange = WorldExchange(world)
    steps: Sequence[Flow[str, None]] = [
        Flow("good", ledger.write([ROW])),
        Flow("bad", _unknown_field(bad)),
        Flow("late", ledger.remove(replace(ROW, address=Address("models", "gone")))),
    ]
    outcomes = runner(world, exchange).run_all(steps)
    assert isinstance(outcomes["bad"].error, Failed)
    assert outcomes["bad"].error.code == "ledger-not-writable"
    assert "strict" in outcomes["bad"].error.reason
    assert (outcomes["good"].error, outcomes["late"].error) == (None, None)
    assert len(exchange.log) == 1


def _unknown_field(row: Row) -> Steps[None]:
    """Writing a row with a field the index does not know."""
    steps = ledger.write([row])
    step = next(steps)
    assert isinstance(step, Call)
    (request,) = step.requests
    assert isinstance(request.body, tuple)
    about, document = request.body
    reply = yield Call((replace(request, body=(about, {**document, "surprise": 1})),))
    try:
        steps.send(reply)
    except StopIteration:
        return


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.BROKEN_AFTER])
def test_a_ledger_that_can_not_be_written_is_an_error(fault: Fault) -> None:
    world = created()
    exchange = WorldExchange(world, faults=once(fault, lambda request: request.operation == "POST /_bulk"))
    with pytest.raises(ServiceFailure):
        runner(world, exchange).run(ledger.write([ROW]))


def test_making_it_twice_keeps_the_rows_and_the_first_identity() -> None:
    world = created()
    runner(world).run(ledger.write([ROW]))
    runner(world).run(ledger.create(Ledger("ledger-2", "cluster-1", "123456789012")))
    found = runner(world).run(ledger.read("m"))
    assert ROW.address in found.rows
    assert found.id == "ledger-1"


def test_fingerprints_tell_values_apart_and_nothing_else() -> None:
    known = ledger.fingerprint("secret", "salt")
    assert ledger.fingerprint("Secret", "salt") != known
    assert ledger.fingerprint("secret", "other salt") != known
    assert "secret" not in known


def test_what_an_apply_did_is_kept() -> None:
    world = created()
    body: Mapping[str, Json] = {"changes": []}
    for second in (1, 2):
        runner(world).run(ledger.record("m", f"2026-01-01T00:00:0{second}Z", "me", body))
    kept = [one for one in world.ledger.documents.values() if one["type"] == "history"]
    assert [(one["at"][-3:-1], one["by"], one["body"]) for one in kept] == [("01", "me", body), ("02", "me", body)]


def test_what_an_apply_wrote_a_moment_ago_is_seen_beside_it_and_after_it_was_killed() -> None:
    world = World(search=1.0)
    runner(world).run(ledger.create(Ledger("ledger-1", "cluster-1", "123456789012")))
    holder = Holder("somebody", "2026-01-01T00:00:00Z", "token")
    lock = runner(world).run(locks.acquire("m", holder, 0.0, lambda holder: False))
    runner(world).run(ledger.write([ROW]))
    assert not runner(world).run(ledger.read("m", "token")).rows
    assert not runner(world).run(ledger.read("other")).others
    assert runner(world).run(ledger.read("m")).rows == {ROW.address: ROW}
    runner(world).run(ledger.write([BARE]))
    runner(world).run(locks.release(lock))
    assert runner(world).run(ledger.read("m")).rows == {ROW.address: ROW, BARE.address: BARE}
