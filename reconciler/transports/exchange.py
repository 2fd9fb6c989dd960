"""Requests side by side: a pool of threads in which transports send and wait."""

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.request import Answer, Lost, NoAnswer, Request, Service
from reconciler.redaction import Redaction


class Transport(Protocol):
    """What sends one request to one service."""

    def send(self, request: Request) -> Answer:
        """Send and wait. Raises NoAnswer when there is none, ReconcilerError when nothing can be sent at all."""


class Threads:
    """An exchange that gives each request under way a thread of its own.

    Secrets are put into a request here, at the last moment, and taken out of what a refusal says. What a service
    answers when all is well is left as it is: it is compared with what is desired.
    """

    def __init__(
        self,
        transports: Mapping[Service, Transport],
        read_secret: Callable[[str], str],
        redaction: Redaction,
        width: int = 96,
    ) -> None:
        self._transports = transports
        self._read_secret = read_secret
        self._redaction = redaction
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="request")
        self._outcomes: queue.SimpleQueue[tuple[int, Answer | Exception] | None] = queue.SimpleQueue()

    def now(self) -> float:
        return time.monotonic()

    def submit(self, ticket: int, request: Request) -> None:
        self._pool.submit(lambda: self._outcomes.put((ticket, self._outcome(request))))

    def collect(self, until: float | None) -> Sequence[tuple[int, Answer | Exception]]:
        timeout = None if until is None else max(0.0, until - self.now())
        try:
            found = [self._outcomes.get(timeout=timeout)]
        except queue.Empty:
            return []
        while not self._outcomes.empty():
            found.append(self._outcomes.get_nowait())
        return [outcome for outcome in found if outcome is not None]

    def wake(self) -> None:
        self._outcomes.put(None)  # which may interrupt itself, as handlers of signals do

    def close(self) -> None:
        """Wait for requests under way and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def leave(self) -> None:
        """Send nothing more, and wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, request: Request) -> Answer | Exception:
        try:
            parameters = {key: _filled(value, self._read_secret) for key, value in request.parameters.items()}
            filled = replace(request, body=_filled(request.body, self._read_secret), parameters=parameters)
            answer = self._transports[request.service].send(filled)
        except ReconcilerError as refusal:
            return refusal
        except NoAnswer as outcome:
            return NoAnswer(outcome.lost, self._redaction.text(outcome.reason))
        except Exception as error:  # a transport's own fault must not leave the runner waiting for ever
            return NoAnswer(Lost.BROKEN, self._redaction.text(f"{type(error).__name__}: {error}"))
        if answer.ok:
            return answer
        return replace(answer, reason=self._redaction.text(answer.reason), body=self._redaction.json(answer.body))


def _filled(value: Value, secret: Callable[[str], str]) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Template):
        return "".join(_part(part, secret) for part in value.parts)
    if isinstance(value, Mapping):
        return {key: _filled(member, secret) for key, member in value.items()}
    if isinstance(value, tuple):
        return tuple(_filled(member, secret) for member in value)
    return [_filled(member, secret) for member in value]


def _part(part: str | Reference, secret: Callable[[str], str]) -> str:
    if isinstance(part, str):
        return part
    if part.namespace != "secret":
        problem = Problem("unknown-reference", f"{part} is not known, so the request is not sent")
        raise ReconcilerError([problem])
    return secret(part.name)
