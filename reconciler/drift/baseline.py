"""Baselines: drift that is known and accepted until a day, each with a reason.

Accepted drift is told and counted apart; after its last day it is drift again.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from reconciler.canonical.json import Json, canonical_text
from reconciler.diff import dotted
from reconciler.drift.report import DRIFT, Acceptance, Finding, Report
from reconciler.errors import Position, Problem, ReconcilerError, Severity
from reconciler.manifest.document import Document, Path
from reconciler.manifest.events import parse
from reconciler.manifest.source import Source
from reconciler.manifest.templates import Template, Value
from reconciler.model.change import FieldChange
from reconciler.model.schema import is_known

NAME = "drift-baseline.yaml"
"""What the file is called where nobody says otherwise."""

_KEY = "accepted"
_HEAD = f"# Drift that is known and accepted until a day. `reconciler drift --accept` adds to it.\n{_KEY}:\n"
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What is accepted: drift of an address, of one field of it, of one value or of values of a pattern.

    `address`, `field` and `pattern` may hold `*` and `?`; "" is any field, None any value. `until` is the last day.
    """

    address: str
    reason: str
    until: date
    field: str = ""
    value: str | None = None
    pattern: str | None = None
    position: Position | None = None

    def covers(self, finding: Finding, change: FieldChange | None) -> bool:
        """Whether it is about a difference of a finding, or about the finding where that has none."""
        if finding.kind not in DRIFT or not _matches(str(finding.address), self.address):
            return False
        if change is None:
            return not self.field and self.value is None and self.pattern is None
        if self.field and not any(_matches(name, self.field) for name in (dotted(change.path), change.field)):
            return False
        text = told(change)
        if self.pattern is not None and not _matches(text, self.pattern):
            return False
        return self.value is None or text == self.value


def told(change: FieldChange) -> str:
    """A difference as a baseline has it: what is live, or was applied and is gone."""
    if change.text and change.text.startswith(("+ ", "- ", "~ ")):
        return change.text
    value: Value = change.before if change.after is None else change.after
    if isinstance(value, str | Template):
        return str(value)
    return canonical_text(value) if is_known(value) else repr(value)


def load(source: Source, schema: Mapping[str, Json]) -> tuple[Entry, ...]:
    """The entries of a file. ReconcilerError (`bad-baseline` and those of YAML) with all that is wrong with it."""
    from jsonschema import Draft202012Validator

    document = parse(source)
    if document.problems:
        raise ReconcilerError(document.problems)
    if document.value is None:
        return ()
    faults = [
        _fault(document, tuple(one.absolute_path), one)
        for one in Draft202012Validator(schema).iter_errors(document.value)
    ]
    if faults:
        raise ReconcilerError(faults)
    assert isinstance(document.value, Mapping)
    listed = document.value[_KEY] or ()
    assert isinstance(listed, Sequence)
    entries: list[Entry] = []
    for index, one in enumerate(listed):
        assert isinstance(one, Mapping)
        place = document.position((_KEY, index))
        try:
            entries.append(_entry(one, place))
        except ValueError:
            faults.append(
                Problem(
                    "bad-baseline",
                    "there is no such day",
                    document.value_position((_KEY, index, "until")),
                    f"{_KEY}[{index}].until",
                    "write a day as 2027-01-31",
                )
            )
    if faults:
        raise ReconcilerError(faults)
    return tuple(entries)


def accepting(report: Report, entries: Sequence[Entry], today: date) -> tuple[Report, list[Problem]]:
    """The report with what the entries accept, and warnings of entries that have run out or are about nothing."""
    found = [part for finding in report.findings for part in _split(finding, entries, today)]
    return replace(report, findings=tuple(found)), list(_warnings(report, entries, today))


def entries_for(findings: Iterable[Finding], reason: str, until: date) -> tuple[Entry, ...]:
    """What accepts just these findings, difference by difference."""
    found: dict[Entry, None] = {}
    for finding in findings:
        if not finding.fields:
            found[Entry(str(finding.address), reason, until)] = None
        for change in finding.fields:
            found[Entry(str(finding.address), reason, until, dotted(change.path), told(change))] = None
    return tuple(found)


