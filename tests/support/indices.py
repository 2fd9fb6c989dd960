"""The indices of a cluster, in memory, with the documents that were put into them in bulk.

https://docs.opensearch.org/latest/api-reference/index-apis/index/
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from reconciler.model import forms
from tests.support import searching
from tests.support.refusal import Doc, Refused

_NODE_KEEPS = {"index.number_of_shards": "1", "index.number_of_replicas": "1", "index.replication.type": "DOCUMENT"}

_OWN = ("index.uuid", "index.creation_date")


class Indices:
    """All indices by name, each with flat settings, mappings, aliases. `documents` are what is in them."""

    def __init__(self) -> None:
        self.named: dict[str, Doc] = {}
        self.documents: dict[str, dict[str, Doc]] = {}
        self._made = 0

    def answers(self, path: str) -> bool:
        """Whether a request to this path is about indices."""
        return path == "/_aliases" or not path.startswith("/_")

    def answer(self, method: str, path: str, body: Any, now: float = 0.0) -> Doc:
        """The answer to one request about indices."""
        names, _, part = unquote(path.removeprefix("/")).partition("/")
        if (method, path) == ("POST", "/_aliases"):
            return self._alias(body["actions"])
        if method == "GET" and not part:
            asked = names.split(",")
            return {name: self.named[name] for name in self.named if any(fnmatchcase(name, one) for one in asked)}
        if method == "PUT" and not part:
            return self._make(names, body or {}, now)
        if names not in self.named:
            raise Refused(404, f"no such index [{names}]")
        if method == "DELETE" and not part:
            del self.named[names], self.documents[names]
        elif (method, part) == ("POST", "_bulk"):
            return self._fill(names, body)
        elif (method, part) == ("POST", "_search"):
            return searching.found(self.documents[names], body or {})
        elif (method, part) == ("PUT", "_settings"):
            self._set(self.named[names], body)
        elif (method, part) == ("PUT", "_mapping"):
            self.named[names]["mappings"] = _mapped(self.named[names]["mappings"], body)
        else:
            raise Refused(405, f"Incorrect HTTP method for uri [{path}] and method [{method}]")
        return {"acknowledged": True}

    def _make(self, name: str, body: Doc, now: float) -> Doc:
        if name in self.named:
            raise Refused(400, f"index [{name}/{self.named[name]['settings']['index.uuid']}] already exists")
        if unknown := sorted(body.keys() - {"settings", "mappings", "aliases"}):
            raise Refused(400, f"unknown key [{unknown[0]}] for create index")
        self._made += 1
        moment = str(int(now * 1000))
        own = {
            "index.uuid": f"index-{self._made:04d}", "index.provided_name": name, "index.creation_date": moment,
        }  # fmt: skip
        self.documents[name] = {}
        self.named[name] = {
            "settings": {**_NODE_KEEPS, **forms.settings(body.get("settings", {})), **own},
            "mappings": _mapped({}, body.get("mappings", {})),
            "aliases": body.get("aliases", {}),
        }
        return {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def _fill(self, name: str, lines: list[Doc]) -> Doc:
        """A bulk request of documents; one with a field `refused` is refused by the mappings."""
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            one = action["index"]["_id"]
            if "refused" in document:
                cause = {"type": "illegal_argument_exception", "reason": str(document["refused"])}
                error = {"type": "mapper_parsing_exception", "reason": "failed to parse field", "caused_by": cause}
                items.append({"index": {"_index": name, "_id": one, "status": 400, "error": error}})
            else:
                self.documents[name][one] = document
                items.append({"index": {"_index": name, "_id": one, "status": 201}})
        return {"errors": any("error" in item["index"] for item in items), "items": items}

    def _set(self, index: Doc, changes: Doc) -> None:
        for name in changes:
            if name.startswith(("index.number_of_shards", "index.analysis.", "index.codec")):
                raise Refused(400, f"Can't update non dynamic settings [[{name}]] for open indices")
        kept = {name: one for name, one in index["settings"].items() if name not in changes}
        index["settings"] = {**_NODE_KEEPS, **kept, **forms.settings(changes)}

    def _alias(self, actions: list[Doc]) -> Doc:
        for action in actions:
            ((verb, stated),) = action.items()
            if stated["index"] not in self.named:
                raise Refused(404, f"no such index [{stated['index']}]")
            aliases = self.named[stated["index"]]["aliases"]
            if verb == "add":
                aliases[stated["alias"]] = {
                    key: value for key, value in stated.items() if key not in ("index", "alias")
                }
            elif aliases.pop(stated["alias"], None) is None and stated.get("must_exist") is not False:
                raise Refused(404, f"aliases [{stated['alias']}] missing")
        return {"acknowledged": True}


def _mapped(there: Doc, stated: Doc) -> Doc:
    """Mappings with others merged into them: fields are added, and stay what they are."""
    fields = dict(there.get("properties", {}))
    for name, field in stated.get("properties", {}).items():
        fields[name] = _field(name, fields[name], field) if name in fields else field
    return {**there, **stated, **({"properties": fields} if fields else {})}


def _field(name: str, there: Doc, stated: Doc) -> Doc:
    for fixed, unsaid in (("type", "object"), ("analyzer", "default"), ("index", True), ("doc_values", True)):
        was, now = there.get(fixed, unsaid), stated.get(fixed, unsaid)
        if was != now:
            raise Refused(400, f"Mapper for [{name}] conflicts: Cannot update parameter [{fixed}] from {was} to {now}")
    shown = {key: value for key, value in stated.items() if str(value) != forms.unsaid(stated.get("type"), key)}
    return _mapped(there, shown) if "properties" in there else shown


def shown(index: Doc) -> Mapping[str, Any]:
    """An index without what tells it from another of its name, as its users see it."""
    settings = {key: value for key, value in index["settings"].items() if key not in _OWN}
    return {
        "settings": settings,
        "mappings": forms.whole(forms.mappings(index["mappings"])),
        "aliases": index["aliases"],
    }
