"""A connector in use is replaced by one that was proved to work, by a model that is made for it and removed again."""

from collections.abc import Mapping
from contextlib import suppress

import pytest

from reconciler.canonical.json import Json
from reconciler.errors import Position
from reconciler.execute import Status, calls
from reconciler.manifest.load import Query
from reconciler.model.kind import NotProved
from reconciler.model.request import Request, Service
from tests.support.bench import Bench, Sections, actions, outcome, templated
from tests.support.chains import action
from tests.support.compare import same
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, Killed, at, once
from tests.support.world import World

QUESTION: Json = {"parameters": {"messages": [{"role": "user", "content": "hello"}]}}
KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_LATE)


def query(name: str, expect: Json = None) -> Query:
    body = {"model": templated("${models.m.id}"), "body": QUESTION, "expect": expect or {}}
    return Query(name, "predict", body, Position("m.yaml", 1, 1))


def chain(parameters: Mapping[str, Json]) -> Sections:
    connector: Mapping[str, Json] = {
        "protocol": "http",
        "credential": {"key": "x"},
        "actions": [action(1)],
        "parameters": parameters,
    }
    return {
        "cluster_settings": {"s": {TRUSTED: [r"^https://api1\.test/.*$"]}},
        "connectors": {"c": connector},
        "model_groups": {"g": {}},
        "models": {"m": {"connector_id": "${connectors.c.id}", "model_group_id": "${model_groups.g.id}"}},
    }


def applied() -> Bench:
    bench = Bench(World(deploy=0.5, search=0.5), queries=[query("refused", {"status": 400}), query("asked")])
    assert outcome(bench.apply(chain({"model": "a"}))) == []
    return bench


def predictions(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.operation.endswith("_predict")]


def sent(requests: list[Request]) -> list[str]:
    return [f"{one.method} {one.path}" for one in requests if one.service is Service.OPENSEARCH and one.method != "GET"]


def test_the_new_connector_answers_before_a_model_is_pointed_at_it() -> None:
    bench = applied()
    assert outcome(bench.apply(chain({"model": "b"}))) == []
    (asked,) = predictions(bench.exchange.log)
    assert asked.body == QUESTION
    done = sent(bench.exchange.log)
    proof = asked.parameters["id"]
    places = [
        done.index(one)
        for one in (
            "POST /_plugins/_ml/connectors/_create",
            "POST /_plugins/_ml/models/_register?deploy=true",
            f"POST /_plugins/_ml/models/{proof}/_predict",
            f"DELETE /_plugins/_ml/models/{proof}",
            "PUT /_plugins/_ml/models/model-0001",
            "DELETE /_plugins/_ml/connectors/connector-0001",
        )
    ]
    assert places == sorted(places)
    assert list(bench.world.domain.models.documents) == ["model-0001"]


def test_a_connector_that_nobody_uses_is_not_proved() -> None:
    bench = Bench(World(), queries=[query("asked")])
    alone = {kind: chain({"model": "a"})[kind] for kind in ("cluster_settings", "connectors")}
    assert outcome(bench.apply(alone)) == []
    changed = {kind: chain({"model": "b"})[kind] for kind in ("cluster_settings", "connectors")}
    assert outcome(bench.apply(changed)) == []
    assert predictions(bench.exchange.log) == []


def test_a_connector_that_does_not_answer_is_taken_back() -> None:
    bench = applied()
    state, rows = bench.world.state(), bench.world.rows("chain")
    report = bench.apply(chain({"model": "b", "answers": "no"}))
    found = {str(one.change.address): one for one in report.results if one.status is not Status.DONE}
    assert isinstance(found["connectors.c"].error, NotProved)
    assert found["models.m"].status is Status.NOT_STARTED
    same(bench.world.state(), state)
    same(bench.world.rows("chain"), rows)
    assert list(bench.world.domain.connectors.documents) == ["connector-0001"]
    assert actions(bench.plan(chain({"model": "a"}))) == {}
    assert outcome(bench.apply(chain({"model": "c"}))) == []


def test_a_lost_answer_to_the_proofs_first_request_leaves_nothing() -> None:
    bench = applied()
    lost = once(Fault.LOST_AFTER, lambda one: "reconciler-proof-" in str(one.body) and one.path.count("_register") > 0)
    report = bench.apply(chain({"model": "b"}), faults=lost)
    assert not report.succeeded
    assert outcome(bench.apply(chain({"model": "b"}))) == []
    assert list(bench.world.domain.models.documents) == ["model-0001"]
    assert len(bench.world.domain.connectors.documents) == 1


@pytest.mark.parametrize("fault", KILLS)
@pytest.mark.parametrize("answers", ["yes", "no"])
def test_killed_at_every_request_of_a_proof(fault: Fault, answers: str) -> None:
    """The next apply proves it again: a successor that does not answer is never used, and no proof is left over."""
    before = applied()
    wanted = chain({"model": "b", "answers": answers})
    calm = Bench(before.world.copy(), queries=before.queries)
    calm.apply(wanted)
    for number in range(calm.exchange.ended):
        bench = Bench(before.world.copy(), queries=before.queries)
        with suppress(Killed):
            bench.apply(wanted, faults=at({number: fault}))
        bench.apply(wanted)
        bench.world.advance(bench.world.now + 30)
        bench.apply(wanted)
        same(bench.world.state(), calm.world.state())
        same(bench.world.rows("chain"), calm.world.rows("chain"))
        assert bench.world.intents("chain") == []


def test_a_plan_shows_the_proof() -> None:
    bench = applied()
    plan = bench.plan(chain({"model": "b"}))
    shown = [request for _, requests in calls(plan) for request in requests]
    assert [request.body for request in predictions(shown)] == [QUESTION]
    assert bench.apply(chain({"model": "b"})).succeeded
    done = [one for one in bench.exchange.log if one.service is Service.OPENSEARCH and one.method != "GET"]
    assert {one.operation for one in shown if one.method != "GET"} == {one.operation for one in done}
