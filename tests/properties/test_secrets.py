"""Secrets that change while applies fail: in the end every credential is what the secrets say."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.request import Request
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import manifests, worlds
from tests.support.compare import same
from tests.support.exchange import Fault, Faults, Killed
from tests.support.world import World

VALUES = ("sk-first", "sk-second", "sk-third")
Place: TypeAlias = Callable[[int, Request], bool]
"""Where something goes wrong: asked with each request and its number."""

values = st.sampled_from(VALUES)


def any_request(number: int) -> Place:
    """The request of that number."""
    return lambda ended, request: ended == number


def sending(number: int) -> Place:
    """The request of that number among those that send a credential, and all later ones of them."""
    seen: list[int] = []

    def here(ended: int, request: Request) -> bool:
        if isinstance(request.body, Mapping) and "credential" in request.body:
            seen.append(ended)
        return bool(seen) and seen[-1] == ended and len(seen) > number

    return here


places = st.one_of(st.builds(any_request, st.integers(0, 80)), st.builds(sending, st.integers(0, 2)))


def there(place: Place, fault: Fault) -> Faults:
    """The fault at the place."""
    return lambda ended, request: fault if place(ended, request) else None


def without_models(sections: Sections) -> Sections:
    """The manifest with connectors that nothing uses: they are edited in place."""
    return {kind: objects for kind, objects in sections.items() if kind not in ("models", "agents")}


def versioned(sections: Sections, version: int | None) -> Sections:
    """The manifest with a version of each connector's credential and each user's password."""
    stated = {} if version is None else {"credential_version": version}
    connectors = {name: {**one, **stated} for name, one in sections["connectors"].items()}
    stated = {} if version is None else {"password_version": version}
    users = {name: {**one, **stated} for name, one in sections["internal_users"].items()}
    return {**sections, "connectors": connectors, "internal_users": users}


def credentials(world: World) -> list[str]:
    """Our connectors' credentials and our users' passwords as the services have them."""
    users = world.domain.security.users
    connectors = (
        json.dumps([one["name"], one["credential"]])
        for one in world.domain.connectors.documents.values()
        if one["credential"] != {"key": "theirs"}
    )
    return sorted(
        [*connectors, *(json.dumps([name, one["password"]]) for name, one in users.items() if name != "theirs")]
    )


@worlds_each(40)
@given(
    worlds(),
    st.one_of(manifests(most=2), manifests(most=2).map(without_models)),
    st.lists(
        st.tuples(values, st.sampled_from([None, 1, 2]), places, st.sampled_from(Fault)),
        min_size=1,
        max_size=3,
    ),
    st.tuples(values, st.sampled_from([None, 1, 2])),
    st.integers(0, 2**16),
)
def test_secrets_that_change_between_applies_that_fail(
    world: World,
    sections: Sections,
    failing: list[tuple[str, int | None, Place, Fault]],
    last: tuple[str, int | None],
    seed: int,
) -> None:
    assert outcome(Bench(world, secrets={"key": VALUES[0]}).apply(versioned(sections, None))) == []
    for value, version, place, fault in failing:
        bench = Bench(world, secrets={"key": value})
        with suppress(Killed, Exception):  # while planning, any error ends the command
            bench.apply(versioned(sections, version), faults=there(place, fault), seed=seed)
    value, version = last
    bench = Bench(world, secrets={"key": value})
    same(list(outcome(bench.apply(versioned(sections, version)))), [])
    fresh = World()
    assert outcome(Bench(fresh, secrets={"key": value}).apply(versioned(sections, version))) == []
    assert credentials(world) == credentials(fresh)
    assert actions(bench.plan(versioned(sections, version))) == {}
    stored = json.dumps(world.ledger.documents)
    assert not [one for one in VALUES if one in stored]
