"""The one place that sends requests: it drives steps, retries by class of error, paces, combines and counts.

Everything here runs in one thread; only an `Exchange` may use others. Steps never run side by side with each
other, only their requests do.
"""

import heapq
import itertools
import json
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from reconciler.model.request import (
    Answer,
    Combine,
    Lost,
    NoAnswer,
    Repeat,
    Request,
    Service,
    ServiceFailure,
    joined,
    writes,
)
from reconciler.model.steps import Call, Failed, Pause, Reply, Steps, Stopped, Usual

K = TypeVar("K")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Exchange(Protocol):
    """How requests travel and time passes."""

    def now(self) -> float:
        """Monotonic time in seconds."""

    def submit(self, ticket: int, request: Request) -> None:
        """Start sending a request; the outcome comes from `collect` under the same ticket."""

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        """Wait for outcomes, or until the time given. Returns nothing when that time came first.

        An outcome is an answer, a `NoAnswer`, or whatever else kept the request from being sent.
        """

    def wake(self) -> None:
        """Let a `collect` that waits come back, with nothing if need be. Called by handlers of signals too."""


class Observer(Protocol):
    """Who wants to know what the runner does."""

    def sent(self, request: Request) -> None:
        """A request was sent, first or again."""

    def waiting(self, key: object, pause: Pause) -> None:
        """A flow waits for a condition."""

    def retrying(self, key: object, request: Request, reason: str, seconds: float) -> None:
        """A request is sent again after `seconds`."""

    def stopping(self, left: int) -> None:
        """It was asked to stop; `left` flows have begun to write and go on to their end."""


