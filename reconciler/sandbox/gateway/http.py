"""Requests and answers as the gateway handles them: raw, so that signatures and bodies stay what they were."""

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.canonical.json import Json


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request: `raw_path` and `raw_query` are as sent; header names are in lower case, repeated ones joined."""

    method: str
    scheme: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.raw_path)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query; of a repeated one the last value."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def content(self) -> bytes:
        """The body without its `gzip` content encoding; a body that is not what it says stays as it is."""
        if self.headers.get("content-encoding") != "gzip":
            return self.body
        try:
            return gzip.decompress(self.body)
        except (EOFError, OSError, zlib.error):
            return self.body

    @property
    def target(self) -> str:
        """Path and query as sent."""
        return f"{self.raw_path}?{self.raw_query}" if self.raw_query else self.raw_path


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `headers` do not hold the length, which follows from the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def json_answer(status: int, content: Json) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())


def application(handle: Callable[[Incoming], Awaitable[Answer]]) -> ASGIApp:
    """The ASGI application that answers every request by `handle`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = await handle(
            Incoming(
                method=scope["method"],
                scheme=scope["scheme"],
                raw_path=scope["raw_path"].decode("latin-1"),
                raw_query=scope["query_string"].decode("latin-1"),
                headers=_joined(scope["headers"]),
                body=await _body(receive),
            )
        )
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    return app


def _joined(pairs: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
