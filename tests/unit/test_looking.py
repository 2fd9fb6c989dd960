"""What a search shows as it was a moment ago is looked at again before it is planned."""

import pytest

from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action
from tests.support.domain import TRUSTED
from tests.support.world import World


def models(count: int, description: str) -> Sections:
    return {
        "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
        "connectors": {"c": {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)]}},
        "model_groups": {"g": {}},
        "models": {
            f"m{number}": {
                "connector_id": "${connectors.c.id}",
                "model_group_id": "${model_groups.g.id}",
                "description": description,
            }
            for number in range(count)
        },
    }


@pytest.mark.parametrize("count", [2, 30])
def test_right_after_an_apply_nothing_differs(count: int) -> None:
    world = World(search=1.5, deploy=0.2)
    bench = Bench(world)
    for description in ("one", "two"):
        assert outcome(bench.apply(models(count, description))) == []
        assert actions(bench.plan(models(count, description))) == {}


def looks(bench: Bench) -> int:
    return sum(one.operation == "GET /_plugins/_ml/models/{id}" for one in bench.exchange.log)


def test_what_does_differ_is_planned_and_many_are_read_by_search() -> None:
    world = World(search=1.5)
    bench = Bench(world)
    assert outcome(bench.apply(models(30, "one"))) == []
    world.advance(world.now + 60)
    assert len(actions(bench.plan(models(30, "two")))) == 30
    assert looks(bench) == 0
    world.domain.models.update("model-0001", {"description": "other"}, world.now - 60)
    assert list(actions(bench.plan(models(30, "one")))) == ["models.m0"]
    assert looks(bench) == 1
