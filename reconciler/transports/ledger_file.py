"""A ledger in a file: it answers the requests a ledger on a domain is asked."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.model.request import Answer, Request


class LedgerFile:
    """The file is read once, written whole at each change and moved into place, so that it is never half written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def send(self, request: Request) -> Answer:
        """Answer a search, the making of the index, or a bulk write."""
        with self._lock:
            documents = self._read()
            if request.operation.endswith("/_search"):
                return _search(documents, request)
            if request.operation == "POST /_bulk":
                return self._bulk(documents or {}, request)
            if documents is not None:
                return Answer(400, None, "400", "the ledger already exists")
            self._write({})
            return Answer(200, {"acknowledged": True})

    def _read(self) -> dict[str, Mapping[str, Json]] | None:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReconcilerError([self._problem(f"can not be read: {error.strerror}")]) from error
        try:
            found = json.loads(text)["documents"]
        except (ValueError, KeyError, TypeError) as error:
            raise ReconcilerError([self._problem("is not a ledger")]) from error
        return dict(found)

    def _write(self, documents: Mapping[str, Mapping[str, Json]]) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"version": 1, "documents": documents}, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise ReconcilerError([self._problem(f"can not be written: {error.strerror}")]) from error

    def _bulk(self, documents: dict[str, Mapping[str, Json]], request: Request) -> Answer:
        lines = iter(request.body if isinstance(request.body, tuple) else ())
        for line in lines:
            assert isinstance(line, Mapping)
            ((verb, about),) = line.items()
            assert isinstance(about, Mapping)
            key = str(about.get("_id") or f"history:{len(documents):06d}")
            if verb == "delete":
                documents.pop(key, None)
            else:
                document = next(lines)
                assert isinstance(document, Mapping)
                documents[key] = document
        self._write(documents)
        return Answer(200, {"errors": False, "items": []})

    def _problem(self, what: str) -> Problem:
        return Problem("ledger-file", f"the ledger file {self._path} {what}", hint="check the path and its permissions")


def _search(documents: Mapping[str, Mapping[str, Json]] | None, request: Request) -> Answer:
    if documents is None:
        return Answer(404, None, "404", "no such file")
    asked = request.body if isinstance(request.body, Mapping) else {}
    wanted = [one for _, one in sorted(documents.items()) if one.get("type") in ("row", "identity")]
    hits: Json = [] if "search_after" in asked else [{"_source": one, "sort": ["all"]} for one in wanted]
    return Answer(200, {"hits": {"hits": hits}})
