"""A process that ends anywhere: the next apply finishes the work, makes nothing twice and leaves nothing behind."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.execute import Report
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.campaign import moments, worlds_each
from tests.support.chains import SECRETS, action, beside_a_chain, manifests, small_manifests, trust, worlds
from tests.support.compare import same
from tests.support.exchange import Fault, Killed, at
from tests.support.world import World

KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
PASSING = (
    Fault.LOST_BEFORE,
    Fault.LOST_AFTER,
    Fault.REFUSED,
    Fault.THROTTLED,
    Fault.UNAVAILABLE_BEFORE,
    Fault.UNAVAILABLE_AFTER,
    Fault.BROKEN_AFTER,
    Fault.CONFLICT,
    Fault.FORBIDDEN,
)
seeds = st.integers(0, 2**16)


@dataclass(frozen=True)
class End:
    """How a world looks when an apply was left alone: what there is, the ledger's rows, what was made, the requests."""

    state: Json
    rows: Json
    made: dict[str, int]
    requests: int


def undisturbed(world: World, sections: Sections, seed: int | None = None) -> End:
    other = world.copy()
    bench = Bench(other, secrets=SECRETS)
    same(list(outcome(bench.apply(sections, seed=seed))), [])
    return End(other.state(), other.rows("chain"), dict(other.made), bench.exchange.ended)


def killed(world: World, sections: Sections, number: int, fault: Fault, seed: int | None = None) -> bool:
    """Apply and be killed at a request; false when the apply had fewer requests."""
    try:
        Bench(world, secrets=SECRETS).apply(sections, faults=at({number: fault}), seed=seed)
    except Killed:
        return True
    return False


def finishes(world: World, sections: Sections, end: End) -> None:
    """The next apply leads to the end of one that was left alone, and nothing was made twice on the way."""
    bench = Bench(world, secrets=SECRETS)
    same(list(outcome(bench.apply(sections))), [])
    same(world.state(), end.state)
    same(world.rows("chain"), end.rows)
    assert dict(world.made) == end.made
    assert world.intents("chain") == []
    assert actions(bench.plan(sections)) == {}


def boundaries(end: End) -> list[tuple[int, Fault]]:
    """Where an apply may be killed."""
    return [(number, fault) for number in range(end.requests) for fault in KILLS]


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_killed_at_any_request_of_an_apply(world: World, sections: Sections, data: st.DataObject, seed: int) -> None:
    end = undisturbed(world, sections)
    for number, fault in moments(data, boundaries(end)):
        other = world.copy()
        killed(other, sections, number, fault, seed)
        finishes(other, sections, end)


@worlds_each(30)
@given(worlds(), st.none() | small_manifests(), small_manifests(), seeds)
def test_killed_at_every_request(world: World, first: Sections | None, sections: Sections, seed: int) -> None:
    """All moments of a small apply, of a first one and of one that changes what another made."""
    if first is not None:
        same(list(outcome(Bench(world, secrets=SECRETS).apply(first))), [])
    end = undisturbed(world, sections, seed)
    for number, fault in boundaries(end):
        other = world.copy()
        assert killed(other, sections, number, fault, seed), (number, fault)
        finishes(other, sections, end)


def edited(sections: Sections, change: Json) -> dict[str, Any]:
    """The manifest with its first connector changed."""
    ((name, connector), *others) = sections["connectors"].items()
    return {**sections, "connectors": {name: {**connector, **change}, **dict(others)}}  # type: ignore[dict-item]


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_killed_at_any_request_of_a_replacement(
    world: World, sections: Sections, data: st.DataObject, seed: int
) -> None:
    assert outcome(Bench(world, secrets=SECRETS).apply(sections)) == []
    changed = edited(sections, {"description": "changed under a model"})
    end = undisturbed(world, changed)
    assert end.made["connectors"] == world.made["connectors"] + 1
    for number, fault in moments(data, boundaries(end)):
        other = world.copy()
        killed(other, changed, number, fault, seed)
        finishes(other, changed, end)


