"""What differs between OpenSearch 2.19 and 3.x, and between the service and a cluster of one's own, in plans."""

import pytest

from reconciler import diagnosis
from reconciler.manifest.load import BasicAuth, OpenSearchTarget, SigV4Auth, Target
from reconciler.model.change import Action
from reconciler.model.kind import Place
from reconciler.model.request import Answer, Request, Service, ServiceFailure
from reconciler.plan.plan import Plan
from reconciler.plan.survey import stated_place
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.exchange import Fault, once
from tests.support.world import World


def at(version: str) -> Bench:
    world = World()
    world.domain.version = version
    return Bench(world)


def groups(**fields: str) -> Sections:
    return {"model_groups": {"g": {"name": "A group", **fields}}}


def problems(plan: Plan) -> list[tuple[str, str]]:
    return [(problem.code, problem.message) for problem in plan.problems]


NOT_TAKEN = [("wrong-value", "description: since OpenSearch 3.1 there may be no & = in it")]


def test_signs_that_the_domain_does_not_take_stop_the_plan() -> None:
    assert problems(at("2.19.4").plan(groups(description="a & b=c"))) == []
    assert problems(at("3.0.0").plan(groups(description="a & b=c"))) == []
    assert problems(at("3.1.0").plan(groups(description="a & b=c"))) == NOT_TAKEN


def test_what_was_there_before_an_upgrade_may_stay_as_long_as_it_is_not_sent_again() -> None:
    bench = at("2.19.4")
    assert outcome(bench.apply(groups(description="a & b=c"))) == []
    bench.world.domain.version = "3.4.0"
    plan = bench.plan(groups(description="a & b=c"))
    assert (problems(plan), actions(plan)) == ([], {})
    renamed = {"model_groups": {"g": {"name": "Another", "description": "a & b=c"}}}
    plan = bench.plan(renamed)
    assert (problems(plan), actions(plan)) == ([], {"model_groups.g": Action.UPDATE})
    assert outcome(bench.apply(renamed)) == []
    assert problems(bench.plan(groups(name="Another", description="a & c"))) == [
        ("wrong-value", "description: since OpenSearch 3.1 there may be no & in it")
    ]


def test_a_setting_that_the_domain_does_not_know_stops_the_plan() -> None:
    plan = at("2.19.4").plan({"cluster_settings": {"ml": {"plugins.ml_commons.mcp_connector_enabled": True}}})
    assert problems(plan) == [
        ("wrong-value", "plugins.ml_commons.mcp_connector_enabled: this domain has no such setting")
    ]


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (403, "User Doesn't have privilege to perform this operation on this model", "missing-grant"),
        (403, "User doesn't have privilege to perform this operation on this model", "missing-grant"),
        (400, "You don't have permission to update the connector, connector id: x", "missing-grant"),
        (
            400,
            "Connector URL is not matching the trusted connector endpoint regex, URL is: https://x",
            "untrusted-endpoint",
        ),
        (400, "Connector URL is not matching the trusted connector endpoint regex", "untrusted-endpoint"),
        (
            400,
            "Validation Failed: 1: Model name can only contain letters, numbers, spaces, and basic punctuation",
            "wrong-value",
        ),
    ],
)
def test_refusals_mean_the_same_in_the_words_of_both_versions(status: int, reason: str, code: str) -> None:
    request = Request(Service.OPENSEARCH, "PUT /x")
    failure = ServiceFailure(request, Answer(status, None, str(status), reason), reason)
    assert [problem.code for problem in diagnosis.problems(failure, diagnosis.Scene())] == [code]


@pytest.mark.parametrize(
    ("version", "number", "since", "before"),
    [
        ("2.19.4", (2, 19), True, False),
        ("2.19.4", (2, 9), True, False),
        ("2.19.4", (3, 0), False, True),
        ("3.1.0-SNAPSHOT", (3, 1), True, False),
        ("3.10.0", (3, 9), True, False),
        ("", (0, 0), False, False),
    ],
)
def test_versions_are_told_by_their_numbers(version: str, number: tuple[int, int], since: bool, before: bool) -> None:
    place = Place(version=version)
    assert (place.since(*number), place.before(*number)) == (since, before)


@pytest.mark.parametrize(
    ("target", "managed", "self_managed"),
    [
        (OpenSearchTarget("https://localhost:9200"), False, True),
        (OpenSearchTarget("https://search.example.com", "search", BasicAuth()), True, False),
        (OpenSearchTarget("https://search.example.com", None, SigV4Auth()), True, False),
        (OpenSearchTarget("https://search-x-abc.us-east-1.es.amazonaws.com"), True, False),
        (OpenSearchTarget("https://vpc-x-abc.cn-north-1.es.amazonaws.com.cn/"), True, False),
        (OpenSearchTarget("https://search-x-abc.aos.us-east-1.on.aws"), True, False),
        (OpenSearchTarget("https://es.amazonaws.com.example.com"), False, True),
        (OpenSearchTarget(), False, False),
    ],
)
def test_the_service_and_a_cluster_of_ones_own_are_told_apart(
    target: OpenSearchTarget, managed: bool, self_managed: bool
) -> None:
    place = stated_place(Target(opensearch=target))
    assert (place.managed, place.self_managed) == (managed, self_managed)


def test_an_id_of_ours_is_another_for_what_comes_after() -> None:
    bench = at("3.9.0")
    assert outcome(bench.apply(agents("x"))) == []
    (first,) = bench.world.domain.agents.documents
    assert first.startswith("asks-")
    assert outcome(bench.apply(agents("x", kind="conversational_flow"))) == []
    (second,) = bench.world.domain.agents.documents
    assert outcome(bench.apply(agents("x"))) == []
    (third,) = bench.world.domain.agents.documents
    assert len({first, second, third}) == 3
    assert outcome(bench.destroy()) == []
    assert outcome(bench.apply(agents("x"))) == []


def agents(description: str, kind: str = "flow") -> Sections:
    return {"agents": {"asks": {"type": kind, "description": description}}}


def test_with_an_id_of_ours_a_lost_answer_makes_no_second_one_and_is_repeated() -> None:
    for version, requests in (("3.4.0", 1), ("3.9.0", 2)):
        bench = at(version)
        lost = once(Fault.LOST_AFTER, lambda request: request.operation.endswith("agents/_register"))
        bench.apply(agents("x"), faults=lost)
        sent = [one for one in bench.exchange.writes if one.operation.endswith("agents/_register")]
        assert (len(sent), len(bench.world.domain.agents.documents)) == (requests, 1)
        assert outcome(bench.apply(agents("x"))) == []
        assert len(bench.world.domain.agents.documents) == 1
