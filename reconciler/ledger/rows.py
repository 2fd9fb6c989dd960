"""The ledger: the small record, kept on the domain, of what is ours.

One document per owned object, an identity of the ledger itself, one document per apply. Everything is said as
steps; the same requests are answered by the domain or, by choice, by a file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.canonical.json import Json
from reconciler.ledger.bulk import INDEX, SHOWN, Line, bulk, conflicts, refusal
from reconciler.manifest.load import Lifecycle
from reconciler.model.objects import Address, Row
from reconciler.model.request import Request, Service
from reconciler.model.steps import Failed, Pause, Steps, call

VERSION = 2
"""The format of the documents. A ledger of a newer one is refused, an older one is brought to it by `upgrade`."""

_PAGE = 5_000
_SHOWN_WITHIN = 1.0
"""Seconds until searches show what was written: the index is made to refresh itself that often."""

_UNINDEXED: Json = {"type": "object", "enabled": False}
_KEYWORD: Json = {"type": "keyword"}
_DEFINITION: Mapping[str, Json] = {
    "settings": {
        "index": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "hidden": True, "refresh_interval": "1s"}
    },
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "type": _KEYWORD,
            "manifest": _KEYWORD,
            "address": _KEYWORD,
            "id": _KEYWORD,
            "name": _KEYWORD,
            "adopted": {"type": "boolean"},
            "depends_on": _KEYWORD,
            "at": {"type": "date"},
            "by": _KEYWORD,
            "applied": _UNINDEXED,
            "prior": _UNINDEXED,
            "fingerprints": _UNINDEXED,
            "intent": _UNINDEXED,
            "lifecycle": _UNINDEXED,
            "body": _UNINDEXED,
        },
    },
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says: its own id ("" when there is none yet), our rows, and other manifests' rows.

    `version` is the format it was made or last upgraded with.
    """

    id: str = ""
    cluster: str = ""
    account: str = ""
    rows: Mapping[Address, Row] = field(default_factory=dict)
    others: Sequence[Row] = ()
    version: int = VERSION


def read(manifest: str, token: str = "") -> Steps[Ledger]:
    """The whole ledger. Only a missing index is an empty one: a refusal or a broken answer is an error.

    Beside an apply, or after one that was killed, searches may not show yet what it wrote: then they are given the time
    for it. `token` is that of the reader's own lock, which had everything shown.
    """
    documents = yield from _documents()
    if any(_locks(one, manifest, token) for one in documents):
        yield Pause(_SHOWN_WITHIN, "searches to show what an apply wrote to the ledger", 0.0, _SHOWN_WITHIN)
        documents = yield from _documents()
    rows = [_row(one) for one in documents if one.get("type") == "row"]
    identity = next((one for one in documents if one.get("type") == "identity"), {})
    about = identity.get("body")
    about = about if isinstance(about, Mapping) else {}
    version = about.get("version", VERSION)
    if not isinstance(version, int):
        raise Failed("bad-answer", "the ledger does not say which version wrote it")
    if version > VERSION:
        raise Failed("ledger-newer", "the ledger was written by a newer reconciler")
    return Ledger(
        id=str(about.get("id", "")),
        cluster=str(about.get("cluster", "")),
        account=str(about.get("account", "")),
        rows={row.address: row for row in rows if row.manifest == manifest},
        others=tuple(row for row in rows if row.manifest != manifest),
        version=version,
    )


def _locks(document: Line, manifest: str, token: str) -> bool:
    """Whether a document is the lock of that manifest in somebody else's hand."""
    body = document.get("body")
    taken = body.get("token") if isinstance(body, Mapping) else None
    return document.get("type") == "lock" and document.get("manifest") == manifest and taken != token


def _documents() -> Steps[list[Line]]:
    """The ledger's identity, rows and locks as a search shows them."""
    found: list[Line] = []
    after: Sequence[Json] | None = None
    while True:
        body: dict[str, Json] = {
            "query": {"terms": {"type": ["row", "identity", "lock"]}},
            "sort": [{"manifest": "asc"}, {"address": {"order": "asc", "missing": "_first"}}],
            "size": _PAGE,
        }
        if after is not None:
            body["search_after"] = after
        operation = f"GET /{INDEX}/_search"
        answer = yield from call(Request(Service.LEDGER, operation, body=body, expect=frozenset({"404"})))
        if answer.missing and "no such" not in answer.reason:
            raise Failed("bad-answer", f"the ledger was asked for, and something else answered: {answer.reason or 404}")
        if answer.missing:
            return []
        sources = list(_sources(answer.body))
        found += sources
        if len(sources) < _PAGE:
            return found
        after = [str(sources[-1].get("manifest")), str(sources[-1].get("address"))]


