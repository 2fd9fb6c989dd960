"""The model endpoint that the recording was made with: OpenAI's shape, key `good-key`, on a fixed port."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler.canonical.json import Json

PORT = 18080  # stands in the recording


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer a call of a connector."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/status/"):
            message = f"stub says {self.path}"
            error: Json = {"error": {"message": message, "type": "server_error", "code": None}}
            self._send(int(self.path.split("/")[2]), error)
        elif self.path == "/notjson":
            self._send_raw(200, b"hello, not json", "text/plain")
        elif self.path == "/v1/chat/completions":
            self._chat(raw)
        else:
            self._send(404, {"error": {"message": "no such path"}})

    def _chat(self, raw: bytes) -> None:
        if self.headers.get("Authorization") != "Bearer good-key":
            self._refuse(401, "Incorrect API key provided", {"param": None, "code": "invalid_api_key"})
            return
        try:
            asked = json.loads(raw)
        except ValueError as error:
            self._refuse(400, f"could not parse JSON body: {error}", {})
            return
        messages = asked.get("messages") or []
        last = messages[-1]["content"] if messages else ""
        content = f"stub answer to {len(messages)} messages; last: {last[:80]}"
        choice: Json = {
            "index": 0,
            "message": {"role": "assistant", "content": content},
            "logprobs": None,
            "finish_reason": "stop",
        }
        self._send(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": asked.get("model"),
                "choices": [choice],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
            },
        )

    def _refuse(self, status: int, message: str, more: dict[str, Json]) -> None:
        self._send(status, {"error": {"message": message, "type": "invalid_request_error", **more}})

    def _send(self, status: int, body: Json) -> None:
        self._send_raw(status, json.dumps(body).encode(), "application/json")

    def _send_raw(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[None]:
    """Serve on 127.0.0.1:18080 while the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
