"""Steps: generators that yield what they want done and receive the answers.

Nobody sends anything in a step. The same steps are run against live services, fed with a kind's declared
answers for `plan --calls`, and driven by hand in tests.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from reconciler.model.request import Answer, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """Send these requests side by side and answer them all."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after `seconds`; `waiting_for` names the condition, `patience` the seconds it is given in all."""

    seconds: float
    waiting_for: str
    waited: float
    patience: float


@dataclass(frozen=True, slots=True)
class Usual:
    """Ask how many seconds `what` takes usually; with `lasted`, say how many it took this time."""

    what: str
    lasted: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a step receives: the answers in the order of the requests, and the monotonic time in seconds.

    `usual` is how many seconds something takes usually, where that was asked; 0 while nobody knows.
    """

    answers: tuple[Answer, ...]
    clock: float
    usual: float = 0.0


Step: TypeAlias = Call | Pause | Usual
Steps: TypeAlias = Generator[Step, Reply, T]


class NeverHappened(Exception):
    """A condition that was waited for did not come true in time."""

    def __init__(self, waiting_for: str, seconds: float, last_seen: str) -> None:
        super().__init__(f"{waiting_for}: not after {seconds:.0f} s" + (f" ({last_seen})" if last_seen else ""))
        self.waiting_for = waiting_for
        self.last_seen = last_seen


class Stopped(Exception):
    """Thrown into steps, once, by whoever drives them: they are to end, for they wrote nothing yet but to the ledger.

    What they were about to do was not done. What they do about it is done to the end.
    """


class Failed(Exception):
    """The service did what it was asked, and it did not work out. `code` is a problem's code."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def call(request: Request) -> Steps[Answer]:
    """Send one request and return its answer."""
    reply = yield Call((request,))
    return reply.answers[0]


def call_all(requests: Iterable[Request]) -> Steps[tuple[Answer, ...]]:
    """Send several requests side by side and return their answers in the same order."""
    wanted = tuple(requests)
    if not wanted:
        return ()
    reply = yield Call(wanted)
    return reply.answers


def unstopped(steps: Steps[T]) -> Steps[T]:
    """Steps that are carried out although they are told to stop."""
    try:
        step = next(steps)
        while True:
            try:
                reply = yield step
            except Stopped:
                continue
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


@dataclass(frozen=True, slots=True)
class NotYet:
    """What a probe returns while its condition does not hold: what was seen instead."""

    seen: str


_LATE = 1.1  # of the time that something takes usually: most of it is done by then
_SHORTER = 0.8  # of the time that was waited, where it was done at the first look: it may have taken less


def until(
    condition: str,
    probe: Callable[[], Steps[T | NotYet]],
    *,
    patience: float = 120.0,
    every: float = 0.2,
    like: str = "",
) -> Steps[T]:
    """Repeat `probe` until it returns something other than `NotYet`, and return that.

    `condition` names what is waited for; `patience` is how long, in seconds; the pauses start at `every`
    seconds and grow to five times that. What takes about as long each time is called the same in `like`: when others
    told how long it took, the first probe waits for that. Raises `NeverHappened` at the deadline.
    """
    pause, waited, looked = every, 0.0, False
    began: float | None = None
    if like:
        reply = yield Usual(like)
        began = reply.clock
        if reply.usual > every:
            reply = yield Pause(min(_LATE * reply.usual, patience), condition, waited, patience)
            waited = reply.clock - began
    while True:
        found = yield from probe()
        if not isinstance(found, NotYet):
            if like and waited:
                yield Usual(like, waited if looked else _SHORTER * waited)
            return found
        looked = True
        if waited >= patience:
            raise NeverHappened(condition, patience, found.seen)
        reply = yield Pause(pause, f"{condition} ({found.seen})" if found.seen else condition, waited, patience)
        began = reply.clock - pause if began is None else began
        waited = reply.clock - began
        pause = min(pause * 1.3, every * 5)
