"""A ledger in a file: it answers the requests a ledger on a domain is asked."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.model.request import Answer, Request


@dataclass
class _Content:
    """What the file holds: documents by id, the sequence number of each, and the last one given."""

    documents: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    last: int = 0

    def get(self, key: str) -> Answer:
        """One document, with what its next change may be made to depend on."""
        number = self.numbers.get(key)
        if number is None:
            return Answer(404, None, "404", "no such document")
        return Answer(200, {"_seq_no": number, "_primary_term": 1, "_source": self.documents[key]})

    def take(self, verb: str, about: Mapping[str, Json], document: Mapping[str, Json] | None) -> Mapping[str, Json]:
        """Write or delete a document on the conditions that `about` states; what became of it."""
        key = str(about["_id"])
        number = self.numbers.get(key)
        if (verb == "create" and number is not None) or about.get("if_seq_no", number) != number:
            return {"status": 409, "error": {"reason": f"[{key}]: version conflict, it is not as it was seen"}}
        if document is None:
            self.documents.pop(key, None)
            self.numbers.pop(key, None)
            return {"status": 200}
        self.last += 1
        self.documents[key], self.numbers[key] = document, self.last
        return {"status": 201, "_seq_no": self.last, "_primary_term": 1}


class LedgerFile:
    """The file is written whole at each change and moved into place, so that it is never half written.

    Processes take turns by a lock on a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, request: Request) -> Answer:
        """Answer a search, the making of the index, a bulk write, or a request about one document."""
        with self._turn():
            content = self._read()
            if request.operation.endswith("/_search"):
                return _search(content, request)
            if request.operation.endswith("/_doc/{id}"):
                return (content or _Content()).get(str(request.parameters["id"]))
            if request.operation == "POST /_bulk":
                return self._bulk(content or _Content(), request)
            if request.operation.endswith("/_mapping"):
                return Answer(200, {"acknowledged": True})  # a file takes any field
            if content is not None:
                return Answer(400, None, "400", "the ledger already exists")
            self._write(_Content())
            return Answer(200, {"acknowledged": True})

    @contextmanager
    def _turn(self) -> Iterator[None]:
        beside = self._path.with_name(f".{self._path.name}.lock")
        try:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ReconcilerError([self._problem(f"can not be locked: {error.strerror}")]) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> _Content | None:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ReconcilerError([self._problem(f"can not be read: {reason}")]) from error
        try:
            found = json.loads(text)
            return _Content(dict(found["documents"]), dict(found["numbers"]), int(found["last"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ReconcilerError([self._problem("is not a ledger")]) from error

    def _write(self, content: _Content) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        whole = {"version": 1, "last": content.last, "numbers": content.numbers, "documents": content.documents}
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(whole, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise ReconcilerError([self._problem(f"can not be written: {error.strerror}")]) from error

    def _bulk(self, content: _Content, request: Request) -> Answer:
        lines: Iterator[Any] = iter(request.body if isinstance(request.body, tuple) else ())
        items: list[Json] = []
        for line in lines:
            ((verb, about),) = line.items()
            document = None if verb == "delete" else _plain(next(lines))
            items.append({verb: {"_id": about["_id"], **content.take(verb, about, document)}})
        self._write(content)
        return Answer(200, {"items": items})

    def _problem(self, what: str) -> Problem:
        return Problem("ledger-file", f"the ledger file {self._path} {what}", hint="check the path and its permissions")


def _search(content: _Content | None, request: Request) -> Answer:
    if content is None:
        return Answer(404, None, "404", "no such file")
    asked = request.body if isinstance(request.body, Mapping) else {}
    history = "history" in json.dumps(asked.get("query"))
    types = ("history",) if history else ("row", "identity")
    wanted = [one for _, one in sorted(content.documents.items(), reverse=history) if one.get("type") in types]
    manifest = json.dumps(asked.get("query"))
    if history:
        size, skipped = int(str(asked.get("size", 20))), int(str(asked.get("from", 0)))
        wanted = [one for one in wanted if json.dumps(one.get("manifest")) in manifest][skipped:][:size]
    hits: Json = [] if "search_after" in asked else [{"_source": one} for one in wanted]
    return Answer(200, {"hits": {"hits": hits}})


def _plain(document: Any) -> Mapping[str, Json]:
    plain: Mapping[str, Json] = json.loads(json.dumps(document))
    return plain