def extended(source: Source | None, entries: Sequence[Entry], schema: Mapping[str, Json]) -> str:
    """The text of a file with entries added. What stands in it stays as it is, comments too.

    ReconcilerError when it is broken, or its list is written so that nothing can be added behind it.
    """
    if source is None or not source.text.strip() or parse(source).value is None:
        return (
            (source.text.rstrip() + "\n" if source is not None and source.text.strip() else "")
            + _HEAD
            + _lines(entries, 2)
        )
    known = load(source, schema)
    places = [one.position.column for one in known if one.position is not None]
    text = source.text.rstrip() + "\n" + _lines(entries, max(0, places[0] - 3) if places else 2)
    try:
        added = load(Source(source.file, text), schema)
    except ReconcilerError:
        added = ()
    if [replace(one, position=None) for one in added] != [replace(one, position=None) for one in (*known, *entries)]:
        message = "its list is not written so that an entry can be added at the end of the file"
        hint = f"write `{_KEY}:` with one `- address: ...` for each entry, as the last thing in the file"
        raise ReconcilerError([Problem("bad-baseline", f"{source.file}: {message}", hint=hint)])
    return text


def _entry(one: Mapping[str, Json], place: Position) -> Entry:
    value, pattern = one.get("value"), one.get("pattern")
    return Entry(
        str(one["address"]),
        str(one["reason"]),
        date.fromisoformat(str(one["until"])),
        str(one.get("field", "")),
        None if value is None else value if isinstance(value, str) else canonical_text(value),
        None if pattern is None else str(pattern),
        place,
    )


def _split(finding: Finding, entries: Sequence[Entry], today: date) -> Iterator[Finding]:
    """A finding, or its parts: what is not accepted, and what is, by who accepts it."""
    parts: dict[Acceptance | None, list[FieldChange]] = {}
    for change in finding.fields or (None,):
        match = next((one for one in entries if one.until >= today and one.covers(finding, change)), None)
        acceptance = Acceptance(match.reason, match.until) if match is not None else None
        parts.setdefault(acceptance, []).extend([change] if change is not None else [])
    for acceptance, fields in parts.items():
        yield replace(finding, fields=tuple(fields), accepted=acceptance)


def _warnings(report: Report, entries: Sequence[Entry], today: date) -> Iterator[Problem]:
    for entry in entries:
        about = [
            finding
            for finding in report.findings
            if any(entry.covers(finding, change) for change in finding.fields or (None,))
        ]
        if not about:
            message, hint = "it accepts drift that is not there", "remove it"
        elif entry.until < today:
            message, hint = (
                f"it accepted drift until {entry.until}, and that is over",
                "mend the drift, or accept it anew",
            )
        else:
            continue
        yield Problem("stale-baseline", message, entry.position, entry.address, hint, severity=Severity.WARNING)


def _fault(document: Document, path: Path, error: object) -> Problem:
    rule, expected = getattr(error, "validator", ""), getattr(error, "validator_value", None)
    value = getattr(error, "instance", None)
    if rule == "required" and isinstance(value, Mapping):
        what = f"there is no {', '.join(name for name in expected or () if name not in value)}"
    elif rule == "additionalProperties" and isinstance(value, Mapping):
        known = getattr(error, "schema", {}).get("properties", {})
        what = f"unknown keys: {', '.join(sorted(map(str, value.keys() - known.keys())))}"
    elif rule == "type":
        what = f"not of type {expected if isinstance(expected, str) else ' or '.join(map(str, expected or ()))}"
    else:
        what = f"not as the schema of baselines has it ({rule})"
    return Problem("bad-baseline", what, document.value_position(path), dotted(path), "see docs/drift.md")


def _matches(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)


def _lines(entries: Iterable[Entry], indent: int) -> str:
    found = []
    for one in entries:
        stated: list[tuple[str, str | None]] = [("address", one.address), ("field", one.field or None)]
        stated += [("value", one.value), ("pattern", one.pattern), ("reason", one.reason), ("until", str(one.until))]
        lines = [f"{name}: {_scalar(text)}" for name, text in stated if text is not None]
        found += [" " * indent + ("- " if number == 0 else "  ") + line for number, line in enumerate(lines)]
    return "".join(f"{line}\n" for line in found)


def _scalar(text: str) -> str:
    """A text as YAML: bare where that is the same."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
