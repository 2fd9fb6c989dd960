"""Agents and what they refer to, made anew in an order in which nobody ever refers to nothing."""

import json
import re
from collections.abc import Callable

import pytest

from reconciler.canonical.json import Json
from reconciler.model.change import Action
from reconciler.model.request import Request
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.chains import action
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault
from tests.support.world import World

_ID = re.compile(r"\b(?:model|agent)-\d{4}\b")


def asking(target: str, kind: str = "MLModelTool", key: str = "model_id") -> dict[str, Json]:
    return {"type": "flow", "tools": [{"type": kind, "parameters": {key: target}}]}


def chain(group: str = "one", prompt: str = "x") -> Sections:
    """A model, an agent that asks it, one that asks the agent, and a pipeline that asks that one."""
    return {
        "cluster_settings": {"ml": {TRUSTED: ["^https://api1.test/.*$"]}},
        "connectors": {"c": {"protocol": "http", "credential": {"key": "k"}, "actions": [action(1)]}},
        "model_groups": {"one": {}, "two": {}},
        "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": f"${{model_groups.{group}.id}}"}},
        "agents": {
            "inner": {**asking("${models.m.id}"), "description": prompt},
            "outer": asking("${agents.inner.id}", "AgentTool", "agent_id"),
        },
        "search_pipelines": {
            "p": {"request_processors": [{"agentic_query_translator": {"agent_id": "${agents.outer.id}"}}]}
        },
    }


def dangling(world: World) -> set[str]:
    """The ids of models and agents that agents and pipelines refer to, and that are not there."""
    domain = world.domain
    referring = [*domain.agents.documents.values(), *domain.cluster.search_pipelines.values()]
    there = domain.models.documents.keys() | domain.agents.documents.keys()
    return {one for document in referring for one in _ID.findall(json.dumps(document))} - there


def watching(world: World, seen: list[set[str]]) -> Callable[[int, Request], Fault | None]:
    def look(_number: int, _request: Request) -> None:
        seen.append(dangling(world))

    return look


@pytest.mark.parametrize("version", ["2.19.4", "3.4.0"])
@pytest.mark.parametrize("seed", [None, *range(8)])
@pytest.mark.parametrize("change", [chain(group="two"), chain(prompt="y"), chain("two", "y")])
def test_nothing_ever_refers_to_what_is_not_there(change: Sections, seed: int | None, version: str) -> None:
    world, seen = World(deploy=0.5), list[set[str]]()
    world.domain.version = version
    bench = Bench(world)
    assert outcome(bench.apply(chain())) == []
    report = bench.apply(change, seed=seed, faults=watching(world, seen))
    assert outcome(report) == []
    assert set().union(*seen) | dangling(world) == set()
    assert actions(bench.plan(change)) == {}
    assert (len(world.domain.agents.documents), len(world.domain.models.documents)) == (2, 1)
    assert outcome(bench.destroy(seed=seed)) == []
    assert world.domain.agents.documents == {}


def test_before_3_1_agents_are_made_anew_and_since_then_changed() -> None:
    for version, expected in (("2.19.4", Action.REPLACE), ("3.0.0", Action.REPLACE), ("3.1.0", Action.UPDATE)):
        world = World()
        world.domain.version = version
        bench = Bench(world)
        assert outcome(bench.apply(chain())) == []
        assert actions(bench.plan(chain(prompt="y")))["agents.inner"] is expected
