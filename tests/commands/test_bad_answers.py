"""Commands against servers that answer nonsense: each ends in a message and an exit code, and nothing is written."""

import base64
import html
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

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


def run(
    server: Server, folder: Path, *arguments: str, env: Mapping[str, str] = {}, text: str = MANIFEST
) -> subprocess.CompletedProcess[str]:
    (folder / "manifest.yaml").write_text(text)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OPENSEARCH_"))}
    own = {"PASSWORD": "pass-word", "KEY": "sk-secret", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments, "manifest.yaml", "--var", f"endpoint={server.url}"],
        env={**inherited, **own, **env},
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


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON in text": lambda secret: json.dumps({"key": secret}),
    "as Gson writes it": lambda secret: secret.replace("=", "\\u003d").replace("&", "\\u0026"),
    "percent": lambda secret: quote(secret, safe=""),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 with a user": lambda secret: base64.b64encode(f"admin:{secret}".encode()).decode(),
    "HTML": html.escape,
}
ODD = "sk-'se\"cret/=&ö"
EVERY_FORM = " or ".join(form(ODD) for form in FORMS.values())


def forms_in(text: str) -> list[str]:
    """The forms of the odd secret that stand in a text; base64 by its middle, and what JSON makes of them."""
    found = {name: form(ODD) for name, form in FORMS.items()}
    found["base64"], found["base64 with a user"] = found["base64"][2:-4], found["base64 with a user"][12:-4]
    return [name for name, one in found.items() if one in text or json.dumps(one)[1:-1] in text]


@pytest.mark.parametrize("shape", ["error", "text", "page", "success"])
def test_a_service_that_repeats_the_secret_is_not_repeated(shape: str, server: Server, tmp_path: Path) -> None:
    said = f"Incorrect key {EVERY_FORM} given"
    shapes: dict[str, tuple[object, int]] = {
        "error": ({"error": {"root_cause": [{"type": "x", "reason": said}]}, "status": 400}, 400),
        "text": (said.encode(), 400),
        "page": (f"<html><title>{said}</title></html>".encode(), 500),
        "success": ({said: said}, 200),
    }
    server.answer("/_plugins/_ml/connectors/_create", *shapes[shape])
    figures = tmp_path / "figures.json"
    env = {"KEY": ODD}
    apply = ("apply", "--yes", "--ledger")
    text = run(server, tmp_path, *apply, str(tmp_path / "1.json"), "--debug", "--stats", str(figures), env=env)
    data = run(server, tmp_path, *apply, str(tmp_path / "2.json"), "--json", env=env)
    assert (text.returncode, data.returncode) == (1, 1)
    assert "POST /_plugins/_ml/connectors/_create" in server.written
    if shape != "success":
        assert "Incorrect key" in text.stderr
        assert "***" in text.stderr
        assert "***" in str(json.loads(data.stdout)["problems"])
    ledger = (tmp_path / "1.json").read_text()
    for shown in (text.stdout, text.stderr, data.stdout, data.stderr, figures.read_text(), ledger):
        assert forms_in(shown) == []


def test_an_object_that_holds_the_secret_in_the_open_does_not_show_it(server: Server, tmp_path: Path) -> None:
    action = {
        "action_type": "PREDICT",
        "method": "POST",
        "url": "https://api.deepseek.com/v1/chat/completions",
        "headers": {"Authorization": f"Bearer {EVERY_FORM}"},
    }
    live = {"name": "one", "protocol": "http", "version": "1", "parameters": {}, "actions": [action]}
    hits = {"hits": {"hits": [{"_id": "c1", "_source": live}]}}
    server.answer("/_plugins/_ml/connectors/_search", hits)
    server.answer("/_plugins/_ml/connectors/c1", live)
    row = {
        "type": "row",
        "manifest": "bad-answers",
        "address": "connectors.one",
        "id": "c1",
        "name": "one",
        "applied": {"name": "one", "credential": {"key": "${secret.key}"}},
        "fingerprints": {"key": "00"},
    }
    identity = {"type": "identity", "manifest": "", "body": {"version": 2, "id": "l", "cluster": "u"}}
    rows = {"hits": {"hits": [{"_source": identity}, {"_source": row}]}}
    server.answer("/reconciler-ledger/_search", rows)
    saved = tmp_path / "plan.json"
    env = {"KEY": ODD}
    done = [
        run(server, tmp_path, "plan", "--out", str(saved), env=env),
        run(server, tmp_path, "plan", "--json", "--calls", env=env),
        run(server, tmp_path, "show", env=env),
        run(server, tmp_path, "show", "--json", env=env),
    ]
    assert [one.returncode for one in done] == [0, 0, 0, 0]
    shown = [one.stdout + one.stderr for one in done] + [saved.read_text()]
    for text in shown:
        assert "***" in text
        assert forms_in(text) == []


SECRETS = """\
secrets:
  key: { env: KEY }
  other: { env: OTHER }
  third: { file: /nowhere/key }
"""


def test_what_can_not_be_read_is_found_before_the_first_write(server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    stated = 'credential: { key: "${secret.key}", other: "${secret.other}", third: "Bearer ${secret.third}" }'
    text = MANIFEST.partition("secrets:")[0].replace('credential: { key: "${secret.key}" }', stated) + SECRETS
    planned = run(server, tmp_path, "plan", text=text)
    assert (planned.returncode, planned.stderr) == (0, "")
    stopped = run(server, tmp_path, "apply", "--yes", "--ledger", str(ledger), text=text)
    assert (stopped.returncode, server.written, ledger.exists()) == (1, [], False)
    assert "Plan: 2 to create" in stopped.stdout
    assert stopped.stderr.splitlines() == [
        "manifest.yaml:18:3: error[secret-unreadable] secrets.other",
        "   18 |   other: { env: *** }",
        "      |   ^^^^^ the environment variable OTHER is not set; set it",
        "manifest.yaml:19:3: error[secret-unreadable] secrets.third",
        "   19 |   third: { file: *** }",
        "      |   ^^^^^ the file /nowhere/key can not be read: No such file or directory; check the path and who may "
        "read it",
    ]
    told = json.loads(run(server, tmp_path, "apply", "--yes", "--json", text=text).stdout)
    assert [(one["code"], one["address"]) for one in told["problems"]] == [
        ("secret-unreadable", "secrets.other"),
        ("secret-unreadable", "secrets.third"),
    ]
    assert server.written == []


def test_a_password_that_is_not_set_is_found_before_anything_is_asked(server: Server, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    text = MANIFEST.replace("${env.PASSWORD}", "${env.NOWHERE}")
    stopped = run(server, tmp_path, "plan", "--stats", str(figures), text=text)
    assert stopped.returncode == 1
    assert "manifest.yaml:5:40: error[secret-unreadable] target.opensearch.auth.password" in stopped.stderr
    assert json.loads(figures.read_text())["requests"]["total"] == 0


def test_a_managed_secret_needs_an_account_to_ask(server: Server, tmp_path: Path) -> None:
    text = MANIFEST.replace("key: { env: KEY }", "key: { secretsmanager: { secret_id: a } }")
    stopped = run(server, tmp_path, "plan", text=text)
    assert stopped.returncode == 1
    assert "manifest.yaml:17:3: error[no-target] secrets.key" in stopped.stderr
