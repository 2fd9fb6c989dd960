"""The connection to the real node: requests of callers passed through, and requests as the sandbox's super user.

Every request of the domain takes this way once or more, so it is kept short: a pool of connections, `h11` for what is
sent over them, and nothing between.
"""

import asyncio
import json as json_module
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import h11

from reconciler.canonical.json import Json
from reconciler.sandbox.certificates import Certificates
from reconciler.sandbox.gateway.http import Answer

TIMEOUT = 120.0  # seconds for one answer of the node

_CHUNK = 1 << 18
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})


class Node:
    """The node at `url`. One pool of connections shows the super user's certificate, the other shows none."""

    def __init__(self, url: str, certificates: Certificates) -> None:
        plain = ssl.create_default_context(cafile=str(certificates.authority))
        proven = ssl.create_default_context(cafile=str(certificates.authority))
        proven.load_cert_chain(certificates.super_user.certificate, certificates.super_user.key)
        self._callers = _Pool(url, plain)
        self._super_user = _Pool(url, proven)

    async def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a caller's request as it is (`target`: raw path and query); `headers` say who he is.

        Raises ConnectionError when the node does not answer.
        """
        return await self._callers.exchange(method, target, headers, body)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """See `reconciler.sandbox.protocol.NodeClient`. Raises ConnectionError when the node does not answer."""
        content = json_module.dumps(json).encode() if json is not None else body or b""
        sent = dict(headers or {})
        if content:
            sent.setdefault("content-type", "application/json" if json is not None else "application/x-ndjson")
        pool = self._callers if headers else self._super_user
        answer = await pool.exchange(method, path, sent, content)
        text = answer.body.decode()
        if "json" in answer.headers.get("content-type", ""):
            return answer.status, json_module.loads(text) if text else text
        return answer.status, text

    def move(self, url: str) -> None:
        """From now on the node is at `url`."""
        self._callers.move(url)
        self._super_user.move(url)

    def close(self) -> None:
        """Close all connections."""
        self._callers.close()
        self._super_user.close()


class _Pool:
    """Open connections that nobody uses, the one used last first."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._idle: list[_Connection] = []
        self.move(url)

    def move(self, url: str) -> None:
        """Leave the connections there are; `url` is where the next ones lead."""
        self.close()
        where = urlsplit(url)
        assert where.hostname is not None
        self._host, self._port, self._authority = where.hostname, where.port, where.netloc

    async def exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request and return its answer."""
        sent = [("host", self._authority), *((name, text) for name, text in headers.items() if name not in _HOP_BY_HOP)]
        if body or method not in _BODILESS:
            sent.append(("content-length", str(len(body))))
        port = self._port
        connection = None
        try:
            request = h11.Request(method=method, target=target.encode("latin-1"), headers=sent)
            async with asyncio.timeout(TIMEOUT):
                connection = self._take() or await self._open()
                answer, reusable = await connection.exchange(request, body)
        except (OSError, h11.ProtocolError) as error:
            if connection is not None:
                connection.close()
            path = target.partition("?")[0]
            raise ConnectionError(f"the node did not answer {method} {path}: {error!r}") from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if reusable and port == self._port:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    async def _open(self) -> "_Connection":
        return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=self._trust, limit=_CHUNK))


class _Connection:
    """One connection, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT)

    @property
    def is_open(self) -> bool:
        """Whether the node has not closed it, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def exchange(self, request: h11.Request, body: bytes) -> tuple[Answer, bool]:
        """The answer to a request, and whether the connection serves for another one."""
        protocol = self._protocol
        content = [h11.Data(data=body)] if body else []
        sent = [protocol.send(event) for event in (request, *content, h11.EndOfMessage())]
        self._writer.write(b"".join(part for part in sent if part))
        await self._writer.drain()
        head: h11.Response | None = None
        parts: list[bytes] = []
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("it closed the connection")
        assert head is not None
        reusable = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
        if reusable:
            protocol.start_next_cycle()
        return _answer(head, b"".join(parts), is_head=request.method == b"HEAD"), reusable

    def close(self) -> None:
        """Close it."""
        self._writer.close()


def _answer(head: h11.Response, body: bytes, *, is_head: bool) -> Answer:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, text = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name not in _HOP_BY_HOP or (is_head and name == "content-length"):
            headers[name] = f"{headers[name]},{text}" if name in headers else text
    return Answer(head.status_code, headers, body)
