"""Searches over documents in memory: the queries, sorting and paging that kinds and ledger ask for.

https://docs.opensearch.org/latest/query-dsl/
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from tests.support.refusal import Doc, Refused

WINDOW = 10_000
"""How many hits one search shows at most."""


def found(documents: Mapping[str, Doc], body: Any) -> Doc:
    """The answer to a search of documents by id. Each hit's `_source` is a document itself, or what was asked of it."""
    if not isinstance(body, Mapping):
        raise Refused(400, "request body or source parameter is required")
    ids = matching(documents, body.get("query", {"match_all": {}}))
    ordering = body.get("sort")
    keyed = ordered(documents, ids, ordering) if ordering else [((), one) for one in ids]
    return page(documents, keyed, body)


def page(documents: Mapping[str, Doc], keyed: Sequence[tuple[tuple[Any, ...], str]], body: Mapping[str, Any]) -> Doc:
    """The part of sorted documents that a search asks for."""
    start, size, after = int(body.get("from", 0)), int(body.get("size", 10)), body.get("search_after")
    if start + size > WINDOW:
        raise Refused(400, f"Result window is too large, from + size must be less than or equal to: [{WINDOW}]")
    if after is not None:
        if any(falling for _, _, falling in _sorting(body["sort"])):
            raise Refused(400, "search_after in falling order is not emulated")
        start = bisect_right(keyed, _key(after, body["sort"]), key=itemgetter(0))
    show = _shown(body.get("_source", True))
    hits = [
        {"_id": one, "_source": show(documents[one]), **({"sort": [text for _, text in key]} if key else {})}
        for key, one in keyed[start : start + size]
    ]
    return {"hits": {"total": {"value": len(keyed), "relation": "eq"}, "hits": hits}}


def matching(documents: Mapping[str, Doc], query: Mapping[str, Any]) -> list[str]:
    """The ids of the documents that match, in the documents' order."""
    ((kind, about),) = query.items()
    if kind == "match_all":
        return list(documents)
    if kind == "ids":
        wanted = set(about["values"])
        return [one for one in documents if one in wanted]
    if kind in ("term", "terms"):
        ((name, value),) = about.items()
        value = value["value"] if isinstance(value, Mapping) else value
        return _holding(documents, name, set(value) if kind == "terms" else {value})
    if kind == "bool":
        return _combined(documents, about)
    raise Refused(400, f"unknown query [{kind}]")


def ordered(documents: Mapping[str, Doc], ids: Iterable[str], ordering: Any) -> list[tuple[tuple[Any, ...], str]]:
    """The ids with the keys they are sorted by."""
    sorting = _sorting(ordering)
    keyed = [(_key([_member(documents[one], one, name) for name, _, _ in sorting], ordering), one) for one in ids]
    for place, (_, _, falling) in reversed(list(enumerate(sorting))):
        keyed.sort(key=lambda pair: pair[0][place], reverse=falling)
    return keyed


def _sorting(ordering: Any) -> list[tuple[str, bool, bool]]:
    """The fields to sort by, whether a document without one comes first, and whether the greatest comes first."""
    found = []
    for one in ordering if isinstance(ordering, list) else [ordering]:
        ((name, how),) = one.items() if isinstance(one, Mapping) else ((one, "asc"),)
        about = how if isinstance(how, Mapping) else {"order": how}
        found.append((name, about.get("missing") == "_first", about.get("order", "asc") == "desc"))
    return found


def _key(values: Sequence[Any], ordering: Any) -> tuple[Any, ...]:
    """Values as something that sorts: an absent one first or last."""
    return tuple(
        ((-1 if first else 1) if value in (None, "") else 0, value or "")
        for value, (_, first, _) in zip(values, _sorting(ordering), strict=True)
    )


def _holding(documents: Mapping[str, Doc], name: str, wanted: Collection[Any]) -> list[str]:
    chosen = []
    for one, document in documents.items():
        value = _member(document, one, name)
        if not wanted.isdisjoint(value) if isinstance(value, list) else value in wanted:  # type: ignore[attr-defined]
            chosen.append(one)
    return chosen


def _member(document: Doc, one: str, name: str) -> Any:
    return one if name == "_id" else document.get(name.removesuffix(".keyword"))


def _combined(documents: Mapping[str, Doc], about: Mapping[str, Any]) -> list[str]:
    def listed(name: str) -> list[Mapping[str, Any]]:
        clauses = about.get(name, [])
        return list(clauses) if isinstance(clauses, list) else [clauses]

    chosen = dict.fromkeys(documents)
    for clause in (*listed("must"), *listed("filter")):
        chosen = dict.fromkeys(matching({one: documents[one] for one in chosen}, clause))
    for clause in listed("must_not"):
        for one in matching({one: documents[one] for one in chosen}, clause):
            del chosen[one]
    if should := listed("should"):
        either = {one for clause in should for one in matching(documents, clause)}
        chosen = {one: None for one in chosen if one in either}
    return list(chosen)


def _shown(source: Any) -> Callable[[Doc], Doc]:
    """What a search shows of a document: all of it, nothing, or the fields named."""
    if source is True:
        return lambda document: document
    if source is False:
        return lambda document: {}
    about = source if isinstance(source, Mapping) else {"includes": source}
    included, excluded = about.get("includes"), set(about.get("excludes", ()))
    names = [included] if isinstance(included, str) else included

    def show(document: Doc) -> Doc:
        return {
            name: value for name, value in document.items() if (names is None or name in names) and name not in excluded
        }

    return show
