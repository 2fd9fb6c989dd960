"""Services that answer anything at all: whatever comes, a run ends in problems with codes, never in an inner error."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler import diagnosis
from reconciler.canonical.json import Json
from reconciler.errors import ReconcilerError
from reconciler.model.request import Answer, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened
from reconciler.plan.decide import Permissions
from reconciler.plan.looking import planned
from reconciler.plan.survey import Question, introduce
from reconciler.runner import Runner
from tests.support import bench
from tests.support.bench import Bench, Sections
from tests.support.campaign import worlds_each
from tests.support.chains import beside_a_chain
from tests.support.exchange import WorldExchange
from tests.support.world import World

CHAIN: Sections = {
    "iam_roles": {
        "invoke": {
            "assume_role_policy_document": {
                "Statement": {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": "es.amazonaws.com"},
                }
            },
            "tags": {"team": "search"},
        },
    },
    "cluster_settings": {"ml": {"plugins.ml_commons.only_run_on_ml_node": False}},
    "role_mappings": {"ml_full_access": {"backend_roles": ["${iam_roles.invoke.arn}"]}, "asks": {"users": ["ann"]}},
    "connectors": {
        "one": {
            "protocol": "aws_sigv4",
            "credential": {"roleArn": "${iam_roles.invoke.arn}"},
            "parameters": {"region": "us-east-1"},
            "actions": [
                {"action_type": "predict", "method": "POST", "url": "https://bedrock-runtime.us-east-1.amazonaws.com/x"}
            ],
        }
    },
    **beside_a_chain("one"),
    "model_groups": {"one": {"description": "a group"}},
    "models": {"one": {"connector_id": "${connectors.one.id}", "model_group_id": "${model_groups.one.id}"}},
}

# Words that the services use themselves, so that nonsense gets past the first look.
WORDS = st.sampled_from(
    ["hits", "_source", "_id", "name", "Role", "RoleName", "Roles", "RoleDetailList", "Tags", "IsTruncated", "Marker",
     "persistent", "defaults", "errors", "items", "version", "number", "ml_full_access", "backend_roles", "type", "row",
     "address", "identity", "body", "model_state", "parameters", "actions", "PolicyNames", "", "models.one"]
)  # fmt: skip
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


class Garbled(WorldExchange):
    """An exchange in which the answer of one request has another body."""

    def __init__(self, world: World, number: int, body: Json) -> None:
        super().__init__(world)
        self._number = number
        self._body = body

    def wake(self) -> None:
        pass

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        number = self.ended
        return [
            (
                ticket,
                replace(outcome, body=self._body)
                if number == self._number and isinstance(outcome, Answer)
                else outcome,
            )
            for ticket, outcome in super().collect(until)
        ]


def run(world: World, exchange: WorldExchange) -> list[Exception]:
    """Plan and apply once: every error there was, wherever it arose."""
    owner, runner = Bench(world), Runner(exchange, jitter=lambda: 0.5)
    known = bench.kinds()
    question = Question(bench.manifest(owner.name), known, "us-east-1")
    try:
        context = introduce(runner, question)
        plan = planned(runner, question, context, bench.desired(CHAIN), Permissions())
        if plan.errored:
            return []
        report = owner.carry_out(runner, plan)
    except (ReconcilerError, ServiceFailure, Failed, NeverHappened) as error:
        return [error]
    return [result.error for result in report.results if result.error is not None]


@worlds_each(300)
@given(number=st.integers(0, 60), body=NONSENSE, before=st.booleans())
def test_any_answer_ends_in_problems_with_codes(number: int, body: Any, before: bool) -> None:
    world = World()
    if before:
        assert run(world, WorldExchange(world)) == []
    errors = run(world, Garbled(world, number, body))
    codes = [problem.code for error in errors for problem in diagnosis.problems(error, diagnosis.Scene())]
    assert "internal" not in codes, errors


def test_the_chain_is_applied_when_nothing_is_garbled() -> None:
    world = World()
    assert run(world, WorldExchange(world)) == []
    assert Bench(world).plan(CHAIN).work == []


def test_nonsense_in_place_of_any_listing_is_an_error() -> None:
    world = World()
    assert run(world, WorldExchange(world)) == []
    exchange = WorldExchange(world)
    run(world, exchange)
    for number, request in enumerate(exchange.log):
        assert run(world, Garbled(world, number, [1])), request.label
