"""What can be made to go wrong at a running sandbox's servers, besides the switches of the account.

A fault is one of `latency`, `throttle`, `error` and `drop`. It holds for the requests of one server (or all) that its
pattern finds, so many times or until it is taken away.
"""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from http import HTTPStatus

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.journal import AWS, DOMAIN, MODELS, action_of, shown

KINDS = ("latency", "throttle", "error", "drop")
SERVERS = (DOMAIN, AWS, MODELS)

_QUERIES = re.compile(r"/(?:_search|_msearch|_predict|_count|_mget|_field_caps|_validate|_execute|_explain)\b")
_READS = re.compile(r"(?:Get|List|Describe|Simulate|AssumeRole).*")


class Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. `latency`: the request is handled `seconds` later; `throttle`: the share `share` (0 to 1) of
    requests is refused for coming too fast; `error`: that share is refused with `status`; `drop`: the request is
    handled and its answer never sent.

    `on` is a server or "" for all; `match` a pattern to be found in the request as the log shows it; a `drop` without a
    pattern takes writes only. `times` is how often, None for always.
    """

    kind: str
    on: str = ""
    match: str = ""
    times: int | None = None
    seconds: float = 0.0
    share: float = 1.0
    status: int = 503

    def as_json(self) -> Mapping[str, Json]:
        """The fault as JSON, which `read_fault` reads."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def concerns(self, server: str, request: Incoming) -> bool:
        """Whether a request at a server is one of those that it holds for."""
        if self.on not in ("", server):
            return False
        if self.match:
            return re.search(self.match, shown(server, request)) is not None
        return self.kind != "drop" or writes(server, request)


@dataclass(slots=True)
class Faults:
    """The faults there are, in the order they were made."""

    _active: list[Fault] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  (no secret)

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that still hold."""
        return tuple(self._active)

    def add(self, fault: Fault) -> None:
        """Let a fault hold from now on."""
        self._active.append(fault)

    def clear(self) -> None:
        """Let all be well again."""
        self._active.clear()

    def take(self, server: str, request: Incoming) -> tuple[Fault, ...]:
        """The faults that a request meets, each counted."""
        met = [fault for fault in self._active if fault.concerns(server, request) and self._strikes(fault)]
        for fault in met:
            self._count(fault)
        return tuple(met)

    def _strikes(self, fault: Fault) -> bool:
        return fault.kind not in ("throttle", "error") or self._chance.random() < fault.share

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        place = self._active.index(fault)
        self._active[place : place + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []


def read_fault(given: Mapping[str, Json]) -> Fault:
    """A fault from its JSON; ValueError says what is wrong with it."""
    kind, on, match = (str(given.get(name) or "") for name in ("kind", "on", "match"))
    if kind not in KINDS:
        raise ValueError(f"no fault is called {kind!r}, only {', '.join(KINDS)}")
    if on not in ("", *SERVERS):
        raise ValueError(f"no server is called {on!r}, only {', '.join(SERVERS)}")
    try:
        re.compile(match)
    except re.error as error:
        raise ValueError(f"{match!r} is no pattern: {error}") from None
    times = given.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise ValueError(f"times is a number from 1, not {times!r}")
    seconds, share = _number(given, "seconds", 0.0), _number(given, "share", 1.0)
    if seconds < 0:
        raise ValueError(f"seconds is a number from 0, not {seconds:g}")
    if not 0 < share <= 1:
        raise ValueError(f"share is a number above 0 and up to 1, not {share:g}")
    status = given.get("status", 503)
    if status not in (409, 500, 502, 503, 504):
        raise ValueError(f"status is 409, 500, 502, 503 or 504, not {status!r}")
    return Fault(kind, on, match, times, seconds, share, int(str(status)))


def writes(server: str, request: Incoming) -> bool:
    """Whether a request changes something, by its method and path or by the name of the action."""
    if server == AWS:
        return _READS.fullmatch(action_of(request)[0]) is None
    if server == MODELS or request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    return request.method != "POST" or _QUERIES.search(request.path) is None


def throttled(server: str, request: Incoming) -> Answer:
    """The refusal of a request that came too fast, in the words of who refuses it."""
    if server == AWS:
        is_json = "x-amz-target" in request.headers
        return _aws_error(request, 400, "ThrottlingException" if is_json else "Throttling", "Rate exceeded")
    return Answer(429, {"content-type": "text/plain"}, f"429 Too Many Requests {request.path}".encode())


def failed(server: str, request: Incoming, status: int) -> Answer:
    """The answer to a request that went wrong, in the words of who gives it. 409: somebody wrote the same just now."""
    if server == AWS and status == HTTPStatus.CONFLICT:
        return _aws_error(request, status, "ConcurrentModification", "The request was rejected, try it again.")
    if server == AWS:
        code = "InternalFailure" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "ServiceUnavailable"
        return _aws_error(request, status, code, HTTPStatus(status).description)
    if status == HTTPStatus.CONFLICT:
        reason = "version conflict, required seqNo [1], primary term [1]. current document has seqNo [2]"
        if request.path.startswith("/_plugins/_security/"):
            return json_answer(status, {"status": "CONFLICT", "message": f"[{request.path.split('/')[4]}]: {reason}"})
        error = {"type": "version_conflict_engine_exception", "reason": reason}
        return json_answer(status, {"error": {"root_cause": [error], **error}, "status": status})
    return json_answer(status, {"message": HTTPStatus(status).phrase})


def _aws_error(request: Incoming, status: int, code: str, message: str) -> Answer:
    if "x-amz-target" in request.headers:
        content = {"content-type": "application/x-amz-json-1.1"}
        return Answer(status, content, json.dumps({"__type": code, "message": message}).encode())
    kind = "Receiver" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Sender"
    inner = f"<Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message>"
    return Answer(
        status, {"content-type": "text/xml"}, f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>".encode()
    )


def _number(given: Mapping[str, Json], name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number, not {value!r}")
    return float(value)
