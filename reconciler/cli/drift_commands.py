"""The command that looks after drift. It can not write: not even its reader may send anything that could."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from json import loads
from pathlib import Path

import typer
from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.commands import looking, opened, write_page
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.cli.reports import Reports
from reconciler.cli.session import Session, Subject
from reconciler.drift import baseline as baselines
from reconciler.drift.classify import reported
from reconciler.drift.guard import looking_only
from reconciler.drift.look import listed, looked
from reconciler.drift.report import Report
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.excerpt import format_problem
from reconciler.manifest.source import Source, read_source
from reconciler.model.kind import Kind
from reconciler.plan.plan import Context
from reconciler.plan.survey import Question
from reconciler.render import digest as digests
from reconciler.render import drift as rendered
from reconciler.render.formats import Account
from reconciler.render.page import sheet_of_drift
from reconciler.render.problems import problem_json


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at beside the manifest's objects, what to fail on, the file of accepted drift, that of the page."""

    baseline: Path | None = None
    unmanaged: bool = False
    fail_on_pending: bool = False
    html: Path | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found, what is to be said of accepted drift, and the requests and seconds it took."""

    report: Report
    warnings: Sequence[Problem]
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Accept:
    """What to accept from now on, why, and the last day, as given."""

    addresses: Sequence[str]
    reason: str | None
    until: str | None


def drift(load: Load, common: Common, scope: Scope) -> None:
    """Look and print what is not as it was applied."""
    output = Output(common)
    reports = Reports("drift", load, common, output)
    with reports.written():
        seen = look(load, common, scope, output)
        report, warnings = seen.report, seen.warnings
        code = report.exit_code(fail_on_pending=scope.fail_on_pending)
        if output.for_people:
            output.problems(warnings)
            output.note(rendered.reading(report, seen.requests, seen.seconds))
            output.lines(rendered.lines(report))
            output.line(rendered.summary(report))
        reports.tell(_account(report, warnings, code))
    if code:
        raise typer.Exit(code)


def look(load: Load, common: Common, scope: Scope, output: Output) -> Seen:
    """Look once, and write the page where one is wanted. ReconcilerError with what stops it."""
    known = sessions.kinds()
    subject = sessions.subject(load, known)
    source = _source(_path(load, scope), scope.baseline is not None)
    entries = baselines.load(source, _schema()) if source is not None else ()
    with opened(subject, common, output, looking_only) as session:
        found = _looked(session, subject, known, scope)
        requests, seconds = session.requests, session.seconds
        report, warnings = baselines.accepting(found, entries, _today())
        if scope.html is not None:
            sheet = sheet_of_drift(report, sessions.timestamp(), warnings)
            write_page(sheet, scope.html, session.secrets.redaction)
    return Seen(report, warnings, requests, seconds)


def _account(report: Report, warnings: Sequence[Problem], code: int) -> Account:
    """What there is to tell of drift."""
    at = sessions.timestamp()

    def lines() -> Iterator[Text | str]:
        yield from (format_problem(one, lambda *_: "") for one in warnings)
        yield from rendered.lines(report)
        yield rendered.summary(report)

    return Account(
        lines,
        lambda: {**rendered.drift_json(report, at, code), "problems": [problem_json(one) for one in warnings]},
        lambda: digests.of_drift(report, at, warnings),
    )


def accept(load: Load, common: Common, scope: Scope, wanted: Accept) -> None:
    """Look, and write what drifts of some objects into the file of accepted drift."""
    if not wanted.addresses:
        raise ReconcilerError([Problem("usage", "--reason and --until go with --accept", hint="name an object")])
    if not wanted.reason or not wanted.until:
        raise ReconcilerError([Problem("usage", "--accept needs --reason and --until", hint="say why, and until when")])
    until, addresses = _day(wanted.until), [sessions.address(text, "--accept: ") for text in wanted.addresses]
    output, known = Output(common), sessions.kinds()
    subject = sessions.subject(load, known)
    path = _path(load, scope)
    source = _source(path, must_exist=False)
    entries = baselines.load(source, _schema()) if source is not None else ()
    with opened(subject, common, output, looking_only) as session:
        found = _looked(session, subject, known, scope)
        redaction = session.secrets.redaction
    report, _ = baselines.accepting(found, entries, _today())
    drifted = [one for one in report.drifted if one.address in addresses]
    still = [one for one in addresses if one not in {finding.address for finding in drifted}]
    if still:
        hint = "see `reconciler drift` for what does"
        raise ReconcilerError([Problem("usage", "it does not drift", address=str(one), hint=hint) for one in still])
    added = baselines.entries_for(drifted, wanted.reason, until)
    _write(path, redaction.text(baselines.extended(source, added, _schema())))
    if output.is_json:
        output.data({"accepted": [str(one) for one in addresses], "entries": len(added), "file": str(path)})
    else:
        named = ", ".join(map(str, addresses))
        output.line(f"Accepted until {until}: {len(added):,} entries for {named}, in {path}.")


def _looked(session: Session, subject: Subject, known: Mapping[str, Kind], scope: Scope) -> Report:
    session.guard_writes(looking_only)

    def look(question: Question, context: Context) -> Report:
        seen = looked(session.reader, question, context, subject.desired, sessions.timestamp)
        return reported(listed(session.reader, seen) if scope.unmanaged else seen)

    return looking(session, subject, known, look)


def _path(load: Load, scope: Scope) -> Path:
    """The file of accepted drift: the one named, else the one beside the manifest."""
    first = Path(load.paths[0])
    return scope.baseline or (first if first.is_dir() else first.parent) / baselines.NAME


def _source(path: Path, must_exist: bool) -> Source | None:
    return read_source(path, str(path)) if must_exist or path.exists() else None


def _schema() -> Mapping[str, Json]:
    text = (sessions.schemas_folder() / "formats" / "drift-baseline.schema.json").read_text("utf-8")
    found: Mapping[str, Json] = loads(text)
    return found


def _today() -> date:
    return datetime.now(UTC).date()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"--until {text} is no day"
        raise ReconcilerError([Problem("usage", message, hint="write a day as 2027-01-31")]) from None


def _write(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads it meanwhile reads what was there or what is there now."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            file.write(text)
        os.chmod(file.name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(file.name, path)
    except OSError as error:
        message = f"{path} can not be written: {error.strerror}"
        raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error
