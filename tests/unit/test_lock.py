"""Locks: who may have one, who waits, and who takes over from somebody that is gone."""

from collections.abc import Callable

import pytest

from reconciler.ledger import create
from reconciler.ledger.lock import Holder, Lock, acquire, look, release, renew
from reconciler.ledger.rows import Ledger
from reconciler.model.request import Request
from reconciler.model.steps import Failed, NeverHappened
from reconciler.runner import Flow, Runner
from tests.support.exchange import Fault, WorldExchange, nothing, once
from tests.support.world import World

ANN, BOB = (Holder(name, "2026-01-01T00:00:00Z", name, manifest=name) for name in ("ann", "bob"))


def stays(_: Holder) -> bool:
    return False


def bed() -> tuple[World, Runner]:
    world = World()
    runner = Runner(WorldExchange(world), jitter=lambda: 0.5)
    runner.run(create(Ledger(id="l")))
    return world, runner


def locked(request: Request) -> bool:
    return request.operation == "POST /_bulk"


def test_one_has_it_and_the_other_is_told_who() -> None:
    _, runner = bed()
    lock = runner.run(acquire("m", ANN, 0.0, stays))
    with pytest.raises(NeverHappened, match="held by ann since 2026-01-01"):
        runner.run(acquire("m", BOB, 5.0, stays))
    runner.run(release(lock))
    assert runner.run(acquire("m", BOB, 0.0, stays)).holder == BOB


def test_a_lock_that_is_not_renewed_is_taken_over_after_its_lease() -> None:
    world, runner = bed()
    lost = runner.run(acquire("m", ANN, 0.0, stays))
    taken = runner.run(acquire("m", BOB, 60.0, stays, lease=30.0))
    assert taken.holder == BOB
    assert taken.seq_no > lost.seq_no
    assert 30.0 <= world.now < 35.0
    with pytest.raises(Failed, match="taken by somebody else"):
        runner.run(renew(lost))
    runner.run(release(lost))
    seen = runner.run(look("m"))
    assert seen is not None
    assert seen.holder == BOB


def test_a_lock_that_is_renewed_is_not() -> None:
    world, runner = bed()
    held: list[Lock] = [runner.run(acquire("m", ANN, 0.0, stays))]
    keeper = Runner(WorldExchange(world), jitter=lambda: 0.5)

    def renewed(_: Holder) -> bool:
        held.append(keeper.run(renew(held[-1])))
        return False

    with pytest.raises(NeverHappened):
        runner.run(acquire("m", BOB, 60.0, renewed, lease=30.0))
    assert len(held) > 30


def test_of_somebody_who_is_gone_it_is_taken_at_once() -> None:
    world, runner = bed()
    runner.run(acquire("m", ANN, 0.0, stays))
    gone: Callable[[Holder], bool] = ANN.__eq__
    assert runner.run(acquire("m", BOB, 0.0, gone)).holder == BOB
    assert world.now < 1.0


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNAVAILABLE_AFTER])
def test_an_answer_that_is_lost_is_no_other_holder(fault: Fault) -> None:
    world, runner = bed()
    faulty = Runner(WorldExchange(world, faults=once(fault, locked)), jitter=lambda: 0.5)
    lock = faulty.run(acquire("m", ANN, 0.0, stays))
    renewed = Runner(WorldExchange(world, faults=once(fault, locked)), jitter=lambda: 0.5).run(renew(lock))
    assert renewed.holder == ANN
    runner.run(release(renewed))
    assert runner.run(look("m")) is None


def test_locks_that_are_wanted_at_the_same_moment_are_one_request() -> None:
    world, _ = bed()
    exchange = WorldExchange(world, faults=nothing)
    runner = Runner(exchange)
    taken = runner.run_all([Flow(name, acquire(name, ANN, 0.0, stays)) for name in ("a", "b", "c")])
    assert len({outcome.value().seq_no for outcome in taken.values()}) == 3
    assert len(exchange.log) == 1
