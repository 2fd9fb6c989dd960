"""What a command tells, object by object, before it has a form: reports for machines and pages are made of it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rich.text import Text

from reconciler.drift.report import DRIFT, Class, Finding
from reconciler.drift.report import Report as DriftReport
from reconciler.errors import CODES, Position, Problem, Severity
from reconciler.execute import Report, Status
from reconciler.model.change import Action, Change, FieldChange
from reconciler.plan.plan import Plan
from reconciler.render import drift as as_drift
from reconciler.render import text as as_text
from reconciler.render.values import dotted
from reconciler.verify import Verdict


class Outcome(StrEnum):
    """How an object fared: as it should be, still to be done, not as it should be, or impossible to tell."""

    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    BROKEN = "broken"


class Level(StrEnum):
    """How much something matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is told: of which sort, about what, in one line and in several.

    `rule` is the sort, as a path (`drift/missing`); `sign` stands for it in listings. `paths` are the fields it is
    about. `accepted` is why it is no alarm, "" where it is one. `seconds` is how long it took, where it took any time.
    """

    rule: str
    level: Level
    outcome: Outcome
    address: str
    message: str
    sign: str = ""
    details: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    position: Position | None = None
    accepted: str = ""
    seconds: float = 0.0

    @property
    def fingerprint(self) -> str:
        """The same for the same thing as often as it is told, wherever in its file it stands: without values.

        Only its words tell one problem of an object from another.
        """
        told = [self.message] if self.rule.startswith("problem/") else sorted(self.paths)
        return hashlib.sha256("\0".join((self.rule, self.address, *told)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a command tells. `timestamp` is in ISO 8601, UTC; `file` the manifest's first."""

    command: str
    manifest: str
    heading: str
    summary: str
    items: Sequence[Item]
    file: str
    timestamp: str
    rules: Mapping[str, str]

    def hidden(self, free: Callable[[str], str]) -> "Digest":
        """The same, with every text of it freed from secrets."""
        items = tuple(
            replace(
                one,
                message=free(one.message),
                address=free(one.address),
                details=tuple(map(free, one.details)),
                paths=tuple(map(free, one.paths)),
                accepted=free(one.accepted),
            )
            for one in self.items
        )
        return replace(self, heading=free(self.heading), summary=free(self.summary), items=items)


_CHANGES: Mapping[Action, str] = {
    Action.NO_OP: "It is as the manifest states it.",
    Action.CREATE: "The manifest has it, and it is not there.",
    Action.UPDATE: "It is not as the manifest states it.",
    Action.REPLACE: "It is not as the manifest states it, and is made anew for that.",
    Action.DELETE: "It is ours and no longer in the manifest.",
    Action.ADOPT: "It exists already and is taken over.",
    Action.FORGET: "It is given up without being touched.",
}
_CLASSES: Mapping[Class, str] = {
    Class.MISSING: "What was applied is gone.",
    Class.REPLACED: "Another object has the name of what was applied.",
    Class.CHANGED: "A field is not as it was applied.",
    Class.EXTRA: "Something was added to what is ours as a whole.",
    Class.ORPHANED: "It names what is gone.",
    Class.UNDEPLOYED: "A model that was deployed is not.",
    Class.UNKNOWN: "It could not be read.",
    Class.PENDING: "The manifest states it otherwise than it was applied.",
    Class.UNMANAGED: "No manifest that the ledger knows owns it.",
}
_RESULTS: Mapping[Status, tuple[Level, Outcome, str]] = {
    Status.DONE: (Level.NOTE, Outcome.PASSED, "It was done."),
    Status.FAILED: (Level.ERROR, Outcome.BROKEN, "It failed."),
    Status.NOT_STARTED: (Level.WARNING, Outcome.SKIPPED, "It was not started."),
}
WIDENS = "widens privileges"
"""The mark of what lets somebody do more than before."""

DISRUPTS = "disruptive"
"""The mark of what those who use an object notice."""


def of_plan(plan: Plan, timestamp: str, summary: str) -> Digest:
    """A plan: what matches passes, what is to be done is still to be done, problems could not be told."""
    items = [*map(_problem, plan.problems), *(_change(plan, one) for one in plan.changes)]
    return Digest(
        "plan", plan.context.manifest.name, as_text.heading(plan).plain, summary, items, _file(plan), timestamp,
        _rules("plan", items, {str(action): text for action, text in _CHANGES.items()}),
    )  # fmt: skip


def of_apply(
    plan: Plan, report: Report, timestamp: str, summary: str, problems: Sequence[Problem], verdicts: Sequence[Verdict]
) -> Digest:
    """An apply: what was done passes; so do test queries. `problems` are all there were, those of queries left out."""
    items = [_problem(one) for one in problems]
    for result in report.results:
        level, outcome, _ = _RESULTS[result.status]
        base = _change(plan, result.change)
        items.append(
            replace(
                base,
                rule=f"apply/{result.status.replace(' ', '-')}",
                level=level,
                outcome=outcome,
                message=f"{as_text.VERBS[result.change.action]}: {result.status}",
                details=() if result.status is Status.DONE else base.details,
                seconds=result.seconds,
            )
        )
    done = {result.change.address for result in report.results}
    items += [
        replace(_change(plan, one), rule="apply/unchanged")
        for one in plan.changes
        if one.action is Action.NO_OP and one.address not in done
    ]
    for one in verdicts:
        level, outcome = (Level.NOTE, Outcome.PASSED) if one.passed else (Level.ERROR, Outcome.FAILED)
        items.append(
            Item(
                "apply/query", level, outcome, f"verify.queries.{one.query.name}", one.reason or str(outcome), "?",
                position=one.query.position, seconds=one.milliseconds / 1000,
            )
        )  # fmt: skip
    told = {status.replace(" ", "-"): text for status, (_, _, text) in _RESULTS.items()}
    return Digest(
        "apply", plan.context.manifest.name, as_text.heading(plan).plain, summary, items, _file(plan), timestamp,
        _rules("apply", items, {**told, "unchanged": "It was as planned.", "query": "A test query was asked."}),
    )  # fmt: skip


