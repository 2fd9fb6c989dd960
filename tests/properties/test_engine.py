"""The engine over generated manifests and worlds: apply, plan, destroy, drift and edits come out as promised."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import SECRETS, manifests, worlds
from tests.support.compare import same
from tests.support.world import World


def bench(world: World) -> Bench:
    return Bench(world, secrets=SECRETS)


def applied(world: World, sections: Sections, *, seed: int | None = None) -> Bench:
    owner = bench(world)
    report = owner.apply(sections, seed=seed)
    assert outcome(report) == []
    assert report.succeeded
    return owner


@worlds_each(30)
@given(worlds(), manifests())
def test_nothing_is_left_to_do_after_an_apply(world: World, sections: Sections) -> None:
    owner = applied(world, sections)
    plan = owner.plan(sections)
    assert (actions(plan), [change.address for change in plan.work]) == ({}, [])
    report = owner.apply(sections)
    assert report.results == ()
    assert owner.exchange.writes == []
    assert world.intents("chain") == []


@worlds_each(30)
@given(worlds(), manifests(), st.integers(0, 2**16))
def test_every_order_of_completion_ends_in_the_same_world(world: World, sections: Sections, seed: int) -> None:
    other = world.copy()
    applied(world, sections)
    applied(other, sections, seed=seed)
    same(other.state(), world.state())
    same(other.rows("chain"), world.rows("chain"))
    assert other.made == world.made


@worlds_each(30)
@given(worlds(), manifests(), st.integers(0, 2**16))
def test_destroy_leaves_what_was_there_before(world: World, sections: Sections, seed: int) -> None:
    before = world.state()
    owner = applied(world, sections)
    assert outcome(owner.destroy(seed=seed)) == []
    same(world.state(), before)
    assert world.rows("chain") == {}
    assert actions(owner.plan({})) == {}
