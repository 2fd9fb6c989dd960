"""A small web server for pages that are made when they are asked for."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler.errors import Problem, ReconcilerError


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser gets."""

    text: str
    media_type: str
    status: int = 200


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up in the middle is nobody's concern."""


@contextmanager
def served(host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> Iterator[int]:
    """Answer GET and HEAD of these paths while the context lasts. The port, which 0 leaves to the system.

    ReconcilerError where the port can not be had.
    """

    class Handler(BaseHTTPRequestHandler):
        server_version = "reconciler"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            page = pages[path]() if path in pages else Page("no such page\n", "text/plain; charset=utf-8", 404)
            body = page.text.encode()
            self.send_response(page.status)
            self.send_header("Content-Type", page.media_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: standard error is for what is wrong."""

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        message = f"{host}:{port} can not be listened on: {error.strerror or error}"
        raise ReconcilerError([Problem("usage", message, hint="name another with --listen")]) from error
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
