"""Commands against servers that answer nonsense: each ends in a message and an exit code, and nothing is written."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

MANIFEST = """\
manifest: bad-answers
target:
  opensearch:
    endpoint: ${var.endpoint}
    auth: { username: admin, password: "${env.PASSWORD}" }
variables:
  endpoint: { type: string }
model_groups:
  one:
    description: a group
connectors:
  one:
    protocol: http
    credential: { key: "${secret.key}" }
    actions: [{ action_type: predict, method: POST, url: "https://api.deepseek.com/v1/chat/completions" }]
secrets:
  key: { env: KEY }
"""
ROOT = {
    "name": "n",
    "cluster_name": "c",
    "cluster_uuid": "u",
    "version": {"number": "2.19.4", "distribution": "opensearch"},
}
AUTHINFO = {"user_name": "admin", "roles": ["all_access"], "backend_roles": ["admin"]}
NO_HITS: dict[str, object] = {"hits": {"hits": []}}
GOOD = {"/": ROOT, "/_plugins/_security/authinfo": AUTHINFO, "/_plugins/_ml": NO_HITS, "/reconciler-ledger": NO_HITS}
HTML = b"<html><head><title>OpenSearch Dashboards</title></head><body>sign in</body></html>"


@dataclass
class Server:
    """An HTTP server whose answers are (status, body, content type) by path prefix; the longest prefix counts."""

    answers: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, body: object, status: int = 200, kind: str = "application/json") -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, text, kind)

    def find(self, path: str) -> tuple[int, bytes, str]:
        if path.split("?", maxsplit=1)[0] == "/":
            return self.answers["/"]
        prefixes = [prefix for prefix in self.answers if path.startswith(prefix) and prefix != "/"]
        return (
            self.answers[max(prefixes, key=len)]
            if prefixes
            else self.answers.get("*", (404, b"{}", "application/json"))
        )


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command != "GET":
                state.written.append(f"{self.command} {self.path}")
            status, body, kind = state.find(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply  # noqa: N815  the names are the base class's

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state.url = f"http://127.0.0.1:{listening.server_port}"
    for path, body in GOOD.items():
        state.answer(path, body)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    listening.shutdown()
    listening.server_close()
    thread.join()


def run(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "manifest.yaml").write_text(MANIFEST)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OPENSEARCH_"))}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments, "manifest.yaml", "--var", f"endpoint={server.url}"],
        env={**inherited, "PASSWORD": "pass-word", "KEY": "sk-secret", "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "pass-word" not in done.stdout + done.stderr
    assert "sk-secret" not in done.stdout + done.stderr
    return done


def test_good_answers_make_a_plan(server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, "plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Plan: 2 to create" in done.stdout


BAD: dict[str, tuple[str, object, int, str, str]] = {
    "HTML for OpenSearch": ("/", HTML, 200, "text/html", "error[not-opensearch]"),
    "a sign-in page": ("/", HTML, 302, "text/html", "error[not-opensearch]"),
    "JSON of something else": ("/", {"hello": "world"}, 200, "application/json", "error[not-opensearch]"),
    "half a JSON": ("/", b'{"name": "n", "version": {"num', 200, "application/json", "error[bad-answer]"),
    "a list": ("/", [1, 2], 200, "application/json", "error[not-opensearch]"),
    "wrong password": ("/_plugins/_security/authinfo", b"Unauthorized", 401, "text/plain", "error[not-authenticated]"),
    "a ledger that may not be read": (
        "/reconciler-ledger",
        {
            "error": {"root_cause": [{"reason": "no permissions for [indices:data/read/search] and User [name=x]"}]},
            "status": 403,
        },
        403,
        "application/json",
        "error[not-mapped]",
    ),
    "a ledger without hits": ("/reconciler-ledger", {"took": 1}, 200, "application/json", "error[bad-answer]"),
    "a ledger of strings": (
        "/reconciler-ledger",
        {"hits": {"hits": ["x"]}},
        200,
        "application/json",
        "error[bad-answer]",
    ),
    "no ML Commons": (
        "/_plugins/_ml",
        {"error": "no handler found for uri [/_plugins/_ml/connectors/_search] and method [GET]"},
        400,
        "application/json",
        "error[no-ml-commons]",
    ),
    "half a search": ("/_plugins/_ml", b'{"hits": {"hits": [{"_id"', 200, "application/json", "error[bad-answer]"),
    "hits without a source": (
        "/_plugins/_ml",
        {"hits": {"hits": [{"_id": "a"}]}},
        200,
        "application/json",
        "error[bad-answer]",
    ),
    "null": ("/_plugins/_ml", None, 200, "application/json", "error[bad-answer]"),
    "not started": ("/_plugins/_ml", b"OpenSearch Security not initialized.", 503, "text/plain", "error[unreachable]"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_answers_end_in_a_message(case: str, server: Server, tmp_path: Path) -> None:
    path, body, status, kind, expected = BAD[case]
    server.answer(path, body, status, kind)
    done = run(server, tmp_path, "apply", "--yes")
    assert done.returncode == 1
    assert expected in done.stderr
    assert server.written == []


def test_the_same_as_json(server: Server, tmp_path: Path) -> None:
    server.answer("/", HTML, 200, "text/html")
    done = run(server, tmp_path, "plan", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["errored"], said["problems"][0]["code"]) == (1, True, "not-opensearch")
    assert done.stderr == ""


def test_nothing_listens(tmp_path: Path) -> None:
    done = run(Server(url="http://127.0.0.1:9"), tmp_path, "plan")
    assert done.returncode == 1
    assert "error[unreachable]" in done.stderr


def test_a_service_that_repeats_the_secret_is_not_repeated(server: Server, tmp_path: Path) -> None:
    echo = {"error": {"root_cause": [{"type": "x", "reason": "Incorrect key sk-secret"}]}, "status": 400}
    server.answer("/_plugins/_ml/connectors/_create", echo, 400)
    done = run(server, tmp_path, "apply", "--yes", "--debug", "--ledger", str(tmp_path / "ledger.json"))
    assert done.returncode == 1
    assert "POST /_plugins/_ml/connectors/_create" in server.written
    assert "Incorrect key ***" in done.stderr