class Silent:
    """An observer that looks away."""

    def sent(self, request: Request) -> None:
        pass

    def waiting(self, key: object, pause: Pause) -> None:
        pass

    def retrying(self, key: object, request: Request, reason: str, seconds: float) -> None:
        pass

    def stopping(self, left: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a flow ended: with a result or with an error."""

    result: T | None = None
    error: Exception | None = None

    def value(self) -> T:
        """The result; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Flow(Generic[K, T_co]):
    """Steps under a key, which tells flows apart in reports. `to_the_end`: they go on although it was asked to stop."""

    key: K
    steps: Steps[T_co]
    to_the_end: bool = False


@dataclass
class Counts:
    """What was sent: requests by service and operation, and how many of them write."""

    operations: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    writes: int = 0

    def add(self, request: Request) -> None:
        """Count one request."""
        self.operations[f"{request.service}:{request.operation}"] += 1
        if writes(request):
            self.writes += 1
        else:
            self.reads += 1

    @property
    def total(self) -> int:
        """All requests, repeated ones included."""
        return self.reads + self.writes


class WriteRefused(Exception):
    """A request that writes was about to be sent by a runner that only reads."""


def reading_only(request: Request) -> None:
    """The guard of commands that may not write."""
    if writes(request):
        raise WriteRefused(f"{request.label} writes, and this command only reads")


def anything(request: Request) -> None:
    """The guard of commands that may write."""


@dataclass
class _Running:
    flow: Flow[Any, Any]
    answers: list[Answer | None]
    missing: int
    error: Exception | None = None
    asked: tuple[str, ...] = ()
    writes: int = 0  # under way, or carried out for all that is known; those to the ledger apart
    told: bool = False  # to stop


@dataclass
class _Ticket:
    parts: tuple[Request, ...]  # what is asked for, by each of those who wait
    waiters: tuple[tuple[int, int], ...]  # flow number, index of the request in its call
    first: float = math.inf  # when it was sent first
    sent: float = 0.0  # when it was sent last
    tries: int = 0
    divided: bool = False  # a half of what was refused as a whole: nothing is added to it

    @property
    def flows(self) -> tuple[int, ...]:
        return tuple(number for number, _ in self.waiters)

    @cached_property
    def request(self) -> Request:
        """What is sent."""
        return joined(self.parts)

    def divide(self, size: int) -> "list[_Ticket]":
        """The same in tickets of at most `size` parts."""
        starts = range(0, len(self.parts), size)
        return [replace(self, parts=self.parts[at : at + size], waiters=self.waiters[at : at + size]) for at in starts]


class _Pace:
    """How many requests of one key go together: as many as the service answers in some seconds."""

    def __init__(self, most: int | None) -> None:
        self._most = most

    def room(self, parts: int) -> bool:
        """Whether one more may go with so many."""
        return self._most is None or parts < self._most

    def answered(self, parts: int, seconds: float) -> None:
        """So many took so long: as many go next as would have taken the time aimed at, but not at once many more."""
        if self._most is not None and (parts >= self._most or seconds > _AIM):
            self._most = max(1, min(_GROWTH * parts, int(parts * _AIM / max(seconds, 0.001))))

    def failed(self, parts: int) -> None:
        """So many got no answer, or a broken one: they may have been too many, or one of them may be the cause."""
        if self._most is not None:
            self._most = max(1, parts // 2)


class _Width:
    """How many requests of a lane may be under way: half as many once the service throttles, then ever more again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._narrowed = -_RELIEF

    def room(self, under_way: int) -> bool:
        """Whether one more may be sent."""
        return under_way < int(self._now)

    def answered(self) -> None:
        """A request was carried out: after as many as there is room for, there is room for one more."""
        self._now = min(self._most, self._now + 1 / self._now)

    def throttled(self, now: float) -> None:
        """A request was turned away. Others that were under way with it tell nothing new."""
        if now - self._narrowed >= _RELIEF:
            self._narrowed = now
            self._now = max(1.0, self._now / 2)


class _Timer(NamedTuple):
    due: float
    order: int  # of two that are due at once
    flows: tuple[int, ...]  # that wait
    then: Callable[[], None]


class Runner:
    """Drives flows to their end through an exchange.

    `guard` sees each request before it is sent and raises where it must not be. `patience` is how long, in
    seconds, one request is repeated before its error counts.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        guard: Callable[[Request], None] = anything,
        observer: Observer | None = None,
        patience: float = 60.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counts = Counts()
        self._exchange = exchange
        self._guard = guard
        self._observer: Observer = observer or Silent()
        self._patience = patience
        self._jitter = jitter
        self._stopping = False
        self._announced = False
        self._reached: set[Service] = set()
        self._paces: dict[str, _Pace] = {}
        self._widths: dict[str, _Width] = {}
        self._usual: dict[str, float] = {}

    def observe(self, observer: Observer) -> None:
        """Tell `observer` from now on."""
        self._observer = observer

    def stop(self) -> None:
        """Let flows that wrote something go on to their end, and start nothing else.

        All others are told by `Stopped` where they stand, once the requests they have under way are answered; what
        they do about it they may do to the end. May be called by a handler of signals.
        """
        self._stopping = True
        self._exchange.wake()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def run(self, steps: Steps[T]) -> T:
        """Drive one flow and return its result, or raise what ended it."""
        return self.run_all([Flow(0, steps)])[0].value()

    def run_all(self, flows: Iterable[Flow[K, T]]) -> dict[K, Outcome[T]]:
        """Drive independent flows side by side."""
        outcomes: dict[K, Outcome[T]] = {}

        def done(flow: Flow[K, T], outcome: Outcome[T]) -> Iterable[Flow[K, T]]:
            outcomes[flow.key] = outcome
            return ()

        self.drive(flows, done)
        return outcomes

    def drive(
        self, flows: Iterable[Flow[K, T]], done: Callable[[Flow[K, T], Outcome[T]], Iterable[Flow[K, T]]]
    ) -> None:
        """Drive flows; `done` is told of each end and returns the flows that may start now."""
        _Session(self, flows, done).run()

    def _announce_stop(self, left: int) -> None:
        if not self._announced:
            self._announced = True
            self._observer.stopping(left)

    def _pace(self, combine: Combine) -> _Pace:
        return self._paces.setdefault(combine.key, _Pace(combine.most))

    def _width(self, request: Request) -> _Width:
        lane, most = _lane(request)
        return self._widths.setdefault(lane, _Width(most))

    def _learn(self, asked: Usual) -> float:
        """How many seconds something took lately, the latest counting half."""
        known = self._usual.get(asked.what)
        if asked.lasted is not None:
            known = self._usual[asked.what] = asked.lasted if known is None else (known + asked.lasted) / 2
        return known or 0.0

    def _count(self, request: Request) -> None:
        self.counts.add(request)
        self._observer.sent(request)


class _Session:
    """One call of `drive`: which flows run, what they wait for, what is on its way."""

    def __init__(
        self, runner: Runner, flows: Iterable[Flow[Any, Any]], done: Callable[..., Iterable[Flow[Any, Any]]]
    ) -> None:
        self._runner = runner
        self._done = done
        self._numbers = itertools.count()
        self._running: dict[int, _Running] = {}
        self._tickets: dict[int, _Ticket] = {}
        self._ready: dict[str, deque[_Ticket]] = defaultdict(deque)  # by lane
        self._lingering: dict[str, list[_Ticket]] = {}  # by what they are combined by
        self._leaves: dict[str, float] = {}  # when those who linger go
        self._timers: list[_Timer] = []
        self._lanes: dict[str, int] = defaultdict(int)
        self._new: deque[Flow[Any, Any]] = deque(flows)

    def run(self) -> None:
        exchange = self._runner._exchange
        while True:
            if self._runner.stopping:
                self._let_go()
                self._cut_short()
            self._start_new()
            self._let_go()
            self._send_ready()
            if self._new or (not self._tickets and any(self._ready.values())):
                continue
            if not self._tickets and not self._timers:
                return
            dues = [*(timer.due for timer in self._timers[:1]), *self._leaves.values()]
            due = min(dues, default=None)
            for ticket, outcome in exchange.collect(due):
                self._receive(ticket, outcome)
            while self._timers and self._timers[0].due <= exchange.now():
                heapq.heappop(self._timers).then()

    def _start_new(self) -> None:
        while self._new:
            flow = self._new.popleft()
            number = next(self._numbers)
            self._running[number] = _Running(flow, [], 0)
            if self._ends(number):
                self._finish(number, Outcome(error=Stopped()))
            else:
                self._advance(number, None)

    def _ends(self, number: int) -> bool:
        """Whether a flow is still to be told that it was asked to stop."""
        running = self._running[number]
        return self._runner.stopping and not (running.writes or running.told or running.flow.to_the_end)

    def _all_end(self, flows: Iterable[int]) -> bool:
        return all(self._ends(number) for number in flows)

    def _cut_short(self) -> None:
        """Let flows that are to end wait no longer: neither for a time nor for their turn."""
        due = [timer for timer in self._timers if self._all_end(timer.flows)]
        self._timers = [timer for timer in self._timers if not self._all_end(timer.flows)]
        heapq.heapify(self._timers)
        for timer in due:
            timer.then()
        unsent = [ticket for queue in self._ready.values() for ticket in queue if self._all_end(ticket.flows)]
        for lane, queue in self._ready.items():
            self._ready[lane] = deque(ticket for ticket in queue if not self._all_end(ticket.flows))
        for ticket in unsent:
            self._fail(ticket, Stopped())
        self._runner._announce_stop(sum(running.writes > 0 for running in self._running.values()))

    def _advance(self, number: int, reply: Reply | Exception | None) -> None:
        running = self._running[number]
        running.told = running.told or isinstance(reply, Stopped)
        steps = running.flow.steps
        try:
            if isinstance(reply, Exception):
                step = steps.throw(reply)
            else:
                step = next(steps) if reply is None else steps.send(reply)
        except StopIteration as end:
            self._finish(number, Outcome(result=end.value))
            return
        except MISREAD as error:
            # The steps took an answer apart, and it was not made as its service documents.
            labels = ", ".join(running.asked)
            self._finish(number, Outcome(error=_misread(labels, error)))
            return
        except Exception as error:  # whatever else a flow ends with is its outcome, and told as such
            self._finish(number, Outcome(error=error))
            return
        if self._ends(number):
            self._advance(number, Stopped())
        elif isinstance(step, Pause):
            self._runner._observer.waiting(running.flow.key, step)
            self._after(step.seconds, (number,), lambda: self._advance(number, Reply((), self._runner._exchange.now())))
        elif isinstance(step, Usual):
            usual = self._runner._learn(step)
            self._advance(number, Reply((), self._runner._exchange.now(), usual))
        elif step.requests:
            self._call(number, step)
        else:
            self._advance(number, Reply((), self._runner._exchange.now()))

    def _call(self, number: int, step: Call) -> None:
        running = self._running[number]
        running.answers, running.missing, running.error = [None] * len(step.requests), len(step.requests), None
        running.asked = tuple(dict.fromkeys(request.label for request in step.requests))
        for index, request in enumerate(step.requests):
            self._linger(_Ticket((request,), ((number, index),)))

    def _linger(self, ticket: _Ticket) -> None:
        """Queue a ticket, at once or when others like it have come."""
        combine = ticket.request.combine
        seconds = 0.0
        if combine is not None:
            awaited = min(combine.linger, _PATIENCE * len(self._running))
            seconds = max(awaited, min(combine.leisure, _IDLENESS * len(self._running)))
        if combine is None or not seconds:
            self._queue(ticket)
            return
        self._lingering.setdefault(combine.key, []).append(ticket)
        leaves = self._runner._exchange.now() + seconds
        self._leaves[combine.key] = min(leaves, self._leaves.get(combine.key, leaves))

    def _let_go(self) -> None:
        """Queue those who lingered long enough, or wait for nothing while nothing else is under way."""
        idle = not (self._tickets or self._timers or any(self._ready.values()))
        now = self._runner._exchange.now()
        for key, leaves in list(self._leaves.items()):
            if idle or self._runner.stopping or leaves <= now:
                del self._leaves[key]
                for ticket in self._lingering.pop(key):
                    self._queue(ticket)

    def _queue(self, ticket: _Ticket) -> None:
        self._ready[_lane(ticket.request)[0]].append(ticket)

    def _finish(self, number: int, outcome: Outcome[Any]) -> None:
        flow = self._running.pop(number).flow
        following = self._done(flow, outcome)
        self._new += [one for one in following if one.to_the_end or not self._runner.stopping]

    def _send_ready(self) -> None:
        for lane in list(self._ready):
            queue = self._ready[lane]
            while queue and self._runner._width(queue[0].request).room(self._lanes[lane]):
                ticket = queue.popleft()
                self._send(lane, self._with_those_alike(ticket, queue))

    def _with_those_alike(self, first: _Ticket, queue: deque[_Ticket]) -> _Ticket:
        """`first` with those of the queue that may go with it, which leave it, as far as one request may go."""
        combine = first.request.combine
        if combine is None or first.divided:
            return first
        alike = [
            one for one in queue if not one.divided and one.request.combine and one.request.combine.key == combine.key
        ]
        group, left, pace = [first], _BODY - _size(first.request), self._runner._pace(combine)
        for ticket in alike:
            left -= _size(ticket.request)
            if left < 0 or not pace.room(len(group)):
                break
            group.append(ticket)
        taken = {id(ticket) for ticket in group}
        rest = [ticket for ticket in queue if id(ticket) not in taken]
        queue.clear()
        queue.extend(rest)
        return _Ticket(
            tuple(part for ticket in group for part in ticket.parts),
            tuple(waiter for ticket in group for waiter in ticket.waiters),
            min(ticket.first for ticket in group),
            tries=first.tries,
        )

    def _send(self, lane: str, ticket: _Ticket) -> None:
        if ticket.tries == 0 and all(self._running[number].error for number, _ in ticket.waiters):
            for number, _ in ticket.waiters:
                self._one_less(number)
            return
        try:
            self._runner._guard(ticket.request)
        except Exception as refusal:  # the guard's own words are the flow's error
            self._fail(ticket, refusal)
            return
        self._lanes[lane] += 1
        key = next(self._numbers)
        self._tickets[key] = ticket
        ticket.tries += 1
        ticket.sent = self._runner._exchange.now()
        ticket.first = min(ticket.first, ticket.sent)
        self._note(ticket, 1)
        self._runner._count(ticket.request)
        self._runner._exchange.submit(key, ticket.request)

    def _receive(self, key: int, outcome: Answer | Exception) -> None:
        ticket = self._tickets.pop(key)
        self._lanes[_lane(ticket.request)[0]] -= 1
        request = ticket.request
        runner = self._runner
        if not _may_be_done(outcome):
            self._note(ticket, -1)
        self._learn(ticket, outcome)
        if isinstance(outcome, Answer):
            runner._reached.add(request.service)
            if _divisible(ticket, outcome):
                for half in ticket.divide((len(ticket.parts) + 1) // 2):
                    half.divided = True
                    self._queue(half)
                return
            if outcome.ok or outcome.code in request.expect:
                runner._width(request).answered()
                self._deliver(ticket, outcome)
                return
        elif not isinstance(outcome, NoAnswer):
            self._fail(ticket, outcome)
            return
        reason = _passing(request, outcome)
        now = runner._exchange.now()
        if reason == _THROTTLED:
            runner._width(request).throttled(now)
        # A service that never answered is more likely misnamed than restarting.
        patience = runner._patience if request.service in runner._reached else min(2.0, runner._patience)
        if reason and now - ticket.first < patience:
            seconds = min(10.0, 0.2 * 2 ** (ticket.tries - 1)) * (0.5 + runner._jitter())
            for number in ticket.flows:
                runner._observer.retrying(self._running[number].flow.key, request, reason, seconds)
            self._after(seconds, ticket.flows, lambda: self._queue_again(ticket))
            return
        answer = outcome if isinstance(outcome, Answer) else None
        text = outcome.reason or (outcome.code if isinstance(outcome, Answer) else "no answer")
        for one in ticket.divide(1):
            self._fail(one, ServiceFailure(one.request, answer, text))

    def _queue_again(self, ticket: _Ticket) -> None:
        # What went together may be too much to go together again.
        for one in [ticket] if ticket.divided else ticket.divide(1):
            self._queue(one)

    def _learn(self, ticket: _Ticket, outcome: Answer | Exception) -> None:
        """Take notice of how long so many took together."""
        if ticket.request.combine is None:
            return
        pace = self._runner._pace(ticket.request.combine)
        if isinstance(outcome, Answer) and outcome.ok:
            pace.answered(len(ticket.parts), self._runner._exchange.now() - ticket.sent)
        elif not isinstance(outcome, Answer) or outcome.status >= 500:
            pace.failed(len(ticket.parts))

    def _note(self, ticket: _Ticket, writes_more: int) -> None:
        """Keep count of what each flow may have written. Its entries in the ledger it takes back itself."""
        if writes(ticket.request) and ticket.request.service is not Service.LEDGER:
            for number in ticket.flows:
                self._running[number].writes += writes_more

    def _deliver(self, ticket: _Ticket, answer: Answer) -> None:
        combine = ticket.request.combine
        if combine is not None and combine.digest is not None:
            answer = replace(answer, body=combine.digest(answer.body))
        for number, index in ticket.waiters:
            self._running[number].answers[index] = answer
            self._one_less(number)

    def _fail(self, ticket: _Ticket, error: Exception) -> None:
        # What is on its way beside the failed request is waited for; what was not sent yet will not be sent.
        for number, _ in ticket.waiters:
            running = self._running[number]
            running.error = running.error or error
            self._one_less(number)

    def _one_less(self, number: int) -> None:
        running = self._running[number]
        running.missing -= 1
        if running.missing > 0:
            return
        if running.error is not None:
            self._advance(number, running.error)
        else:
            answers = tuple(one for one in running.answers if one is not None)
            self._advance(number, Reply(answers, self._runner._exchange.now()))

    def _after(self, seconds: float, flows: tuple[int, ...], then: Callable[[], None]) -> None:
        heapq.heappush(self._timers, _Timer(self._runner._exchange.now() + seconds, next(self._numbers), flows, then))


def _may_be_done(outcome: Answer | Exception) -> bool:
    """Whether what was asked for may have been carried out."""
    if isinstance(outcome, Answer):
        return outcome.ok or outcome.status >= 500
    return isinstance(outcome, NoAnswer) and outcome.lost is not Lost.REFUSED


def _divisible(ticket: _Ticket, answer: Answer) -> bool:
    """Whether a refusal may be meant for one part only, and nothing was done for the others.

    A conflict (409) is with what others wrote, and "too many requests" (429) is meant for all.
    """
    combine = ticket.request.combine
    several = combine is not None and combine.atomic and len(ticket.parts) > 1
    return several and 400 <= answer.status < 500 and answer.status not in (409, 429)


def _misread(labels: str, error: Exception) -> Failed:
    failed = Failed(
        "bad-answer", f"{labels}: the answer is not what the service documents ({type(error).__name__}: {error})"
    )
    failed.__cause__ = error
    return failed


def _size(request: Request) -> int:
    """The length of a body that is a list or lines, in characters."""
    lines = request.body if isinstance(request.body, list | tuple) else ()
    return sum(len(json.dumps(line, default=str)) + 1 for line in lines)


def _lane(request: Request) -> tuple[str, int]:
    """Which requests share a limit, and how many of them may be under way."""
    if writes(request) and "/_plugins/_security/" in request.operation:
        return "security", 1  # all objects of a type share one document there
    if writes(request) and "/_plugins/_ml/" in request.operation:
        return "ml", 8  # a node runs ten tasks at once and throws out the rest
    return request.service, 16


_PATIENCE = 0.005
"""How many seconds one lingers for each flow that is under way, where somebody waits for it."""

_IDLENESS = 0.05
"""How many where nobody does."""

_BODY = 5 * 2**20
"""How many characters the body of a combined request may have."""

_AIM = 4.0
"""How many seconds the answer to a combined request should take at most."""

_GROWTH = 4
"""How many times as many requests may go together as went the time before."""

MISREAD = (LookupError, TypeError, AttributeError, ValueError, AssertionError)
"""What steps fail with that took an answer apart which is not made as its service documents."""

_RELIEF = 1.0
"""Seconds for which a service that throttled is left with half of what it had before it is given even less."""

_THROTTLED = "throttled"
_THROTTLES = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "429",
    }
)


def _passing(request: Request, outcome: Answer | NoAnswer) -> str:
    """Why a failure may pass when the request is sent again as it is, or "" when it will not.

    What may have been carried out already is only sent again when that does no harm.
    """
    again = not writes(request) or request.repeat is Repeat.SAFE
    if isinstance(outcome, NoAnswer):
        return outcome.reason if outcome.lost is Lost.REFUSED or again else ""
    if outcome.ok:
        return ""
    if outcome.code in _THROTTLES or "exceed max running task limit" in outcome.reason:
        return _THROTTLED
    if outcome.code == "ConcurrentModification":
        return "changed by somebody else at the same moment"
    if outcome.code == "MalformedPolicyDocument" and "nvalid principal" in outcome.reason:
        return "a principal is not visible yet"
    if outcome.status in (500, 503) and "all shards failed" in outcome.reason:
        # That was a search. Of what is made, ML Commons searches for one of the same name before it writes anything.
        return "an index is just being made"
    if outcome.status in (502, 503, 504) and again:
        return f"status {outcome.status}"
    if outcome.status == 500 and not request.method and not writes(request):
        return "status 500"  # AWS asks to repeat it; OpenSearch answers so to what it will never do
    return ""
