"""Proving the chain: the manifest's test queries, asked side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.manifest.load import Query
from reconciler.manifest.templates import Value, references
from reconciler.model.request import Answer, Request, Service
from reconciler.model.steps import Call, Steps
from reconciler.plan.known import Attributes
from reconciler.redaction import Redaction
from reconciler.references import resolve
from reconciler.runner import Flow, Runner

_NOT_READY = frozenset(str(status) for status in range(400, 600))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a query: whether it passed, HTTP status, milliseconds, an excerpt of the answer, and why not."""

    query: Query
    passed: bool
    status: int = 0
    milliseconds: float = 0.0
    answer: str = ""
    reason: str = ""
    error: Exception | None = None


def verify(
    runner: Runner, queries: Sequence[Query], attributes: Attributes, redaction: Redaction
) -> tuple[Verdict, ...]:
    """Ask all queries and judge their answers, in the manifest's order. What is shown of them is free of secrets."""
    flows = [Flow(query.name, _ask(query, attributes, redaction)) for query in queries]
    outcomes = runner.run_all(flows)
    verdicts = []
    for query in queries:
        outcome = outcomes[query.name]
        if outcome.error is not None:
            verdicts.append(Verdict(query, passed=False, reason=str(outcome.error), error=outcome.error))
        else:
            verdicts.append(outcome.value())
    return tuple(verdicts)


def _ask(query: Query, attributes: Attributes, redaction: Redaction) -> Steps[Verdict]:
    body = {name: resolve(value, attributes.lookup) for name, value in query.body.items()}
    unknown = [reference for _, reference in references(body) if reference.namespace != "secret"]
    if unknown:
        return Verdict(query, passed=False, reason=f"{unknown[0]} is not known: it is not applied yet")
    request = _request(query.kind, body)
    started = (yield Call(())).clock
    reply = yield Call((request,))
    milliseconds = (reply.clock - started) * 1000
    answer = reply.answers[0]
    expect = body.get("expect")
    why = _judge(answer, expect if isinstance(expect, Mapping) else {}, milliseconds, redaction)
    return Verdict(query, not why, answer.status, milliseconds, _excerpt(answer, redaction), why)


def _request(kind: str, body: Mapping[str, Value]) -> Request:
    if kind == "predict":
        parameters = {"id": body.get("model")}
        operation = "POST /_plugins/_ml/models/{id}/_predict"
        return Request(Service.OPENSEARCH, operation, parameters, body=body.get("body"), expect=_NOT_READY)
    if kind == "search":
        operation = "POST /{index}/_search"
        return Request(
            Service.OPENSEARCH, operation, {"index": body.get("index")}, body=body.get("body"), expect=_NOT_READY
        )
    operation = f"{body.get('method', 'GET')} {body.get('path', '/')}"
    return Request(Service.OPENSEARCH, operation, body=body.get("body"), expect=_NOT_READY)


def _judge(answer: Answer, expect: Mapping[str, Value], milliseconds: float, redaction: Redaction) -> str:
    """Why the answer is not the one expected, or ""."""
    wanted = expect.get("status", 200)
    if answer.status != wanted:
        return f"status {answer.status} instead of {wanted}: {answer.reason}"
    if not answer.ok and answer.code == "not-json":
        return f"the answer is not JSON: {answer.reason}"
    text = json.dumps(answer.body, ensure_ascii=False)
    contains = expect.get("contains", ())
    for part in [contains] if isinstance(contains, str) else contains if isinstance(contains, Sequence) else ():
        if str(part) not in text:
            return f"the answer does not contain {part!r}"
    if wanted == 200 and (failure := _inner_error(redaction.json(answer.body))):
        return f"status 200 with an error inside: {failure}"
    limit = expect.get("latency_ms")
    if isinstance(limit, int | float) and milliseconds > limit:
        return f"it took {milliseconds:.0f} ms, more than {limit:g}"
    return ""


def _inner_error(body: Json) -> str:
    """The error that an answer with status 200 may hold where its completion should be."""
    if isinstance(body, Mapping):
        error = body.get("error")
        if error:
            return str(error)[:200]
        return next((found for member in body.values() if (found := _inner_error(member))), "")
    if isinstance(body, Sequence) and not isinstance(body, str):
        return next((found for member in body if (found := _inner_error(member))), "")
    return ""


def _excerpt(answer: Answer, redaction: Redaction) -> str:
    body = redaction.json(answer.body)
    found = completion(body)
    text = found if found is not None else json.dumps(body, ensure_ascii=False) if body is not None else answer.reason
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:197] + "..."


def completion(body: Json) -> str | None:
    """The model's text in a prediction, whatever the provider's shape; None when there is none."""
    if isinstance(body, Mapping):
        for key in ("completion", "content", "answer"):
            if isinstance(body.get(key), str):
                return str(body[key])
        return next((found for member in body.values() if (found := completion(member)) is not None), None)
    if isinstance(body, Sequence) and not isinstance(body, str):
        return next((found for member in body if (found := completion(member)) is not None), None)
    return None
