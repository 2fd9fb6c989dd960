"""A connector that is edited although models use it."""

from typing import Any

import pytest

from reconciler.model.change import Action
from reconciler.model.request import Request
from reconciler.model.steps import NeverHappened
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, Killed, at
from tests.support.world import World


def chain(**fields: Any) -> Sections:
    connector = {
        "protocol": "http",
        "credential": {"key": "x"},
        "actions": [action(1)],
        "update_strategy": "in_place",
        **fields,
    }
    return {
        "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
        "connectors": {"c": connector},
        "model_groups": {"g": {}},
        "models": {
            name: {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"} for name in "mn"
        },
    }


def applied(**options: Any) -> World:
    world = World(**options)
    assert outcome(Bench(world).apply(chain())) == []
    return world


def states(world: World) -> list[str]:
    return [model["model_state"] for model in world.domain.models.documents.values()]


def test_it_keeps_its_id_and_the_models_are_deployed_again() -> None:
    world = applied(deploy=1.0, search=0.5)
    bench = Bench(world)
    plan = bench.plan(chain(description="new"))
    (change,) = plan.pending
    assert (str(change.address), change.action) == ("connectors.c", Action.UPDATE)
    assert change.disruption == "edited in place: what uses it does not answer meanwhile"
    made = dict(world.made)
    assert outcome(bench.apply(chain(description="new"))) == []
    (connector,) = world.domain.connectors.documents.values()
    assert (connector["description"], states(world), dict(world.made)) == ("new", ["DEPLOYED"] * 2, made)
    assert actions(bench.plan(chain(description="new"))) == {}


def test_what_can_not_be_changed_in_place_is_replaced() -> None:
    world = applied()
    plan = Bench(world).plan(chain(protocol="aws_sigv4"))
    assert actions(plan)["connectors.c"] is Action.REPLACE


def test_models_of_others_are_left_alone() -> None:
    world = applied()
    ((one, connector),) = world.domain.connectors.documents.items()
    body: Any = {"name": "theirs", "connector_id": one}
    world.domain.answer("POST", "/_plugins/_ml/models/_register", {"deploy": "true"}, body, None, world.now)
    (failed,) = outcome(Bench(world).apply(chain(description="new")))
    assert "models that are not of this manifest use it: model-0003" in failed
    assert (world.domain.connectors.documents[one], states(world)) == (connector, ["DEPLOYED"] * 3)


def test_where_predictions_deploy_the_models_again_at_once_it_is_given_up() -> None:
    world = applied()

    def asked(_number: int, _request: Request) -> None:
        for model in world.domain.models.documents.values():
            model["model_state"] = "DEPLOYED"

    report = Bench(world).apply(chain(description="new"), faults=asked)
    (failed,) = [one for one in report.results if one.error]
    assert isinstance(failed.error, NeverHappened)
    assert "connectors.c changeable: not after 60 s (2 models are still using this connector" in str(failed.error)
    assert states(world) == ["DEPLOYED"] * 2
    assert outcome(Bench(world).apply(chain(description="new"))) == []


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
def test_killed_at_any_request_the_next_apply_finishes(fault: Fault) -> None:
    before, wanted = applied(deploy=0.5), chain(description="new")
    undisturbed = Bench(before.copy())
    assert outcome(undisturbed.apply(wanted)) == []
    for number in range(undisturbed.exchange.ended):
        world = before.copy()
        with pytest.raises(Killed):
            Bench(world).apply(wanted, faults=at({number: fault}))
        world.now += 5
        assert outcome(Bench(world).apply(wanted)) == [], number
        assert world.state() == undisturbed.world.state()
        assert world.intents("chain") == []
