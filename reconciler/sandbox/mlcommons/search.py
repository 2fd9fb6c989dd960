"""The `_search` of connectors, models, groups, tasks and agents: the caller's query on the real index."""

import json
from collections.abc import Sequence

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import failure, forwarded
from reconciler.sandbox.mlcommons.routing import Call
from reconciler.sandbox.mlcommons.values import Document, document, listed
from reconciler.sandbox.protocol import MlResponse, NodeClient


class Search:
    """Runs searches on the indices of ML Commons."""

    def __init__(self, node: NodeClient) -> None:
        self._node = node

    def parse(self, call: Call) -> tuple[bytes, Document]:
        """The search body of a request (or its `source` parameter), as sent and parsed; 400 when there is none."""
        raw = call.request.body or call.request.query.get("source", "").encode()
        if not raw.strip():
            raise failure("parse_exception", "request body or source parameter is required", 400)
        try:
            return raw, document(json.loads(raw))
        except ValueError:
            return raw, {}

    async def run(
        self, index: str, raw: bytes, body: Document, *, hide: Sequence[str] = (), missing_is_empty: bool = True
    ) -> MlResponse:
        """Search `index` with `body`, never showing the fields `hide`; `raw` is what the caller sent."""
        query = {
            **body,
            "version": True,
            "seq_no_primary_term": True,
            "_source": source_filter(body.get("_source"), hide),
        }
        path = f"/{index}/_search" + ("?ignore_unavailable=true" if missing_is_empty else "")
        status, found = await self._node.request("POST", path, json=query)
        if status != 200:
            # the complaint must name places in the caller's own text
            status, found = await self._node.request("POST", path, body=raw)
        return forwarded(status, found)


def source_filter(wanted: Json, hide: Sequence[str]) -> Json:
    """The caller's `_source` with the hidden fields excluded."""
    hidden = ["content", "model_content", "ui_metadata", *hide]
    match wanted:
        case bool():
            return {"excludes": hidden} if wanted else False
        case str():
            return {"includes": [wanted], "excludes": hidden}
        case list():
            return {"includes": wanted, "excludes": hidden}
        case dict():
            includes = wanted.get("includes", wanted.get("include", []))
            excludes = wanted.get("excludes", wanted.get("exclude", []))
            return {"includes": _several(includes), "excludes": [*_several(excludes), *hidden]}
        case _:
            return {"excludes": hidden}


def _several(value: Json) -> list[Json]:
    return [value] if isinstance(value, str) else listed(value)


def narrowed(query: Json, condition: Json) -> Json:
    """`query` with a condition as a filter; a `bool` query keeps its own form."""
    if query is None:
        return condition
    if isinstance(query, dict) and isinstance(query.get("bool"), dict):
        clauses = document(query["bool"])
        own = clauses.get("filter", [])
        filters = own if isinstance(own, list) else [own]
        return {"bool": {**clauses, "filter": [*filters, condition]}}
    return {"bool": {"must": [query], "filter": [condition]}}
