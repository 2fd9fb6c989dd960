"""A small HTTP/1.1 server on asyncio that holds answers back without keeping anything else from going on."""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_STATUS = {200: "OK", 201: "Created"}
_WORTH_PACKING = 1_024


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Header names are in lower case; the target is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that is given `seconds` after the request came; `reply` is called at that moment."""

    seconds: float
    reply: Callable[[], Reply]


class Connection(asyncio.Protocol):
    """One client's connection. `serve` is called with each request, one after the other.

    `late` is told of each answer how many seconds after its time it was given.
    """

    def __init__(self, serve: Callable[[Asked], Held], late: Callable[[float], None]) -> None:
        self._serve = serve
        self._late = late
        self._read = bytearray()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=64 * 2**20)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (asked := self._next()) is not None:
            began = self._loop.time()
            held = self._serve(asked)
            packed = "gzip" in asked.headers.get("accept-encoding", "")
            due = began + held.seconds
            self._loop.call_at(due, self._answer, due, held.reply, packed)

    def _next(self) -> Asked | None:
        """The next whole request that was read."""
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._read[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + 4 + int(headers.get("content-length", 0))
        if len(self._read) < whole:
            return None
        body = bytes(self._read[end + 4 : whole])
        del self._read[:whole]
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        method, target, _ = first.split(" ", 2)
        return Asked(method, target, headers, body)

    def _answer(self, due: float, reply: Callable[[], Reply], packed: bool) -> None:
        given = reply()
        body, encoding = given.body, ""
        if packed and len(body) >= _WORTH_PACKING:
            body, encoding = gzip.compress(body, 3, mtime=0), "content-encoding: gzip\r\n"
        if self._transport is None:
            return  # nobody waits any more
        head = (
            f"HTTP/1.1 {given.status} {_STATUS.get(given.status, 'Error')}\r\n"
            f"content-type: {given.content_type}\r\n{encoding}content-length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._late(self._loop.time() - due)


async def listen(serve: Callable[[Asked], Held], late: Callable[[float], None]) -> tuple[asyncio.Server, str]:
    """Listen on a free port of this machine; the server and its URL."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(serve, late), "127.0.0.1", 0, backlog=1_024)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
