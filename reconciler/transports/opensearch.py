"""OpenSearch through opensearch-py's connections, without retries of its own."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opensearchpy import Urllib3AWSV4SignerAuth, Urllib3HttpConnection
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import ConnectionTimeout, SSLError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.model.request import Answer, Lost, NoAnswer, Request
from reconciler.redaction import Redaction

_ALL_ERRORS = tuple(range(300, 600))
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where OpenSearch is and how its certificate is judged. `timeout` is in seconds."""

    url: str
    ca_file: str | None = None
    verify_certs: bool = True
    timeout: float = 60.0


class OpenSearch:
    """One domain or cluster. `sign` makes the authentication of the caller (None) or of a role (its ARN).

    It returns what opensearch-py takes as `http_auth`: a (user, password) pair or a signer.
    """

    def __init__(self, endpoint: Endpoint, sign: Callable[[str | None], Any], redaction: Redaction) -> None:
        self._endpoint = endpoint
        self._sign = sign
        self._redaction = redaction
        self._connections: dict[str | None, Urllib3HttpConnection] = {}
        self._lock = threading.Lock()

    def send(self, request: Request) -> Answer:
        """Send one request and decode its answer. Errors are answers; NoAnswer when there was none."""
        body, content_type = _encoded(request.body)
        headers = {"content-type": content_type} if body is not None else {}
        try:
            status, _, text = self._connection(request.identity).perform_request(
                request.method,
                request.path,
                body=body,
                headers=headers,
                ignore=_ALL_ERRORS,
                timeout=self._endpoint.timeout,
            )
        except ConnectionTimeout as error:
            raise NoAnswer(Lost.TIMEOUT, f"no answer after {self._endpoint.timeout:.0f} s") from error
        except SSLError as error:
            raise ReconcilerError([_untrusted(self._endpoint, str(error.info))]) from error
        except OpenSearchConnectionError as error:
            raise NoAnswer(_lost(error.info), _reason(error.info)) from error
        return answer(int(status), text, self._redaction)

    def _connection(self, identity: str | None) -> Urllib3HttpConnection:
        with self._lock:
            if identity not in self._connections:
                self._connections[identity] = self._connect(identity)
            return self._connections[identity]

    def _connect(self, identity: str | None) -> Urllib3HttpConnection:
        parts = urlsplit(self._endpoint.url)
        secure = parts.scheme == "https"
        tls: dict[str, Any] = {}
        if secure:
            tls = {"use_ssl": True, "verify_certs": self._endpoint.verify_certs, "ssl_show_warn": False}
            if self._endpoint.ca_file and self._endpoint.verify_certs:
                tls["ca_certs"] = self._endpoint.ca_file
        try:
            return Urllib3HttpConnection(
                host=parts.hostname or "",
                port=parts.port or (443 if secure else 80),
                http_auth=self._sign(identity),
                timeout=self._endpoint.timeout,
                pool_maxsize=24,
                http_compress=False,
                **tls,
            )
        except OSError as error:
            raise ReconcilerError([_untrusted(self._endpoint, str(error))]) from error
        except ValueError as error:
            hint = "check target.opensearch: endpoint, ca_file and auth"
            raise ReconcilerError([Problem("unreachable", f"no connection can be made: {error}", hint=hint)]) from error


def signer(credentials: Any, region: str) -> Urllib3AWSV4SignerAuth:
    """The signer of requests to Amazon OpenSearch Service."""
    return Urllib3AWSV4SignerAuth(credentials, region, "es")


def answer(status: int, text: str, redaction: Redaction) -> Answer:
    """The answer that a status and a body's text make. What a refusal says is freed from secrets before it is cut.

    Codes are the status as text, and "not-json" where the status is fine but the body is not JSON.
    """
    try:
        body: Json = json.loads(text) if text.strip() else None
    except ValueError:
        shown = _shown(redaction.text(text))
        return Answer(status, None, "not-json" if status < 300 else str(status), shown)
    if status < 300:
        return Answer(status, body)
    body = redaction.json(body)
    return Answer(status, body, str(status), _error_reason(body) or f"status {status}")


def _encoded(body: object) -> tuple[bytes | None, str]:
    if body is None:
        return None, ""
    if isinstance(body, tuple):
        return "".join(json.dumps(line) + "\n" for line in body).encode(), "application/x-ndjson"
    return json.dumps(body).encode(), "application/json"


def _error_reason(body: Json) -> str:
    """The reason in any of the shapes errors have: OpenSearch's, Security's, the service's in front of the domain."""
    if not isinstance(body, Mapping):
        return str(body)[:300] if body is not None else ""
    error = body.get("error")
    if isinstance(error, Mapping):
        causes = error.get("root_cause")
        first = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else {}
        return str(first.get("reason") or error.get("reason") or error.get("type") or "")
    for key in ("Message", "message", "reason"):
        if isinstance(body.get(key), str):
            invalid = body.get("invalid_keys")
            return f"{body[key]} {invalid}" if invalid else str(body[key])
    return str(error)[:300] if error is not None else ""


def _shown(text: str) -> str:
    """What to show of a body that is not JSON: a page's title, else its beginning."""
    if text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        return "an HTML page" + (f" ({' '.join(title[1].split())[:80]})" if title else "")
    start = " ".join(text.split())
    return start[:120] + ("..." if len(start) > 120 else "")


def _lost(cause: object) -> Lost:
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return Lost.REFUSED if isinstance(cause, NewConnectionError) else Lost.BROKEN


def _reason(cause: object) -> str:
    text = str(cause)
    return text.rpartition(": ")[2] if isinstance(cause, NewConnectionError) else text


def _untrusted(endpoint: Endpoint, reason: str) -> Problem:
    return Problem(
        "tls",
        f"the connection to {endpoint.url} is not trusted: {reason}",
        address="target.opensearch",
        hint="state target.opensearch.ca_file if the certificate is signed by an authority of your own",
    )
