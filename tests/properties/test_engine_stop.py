"""An apply that is asked to stop: what wrote something is carried to its end, the rest was never begun."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.execute import Report, Status
from reconciler.model.request import Request
from reconciler.model.steps import Stopped
from tests.properties.test_engine_crash import SMALL, End, edited, finishes, seeds, undisturbed
from tests.support.bench import Bench, Sections, outcome
from tests.support.campaign import moments, worlds_each
from tests.support.chains import SECRETS, manifests, worlds
from tests.support.exchange import Fault
from tests.support.world import World


def stopped(world: World, sections: Sections, moment: int, seed: int | None = None) -> Report | None:
    """Apply, and be asked to stop when the request of that number ends; None when nothing was begun by then."""
    bench = Bench(world, secrets=SECRETS)

    def ask(number: int, _: Request) -> Fault | None:
        if number == moment:
            bench.runner.stop()
        return None

    try:
        return bench.apply(sections, faults=ask, seed=seed)
    except Stopped:
        return None


def stops_well(world: World, sections: Sections, end: End, moment: int, seed: int | None = None) -> None:
    before = world.copy()
    report = stopped(world, sections, moment, seed)
    if report is None:
        assert world.state() == before.state()
    else:
        # In another order there may be fewer requests.
        assert report.stopped or seed is not None
        assert [one.error for one in report.results if one.status is Status.FAILED] == []
        idle = {str(one.change.address) for one in report.results if one.status is Status.NOT_STARTED}
        rows, were = world.ledger.rows("chain"), before.ledger.rows("chain")
        assert {address: rows.get(address) for address in idle} == {address: were.get(address) for address in idle}
        assert all(rows[address]["intent"]["action"] == "clean-up" for address in world.intents("chain"))
    finishes(world, sections, end)


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_stopped_at_any_request_of_an_apply(world: World, sections: Sections, data: st.DataObject, seed: int) -> None:
    end = undisturbed(world, sections)
    for moment in moments(data, range(end.requests - 1)):
        stops_well(world.copy(), sections, end, moment, seed)


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_stopped_at_any_request_of_a_replacement(
    world: World, sections: Sections, data: st.DataObject, seed: int
) -> None:
    assert outcome(Bench(world, secrets=SECRETS).apply(sections)) == []
    changed = edited(sections, {"description": "changed under a model"})
    end = undisturbed(world, changed)
    for moment in moments(data, range(end.requests - 1)):
        stops_well(world.copy(), changed, end, moment, seed)


def test_stopped_at_every_request_of_a_small_apply() -> None:
    world = World(deploy=0.5, settling=3.0)
    end = undisturbed(world, SMALL)
    for moment in range(end.requests - 1):  # the last one is the history
        stops_well(world.copy(), SMALL, end, moment)


def test_stopped_at_every_request_of_a_small_replacement() -> None:
    world = World(deploy=0.5, search=0.5)
    assert outcome(Bench(world, secrets=SECRETS).apply(SMALL)) == []
    changed = edited(SMALL, {"parameters": {"model": "b"}})
    end = undisturbed(world, changed)
    for moment in range(end.requests - 1):  # the last one is the history
        stops_well(world.copy(), changed, end, moment)


def test_stopped_at_every_request_of_a_small_destroy() -> None:
    world = World(deploy=0.5)
    assert outcome(Bench(world, secrets=SECRETS).apply(SMALL)) == []
    end = undisturbed(world, {})
    for moment in range(end.requests - 1):  # the last one is the history
        stops_well(world.copy(), {}, end, moment)
