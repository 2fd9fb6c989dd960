"""An exchange over a world: time that jumps, answers in any order, and faults at will."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.request import Answer, Lost, NoAnswer, Request, Service, writes
from tests.support.world import World


class Killed(BaseException):
    """The process ends here: no `except Exception` sees it, and nothing is sent any more."""


class Fault(Enum):
    """What goes wrong with one request."""

    KILLED_BEFORE = auto()  # the process ends, the request was never carried out
    KILLED_AFTER = auto()  # the process ends, the request was carried out
    KILLED_LATE = auto()  # the process ends, the request is carried out some seconds later
    LOST_BEFORE = auto()  # no answer, not carried out
    LOST_AFTER = auto()  # no answer, carried out
    REFUSED = auto()  # no connection
    THROTTLED = auto()
    UNAVAILABLE_BEFORE = auto()  # 503, not carried out
    UNAVAILABLE_AFTER = auto()  # 503, carried out
    BROKEN_AFTER = auto()  # 500, carried out
    CONFLICT = auto()  # 409, not carried out
    FORBIDDEN = auto()  # 403, not carried out


Faults: TypeAlias = Callable[[int, Request], "Fault | None"]
"""Asked at each request, which is given by its number from 0 in the order of their ends."""

_DONE = frozenset({Fault.KILLED_AFTER, Fault.LOST_AFTER, Fault.UNAVAILABLE_AFTER, Fault.BROKEN_AFTER})


def nothing(_number: int, _request: Request) -> Fault | None:
    """No fault ever."""
    return None


def at(faults: Mapping[int, Fault]) -> Faults:
    """Faults by the requests' numbers."""
    return lambda number, request: faults.get(number)


def once(fault: Fault, matching: Callable[[Request], bool]) -> Faults:
    """A fault at the first request that matches."""
    seen: list[int] = []

    def choose(number: int, request: Request) -> Fault | None:
        if seen or not matching(request):
            return None
        seen.append(number)
        return fault

    return choose


def always(fault: Fault, matching: Callable[[Request], bool]) -> Faults:
    """A fault at every request that matches."""
    return lambda number, request: fault if matching(request) else None


class WorldExchange:
    """One process's connections to a world.

    A request is carried out when its answer comes. `order` gives each request its duration, so that a seed is an
    order of completion; without it requests end in the order they were sent. When the process is killed, of the
    other requests under way some are carried out, as `order` has it. `secrets` are the values put into requests.
    """

    def __init__(
        self,
        world: World,
        *,
        faults: Faults = nothing,
        order: random.Random | None = None,
    ) -> None:
        self.secrets: Mapping[str, str] = {}
        self.log: list[Request] = []
        self._world = world
        self._faults = faults
        self._order = order
        self._under_way: list[tuple[float, int, Request]] = []
        self._assumed: set[str] = set()
        self._ended = 0

    @property
    def writes(self) -> list[Request]:
        """The requests that write, in the order they were sent."""
        return [request for request in self.log if writes(request)]

    @property
    def ended(self) -> int:
        """How many requests came to their end."""
        return self._ended

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return len(self._under_way)

    def now(self) -> float:
        return self._world.now

    def submit(self, ticket: int, request: Request) -> None:
        self.log.append(request)
        seconds = 0.01 if self._order is None else self._order.uniform(0.01, 0.3)
        self._under_way.append((self._world.now + seconds, ticket, request))

    def wake(self) -> None:
        pass

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        if until is None and not self._under_way:
            raise AssertionError("the runner waits for nothing")
        if not self._under_way or (until is not None and min(self._under_way)[0] > until):
            assert until is not None
            self._world.advance(until)
            return []
        first = min(self._under_way, key=lambda one: one[:2])
        self._under_way.remove(first)
        self._world.advance(first[0])
        return [(first[1], self._end(first[2]))]

    def _end(self, request: Request) -> Answer | Exception:
        fault = self._faults(self._ended, request)
        self._ended += 1
        if fault is None:
            return self._send(request)
        if fault in _DONE:
            self._send(request)
        match fault:
            case Fault.KILLED_BEFORE | Fault.KILLED_AFTER:
                self._leave_under_way()
                raise Killed
            case Fault.KILLED_LATE:
                for one in (request, *(under_way for _, _, under_way in self._under_way)):
                    seconds = 6.0 if self._order is None else self._order.uniform(0.5, 12.0)
                    self._world.later(seconds, _filled(one, self.secrets))
                self._under_way = []
                raise Killed
            case Fault.LOST_BEFORE | Fault.LOST_AFTER:
                return NoAnswer(Lost.TIMEOUT, "no answer after 60 s")
            case Fault.REFUSED:
                return NoAnswer(Lost.REFUSED, "Connection refused")
            case Fault.THROTTLED:
                code = "429" if request.method else "Throttling"
                return Answer(429 if request.method else 400, None, code, "Rate exceeded")
            case Fault.UNAVAILABLE_BEFORE | Fault.UNAVAILABLE_AFTER:
                return Answer(503, None, "503" if request.method else "ServiceUnavailable", "unavailable")
            case Fault.BROKEN_AFTER:
                return Answer(500, None, "500" if request.method else "ServiceFailure", "internal error")
            case Fault.CONFLICT:
                reason = "[rolesmapping]: version conflict, required seqNo [1], primary term [1]"
                return Answer(409, None, "409" if request.method else "ConcurrentModification", reason)
            case Fault.FORBIDDEN:
                return Answer(403, None, "403" if request.method else "AccessDenied", "no permissions for [x]")

    def _leave_under_way(self) -> None:
        for _, _, request in self._under_way:
            if self._order is not None and self._order.random() < 0.5:
                self._send(request)
        self._under_way = []

    def _send(self, request: Request) -> Answer | Exception:
        if request.identity is not None and request.identity not in self._assumed:
            return AssertionError(f"{request.label} is signed as {request.identity}, which was not assumed")
        answer = self._world.send(_filled(request, self.secrets))
        if request.operation == "AssumeRole" and answer.ok:
            self._assumed.add(str(request.parameters["RoleArn"]))
        return answer


def _filled(request: Request, secrets: Mapping[str, str]) -> Request:
    if request.service is Service.LEDGER:
        return request
    return replace(request, body=_known(request.body, secrets), parameters=_known_map(request.parameters, secrets))


def _known(value: Value, secrets: Mapping[str, str]) -> Json:
    if isinstance(value, Template):
        parts = [part if isinstance(part, str) else _secret(part, secrets) for part in value.parts]
        return "".join(parts)
    if isinstance(value, Mapping):
        return _known_map(value, secrets)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(member, secrets) for member in value]
    return value


def _known_map(value: Mapping[str, Value], secrets: Mapping[str, str]) -> Mapping[str, Json]:
    return {key: _known(member, secrets) for key, member in value.items()}


def _secret(reference: Reference, secrets: Mapping[str, str]) -> str:
    assert reference.namespace == "secret", f"{reference} was sent without being filled in"
    return secrets[reference.name]
