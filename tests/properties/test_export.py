"""Export over generated worlds: taken over, nothing is to be changed; made anew elsewhere, it is the same."""

import copy
from collections.abc import Mapping
from typing import Any

import hypothesis
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.export.collect import Export
from reconciler.manifest.load import Manifest
from reconciler.manifest.templates import Value
from reconciler.model.objects import Address
from reconciler.plan.decide import Permissions
from reconciler.plan.survey import desired_objects
from reconciler.render.exported import files
from tests.support.bench import Bench, Sections, actions, desired, kinds, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import SECRETS, manifests, worlds
from tests.support.compare import same
from tests.support.domain import DEFAULTS, TRUSTED
from tests.support.exports import export, orphaned, read_back, sections, shuffled
from tests.support.security import LISTS
from tests.support.world import World

HIDDEN = ("credential", "password", "SecretString")
ADOPT = Permissions(adopt_all=True)


def built(world: World, stated: Sections) -> World:
    """The world with everything the manifest states in it, made by nobody that is known."""
    # A URL with a parameter that nothing fills can not be stated, though the service takes it.
    given: Any = stated["connectors"]
    needed = {"model": "m", "service_name": "bedrock", "region": "us-east-1"}
    filled = {name: {**one, "parameters": {**needed, **one.get("parameters", {})}} for name, one in given.items()}
    stated = {**stated, "connectors": filled}
    assert outcome(Bench(world, "builder", secrets=SECRETS).apply(stated)) == []
    world.advance(world.now + 100)
    return orphaned(world)


def owner(world: World, made: Export) -> Bench:
    return Bench(world, secrets={one.name: "filled in" for one in made.secrets})


@worlds_each(30)
@hypothesis.given(worlds(), manifests(), st.integers())
def test_what_is_exported_is_taken_over_and_the_next_plan_is_empty(world: World, stated: Sections, seed: int) -> None:
    world = built(world, stated)
    before = copy.deepcopy(world.state())
    made = export(world)
    texts = files(made)
    same(world.state(), before)
    found = sections(texts)
    assert stating(read_back(texts)) == {address: one.fields for address, one in desired(found).items()}
    bench = owner(world, made)
    assert outcome(bench.apply(found, ADOPT)) == []
    assert actions(bench.plan(found)) == {}
    same(unmarked(world), unmarked_state(before))
    again = shuffled(texts, seed)
    assert stating(read_back(again)) == stating(read_back(texts))
    assert actions(bench.plan(sections(again))) == {}


def stating(manifest: Manifest) -> dict[Address, Mapping[str, Value]]:
    """What a manifest states, wherever it does."""
    return {address: one.fields for address, one in desired_objects(manifest, kinds()).items()}


def unmarked(world: World) -> Json:
    return unmarked_state(world.state())


def unmarked_state(state: Json) -> Json:
    """A state without marks, which who takes over puts there."""
    found = copy.deepcopy(state)
    assert isinstance(found, dict)
    for objects in found.values():
        for one in objects.values() if isinstance(objects, dict) else ():
            if isinstance(one, dict):
                one.pop("marked", None)
    return found


@worlds_each(30)
@hypothesis.given(worlds(), manifests())
def test_what_is_exported_makes_the_same_of_an_empty_world(world: World, stated: Sections) -> None:
    world = built(world, stated)
    # The service goes on with what it would not take any more, another one would not take it.
    world.domain.persistent[TRUSTED] = [*world.domain.setting(TRUSTED), "^https://theirs/.*$"]
    made = export(world)
    fresh = World()
    assert outcome(owner(fresh, made).apply(sections(files(made)))) == []
    same(shown(fresh), shown(world))


def shown(world: World) -> Json:
    """A state without what nobody is shown, and without the default endpoints, which can not be taken away."""
    found = unmarked(world)
    assert isinstance(found, dict)
    for objects in found.values():
        for one in objects.values() if isinstance(objects, dict) else objects:
            for name in HIDDEN if isinstance(one, dict) else ():
                one.pop(name, None)
    templates = kinds()["index_templates"].schema.rule
    found["index_templates"] = {name: templates.canonical(one) for name, one in found["index_templates"].items()}
    # A mapping of nobody, and a trust policy that says nothing, can not be stated.
    found["mappings"] = {
        name: one for name, one in found["mappings"].items() if any(map(one.get, (*LISTS, "description")))
    }
    found["roles"] = {name: one for name, one in found["roles"].items() if one["trust"]["Statement"]}
    settings = {**DEFAULTS, **found["settings"]}
    found["settings"] = {**settings, TRUSTED: sorted({*settings[TRUSTED], *DEFAULTS[TRUSTED]})}
    return found
