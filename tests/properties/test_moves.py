"""Addresses that change, with whatever else changes beside them, and a process that may end anywhere."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, outcome
from tests.support.campaign import moments, worlds_each
from tests.support.chains import SECRETS, action, manifests, trust, worlds
from tests.support.compare import same
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, Killed, at
from tests.support.world import World

KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
NAME_FIELDS = {
    "iam_policies": "policy_name",
    "iam_roles": "role_name",
    "indices": "name",
    "connectors": "name",
    "model_groups": "name",
    "models": "name",
}
seeds = st.integers(0, 2**16)


def named(sections: Sections) -> dict[str, Any]:
    """The manifest with every name stated that would follow the address."""
    return {
        kind: {
            name: {**({NAME_FIELDS[kind]: name} if kind in NAME_FIELDS else {}), **fields}
            for name, fields in objects.items()
        }
        for kind, objects in sections.items()
    }


def moved(sections: Sections, moves: Mapping[str, str]) -> Sections:
    """The manifest with its objects at other addresses, and everything that refers to them following."""
    text = json.dumps(sections)
    for old, new in moves.items():
        text = text.replace(f"${{{old}.", f"${{{new}.").replace(f'"{old}"', f'"{new}"')
    found: dict[str, dict[str, Any]] = {}
    for kind, objects in json.loads(text).items():
        for name, fields in objects.items():
            found.setdefault(kind, {})[moves.get(f"{kind}.{name}", f"{kind}.{name}").partition(".")[2]] = fields
    return found


def addresses(sections: Sections) -> list[str]:
    """What may move and stay the same: not what is called by its address alone in the service."""
    movable = {*NAME_FIELDS, "cluster_settings"}
    return [f"{kind}.{name}" for kind, objects in sections.items() for name in objects if kind in movable]


def ids(world: World) -> dict[str, Json]:
    """The ids that the ledger has, by address."""
    return {address: row["id"] for address, row in world.ledger.rows("chain").items()}


def finishes(world: World, sections: Sections, moves: Mapping[str, str], end: World) -> None:
    """The next apply leads to the end of one that was left alone, and nothing was made twice on the way."""
    same(list(outcome(Bench(world, secrets=SECRETS, moved=moves).apply(sections))), [])
    same(world.state(), end.state())
    same(world.rows("chain"), end.rows("chain"))
    assert world.made == end.made
    assert world.intents("chain") == []
    for later in (moves, {}):
        again = Bench(world, secrets=SECRETS, moved=later).plan(sections)
        assert (list(again.work), list(again.problems)) == ([], [])


@st.composite
def changes(draw: st.DrawFn, sections: Sections) -> dict[str, str]:
    """Some of a manifest's objects, each with a new address."""
    some = draw(st.lists(st.sampled_from(addresses(sections)), unique=True, min_size=1))
    return {one: f"{one}-now" for one in some}


@worlds_each(25)
@given(worlds(), manifests(most=2), st.data(), seeds)
def test_what_moves_stays_and_only_the_ledger_is_told(
    world: World, sections: Sections, data: st.DataObject, seed: int
) -> None:
    before = world.state()
    sections = named(sections)
    same(list(outcome(Bench(world, secrets=SECRETS).apply(sections))), [])
    state, made, known = world.state(), dict(world.made), ids(world)
    moves = data.draw(changes(sections))
    bench = Bench(world, secrets=SECRETS, moved=moves)
    same(list(outcome(bench.apply(moved(sections, moves), seed=seed))), [])
    same(world.state(), state)
    assert dict(world.made) == made
    same(ids(world), {moves.get(address, address): one for address, one in known.items()})
    assert {request.operation for request in bench.exchange.writes} == {"POST /_bulk"}
    same(list(outcome(Bench(world, secrets=SECRETS).destroy())), [])
    same(world.state(), before)


@worlds_each(25)
@given(worlds(), manifests(most=1), manifests(most=1), st.data(), seeds)
def test_what_moves_and_is_edited_ends_as_if_it_had_always_been_there(
    world: World, first: Sections, second: Sections, data: st.DataObject, seed: int
) -> None:
    fresh, before = world.copy(), world.state()
    common = [one for one in addresses(first) if one in addresses(second)]
    moves = {one: f"{one}-now" for one in data.draw(st.lists(st.sampled_from(common), unique=True))} if common else {}
    second = moved(second, moves)
    same(list(outcome(Bench(fresh, secrets=SECRETS).apply(second))), [])
    same(list(outcome(Bench(world, secrets=SECRETS).apply(first))), [])
    bench = Bench(world, secrets=SECRETS, moved=moves)
    same(list(outcome(bench.apply(second, seed=seed))), [])
    same(world.state(), fresh.state())
    assert list(bench.plan(second).work) == []
    same(list(outcome(bench.destroy())), [])
    same(world.state(), before)


@worlds_each(20)
@given(worlds(), manifests(most=2), st.booleans(), st.data(), seeds)
def test_killed_while_moving(world: World, sections: Sections, renames: bool, data: st.DataObject, seed: int) -> None:
    sections = sections if renames else named(sections)
    same(list(outcome(Bench(world, secrets=SECRETS).apply(sections))), [])
    moves = data.draw(changes(sections))
    after = moved(sections, moves)
    end = world.copy()
    bench = Bench(end, secrets=SECRETS, moved=moves)
    same(list(outcome(bench.apply(after))), [])
    every = [(number, fault) for number in range(bench.exchange.ended) for fault in KILLS]
    for number, fault in moments(data, every):
        other = world.copy()
        try:
            Bench(other, secrets=SECRETS, moved=moves).apply(after, faults=at({number: fault}), seed=seed)
        except Killed:
            finishes(other, after, moves, end)


SMALL: Sections = {
    "iam_roles": {"signer": {"assume_role_policy_document": trust(CALLER), "tags": {"team": "x"}}},
    "cluster_settings": {"ml": {TRUSTED: ["^https://api1.test/.*$"]}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.signer.arn}"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "credential": {"key": "plain"},
            "sign_as": "${iam_roles.signer.arn}",
            "actions": [action(1)],
        }
    },
    "model_groups": {"g": {}},
    "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}},
}
MOVES = {one: f"{one}-now" for one in addresses(SMALL)}


def situations() -> Iterator[tuple[Sections, Sections]]:
    """Everything moves: under its name, or called by its new address, or changed at the same time."""
    yield named(SMALL), moved(named(SMALL), MOVES)
    yield SMALL, moved(SMALL, MOVES)
    edited = {**named(SMALL), "connectors": {"c": {**named(SMALL)["connectors"]["c"], "description": "edited"}}}
    yield named(SMALL), moved(edited, MOVES)


@pytest.mark.parametrize("fault", KILLS)
@pytest.mark.parametrize(("before", "after"), list(situations()), ids=["addresses", "names", "edited"])
def test_killed_at_every_request_while_everything_moves(before: Sections, after: Sections, fault: Fault) -> None:
    world = World(deploy=0.5)
    assert outcome(Bench(world).apply(before)) == []
    end = world.copy()
    bench = Bench(end, moved=MOVES)
    assert outcome(bench.apply(after)) == []
    for number in range(bench.exchange.ended):
        other = world.copy()
        with pytest.raises(Killed):
            Bench(other, moved=MOVES).apply(after, faults=at({number: fault}))
        finishes(other, after, MOVES, end)
