"""Test queries: what is sent, how answers are judged, and that nothing is left of documents they searched."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reconciler.canonical.json import Json
from reconciler.errors import Position
from reconciler.ledger.lock import Holder
from reconciler.manifest.load import Documents, Query, load
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.variables import Inputs
from reconciler.model.kind import Place
from reconciler.model.request import Answer, Request, Service
from reconciler.plan.known import Attributes
from reconciler.redaction import Redaction
from reconciler.render.junit import junit
from reconciler.runner import Runner, WriteRefused
from reconciler.verify import Proof, Trial, Verdict, clear, proving, verify
from reconciler.verify.judge import excerpt, judge
from tests.support.bench import templated
from tests.support.exchange import Fault, Faults, Killed, WorldExchange, always, at, nothing
from tests.support.world import World

PLACE = Position("m.yaml", 7, 3)
HOLDER = Holder("ann", "2026-01-01T00:00:00Z", "t1", "here", 41, "chain")
TEXTS: Json = {"mappings": {"_meta": {"mine": 1}}, "documents": [{"text": "one"}, {"text": "two"}]}
WHOLE: Json = {"query": {"match_all": {}}}


def search(name: str, documents: str = "texts", **body: Json) -> Query:
    return Query(name, "search", {"documents": documents, "body": WHOLE, **body}, PLACE)


def total(count: int) -> Json:
    return {"json": [{"path": "$.hits.total.value", "equals": count}]}


ASKED = (search("all", expect=total(2)), search("none", expect=total(0)))


class Owner:
    """Who proves chains on one world: each call is a process of its own."""

    def __init__(self, world: World, holder: Holder = HOLDER, gone: Sequence[int] = ()) -> None:
        self.world, self.holder, self.gone = world, holder, gone

    def proves(
        self, queries: Sequence[Query] = ASKED, texts: Json = TEXTS, *, faults: Faults = nothing,
        stop: Callable[[Request], bool] = lambda _: False,
    ) -> Proof:  # fmt: skip
        numbers = itertools.count(self.world.domain.indices._made + 1)
        assert isinstance(texts, Mapping)

        class Stopping(WorldExchange):
            def submit(self, ticket: int, request: Request) -> None:
                super().submit(ticket, request)
                if stop(request):
                    runner.stop()

        self.exchange = Stopping(self.world, faults=faults)
        runner = Runner(self.exchange, guard=proving, jitter=lambda: 0.5, patience=15.0)
        trial = Trial(
            queries, [Documents("texts", {key: templated(one) for key, one in texts.items()}, PLACE)],
            Attributes({}, Place(), {}), Redaction(), self.holder, lambda: f"{next(numbers):012x}",
            lambda holder: holder.machine == self.holder.machine and holder.process in self.gone,
        )  # fmt: skip
        return verify(runner, trial)

    @property
    def sent(self) -> list[str]:
        return [re.sub(r"[0-9a-f]{12}", "N", request.label) for request in self.exchange.log]


def passed(proof: Proof) -> dict[str, bool]:
    return {verdict.query.name: verdict.passed for verdict in proof.verdicts}


def test_documents_are_loaded_searched_and_removed() -> None:
    owner = Owner(World())
    proof = owner.proves()
    assert passed(proof) == {"all": True, "none": False}
    assert [one.reason for one in proof.verdicts] == ["", "$.hits.total.value is 2, not 0"]
    assert (proof.succeeded, proof.troubles, proof.removed) == (False, (), ())
    index = "reconciler-verify-chain-N"
    assert owner.sent[:2] == [f"PUT /{index}", f"POST /{index}/_bulk?refresh=true"]
    assert sorted(owner.sent[2:5])[1:] == [f"POST /{index}/_search"] * 2
    assert owner.sent[5:] == [f"DELETE /{index}"]
    assert owner.world.domain.indices.named == {}


def test_an_index_says_whose_it_is_beside_what_the_manifest_states() -> None:
    owner = Owner(World())
    owner.proves()
    made = owner.exchange.log[0].body
    assert isinstance(made, Mapping)
    assert made["settings"] == {"index.number_of_shards": "1", "index.hidden": "true"}
    meta: Any = made["mappings"]
    assert meta["_meta"]["mine"] == 1
    mark = meta["_meta"]["reconciler"]["verify"]
    assert mark == {**HOLDER.body(), "by": "ann", "since": "2026-01-01T00:00:00Z"}


def test_queries_that_search_no_documents_load_none() -> None:
    owner = Owner(World())
    owner.proves([Query("root", "raw", {"path": "/"}, PLACE)])
    assert owner.sent == ["GET /"]


def test_only_documents_that_are_searched_are_loaded() -> None:
    owner = Owner(World())
    assert passed(owner.proves(ASKED[:1])) == {"all": True}
    assert len(owner.sent) == 5


def test_refused_documents_are_told_and_their_index_goes() -> None:
    owner = Owner(World())
    proof = owner.proves(texts={"documents": [{"text": "one"}, *({"refused": f"no {n}"} for n in range(5))]})
    assert passed(proof) == {"all": False, "none": False}
    (trouble,) = proof.troubles
    assert str(trouble.error) == (
        "document 2: failed to parse field: no 0; document 3: failed to parse field: no 1; "
        "document 4: failed to parse field: no 2; and 2 more"
    )
    assert owner.world.domain.indices.named == {}


def test_what_is_not_applied_yet_is_told() -> None:
    owner = Owner(World())
    query = Query("q", "predict", {"model": templated("${models.m.id}")}, PLACE)
    proof = owner.proves([query, *ASKED], {"settings": {"x": "${models.m.id}"}, "documents": [{}]})
    assert "${models.m.id} is not known: it is not applied yet" in proof.verdicts[0].reason
    assert str(proof.troubles[0].error) == "${models.m.id} is not known: it is not applied yet"
    assert [label for label in owner.sent if not label.startswith("GET")] == []


def test_an_index_that_can_not_be_removed_is_told() -> None:
    owner = Owner(World())
    proof = owner.proves(ASKED[:1], faults=always(Fault.FORBIDDEN, lambda one: one.method == "DELETE"))
    assert (passed(proof), proof.succeeded) == ({"all": True}, False)
    assert "can not be removed" in proof.troubles[0].what
    assert len(owner.world.domain.indices.named) == 1


def test_not_being_able_to_look_for_leftovers_is_told() -> None:
    owner = Owner(World())
    proof = owner.proves(ASKED[:1], faults=always(Fault.FORBIDDEN, lambda one: one.operation == "GET /{index}"))
    assert (passed(proof), proof.succeeded) == ({"all": True}, False)
    assert owner.world.domain.indices.named == {}


# leftovers


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_LATE])
def test_killed_at_every_request_the_next_one_leaves_nothing(fault: Fault) -> None:
    calm = Owner(World())
    calm.proves()
    for number in range(calm.exchange.ended):
        world = World()
        with suppress(Killed):
            Owner(world).proves(faults=at({number: fault}))
        world.advance(world.now + 30)
        proof = Owner(world, replace(HOLDER, process=42), gone=[41]).proves(ASKED[:1])
        assert proof.succeeded
        assert world.domain.indices.named == {}


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNAVAILABLE_AFTER, Fault.BROKEN_AFTER])
def test_a_fault_at_every_request_leaves_nothing(fault: Fault) -> None:
    calm = Owner(World())
    calm.proves()
    for number in range(calm.exchange.ended):
        world = World()
        proof = Owner(world).proves(ASKED[:1], faults=at({number: fault}))
        left = world.domain.indices.named
        assert left == {} or proof.troubles, calm.exchange.log[number]
        assert Owner(world, replace(HOLDER, process=42), gone=[41]).proves(ASKED[:1]).succeeded
        assert world.domain.indices.named == {}


def left(world: World, name: str, maker: Holder | None, age: float) -> None:
    """Let an index be there that somebody made."""
    meta = {"_meta": {"reconciler": {"verify": {**maker.body(), "by": maker.who}}}} if maker else {}
    world.domain.indices.answer("PUT", f"/{name}", {"mappings": meta}, world.now - age)


def test_only_what_is_ours_for_certain_is_removed() -> None:
    world = World()
    world.advance(10_000)
    elsewhere = replace(HOLDER, machine="there", process=7)
    name = "reconciler-verify-chain-{:012x}".format
    left(world, name(0xA1), elsewhere, 3601)  # old
    left(world, name(0xA2), elsewhere, 3500)  # may be under way
    left(world, name(0xA3), replace(HOLDER, process=9), 5)  # its process is gone
    left(world, name(0xA4), replace(HOLDER, process=10), 5)  # its process runs
    left(world, name(0xA5), None, 9000)  # without a mark
    left(world, name(0xA6), replace(elsewhere, manifest="Chain"), 9000)  # of another manifest
    left(world, "reconciler-verify-chain-two-0000000000a7", replace(elsewhere, manifest="chain-two"), 9000)
    left(world, "reconciler-verify-chain-not-of-ours", elsewhere, 9000)
    proof = Owner(world, gone=[9]).proves(ASKED[:1])
    assert proof.succeeded
    assert sorted(proof.removed) == [name(0xA1), name(0xA3)]
    assert sorted(world.domain.indices.named) == [
        *(name(one) for one in (0xA2, 0xA4, 0xA5, 0xA6)),
        "reconciler-verify-chain-not-of-ours",
        "reconciler-verify-chain-two-0000000000a7",
    ]


def test_clearing_takes_what_this_machine_left_and_nothing_else() -> None:
    world = World()
    left(world, "reconciler-verify-chain-0000000000a1", replace(HOLDER, machine="there"), 9000)
    left(world, "reconciler-verify-chain-0000000000a2", replace(HOLDER, process=9), 5)
    exchange = WorldExchange(world)
    proof = clear(Runner(exchange, guard=proving), HOLDER, lambda holder: holder.process == 9)
    assert (proof.removed, proof.succeeded) == (("reconciler-verify-chain-0000000000a2",), True)
    assert list(world.domain.indices.named) == ["reconciler-verify-chain-0000000000a1"]
    refused = WorldExchange(world, faults=always(Fault.FORBIDDEN, lambda one: True))
    proof = clear(Runner(refused, guard=proving), HOLDER, lambda holder: True)
    assert [trouble.what for trouble in proof.troubles] == ["what earlier verifies left can not be looked for"]


def test_an_age_that_is_not_told_proves_nothing() -> None:
    world = World()
    left(world, "reconciler-verify-chain-0000000000a1", replace(HOLDER, machine="there"), 9000)
    world.domain.indices.named["reconciler-verify-chain-0000000000a1"]["settings"].pop("index.creation_date")
    assert Owner(world).proves(ASKED[:1]).removed == ()


def test_two_at_once_do_not_disturb_each_other() -> None:
    world = World()
    left(world, "reconciler-verify-chain-0000000000b1", replace(HOLDER, process=50), 0)
    assert Owner(world).proves(ASKED[:1]).succeeded
    assert list(world.domain.indices.named) == ["reconciler-verify-chain-0000000000b1"]


@pytest.mark.parametrize("operation", ["PUT /{index}", "POST /{index}/_bulk", "POST /{index}/_search", "GET /{index}"])
def test_being_stopped_leaves_nothing(operation: str) -> None:
    owner = Owner(World())
    owner.proves(stop=lambda request: request.operation == operation)
    assert owner.sent[-1] == "DELETE /reconciler-verify-chain-N"
    assert owner.world.domain.indices.named == {}


# the guard

OWN = "reconciler-verify-chain-0123456789ab"
ALLOWED = [
    Request(Service.OPENSEARCH, "GET /{index}", {"index": "*"}),
    Request(Service.OPENSEARCH, "POST /{index}/_search", {"index": "x"}),
    Request(Service.OPENSEARCH, "POST /_plugins/_ml/models/{id}/_predict", {"id": "x"}),
    Request(Service.OPENSEARCH, "POST /x/_count?q=a"),
    Request(Service.OPENSEARCH, "POST /_search"),
    Request(Service.OPENSEARCH, "PUT /{index}", {"index": OWN}),
    Request(Service.OPENSEARCH, "POST /{index}/_bulk", {"index": OWN}),
    Request(Service.OPENSEARCH, "DELETE /{index}", {"index": OWN}),
    Request(Service.LEDGER, "GET /reconciler-ledger/_search"),
]
REFUSED = [
    *(Request(Service.OPENSEARCH, "DELETE /{index}", {"index": name})
      for name in ("x", "*", f"{OWN},x", f"{OWN}*", "reconciler-verify-*", "reconciler-ledger", None)),
    Request(Service.OPENSEARCH, f"DELETE /{OWN}"),
    Request(Service.OPENSEARCH, "PUT /{index}/_settings", {"index": OWN}),
    Request(Service.LEDGER, "DELETE /{index}", {"index": OWN}),
    Request(Service.OPENSEARCH, "PUT /{index}", {"index": OWN}, identity="arn:aws:iam::1:role/r"),
    Request(Service.OPENSEARCH, "POST /_bulk"),
    Request(Service.OPENSEARCH, "POST /x/_doc/_search"),
    Request(Service.OPENSEARCH, "POST /x/_create/_search"),
    Request(Service.OPENSEARCH, "POST /x%2F_doc/_search"),
    Request(Service.OPENSEARCH, "POST /_doc/_search"),
    Request(Service.OPENSEARCH, "POST /x/_search/template"),
    Request(Service.OPENSEARCH, "POST /x/_update_by_query?a=/_search"),
    Request(Service.OPENSEARCH, "POST /_plugins/_ml/models/x/_deploy?/_predict"),
    Request(Service.OPENSEARCH, "POST /_plugins/_ml/models/_register"),
    Request(Service.IAM, "CreateRole"),
]  # fmt: skip


@pytest.mark.parametrize("request_", ALLOWED, ids=lambda one: one.operation)
def test_what_verify_may_send(request_: Request) -> None:
    proving(request_)


@pytest.mark.parametrize("request_", REFUSED, ids=lambda one: one.operation)
def test_what_verify_may_not_send(request_: Request) -> None:
    with pytest.raises(WriteRefused):
        proving(request_)


# what is asked


def test_requests() -> None:
    owner = Owner(World())
    owner.world.domain.indices.answer("PUT", "/books", {}, 0)
    queries = [
        Query("search", "search", {"index": "books", "pipeline": "rag", "body": WHOLE}, PLACE),
        Query("count", "raw", {"method": "POST", "path": "/books/_search?size=0", "body": WHOLE}, PLACE),
        Query("raw", "raw", {"path": "/books?human={x} y"}, PLACE),
        Query("write", "raw", {"method": "POST", "path": "/books/_doc/_search", "body": {}}, PLACE),
    ]
    proof = owner.proves(queries)
    assert owner.sent == [
        "POST /books/_search?search_pipeline=rag",
        "POST /books/_search?size=0",
        "GET /books?human=%7Bx%7D%20y",
    ]
    assert passed(proof) == {"search": True, "count": True, "raw": True, "write": False}
    assert "verify writes to its temporary indices only" in proof.verdicts[3].reason


# how answers are judged

FOUND: dict[str, Json] = {
    "timed_out": False,
    "_shards": {"total": 2, "failed": 0},
    "hits": {"total": {"value": 2}, "hits": [{"_source": {"text": "x", "error": "E1", "n": 1, "ok": True}}]},
}
NO_ANSWER = "status 200 without an answer: nothing is at ext.retrieval_augmented_generation.answer"
RAG: Json = {"ext": {"generative_qa_parameters": {"llm_question": "?"}}}


def rag(generated: Json) -> Json:
    return {"hits": {"hits": []}, "ext": {"retrieval_augmented_generation": generated}}


@pytest.mark.parametrize(
    ("body", "expect", "why"),
    [
        (FOUND, {}, ""),
        (FOUND, {"status": 404}, "status 200 instead of 404: "),
        (FOUND, {"contains": ["x", "nowhere"]}, "the answer does not contain 'nowhere'"),
        (FOUND, {"json": [{"path": "$.hits.total.value", "equals": 2.0}]}, ""),
        (FOUND, {"json": [{"path": "$..ok", "equals": 1}]}, "$..ok is true, not 1"),
        (FOUND, {"json": [{"path": "$..text", "equals": "x"}, {"path": "$..n", "equals": 1}]}, ""),
        (FOUND, {"json": [{"path": "$..text", "contains": ["x", "y"]}]}, "$..text does not contain 'y'"),
        (FOUND, {"json": [{"path": "$..nothing"}]}, "nothing is at $..nothing"),
        (FOUND, {"json": [{"path": "$..nothing", "exists": False}]}, ""),
        (FOUND, {"json": [{"path": "$..text", "exists": False}]}, "$..text is there: x"),
        (FOUND, {"json": [{"path": "$.a"}, {"path": "$.b"}]}, "nothing is at $.a; nothing is at $.b"),
        (FOUND, {"json": [{"path": "$[/_shards]"}]}, "$[/_shards] can not be evaluated on the answer: "),
        (FOUND, {"latency_ms": 1999}, "it took 2,000 ms, more than 1,999"),
        ({"error": {"message": "no"}}, {}, 'status 200 with an error inside: error: {"message":"no"}'),
        ({"error": None, "x": {"error": "not ours"}}, {}, ""),
        ({**FOUND, "timed_out": True}, {}, "timed_out: not everything was searched in time"),
        (
            {**FOUND, "_shards": {"failed": 1, "failures": [{"reason": {"reason": "boom"}}]}}, {},
            "status 200 with an error inside: _shards.failed: 1: boom",
        ),
        (
            {"inference_results": [{"output": [{"dataAsMap": {"error": {"message": "busy"}}}]}]}, {},
            'status 200 with an error inside: inference_results[0].output[0].dataAsMap.error: {"message":"busy"}',
        ),
    ],
)  # fmt: skip
def test_judging(body: Json, expect: Mapping[str, Json], why: str) -> None:
    found = "; ".join(judge(Answer(200, body), WHOLE, expect, 2000.0, Redaction()))
    assert (why in found) if why else not found


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (rag({"answer": "yes"}), ()),
        (
            rag({"error": "Unknown error or response."}),
            ("status 200 with an error inside: ext.retrieval_augmented_generation.error: Unknown error or response.",),
        ),
        (rag({"answer": None}), (NO_ANSWER,)),
        ({"hits": {"hits": []}}, (NO_ANSWER,)),
    ],
)
def test_who_asks_for_an_answer_wants_one(body: Json, why: tuple[str, ...]) -> None:
    assert judge(Answer(200, body), RAG, {}, 1.0, Redaction()) == why
    assert judge(Answer(200, body), WHOLE, {}, 1.0, Redaction()) == (why if why != (NO_ANSWER,) else ())


def test_a_refusal_that_is_expected() -> None:
    refused = Answer(403, {"error": {"reason": "no"}}, "403", "no")
    assert judge(refused, None, {"status": 403, "contains": "no"}, 1.0, Redaction()) == ()
    assert judge(refused, None, {}, 1.0, Redaction()) == ("status 403 instead of 200: no",)


def test_reasons_are_free_of_secrets() -> None:
    body: Json = {"a": "the key sk-0123456789 is wrong"}
    redaction = Redaction(["sk-0123456789"])
    (why,) = judge(Answer(200, body), None, {"json": [{"path": "$.a", "equals": ""}]}, 1.0, redaction)
    assert why == "$.a is the key *** is wrong, not "


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (rag({"answer": "Paris,\n of course"}), "Paris, of course"),
        ({"inference_results": [{"output": [{"dataAsMap": {"completion": "hi"}}]}]}, "hi"),
        ({"inference_results": [{"output": [{"dataAsMap": {"choices": [{"message": {"content": "ho"}}]}}]}]}, "ho"),
        ({"hits": {"total": {"value": 1}, "hits": [{"_source": {"content": "c"}}]}}, '1 found, first {"content":"c"}'),
        ({"hits": {"total": {"value": 0}, "hits": []}}, "0 found"),
        ({"inference_results": [{"content": "w" * 600}]}, "w" * 497 + "..."),
        ({"x": 1}, '{"x": 1}'),
        (["y" * 300], '["' + "y" * 195 + "..."),
    ],
)
def test_what_is_shown_of_an_answer(body: Json, shown: str) -> None:
    assert excerpt(Answer(200, body), Redaction()) == shown


# JUnit


def test_junit() -> None:
    query = Query("a<b", "predict", {}, PLACE)
    verdicts = [
        Verdict(query, True, 200, 1234.5, "fine"),
        Verdict(replace(query, name="b"), False, 200, 1.0, "\x00 & sk-key", 'no "x" & sk-key'),
        Verdict(replace(query, name="c"), False, reason="no answer", error=OSError("no answer")),
    ]
    text = junit("chain", verdicts, lambda text: text.replace("sk-key", "***"))
    assert "sk-key" not in text
    whole = ElementTree.fromstring(text)  # noqa: S314  (our own)
    (suite,) = whole
    counts = {"tests": "3", "failures": "1", "errors": "1"}
    assert whole.attrib == counts
    assert suite.attrib == {"name": "chain", **counts, "time": "1.234"}
    assert suite[0].attrib == {
        "classname": "chain.predict", "name": "a<b", "time": "1.234", "file": "m.yaml", "line": "7",
    }  # fmt: skip
    assert [[(part.tag, part.get("message"), part.text) for part in case] for case in suite] == [
        [("system-out", None, "fine")],
        [("failure", 'no "x" & ***', 'no "x" & ***'), ("system-out", None, "\ufffd & ***")],
        [("error", "no answer", "no answer")],
    ]


# the page

ROOT = Path(__file__).parents[2]


def test_the_pages_example_is_a_manifest(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "verify.md").read_text("utf-8"), re.DOTALL)
    path = tmp_path / "m.yaml"
    path.write_text(f"manifest: m\n{example}", "utf-8")
    manifest = load([str(path)], load_schemas(ROOT / "schemas"), Inputs())
    assert [one.kind for one in manifest.verify] == ["predict", "search", "raw"]
    assert [one.name for one in manifest.documents] == ["cities"]
