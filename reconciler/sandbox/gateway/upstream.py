"""The connection to the real node: requests of callers passed through, and requests as the sandbox's super user."""

import json as json_module
import ssl
from collections.abc import AsyncIterable, Mapping

import httpx

from reconciler.canonical.json import Json
from reconciler.sandbox.certificates import Certificates
from reconciler.sandbox.gateway.http import Answer

TIMEOUT = 120.0  # seconds for one answer of the node
_CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=200, keepalive_expiry=300)
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Node:
    """The node at `url`. One pool of connections shows the super user's certificate, the other shows none."""

    def __init__(self, url: str, certificates: Certificates) -> None:
        self._url = httpx.URL(url)
        plain = ssl.create_default_context(cafile=str(certificates.authority))
        proven = ssl.create_default_context(cafile=str(certificates.authority))
        proven.load_cert_chain(certificates.super_user.certificate, certificates.super_user.key)
        self._callers = httpx.AsyncHTTPTransport(verify=plain, limits=_CONNECTIONS)
        self._super_user = httpx.AsyncHTTPTransport(verify=proven, limits=_CONNECTIONS)

    async def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a caller's request as it is (`target`: raw path and query); `headers` say who he is.

        Raises ConnectionError when the node does not answer.
        """
        return await self._send(
            self._callers, method, self._url.copy_with(raw_path=target.encode("latin-1")), headers, body
        )

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
        transport = self._callers if headers else self._super_user
        answer = await self._send(transport, method, self._url.join(path), sent, content)
        text = answer.body.decode()
        if "json" in answer.headers.get("content-type", ""):
            return answer.status, json_module.loads(text) if text else text
        return answer.status, text

    async def close(self) -> None:
        """Close all connections."""
        await self._callers.aclose()
        await self._super_user.aclose()

    @staticmethod
    async def _send(
        transport: httpx.AsyncHTTPTransport, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        passed = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
        request = httpx.Request(
            method,
            url,
            headers=passed,
            content=body,
            extensions={"timeout": {"connect": 5.0, "read": TIMEOUT, "write": TIMEOUT, "pool": TIMEOUT}},
        )
        try:
            response = await transport.handle_async_request(request)
            stream = response.stream
            assert isinstance(stream, AsyncIterable)
            content = b"".join([part async for part in stream])
            await response.aclose()
        except httpx.TransportError as error:
            raise ConnectionError(f"the node did not answer {method} {url.path}: {error!r}") from error
        kept = {name: value for name, value in response.headers.items() if name not in _HOP_BY_HOP}
        if method == "HEAD" and "content-length" in response.headers:
            kept["content-length"] = response.headers["content-length"]
        return Answer(response.status_code, kept, content)