def create(ledger: Ledger) -> Steps[Ledger]:
    """Make the index and write the ledger's identity. Returns the ledger as it is: somebody may have been faster."""
    exists = frozenset({"400"})
    made = yield from call(Request(Service.LEDGER, f"PUT /{INDEX}", body=_DEFINITION, expect=exists))
    if not made.ok and "already_exists" not in made.reason and "already exists" not in made.reason:
        raise Failed("ledger-not-writable", made.reason)
    (_, document) = _identity(ledger)
    try:
        yield from _write([[{"create": {"_index": INDEX, "_id": "identity"}}, document]], SHOWN)
    except Failed as refusal:
        if "version conflict" not in refusal.reason:
            raise
        there = yield from read("")
        return replace(ledger, id=there.id, cluster=there.cluster, account=there.account)
    return ledger


def upgrade(ledger: Ledger) -> Steps[Ledger]:
    """Bring the index of an older version to this one: its mapping is strict, and has to know every field."""
    mapping = _DEFINITION["mappings"]
    yield from call(Request(Service.LEDGER, f"PUT /{INDEX}/_mapping", body=mapping))
    upgraded = replace(ledger, version=VERSION)
    yield from _write([_identity(upgraded)], SHOWN)
    return upgraded


def readdressed(ledger: Ledger, moves: Mapping[Address, Address]) -> Ledger:
    """The ledger with our rows under the addresses that they have now.

    `moves` leads from every address that was left to where its object is now, those left last first. A row that is
    there already under the new address stays: what is under the old one is another object then, or the same whose
    old row was not removed any more. Nothing is written: rows that differ from the ledger's own are `outdated`.
    """
    rows = dict(ledger.rows)
    for old, new in moves.items():
        row, there = rows.get(old), rows.get(new)
        if row is not None and (there is None or _same(there, row)):
            del rows[old]
            rows[new] = replace(there or row, address=new, moved_from=old, outdated=True)
    texts = {str(old): str(new) for old, new in moves.items()}
    for address, row in list(rows.items()):
        depends_on = tuple(sorted({texts.get(text, text) for text in row.depends_on}))
        if any(text in texts for text in row.depends_on):
            rows[address] = replace(row, depends_on=depends_on, outdated=True)
    return replace(ledger, rows=rows)


def _same(one: Row, other: Row) -> bool:
    """Whether two rows are about one object: by its id, and without ids by all that is theirs in what is shared."""
    if one.id or other.id:
        return one.id == other.id
    return bool(one.applied) and (one.applied, one.prior) == (other.applied, other.prior)


def write(rows: Iterable[Row], fence: int = 0, leisure: float = 0.0) -> Steps[None]:
    """Write rows. Rows that are written at the same moment go in one request.

    One that moved leaves its old address in the request that brings it to the new one. `fence` is the number of the
    writer's lock: what comes late from an earlier holder is refused by the service. Failed with `lock-lost` when
    somebody with a later lock wrote the row. 0 stands for no lock. `leisure` is how many seconds they may wait for
    others to go with.
    """
    entries = [
        [{"index": _about(row, row.address, fence)}, _document(row), *_removals(row, [row.moved_from], fence)]
        for row in rows
    ]
    yield from _write(entries, {}, leisure)


def remove(row: Row, fence: int = 0) -> Steps[None]:
    """Remove a row, wherever the ledger has it; `fence` as in `write`."""
    yield from _write([_removals(row, [row.address, row.moved_from], fence)], {})


def record(manifest: str, at: str, by: str, body: Json) -> Steps[None]:
    """Write what one apply did. `at` is ISO 8601 in UTC, `by` the caller's ARN or user name."""
    document = {"type": "history", "manifest": manifest, "at": at, "by": by, "body": body}
    yield from _write([[{"index": {"_index": INDEX, "_id": f"history:{manifest}:{at}"}}, document]], SHOWN)


def history(manifest: str, most: int, skipped: int = 0) -> Steps[tuple[Line, ...]]:
    """What the last `most` applies of a manifest did, newest first: `at`, `by`, and the `body` given to `record`.

    The `skipped` newest are left out. A search goes 10,000 applies deep and no further.
    """
    body: Json = {
        "query": {"bool": {"filter": [{"term": {"type": "history"}}, {"term": {"manifest": manifest}}]}},
        "sort": [{"at": "desc"}],
        "from": skipped,
        "size": most,
    }
    request = Request(Service.LEDGER, f"GET /{INDEX}/_search", body=body, expect=frozenset({"404"}))
    answer = yield from call(request)
    return () if answer.missing else tuple(_sources(answer.body))


