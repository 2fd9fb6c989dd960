"""What became of a plan that was carried out, and who is told of it meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from reconciler.model.change import Change
from reconciler.model.objects import Address
from reconciler.plan.known import Attributes


class Status(StrEnum):
    """How far a change came."""

    DONE = "done"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one change. `waits_for` are the addresses that kept it from starting."""

    change: Change
    status: Status
    error: Exception | None = None
    seconds: float = 0.0
    waits_for: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What an apply did, in the plan's order. `differing` says what was not as planned when read again.

    An apply that was `stopped` did not start everything, or did not read everything again.
    """

    results: tuple[Result, ...]
    differing: Mapping[Address, str] = field(default_factory=dict)
    attributes: Attributes | None = None
    stopped: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether everything was done, and is as planned."""
        done = all(result.status is Status.DONE for result in self.results)
        return done and not self.differing and not self.stopped


class Progress(Protocol):
    """Who wants to know how an apply goes on."""

    def started(self, change: Change) -> None:
        """Work on a change began."""

    def ended(self, result: Result) -> None:
        """A change is done or failed, or was stopped before it was started."""
