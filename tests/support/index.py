"""One OpenSearch index in memory, as far as the ledger asks of it."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.support import searching
from tests.support.collection import Delays
from tests.support.refusal import Doc, Refused


class Index:
    """The index of the ledger: absent until it is made, strict about fields, written by bulk, read by pages.

    Searches show what was written after a while, or once somebody asks for that with a write.
    """

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self.name = ""
        self.documents: dict[str, Doc] = {}
        self._fields: Mapping[str, Mapping[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._unshown: dict[str, tuple[Doc | None, float]] = {}  # what searches show instead, and until when
        self._sorted: dict[str, list[tuple[tuple[Any, ...], str]]] = {}  # by what was asked, until the next write
        self._now = 0.0
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

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any, now: float) -> Doc:
        """The answer to one request."""
        self._now = now
        self._show(now)
        name, _, verb = path.removeprefix("/").partition("/")
        if method == "POST" and name == "_bulk":
            answer = self._bulk(body)
            if query.get("refresh") == "true":
                self._show(math.inf)
            return answer
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
        before = self.documents.get(about.get("_id", ""))
        written = self._written(about, document)
        if written["status"] < 300:
            shown, _ = self._unshown.get(written["_id"], (before, 0.0))
            self._unshown[written["_id"]] = shown, self._now + self._delays.search
        return written

    def _show(self, now: float) -> None:
        """Let searches show what was written long enough before `now`."""
        shown = [one for one, (_, until) in self._unshown.items() if until <= now]
        for one in shown:
            del self._unshown[one]
            self._sorted.clear()

    def _written(self, about: Doc, document: Doc | None) -> Doc:
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
            ids = searching.matching(self._shown, body["query"])
            self._sorted[asked] = searching.ordered(self._shown, ids, body["sort"])
        return searching.page(self._shown, self._sorted[asked], body)

    @property
    def _shown(self) -> dict[str, Doc]:
        """The documents as searches show them."""
        if not self._unshown:
            return self.documents
        before = {one: document for one, (document, _) in self._unshown.items() if document is not None}
        return {**{one: self.documents[one] for one in self.documents if one not in self._unshown}, **before}
