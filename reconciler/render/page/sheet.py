"""What stands on the page, as data: the same facts as in the other formats, in the same order and words."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from reconciler.canonical import policy
from reconciler.canonical.json import Json
from reconciler.canonical.policy.document import decode
from reconciler.diff import at, policy_path
from reconciler.drift.report import Finding, Report
from reconciler.errors import Position, Problem
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change, FieldChange, Path
from reconciler.model.kind import Kind
from reconciler.model.objects import Address
from reconciler.model.schema import Rule, is_known
from reconciler.plan.plan import Plan
from reconciler.render import drift as as_drift
from reconciler.render import text as as_text
from reconciler.render.meaning import Sentence, sentences
from reconciler.render.picture import ACCEPTED, ACTIONS, CLASSES, MOVES, UNCHANGED, Picture, Status, of_drift, of_plan
from reconciler.render.risks import Risk, risks_of_change, risks_of_finding
from reconciler.render.values import dotted, guarded, shown


@dataclass(frozen=True, slots=True)
class Row:
    """One field that differs. `before` and `after` are "" where there is no value; `note` says what values do not."""

    path: str
    before: str
    after: str
    note: str = ""
    widens: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A policy document that differs: what that means, and its text line by line, each with `+`, `-` or a blank."""

    path: str
    meaning: Sequence[Sentence]
    lines: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One object and what is said of it."""

    address: Address
    status: Status
    risks: Sequence[Risk] = ()
    reason: str = ""
    place: str = ""
    rows: Sequence[Row] = ()
    passages: Sequence[Passage] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """All of a page. `quiet` are the addresses nothing is said of, `made` is when it was made (ISO 8601, UTC)."""

    title: str
    target: str
    made: str
    summary: str
    entries: Sequence[Entry]
    picture: Picture
    quiet: Sequence[Address] = ()
    problems: Sequence[Problem] = ()
    remarks: Sequence[str] = ()


def sheet_of_plan(plan: Plan, made: str, summary: str) -> Sheet:
    """The page of a plan."""
    shown_ones = [_planned(plan, change) for change in plan.shown]
    said = {entry.address for entry in shown_ones}
    return Sheet(
        f"Plan of {plan.context.manifest.name}",
        as_text.place_of(plan.context),
        made,
        summary,
        shown_ones,
        of_plan(plan),
        [change.address for change in plan.changes if change.address not in said],
        plan.problems,
    )


def sheet_of_drift(report: Report, made: str, problems: Sequence[Problem] = ()) -> Sheet:
    """The page of a look after drift."""
    said = {one.address for one in report.findings}
    return Sheet(
        f"Drift of {report.context.manifest.name}",
        as_text.place_of(report.context),
        made,
        as_drift.summary(report).plain,
        [_found(report, one) for one in report.findings],
        of_drift(report),
        [address for address in report.context.ledger.rows if address not in said],
        problems,
        [line.plain.strip().removeprefix("(").removesuffix(")") for line in as_drift.remarks(report)],
    )


def _planned(plan: Plan, change: Change) -> Entry:
    kind = plan.context.kinds.get(change.address.kind)
    if kind is not None and change.action is Action.CREATE:
        told = list(_made(kind.schema.rule, change.fields))
    elif change.action is Action.FORGET:
        told = []
    else:
        before = change.live.fields if change.live is not None else {}
        after = change.desired.fields if change.desired is not None else {}
        told = list(_differing(kind, change.fields, before, after))
    return Entry(
        change.address,
        ACTIONS.get(change.action, MOVES if change.moved_from else UNCHANGED),
        risks_of_change(plan, change),
        change.reason,
        _place(change.position),
        [one for one in told if isinstance(one, Row)],
        [one for one in told if isinstance(one, Passage)],
        change.notes,
    )


def _found(report: Report, finding: Finding) -> Entry:
    kind = report.context.kinds.get(finding.address.kind)
    row = report.context.ledger.rows.get(finding.address)
    applied, live = (row.applied if row is not None else {}), report.lives.get(finding.address, {})
    told = list(_differing(kind, finding.fields, applied, live))
    accepted = finding.accepted
    notes = [f"{finding.kind}, accepted until {accepted.until}: {accepted.reason}"] if accepted is not None else []
    return Entry(
        finding.address,
        CLASSES[finding.kind] if accepted is None else ACCEPTED,
        risks_of_finding(finding),
        finding.reason,
        _place(finding.position),
        [one for one in told if isinstance(one, Row)],
        [one for one in told if isinstance(one, Passage)],
        notes,
    )


def _place(position: Position | None) -> str:
    return f"{position.file}:{position.line}" if position is not None else ""


def _differing(
    kind: Kind | None, fields: Iterable[FieldChange], before: Mapping[str, Value], after: Mapping[str, Value]
) -> Iterator[Row | Passage]:
    """What differs: policies as passages, in the place of their first difference, all else as rows."""
    policies: dict[Path, list[FieldChange]] = {}
    listed: list[FieldChange | Path] = []
    for field in fields:
        root = policy_path(kind.schema, field.path) if kind is not None and field.text else ()
        if not root:
            listed.append(field)
        elif root in policies:
            policies[root].append(field)
        else:
            policies[root] = [field]
            listed.append(root)
    for one in listed:
        if isinstance(one, FieldChange):
            yield _row(one)
        else:
            documents = [_document(fields, one) for fields in (before, after)]
            lines = _text_diff(*documents) if any(documents) else ()
            yield Passage(dotted(one), tuple(sentences(policies[one])), lines)


def _document(fields: Mapping[str, Value], path: Path) -> Json:
    """The policy document at a path; None where there is none or it is not known yet."""
    field = fields.get(str(path[0]))
    return decode(at({str(path[0]): field}, path)) if field is not None and is_known(field) else None


def _row(field: FieldChange) -> Row:
    before, after = field.before, field.after
    if field.write_only:
        before, after = guarded(before), guarded(after)
    note = field.text + (" (write-only)" if field.write_only else "")
    same = before == after
    told = ["" if value is None or same else shown(value) for value in (before, after)]
    return Row(dotted(field.path), told[0], told[1], note.strip(), field.widens)


def _made(rule: Rule, fields: Iterable[FieldChange]) -> Iterator[Row | Passage]:
    for field in fields:
        value = guarded(field.after) if field.write_only else field.after
        note = "(write-only)" if field.write_only else ""
        yield from _inside(rule.member(field.field), field.path, value, note)


def _inside(rule: Rule, path: Path, value: Value, note: str) -> Iterator[Row | Passage]:
    """The members of what is made as a whole, each by itself."""
    if value in ({}, [], None, ""):
        return
    if rule.compare == "policy" and is_known(value):
        changes = policy.compare(None, value).changes
        meaning = [Sentence("+", f"statement added: {one.label}") for one in changes]
        yield Passage(dotted(path), meaning, _text_diff(None, decode(value)))
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _inside(rule.member(key), (*path, key), member, note)
    elif isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) for one in value):
        for index, member in enumerate(value):
            yield from _inside(rule.items, (*path, index), member, note)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (Row(dotted(path), "", shown(member), note) for member in value)
    else:
        yield Row(dotted(path), "", shown(value), note)


def _text_diff(before: Json, after: Json) -> Sequence[tuple[str, str]]:
    old, new = (
        [] if one is None else json.dumps(one, indent=2, ensure_ascii=False).split("\n") for one in (before, after)
    )
    found: list[tuple[str, str]] = []
    for operation, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation == "equal":
            found += [(" ", line) for line in old[i:j]]
        else:
            found += [("-", line) for line in old[i:j]] + [("+", line) for line in new[k:m]]
    return found
