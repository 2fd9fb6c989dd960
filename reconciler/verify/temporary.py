"""Temporary indices: documents of a manifest, loaded to be searched and removed again.

An index carries a mark in its mappings that says whose it is, so that the next verify finds what a killed one left.
https://docs.opensearch.org/latest/api-reference/index-apis/create-index/
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.ledger.lock import Holder
from reconciler.manifest.templates import Value
from reconciler.model import forms
from reconciler.model.request import Request, Service, ServiceFailure
from reconciler.model.steps import Failed, Steps, call
from reconciler.verify.guard import PREFIX, TEMPORARY

_AGE = 3600.0
"""Seconds, by the cluster's clock, after which nobody uses a temporary index any more."""

_MARK = "reconciler"
_SETTINGS: Mapping[str, Value] = {"index.number_of_shards": "1", "index.hidden": "true"}
_MOST = 3


def index_name(manifest: str, suffix: str) -> str:
    """The name of a temporary index; `suffix` is twelve hexadecimal digits that nobody else has."""
    return f"{family(manifest)}{suffix}"


def load(name: str, stated: Mapping[str, Value], holder: Holder) -> Steps[None]:
    """Make the index `name`, put the `documents` stated into it, and let searches see them.

    Raises Failed with `not-loaded` when documents are refused; the index is there then.
    """
    body = {
        "settings": {**_SETTINGS, **forms.settings(_map(stated.get("settings")))},
        "mappings": _marked(_map(stated.get("mappings")), holder),
    }
    request = Request(Service.OPENSEARCH, "PUT /{index}", {"index": name}, body=body, expect=frozenset({"400"}))
    made = yield from call(request)
    # Nobody else has the name: an index that exists already was made by a request whose answer was lost.
    if not made.ok and "already exists" not in made.reason:
        raise ServiceFailure(request, made, made.reason)
    lines = tuple(_lines(_list(stated.get("documents"))))
    filling = Request(Service.OPENSEARCH, "POST /{index}/_bulk", {"index": name}, {"refresh": "true"}, lines)
    answer = yield from call(filling)
    if refused := _refusals(answer.body):
        more = f"; and {len(refused) - _MOST:,} more" if len(refused) > _MOST else ""
        raise Failed("not-loaded", "; ".join(refused[:_MOST]) + more)


def remove(name: str) -> Steps[None]:
    """Delete the index. That it is not there is no error."""
    yield from call(Request(Service.OPENSEARCH, "DELETE /{index}", {"index": name}, expect=frozenset({"404"})))


def left_over(own: Collection[str], holder: Holder, is_gone: Callable[[Holder], bool]) -> Steps[tuple[str, ...]]:
    """The indices that earlier verifies of the manifest made and never removed.

    Those count whose maker ran on this machine and does so no longer (`is_gone`), and those that are an hour older
    than this one's `own`, which no verify takes.
    """
    query = {"expand_wildcards": "all", "flat_settings": "true", "ignore_unavailable": "true"}
    request = Request(Service.OPENSEARCH, "GET /{index}", {"index": f"{family(holder.manifest)}*"}, query)
    listing = _map((yield from call(request)).body)
    now = max((_made(listing.get(name)) or 0.0 for name in own), default=0.0)
    found = []
    for name, about in listing.items():
        maker, made = _maker(about), _made(about)
        if maker is None or maker.manifest != holder.manifest or name in own or not TEMPORARY.fullmatch(name):
            continue
        if is_gone(maker) or (made is not None and now - made > _AGE):
            found.append(name)
    return tuple(found)


def family(manifest: str) -> str:
    """What the names of a manifest's temporary indices begin with."""
    return f"{PREFIX}{manifest.lower()}-"


def _marked(mappings: Mapping[str, Value], holder: Holder) -> Mapping[str, Value]:
    mark = {**holder.body(), "by": holder.who, "since": holder.since}
    return {**mappings, "_meta": {**_map(mappings.get("_meta")), _MARK: {"verify": mark}}}


def _maker(about: Value) -> Holder | None:
    """Who made an index, by its mark; None where it has none."""
    mark = _map(_map(_map(_map(about).get("mappings")).get("_meta")).get(_MARK)).get("verify")
    if not isinstance(mark, Mapping):
        return None
    process = mark.get("process")
    who, since, token, machine, manifest = (
        str(mark.get(name, "")) for name in ("by", "since", "token", "machine", "manifest")
    )
    return Holder(who, since, token, machine, process if isinstance(process, int) else 0, manifest)


def _made(about: Value) -> float | None:
    """When an index was made, in seconds by the cluster's clock; None where that is not told."""
    told = _map(_map(about).get("settings")).get("index.creation_date")
    return int(told) / 1000 if isinstance(told, str) and told.isdigit() else None


def _lines(documents: Sequence[Value]) -> Iterator[Value]:
    for number, document in enumerate(documents, 1):
        yield {"index": {"_id": str(number)}}
        yield document


def _refusals(body: Json) -> list[str]:
    """What was wrong with documents, by their numbers, out of the answer to a bulk request."""
    results = body.get("items") if isinstance(body, Mapping) else None
    if not isinstance(results, Sequence):
        return ["the answer is not that of a bulk request"]
    found = []
    for number, result in enumerate(results, 1):
        error = _map(_map(result).get("index")).get("error")
        if isinstance(error, Mapping):
            cause = _map(error.get("caused_by")).get("reason")
            reason = f"{error.get('reason')}" + (f": {cause}" if cause else "")
            found.append(f"document {number}: {reason}")
    return found


def _map(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Value) -> Sequence[Value]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
