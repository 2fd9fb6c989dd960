"""What happened at a sandbox's servers: each request, who made it, what was decided and by which layer and rule.

It is kept in memory only, the last requests of it, and holds no secret: of credentials the name, never the key, and
nothing that a request brought as one where an answer repeats it.
"""

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from reconciler.canonical.json import Json
from reconciler.redaction import Redaction
from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.gateway.signature import Fault, is_signed, scope_of

KEPT = 5000  # requests
DOMAIN, AWS, MODELS = "domain", "aws", "models"

_REASON = 300  # characters
_SECRET = 6  # characters; made-up shorter ones are words of the log, too
_KEY_HEADER = re.compile(r"key|token|secret", re.IGNORECASE)
_SUBJECTS = ("RoleArn", "RoleName", "UserName", "PolicyArn", "SecretId", "Name")
_SIGNATURE_MESSAGES = frozenset(fault.value for fault in Fault)
_ACTION = re.compile(r"User: \S+ is not authorized to perform: (\S+)")
_PERMISSION = re.compile(r"no permissions for \[([^\]]+)\]")
_SIGNATURE_CODES = re.compile(r".*(?:Signature|Token|UnrecognizedClient|ClientTokenId|MissingAuthentication).*")
_XML = {name: re.compile(rf"<{name}>([^<]*)</{name}>") for name in ("Code", "Message")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    `at` is when it came (UTC, ISO 8601), `server` one of domain, aws, models, `request` method and path or the AWS
    action, `layer` what decided about it, `rule` the permission, error code or error type that says why, in the
    service's own words; `fault` names what `sandbox fault` did to it. `status` 0 stands for no answer.
    """

    at: str
    server: str
    request: str
    who: str
    status: int
    decision: str
    layer: str
    rule: str
    reason: str
    fault: str
    milliseconds: float

    def as_json(self) -> Mapping[str, Json]:
        """The entry as JSON."""
        return asdict(self)


class Journal:
    """The last requests. `name_key` says whom an access key id belongs to, None when nobody."""

    def __init__(self, name_key: Callable[[str], str | None]) -> None:
        self._name_key = name_key
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._redaction = Redaction()

    def add(self, server: str, request: Incoming, answer: Answer | None, milliseconds: float, fault: str) -> None:
        """Note a request and its answer, None when there was none."""
        for secret in _secrets(request):
            if len(secret) >= _SECRET:
                self._redaction.learn(secret)
        layer, rule, reason = _judged(server, request, answer, fault)
        self._entries.append(
            Entry(
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                server=server,
                request=self._redaction.text(shown(server, request)),
                who=self._who(request),
                status=answer.status if answer else 0,
                decision="unanswered" if answer is None else "answered" if answer.status < 400 else "refused",
                layer=layer,
                rule=rule,
                reason=self._redaction.text(reason)[:_REASON],
                fault=fault,
                milliseconds=round(milliseconds, 1),
            )
        )

    def add_connector_refusal(self, request: str, role: str, reason: str) -> None:
        """Note a call of a connector that never left the domain: its role does not trust OpenSearch, no such host."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        layer, rule = ("trust policy", "sts:AssumeRole") if role else ("network", "")
        who = f"es.amazonaws.com for {role}" if role else "es.amazonaws.com"
        reason = self._redaction.text(reason)
        self._entries.append(Entry(at, MODELS, request, who, 0, "refused", layer, rule, reason, "", 0.0))

    def last(self, count: int) -> list[Entry]:
        """The last `count` requests, the oldest first."""
        return list(self._entries)[-count:] if count > 0 else []

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()

    def _who(self, request: Incoming) -> str:
        given = request.headers.get("authorization", "")
        if is_signed(request):
            scope = scope_of(request)
            return (self._name_key(scope.access_key_id) or f"key {scope.access_key_id}") if scope else "unreadable"
        if "x-proxy-user" in request.headers:
            return request.headers["x-proxy-user"]
        scheme, _, text = given.partition(" ")
        if scheme.lower() == "basic":
            return _user(text)
        return "an API key" if scheme.lower() == "bearer" else "anonymous"


def shown(server: str, request: Incoming) -> str:
    """A request in a few words: the action and what it is about, or method and path (for models: and host)."""
    if server == AWS:
        service = scope.service if (scope := scope_of(request)) else "?"
        action, subject = action_of(request)
        return f"{service}:{action} {subject}".rstrip()
    if server == MODELS:
        return f"{request.method} {request.headers.get('host', '')}{request.path}"
    return f"{request.method} {request.target}"


def action_of(request: Incoming) -> tuple[str, str]:
    """The action of an AWS call and the name of what it is about, "" where it is about nothing by name."""
    text = request.body.decode("utf-8", "replace")
    if target := request.headers.get("x-amz-target"):
        try:
            given = json.loads(text or "{}")
        except ValueError:
            given = {}
        action = target.rpartition(".")[2]
    else:
        given = {**request.query, **dict(parse_qsl(text))}
        action = given.get("Action", "")
    subject = next((given[name] for name in _SUBJECTS if name in given), "") if isinstance(given, Mapping) else ""
    return action, str(subject)


def _secrets(request: Incoming) -> Iterator[str]:
    """What a request brings along as secrets: in its headers, as a connector's credential, to be kept as a secret."""
    for name, value in request.headers.items() if not is_signed(request) else ():
        scheme, _, text = value.partition(" ")
        if name == "authorization":
            yield _password(text) if scheme.lower() == "basic" else text or scheme
        elif _KEY_HEADER.search(name):
            yield value
    if b"redential" not in request.body and b"SecretString" not in request.body:
        return
    try:
        body = json.loads(request.body)
    except ValueError:
        return
    stated = body if isinstance(body, Mapping) else {}
    credential = stated.get("credential")
    kept = [*(credential.values() if isinstance(credential, Mapping) else ()), stated.get("SecretString")]
    yield from (value for value in kept if isinstance(value, str) and not value.startswith("arn:"))


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _user(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return "unreadable"


def _judged(server: str, request: Incoming, answer: Answer | None, fault: str) -> tuple[str, str, str]:
    """Which layer decided, by which rule, with which reason."""
    if answer is None:
        return ("fault", fault, "") if fault else ("sandbox", "", "it broke: see its daemon.log")
    if fault == "throttle":
        return "fault", fault, ""
    code, reason = _error(answer) if answer.status >= 400 else ("", "")
    if reason in _SIGNATURE_MESSAGES or (server != DOMAIN and _SIGNATURE_CODES.fullmatch(code)):
        return "signature", code, reason
    if refused := _ACTION.match(reason):
        layer = "trust policy" if refused[1] == "sts:AssumeRole" else "access policy" if _by_domain(reason) else "IAM"
        return layer, refused[1], reason
    if code == "security_exception" or (server == DOMAIN and answer.status == 401):
        permission = _PERMISSION.search(reason)
        return "Security plugin", permission[1] if permission else code, reason
    return _served_by(server, request), code, reason


def _by_domain(reason: str) -> bool:
    return "resource-based policy" in reason


def _served_by(server: str, request: Incoming) -> str:
    if server == AWS:
        return "AWS"
    if server == MODELS:
        return request.headers.get("host", "")
    if request.path.startswith("/_plugins/_ml"):
        return "ML Commons"
    return "Security plugin" if request.path.startswith("/_plugins/_security") else "OpenSearch"


def _error(answer: Answer) -> tuple[str, str]:
    """The code (or type) and the message of an error, in whichever of the services' shapes."""
    text = answer.body.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        code, message = (found[1] if (found := pattern.search(text)) else "" for pattern in _XML.values())
        return code, message or text.strip()
    if not isinstance(body, Mapping):
        return "", text
    inner = body.get("error", body)
    if not isinstance(inner, Mapping):
        return "", str(inner)
    named = inner.get("type") or inner.get("__type") or answer.headers.get("x-amzn-errortype") or ""
    said = inner.get("reason") or inner.get("message") or inner.get("Message") or text
    return str(named), str(said)
