"""Writing to the ledger's index: many documents in one request, each with its own outcome."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from reconciler.canonical.json import Json, canonical_text
from reconciler.model.request import Combine, Request, Service
from reconciler.model.steps import Failed, Steps, call_all

INDEX = "reconciler-ledger"
"""The index that holds the ledger."""

_SOON = 0.5
"""How many seconds a document waits at most for others to be written with, where much else is under way."""

SHOWN: Mapping[str, str] = {"refresh": "true"}
"""What is asked of a write after which searches show it, and all that was written before it."""

Line: TypeAlias = Mapping[str, Json]

_BODY = 5 * 2**20  # bytes of one bulk request


def bulk(
    entries: Iterable[Sequence[Line]], query: Mapping[str, str], leisure: float = 0.0
) -> Steps[Mapping[str, Line]]:
    """Carry out the lines of all entries, those of one entry in one request; what became of each document, by id.

    Lines that are ready at the same moment go in one request. Where nobody waits for them they may wait `leisure`
    seconds for others. `query` is `SHOWN`, or nothing: then searches may show them a second later.
    Failed with `ledger-not-writable` when the request was answered without saying what became of them.
    https://docs.opensearch.org/latest/api-reference/document-apis/bulk/
    """
    bodies = list(_bodies(entries))
    combine = Combine("ledger", linger=_SOON, leisure=leisure, digest=_results)
    answers = yield from call_all(
        Request(Service.LEDGER, "POST /_bulk", query=query, body=body, combine=combine) for body in bodies
    )
    own = [one for body in bodies for line in body for about in line.values() if (one := _id(line, about))]
    told = [answer.body for answer in answers if isinstance(answer.body, Mapping)]
    results = {one: line for body in told for one in own if isinstance(line := body.get(one), Mapping)}
    if any(one not in results for one in own):
        raise Failed("ledger-not-writable", "the bulk request answered without saying that it was carried out")
    return results


def refusal(result: Line) -> str:
    """Why a document was not written, or ""."""
    error = result.get("error")
    if error is None:
        return ""
    return str(error.get("reason")) if isinstance(error, Mapping) else str(error)


def conflicts(result: Line) -> bool:
    """Whether a document was not written because it is not as the writer thought."""
    return result.get("status") == 409


def _id(line: Line, about: Json) -> str:
    """The id that a line which says what to do is about; "" for the documents, which have more than one field."""
    return str(about.get("_id", "")) if len(line) == 1 and isinstance(about, Mapping) else ""


def _results(body: Json) -> Mapping[str, Line]:
    """What became of each document, by id."""
    items = body.get("items") if isinstance(body, Mapping) else None
    found: dict[str, Line] = {}
    for item in items if isinstance(items, Sequence) else ():
        for result in item.values() if isinstance(item, Mapping) else ():
            if isinstance(result, Mapping):
                found[str(result.get("_id"))] = result
    return found


def _bodies(entries: Iterable[Sequence[Line]]) -> Iterator[tuple[Line, ...]]:
    """The entries' lines as bodies that are not too long."""
    body: list[Line] = []
    size = 0
    for entry in entries:
        length = sum(len(canonical_text(one).encode()) + 1 for one in entry)
        if body and size + length > _BODY:
            yield tuple(body)
            body, size = [], 0
        body += entry
        size += length
    if body:
        yield tuple(body)
