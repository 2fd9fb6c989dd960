"""One OpenSearch index in memory, as far as the ledger asks of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.support import searching
from tests.support.refusal import Doc, Refused


class Index:
    """The index of the ledger: absent until it is made, strict about fields, written by bulk, read by pages."""

    def __init__(self) -> None:
        self.name = ""
        self.documents: dict[str, Doc] = {}
        self._fields: Mapping[str, Mapping[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._sorted: dict[str, list[tuple[tuple[Any, ...], str]]] = {}  # by what was asked, until the next write
        self._made = 0
        self._fences: dict[str, int] = {}  # of documents that are gone, too

    def number(self) -> int:
        """The number of a new write, greater than those of all before."""
        self._made += 1
        return self._made

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

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Doc:
        """The answer to one request."""
        name, _, verb = path.removeprefix("/").partition("/")
        if method == "POST" and name == "_bulk":
            return self._bulk(body)
        if method == "GET" and verb == "_search":
            return self._search(name, body)
        if method == "PUT" and verb == "_mapping" and name == self.name:
            self._fields = {**self._fields, **body["properties"]}
            return {"acknowledged": True}
        if method == "PUT" and not verb:
            return self._create(name, body)
        if method == "GET" and verb.startswith("_doc/"):
            return self._one(name, unquote(verb.removeprefix("_doc/")))
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
            document = None if verb == "delete" else next(rest)
            number = self._numbers.get(about.get("_id"))
            if verb == "create" and about["_id"] in self.documents:
                error = {"reason": f"[{about['_id']}]: version conflict, document already exists (current version [1])"}
                items.append({verb: {"_id": about["_id"], "status": 409, "error": error}})
            elif about.get("if_seq_no", number) != number:
                error = {"reason": f"[{about['_id']}]: version conflict, required seqNo [{about['if_seq_no']}]"}
                items.append({verb: {"_id": about["_id"], "status": 409, "error": error}})
            else:
                items.append({verb: self._write(about, document)})
        return {"took": 1, "errors": any("error" in item for one in items for item in one.values()), "items": items}

    def _one(self, name: str, one: str) -> Doc:
        """One document by its id."""
        if name != self.name:
            raise Refused(404, f"no such index [{name}]")
        if one not in self.documents:
            raise Refused(404, "")
        return {"_id": one, "_seq_no": self._numbers[one], "_primary_term": 1, "_source": self.documents[one]}

    def _write(self, about: Doc, document: Doc | None) -> Doc:
        self._sorted.clear()
        if about["_index"] != self.name:
            error = {"type": "index_not_found_exception", "reason": f"no such index [{about['_index']}]"}
            return {"_id": about.get("_id"), "status": 404, "error": error}
        fence = about.get("version", 0)
        if about.get("version_type") == "external_gte" and fence < self._fences.get(about["_id"], 0):
            one, current = about["_id"], self._fences[about["_id"]]
            told = f"current version [{current}] is higher than the one provided [{fence}]"
            return {"_id": one, "status": 409, "error": {"reason": f"[{one}]: version conflict, {told}"}}
        if fence:
            self._fences[about["_id"]] = fence
        if document is None:
            gone = self.documents.pop(about["_id"], None)
            self._numbers.pop(about["_id"], None)
            result = "not_found" if gone is None else "deleted"
            return {"_id": about["_id"], "status": 404 if gone is None else 200, "result": result}
        unknown = [name for name in document if name not in self._fields]
        if unknown:
            reason = f"mapping set to strict, dynamic introduction of [{unknown[0]}] within [_doc] is not allowed"
            error = {"type": "strict_dynamic_mapping_exception", "reason": reason}
            return {"_id": about.get("_id"), "status": 400, "error": error}
        for name, value in document.items():
            if self._fields[name]["type"] == "date" and value == "":
                reason = f"failed to parse field [{name}] of type [date]"
                error = {"type": "mapper_parsing_exception", "reason": reason}
                return {"_id": about.get("_id"), "status": 400, "error": error}
        self._made += 1
        one = about.get("_id", f"made-{self._made}")
        self.documents[one], self._numbers[one] = document, self._made
        return {"_id": one, "status": 201, "result": "created", "_seq_no": self._made, "_primary_term": 1}

    def _search(self, name: str, body: Any) -> Doc:
        if name != self.name:
            raise Refused(404, f"no such index [{name}]")
        asked = json.dumps([body["query"], body["sort"], len(self.documents)])  # tests take documents out themselves
        if asked not in self._sorted:
            ids = searching.matching(self.documents, body["query"])
            self._sorted[asked] = searching.ordered(self.documents, ids, body["sort"])
        return searching.page(self.documents, self._sorted[asked], body)
