"""One OpenSearch index in memory, as far as the ledger asks of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.refusal import Doc, Refused


class Index:
    """The index of the ledger: absent until it is made, strict about fields, written by bulk, read by pages."""

    def __init__(self) -> None:
        self.name = ""
        self.documents: dict[str, Doc] = {}
        self._fields: Mapping[str, Mapping[str, Any]] = {}
        self._made = 0

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return bool(self.name)

    def rows(self, manifest: str) -> dict[str, Doc]:
        """The rows of one manifest by address."""
        return {
            one["address"]: one
            for one in self.documents.values()
            if one["type"] == "row" and one["manifest"] == manifest
        }

    def answer(self, method: str, path: str, body: Any) -> Doc:
        """The answer to one request."""
        name, _, verb = path.removeprefix("/").partition("/")
        if method == "POST" and name == "_bulk":
            return self._bulk(body)
        if method == "GET" and verb == "_search":
            return self._search(name, body)
        if method == "PUT" and not verb:
            return self._create(name, body)
        raise Refused(405, f"Incorrect HTTP method for uri [{path}] and method [{method}]")

    def _create(self, name: str, body: Any) -> Doc:
        if self.exists:
            raise Refused(400, f"index [{name}/uuid] already exists")
        self.name = name
        self._fields = body["mappings"]["properties"]
        return {"acknowledged": True, "index": name}

    def _bulk(self, lines: Sequence[Doc]) -> Doc:
        items: list[Doc] = []
        rest = iter(lines)
        for line in rest:
            ((verb, about),) = line.items()
            document = next(rest) if verb == "index" else None
            items.append({verb: self._write(about, document)})
        return {"took": 1, "errors": any("error" in item for one in items for item in one.values()), "items": items}

    def _write(self, about: Doc, document: Doc | None) -> Doc:
        if about["_index"] != self.name:
            error = {"type": "index_not_found_exception", "reason": f"no such index [{about['_index']}]"}
            return {"status": 404, "error": error}
        if document is None:
            gone = self.documents.pop(about["_id"], None)
            return {"status": 404 if gone is None else 200, "result": "not_found" if gone is None else "deleted"}
        unknown = [name for name in document if name not in self._fields]
        if unknown:
            reason = f"mapping set to strict, dynamic introduction of [{unknown[0]}] within [_doc] is not allowed"
            return {"status": 400, "error": {"type": "strict_dynamic_mapping_exception", "reason": reason}}
        for name, value in document.items():
            if self._fields[name]["type"] == "date" and value == "":
                reason = f"failed to parse field [{name}] of type [date]"
                return {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": reason}}
        self._made += 1
        self.documents[about.get("_id", f"made-{self._made}")] = document
        return {"status": 201, "result": "created"}

    def _search(self, name: str, body: Any) -> Doc:
        if name != self.name:
            raise Refused(404, f"no such index [{name}]")
        ((field, wanted),) = body["query"]["terms"].items()
        found = [one for one in self.documents.values() if one.get(field) in wanted]
        keyed = sorted(((_key(one), one) for one in found), key=lambda pair: pair[0])
        after = body.get("search_after")
        if after is not None:
            keyed = [(key, one) for key, one in keyed if key > tuple(text or "" for text in after)]
        hits = [{"_source": one, "sort": list(key)} for key, one in keyed[: body["size"]]]
        return {"hits": {"total": {"value": len(found), "relation": "eq"}, "hits": hits}}


def _key(document: Doc) -> tuple[str, str]:
    return document.get("manifest") or "", document.get("address") or ""
