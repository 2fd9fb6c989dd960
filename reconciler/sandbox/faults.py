"""What can be made to go wrong at a running sandbox's servers, besides the switches of the account.

A fault is one of `latency`, `throttle` and `drop`. It holds for the requests of one server (or all) that its pattern
finds, so many times or until it is taken away.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.journal import AWS, DOMAIN, MODELS, action_of, shown

KINDS = ("latency", "throttle", "drop")
SERVERS = (DOMAIN, AWS, MODELS)

_QUERIES = re.compile(r"/(?:_search|_msearch|_predict|_count|_mget|_field_caps|_validate|_execute|_explain)\b")
_READS = re.compile(r"(?:Get|List|Describe|Simulate|AssumeRole).*")


class Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. `latency`: the request is handled `seconds` later; `throttle`: the share `share` (0 to 1) of
    requests is refused for coming too fast; `drop`: the request is handled and its answer never sent.

    `on` is a server or "" for all; `match` a pattern to be found in the request as the log shows it; a `drop` without a
    pattern takes writes only. `times` is how often, None for always.
    """

    kind: str
    on: str = ""
    match: str = ""
    times: int | None = None
    seconds: float = 0.0
    share: float = 1.0

    def as_json(self) -> Mapping[str, Json]:
        """The fault as JSON, which `read_fault` reads."""
        return {name: getattr(self, name) for name in ("kind", "on", "match", "times", "seconds", "share")}

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
        return fault.kind != "throttle" or self._chance.random() < fault.share

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
    return Fault(kind, on, match, times, seconds, share)


def writes(server: str, request: Incoming) -> bool:
    """Whether a request changes something, by its method and path or by the name of the action."""
    if server == AWS:
        return _READS.fullmatch(action_of(request)[0]) is None
    if server == MODELS or request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    return request.method != "POST" or _QUERIES.search(request.path) is None


def throttled(server: str, request: Incoming) -> Answer:
    """The refusal of a request that came too fast, in the words of who refuses it."""
    if server == AWS and "x-amz-target" in request.headers:
        body = b'{"__type":"ThrottlingException","message":"Rate exceeded"}'
        return Answer(400, {"content-type": "application/x-amz-json-1.1"}, body)
    if server == AWS:
        inner = b"<Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>"
        body = b"<ErrorResponse><Error>" + inner + b"</Error></ErrorResponse>"
        return Answer(400, {"content-type": "text/xml"}, body)
    return Answer(429, {"content-type": "text/plain"}, f"429 Too Many Requests {request.path}".encode())


def _number(given: Mapping[str, Json], name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number, not {value!r}")
    return float(value)