@worlds_each(30)
@given(worlds(), manifests(most=1), manifests(most=1), st.data(), seeds)
def test_killed_and_then_edited(
    world: World, first: Sections, second: Sections, data: st.DataObject, seed: int
) -> None:
    fresh = world.copy()
    assert outcome(Bench(fresh, secrets=SECRETS).apply(second)) == []
    killed(world, first, data.draw(st.integers(0, 120)), data.draw(st.sampled_from(KILLS)), seed)
    world.now += 5  # what the service was at is done
    same(list(outcome(Bench(world, secrets=SECRETS).apply(second))), [])
    same(world.state(), fresh.state())
    assert world.intents("chain") == []


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_killed_and_then_destroyed(world: World, sections: Sections, data: st.DataObject, seed: int) -> None:
    before = world.state()
    number = data.draw(st.integers(0, 120))
    killed(world, sections, number, data.draw(st.sampled_from(KILLS)), seed)
    assert outcome(Bench(world, secrets=SECRETS).destroy()) == []
    same(world.state(), before)
    assert world.rows("chain") == {}


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_one_request_that_goes_wrong(world: World, sections: Sections, data: st.DataObject, seed: int) -> None:
    end = undisturbed(world, sections)
    number = data.draw(st.integers(0, end.requests - 1))
    fault = data.draw(st.sampled_from(PASSING))
    try:
        report: Report | None = Bench(world, secrets=SECRETS).apply(sections, faults=at({number: fault}), seed=seed)
    except Exception:  # while planning, any error ends the command
        report = None
    if report is not None and report.succeeded:
        same(world.state(), end.state)
    finishes(world, sections, end)


SMALL: Sections = {
    "iam_roles": {"signer": {"assume_role_policy_document": trust(CALLER), "tags": {"team": "x"}}},
    "cluster_settings": {"ml": {"plugins.ml_commons.trusted_connector_endpoints_regex": ["^https://api1.test/.*$"]}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.signer.arn}"]}, "asks": {"users": ["ann"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "credential": {"key": "plain"},
            "sign_as": "${iam_roles.signer.arn}",
            "actions": [action(1)],
        }
    },
    **beside_a_chain("m"),
    "model_groups": {"g": {}},
    "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}},
}


@worlds_each(30)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_killed_and_carried_out_late(world: World, sections: Sections, data: st.DataObject, seed: int) -> None:
    changed = edited(sections, {"description": "changed under a model"})
    for wanted in (sections, changed, {}):
        end = undisturbed(world, wanted)
        number = data.draw(st.integers(0, end.requests - 1))
        killed(world, wanted, number, Fault.KILLED_LATE, seed)
        Bench(world, secrets=SECRETS).apply(wanted)
        world.advance(world.now + 30)
        finishes(world, wanted, end)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_a_killed_apply_had_under_way_comes_late(seed: int | None) -> None:
    """A service goes on with a request whose sender is gone; what it makes is not made a second time."""
    world = World(deploy=0.5)
    end = undisturbed(world, SMALL)
    for number in range(end.requests):
        other = world.copy()
        killed(other, SMALL, number, Fault.KILLED_LATE, seed)
        report = Bench(other).apply(SMALL)
        other.advance(other.now + 30)
        assert outcome(report) == []
        finishes(other, SMALL, end)


@pytest.mark.parametrize("fault", KILLS)
def test_killed_at_every_request_of_a_small_apply(fault: Fault) -> None:
    world = World(deploy=0.5)
    end = undisturbed(world, SMALL)
    for number in range(end.requests):
        other = world.copy()
        assert killed(other, SMALL, number, fault), number
        finishes(other, SMALL, end)


@pytest.mark.parametrize("fault", KILLS)
def test_killed_at_every_request_of_a_small_replacement(fault: Fault) -> None:
    world = World(deploy=0.5, search=0.5)
    assert outcome(Bench(world).apply(SMALL)) == []
    changed = edited(SMALL, {"parameters": {"model": "b"}})
    end = undisturbed(world, changed)
    for number in range(end.requests):
        other = world.copy()
        assert killed(other, changed, number, fault), number
        finishes(other, changed, end)


@pytest.mark.parametrize("fault", KILLS)
def test_killed_at_every_request_of_a_small_destroy(fault: Fault) -> None:
    world = World(deploy=0.5)
    before = world.state()
    assert outcome(Bench(world).apply(SMALL)) == []
    end = undisturbed(world, {})
    for number in range(end.requests):
        other = world.copy()
        assert killed(other, {}, number, fault), number
        finishes(other, {}, end)
        same(other.state(), before)
