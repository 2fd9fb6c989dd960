"""Watching: what is known between looks after drift, and when it is not what it was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.drift.report import Class, Finding, Report
from reconciler.errors import Problem


class Status(StrEnum):
    """What a look came to."""

    IN_SYNC = "in sync"
    PENDING = "pending"  # nothing drifted, but the manifest is not applied
    DRIFT = "drift"
    INCOMPLETE = "incomplete"  # nothing drifted, but not everything could be read
    ERROR = "error"  # nothing is known


@dataclass(frozen=True, slots=True)
class Look:
    """One look: when it began (seconds since 1970), how many seconds it took, and how many requests.

    `problems` are what stopped it, and then there is no report; beside a report they are warnings.
    """

    began: float
    seconds: float
    requests: int
    report: Report | None = None
    problems: Sequence[Problem] = ()

    @property
    def status(self) -> Status:
        """What it came to."""
        if self.report is None:
            return Status.ERROR
        if self.report.drifted:
            return Status.DRIFT
        if self.report.of(Class.UNKNOWN):
            return Status.INCOMPLETE
        return Status.PENDING if self.report.of(Class.PENDING) else Status.IN_SYNC


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known after a look.

    `since` is when the look began that first had this status, `known` the last look that was not stopped, None where
    all were. `looks` counts all looks by status, `requests` all that they sent.
    """

    last: Look
    since: float
    known: Look | None
    looks: Mapping[Status, int] = field(default_factory=dict)
    requests: int = 0

    @property
    def status(self) -> Status:
        """What the last look came to."""
        return self.last.status


@dataclass(frozen=True, slots=True)
class Turn:
    """How what is known is not what it was: findings that were not there, and those that are no more."""

    now: Standing
    new: Sequence[Finding] = ()
    gone: Sequence[Finding] = ()


def after(before: Standing | None, look: Look) -> Standing:
    """What is known after another look; `before` is None at the first one."""
    looks = Counter(before.looks if before else {})
    looks[look.status] += 1
    stayed = before is not None and before.status is look.status
    return Standing(
        look,
        before.since if before and stayed else look.began,
        look if look.report else before.known if before else None,
        looks,
        (before.requests if before else 0) + look.requests,
    )


def turn(before: Standing | None, now: Standing) -> Turn | None:
    """How the state is another than before, None where it is not. The first look always is."""
    found = _told(now.last.report)
    # A look that was stopped knows of nothing that came or went.
    had = _told(before.known.report if before and before.known else None) if now.last.report else found
    new = [one for what, one in found.items() if what not in had]
    gone = [one for what, one in had.items() if what not in found]
    stayed = before is not None and before.status is now.status
    if stayed and not new and not gone and (now.status is not Status.ERROR or before is None or _same(before, now)):
        return None
    return Turn(now, new, gone)


def _told(report: Report | None) -> Mapping[object, Finding]:
    """Findings by what they tell; where the manifest has them does not count."""
    findings = report.findings if report else ()
    return {(one.address, one.kind, one.reason, repr(one.fields), one.accepted): one for one in findings}


def _same(before: Standing, now: Standing) -> bool:
    """Whether two looks were stopped by the same."""
    return {one.code for one in before.last.problems} == {one.code for one in now.last.problems}
