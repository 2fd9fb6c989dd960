"""Serves ASGI applications on loopback, several in one process, on ports the system picks."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.sandbox.certificates import Pair
from reconciler.sandbox.faults import Dropped


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: it has several servers."""
        yield


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the application reach the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def _dropping(app: ASGIApp) -> ASGIApp:
    """`app`, whose `Dropped` closes the connection without an answer."""

    async def dropping(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Dropped:
            scope["state"]["transport"].abort()
            while (await receive())["type"] != "http.disconnect":
                pass

    return dropping


@asynccontextmanager
async def serving(app: ASGIApp, *, certificate: Pair | None = None) -> AsyncIterator[str]:
    """Serve `app` on 127.0.0.1 while the context lasts; gives its URL, https with a certificate."""
    # asyncio sends at once (TCP_NODELAY) only on sockets that say that they are TCP
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        server = _Server(
            uvicorn.Config(
                _dropping(app),
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=300,
                timeout_graceful_shutdown=2,
                ssl_certfile=certificate.certificate if certificate else None,
                ssl_keyfile=certificate.key if certificate else None,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await task