def of_drift(report: DriftReport, timestamp: str, problems: Sequence[Problem]) -> Digest:
    """A look after drift: what drifted fails, what is unknown could not be told, what is pending is to be done."""
    items = [*map(_problem, problems), *map(_finding, report.findings)]
    found = {one.address for one in report.findings}
    items += [
        Item("drift/in-sync", Level.NOTE, Outcome.PASSED, str(address), "in sync")
        for address in sorted(report.context.ledger.rows.keys() - found)
        if report.context.ledger.rows[address].manifest == report.context.manifest.name
    ]
    manifest, place = report.context.manifest, report.context.place
    where = " / ".join(part for part in (place.account_id, place.domain or place.endpoint) if part)
    return Digest(
        "drift", manifest.name, f"{manifest.name} -> {where or 'nothing'}", as_drift.summary(report).plain, items,
        next(iter(manifest.files), ""), timestamp,
        _rules("drift", items, {**{str(kind): text for kind, text in _CLASSES.items()}, "in-sync": "It is in sync."}),
    )  # fmt: skip


def of_problems(command: str, file: str, timestamp: str, problems: Sequence[Problem]) -> Digest:
    """A command that came to no result: what was wrong."""
    items = [*map(_problem, problems)]
    errors = sum(one.level is Level.ERROR for one in items)
    summary = f"{errors:,} {'error' if errors == 1 else 'errors'}: {command} came to no result."
    return Digest(command, "", "", summary, items, file, timestamp, _rules(command, items, {}))


def _problem(problem: Problem) -> Item:
    errored = problem.severity is Severity.ERROR
    details = [*(f"{label}: {text}" for label, text in problem.facts), *([problem.hint] if problem.hint else [])]
    return Item(
        f"problem/{problem.code}",
        Level.ERROR if errored else Level.WARNING,
        Outcome.BROKEN if errored else Outcome.PASSED,
        problem.address,
        problem.message,
        "!",
        tuple(details),
        position=problem.position,
    )


def _change(plan: Plan, change: Change) -> Item:
    marks = (*([WIDENS] if change.widens else []), *([DISRUPTS] if change.disruption else []))
    same = change.action is Action.NO_OP and change.moved_from is None
    lines = () if same else tuple(_plain(as_text.one_change(plan, change)))
    verb = "no change" if same else "record" if change.action is Action.NO_OP else as_text.VERBS[change.action]
    said = ", ".join(_names(change.fields))
    return Item(
        f"plan/{change.action}",
        Level.WARNING if marks else Level.NOTE,
        Outcome.PASSED if same else Outcome.SKIPPED,
        str(change.address),
        f"{verb}: {said}" if said and not same else verb,
        as_text.SIGNS[change.action][0],
        lines[1:],
        marks,
        tuple(dotted(one.path) for one in change.fields),
        change.position,
    )


def _finding(one: Finding) -> Item:
    level, outcome = Level.NOTE, Outcome.PASSED
    if one.kind in DRIFT and one.accepted is None:
        level, outcome = Level.ERROR, Outcome.FAILED
    elif one.kind is Class.UNKNOWN:
        level, outcome = Level.WARNING, Outcome.BROKEN
    elif one.kind is Class.PENDING or one.accepted is not None:
        outcome = Outcome.SKIPPED
    details = tuple(as_drift.detail(change).plain for change in one.fields)
    said = one.reason or ", ".join(_names(one.fields))
    accepted = f"accepted until {one.accepted.until}: {one.accepted.reason}" if one.accepted else ""
    return Item(
        f"drift/{one.kind}",
        level,
        outcome,
        str(one.address),
        f"{one.kind}: {said}" if said else str(one.kind),
        "~",
        (*([one.reason] if one.reason and one.fields else []), *details),
        (WIDENS,) if one.widens else (),
        tuple(dotted(change.path) for change in one.fields),
        one.position,
        accepted,
    )


def _names(fields: Sequence[FieldChange]) -> list[str]:
    return list(dict.fromkeys(dotted(one.path) for one in fields))


def _plain(lines: Iterator[Text]) -> Iterator[str]:
    for line in lines:
        yield line.plain.removeprefix("      ").rstrip()


def _rules(command: str, items: Sequence[Item], own: Mapping[str, str]) -> Mapping[str, str]:
    """What each sort means: all of the command's own, and the problems there are."""
    codes = sorted({one.rule for one in items if one.rule.startswith("problem/")})
    return {
        **{f"{command}/{name}": text for name, text in own.items()},
        **{code: CODES[code.removeprefix("problem/")].meaning for code in codes},
    }


def _file(plan: Plan) -> str:
    return next(iter(plan.context.manifest.files), "")
