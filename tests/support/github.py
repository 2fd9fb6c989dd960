"""A GitHub that has one repository: its comments and issues, behind the REST API's paths.

https://docs.github.com/rest/issues
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHub:
    """What is there, what was asked, and what goes wrong: `troubles` are the statuses of the next writes."""

    token: str
    url: str = ""
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    issues: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    troubles: list[int] = field(default_factory=list)

    def answer(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, Any]:
        """The status and the document."""
        split = urlsplit(target)
        path = split.path.removeprefix("/repos/owner/infrastructure/")
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.requests.append(f"{method} {path}")
        if method != "GET" and self.troubles:
            return self.troubles.pop(0), {"message": "no"}
        if found := re.fullmatch(r"issues/(\d+)/comments", path):
            there = self.comments.setdefault(int(found[1]), [])
            if method == "GET":
                return 200, _page(there, query)
            there.append({"id": 1_000 + sum(map(len, self.comments.values())), **body})
            return 201, there[-1]
        if found := re.fullmatch(r"issues/comments/(\d+)", path):
            (one,) = (one for all_ in self.comments.values() for one in all_ if one["id"] == int(found[1]))
            one.update(body)
            return 200, one
        if path == "issues" and method == "GET":
            wanted = [one for one in self.issues if one["state"] == query["state"] and query["labels"] in one["labels"]]
            return 200, _page(wanted, query)
        if path == "issues":
            self.issues.append({"number": 100 + len(self.issues), "state": "open", **body})
            return 201, self.issues[-1]
        if found := re.fullmatch(r"issues/(\d+)", path):
            (one,) = (one for one in self.issues if one["number"] == int(found[1]))
            one.update(body)
            return 200, one
        return 404, {"message": "Not Found"}


def _page(found: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    size, page = int(query["per_page"]), int(query["page"])
    return found[size * (page - 1) : size * page]


@contextmanager
def github(token: str) -> Iterator[GitHub]:
    """A GitHub that listens on this machine, and lets in who has the token."""
    this = GitHub(token)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            known = self.headers["Authorization"] == f"Bearer {this.token}"
            status, found = this.answer(self.command, self.path, json.loads(body or b"{}")) if known else (401, {})
            told = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815  (the server looks for these names)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    this.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield this
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