def rebind(ledger: Ledger) -> Steps[None]:
    """Say that the ledger belongs to the cluster it is on now, as after a restore from a snapshot."""
    yield from _write([_identity(ledger)], SHOWN)


def _write(entries: Iterable[Sequence[Line]], query: Mapping[str, str], leisure: float = 0.0) -> Steps[None]:
    """Write documents. Failed when one of them could not be written."""
    for result in (yield from bulk(entries, query, leisure)).values():
        reason = refusal(result)
        if reason and conflicts(result) and "the one provided" in reason:
            raise Failed("lock-lost", f"a later apply wrote the ledger meanwhile: {reason}")
        if reason:
            raise Failed("ledger-not-writable", reason)


def _identity(ledger: Ledger) -> list[Line]:
    about: Json = {"version": ledger.version, "id": ledger.id, "cluster": ledger.cluster, "account": ledger.account}
    return [{"index": {"_index": INDEX, "_id": "identity"}}, {"type": "identity", "manifest": "", "body": about}]


def _sources(body: Json) -> Iterator[Line]:
    """The documents of a search's answer. An answer that has not the form of one is an error."""
    outer = body.get("hits") if isinstance(body, Mapping) else None
    hits = outer.get("hits") if isinstance(outer, Mapping) else None
    if not isinstance(hits, Sequence):
        raise Failed("bad-answer", "the ledger's search answered without hits")
    if _partial(body):
        raise Failed("bad-answer", "the ledger's search answered for a part of the ledger only")
    for hit in hits:
        source = hit.get("_source") if isinstance(hit, Mapping) else None
        if not isinstance(source, Mapping):
            raise Failed("bad-answer", "the ledger holds a document that is not an object")
        yield source


def _partial(body: Json) -> bool:
    """Whether a search left something out: a shard failed, or time ran out."""
    shards = body.get("_shards") if isinstance(body, Mapping) else None
    failed = shards.get("failed") if isinstance(shards, Mapping) else 0
    return bool(failed) or (isinstance(body, Mapping) and body.get("timed_out") is True)


def _about(row: Row, address: Address, fence: int) -> Line:
    about: Line = {"_index": INDEX, "_id": f"row:{row.manifest}:{address}"}
    # https://docs.opensearch.org/latest/api-reference/document-apis/bulk/
    return {**about, "version": fence, "version_type": "external_gte"} if fence else about


def _removals(row: Row, addresses: Iterable[Address | None], fence: int) -> list[Line]:
    return [{"delete": _about(row, address, fence)} for address in addresses if address is not None]


def _document(row: Row) -> Line:
    return {
        "type": "row",
        "manifest": row.manifest,
        "address": str(row.address),
        "id": row.id,
        "name": row.name,
        "adopted": row.adopted,
        "depends_on": list(row.depends_on),
        "at": row.applied_at or None,
        "applied": row.applied,
        "prior": row.prior,
        "fingerprints": row.fingerprints,
        "intent": row.intent,
        "lifecycle": {"on_remove": row.lifecycle.on_remove, "prevent_destroy": row.lifecycle.prevent_destroy},
    }


def _row(source: Mapping[str, Json]) -> Row:
    def mapping(name: str) -> Mapping[str, Json] | None:
        value = source.get(name)
        return value if isinstance(value, Mapping) else None

    depends_on = source.get("depends_on")
    try:
        address = Address.parse(str(source.get("address")))
    except ValueError as error:
        raise Failed("bad-answer", f"the ledger holds a row without an address: {error}") from error
    lifecycle = mapping("lifecycle") or {}
    return Row(
        address=address,
        manifest=str(source.get("manifest")),
        id=str(source.get("id") or ""),
        name=str(source.get("name") or ""),
        applied=mapping("applied") or {},
        prior=mapping("prior"),
        adopted=source.get("adopted") is True,
        depends_on=tuple(str(one) for one in depends_on) if isinstance(depends_on, Sequence) else (),
        fingerprints={key: str(value) for key, value in (mapping("fingerprints") or {}).items()},
        lifecycle=Lifecycle(str(lifecycle.get("on_remove", "delete")), lifecycle.get("prevent_destroy") is True),
        intent=mapping("intent"),
        applied_at=str(source.get("at") or ""),
    )
