"""What each command does, in the words of the layers below."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import typer
from rich.text import Text

from reconciler import diagnosis, execute
from reconciler.canonical.json import Json
from reconciler.cli import proving
from reconciler.cli import session as sessions
from reconciler.cli.interrupts import Interrupted
from reconciler.cli.lease import is_gone, lease
from reconciler.cli.options import Common, Consent, Load
from reconciler.cli.output import Output
from reconciler.cli.progress import Progress, Waits
from reconciler.cli.reports import Reports
from reconciler.cli.session import Session, Subject
from reconciler.errors import Problem, ReconcilerError
from reconciler.execute import Edge, Report, Status
from reconciler.manifest.excerpt import format_problem
from reconciler.manifest.load import Manifest, Query
from reconciler.model.change import Action
from reconciler.model.kind import Kind
from reconciler.model.objects import Address
from reconciler.model.request import Request, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened
from reconciler.plan import saved as saved_plans
from reconciler.plan.looking import planned
from reconciler.plan.moves import read_ledger
from reconciler.plan.plan import Context, Plan
from reconciler.plan.secrets import to_read
from reconciler.plan.settle import settled
from reconciler.plan.survey import Question, introduce
from reconciler.redaction import Redaction
from reconciler.render import digest as digests
from reconciler.render import plan_json as as_json
from reconciler.render import text as as_text
from reconciler.render.formats import Account
from reconciler.render.page import Sheet, page, sheet_of_plan
from reconciler.render.problems import problem_json
from reconciler.render.text import Detail
from reconciler.runner import reading_only
from reconciler.verify import Proof

T = TypeVar("T")
_SERVICE_ERRORS = (ServiceFailure, Failed, NeverHappened)


_NOTHING_DONE: Mapping[str, Json] = {
    "applied": True,
    "changes": [],
    "differing": {},
    "problems": [],
    "queries": [],
    "seconds": 0.0,
}

_STOPPED = Problem(
    "interrupted",
    "stopped before everything was done and read again",
    hint="run the same command again to go on; nothing needs cleaning up",
)
_UNASKED = Problem(
    "interrupted", "everything was applied, but the test queries were not asked", hint="run `reconciler verify`"
)


@dataclass(frozen=True, slots=True)
class _Job:
    """What there is to carry out: how to plan it (anew each time), whether to ask, how long to wait for the lock."""

    plan: Callable[[], Plan]
    yes: bool
    lock_timeout: float
    detail: Detail
    reports: Reports


@dataclass(frozen=True, slots=True)
class Wish:
    """What a plan is for: where to save it and its page, whether to list calls and tell changes, how much to show."""

    out: Path | None = None
    html: Path | None = None
    calls: bool = False
    detailed: bool = False
    detail: Detail = Detail.CONCISE


def detail(*, summary: bool, full: bool) -> Detail:
    """How much of a plan is shown. ReconcilerError when both are wanted."""
    if summary and full:
        raise ReconcilerError([Problem("usage", "--summary and --full contradict each other", hint="give one of them")])
    return Detail.SUMMARY if summary else Detail.FULL if full else Detail.CONCISE


def validate(load: Load, common: Common) -> None:
    """Load the manifest and say that nothing is wrong with it; what is wrong is raised."""
    output = Output(common)
    subject = sessions.subject(load, sessions.kinds())
    counted = len(subject.desired)
    if output.is_json:
        output.data({"errored": False, "problems": [], "manifest": subject.manifest.name, "objects": counted})
    else:
        output.line(f"{subject.manifest.name}: {counted:,} objects, nothing wrong.")


def plan(load: Load, common: Common, wish: Wish) -> None:
    """Make a plan and print it."""
    output, known = Output(common), sessions.kinds()
    reports = Reports("plan", load, common, output)
    with reports.written():
        subject = sessions.subject(load, known)
        with opened(subject, common, output) as session:
            made = made_plan(session, subject, known)
            if wish.out is not None and not made.errored:
                _save(made, subject, wish.out, session.secrets.redaction)
            _print_plan(made, session, output, wish.calls, wish.detail)
            reports.tell(_plan_account(made, session, wish))
            if wish.html is not None:
                summary = as_text.summary(made, session.requests, session.seconds).plain
                write_page(sheet_of_plan(made, sessions.timestamp(), summary), wish.html, session.secrets.redaction)
            if wish.out is not None and not made.errored:
                output.note(f"Saved to {wish.out}. Run `reconciler apply {wish.out}` to carry it out.")
    if made.errored:
        raise typer.Exit(1)
    if wish.detailed and made.shown:
        raise typer.Exit(2)


def apply(load: Load, common: Common, consent: Consent, no_verify: bool, detail: Detail) -> None:
    """Make a plan, show it, ask, carry it out, and prove it."""
    output, known = Output(common), sessions.kinds()
    reports = Reports("apply", load, common, output)
    with reports.written():
        subject = sessions.subject(load, known)
        with opened(subject, common, output) as session:

            def plan() -> Plan:
                made = made_plan(session, subject, known)
                if subject.saved is not None and (moved := saved_plans.stale(subject.saved, made)):
                    raise ReconcilerError(moved)
                return made

            queries = [] if no_verify else list(subject.manifest.verify)
            job = _Job(plan, consent.yes, consent.lock_timeout, detail, reports)
            _carry_out(job, session, output, queries)


def destroy(load: Load, common: Common, consent: Consent) -> None:
    """Plan with nothing desired, show it, ask, carry it out."""
    output, known = Output(common), sessions.kinds()
    subject = sessions.subject(load, known)
    kept = [one for one in subject.desired.values() if one.lifecycle.prevent_destroy]
    if kept:
        hint = "remove prevent_destroy to allow it"
        raise ReconcilerError(
            [Problem("prevented", "it may not be destroyed", one.position, str(one.address), hint) for one in kept]
        )
    emptied = replace(subject, desired={})
    with opened(subject, common, output) as session:
        reports = Reports("destroy", load, common, output)
        job = _Job(
            lambda: made_plan(session, emptied, known), consent.yes, consent.lock_timeout, Detail.CONCISE, reports
        )
        _carry_out(job, session, output, [])
        proving.clear(session, output)


def verify(load: Load, common: Common, only: Sequence[str], junit: Path | None) -> None:
    """Ask the manifest's test queries and print what came, also as JUnit's XML into a file."""
    output, known = Output(common), sessions.kinds()
    subject = sessions.subject(load, known)
    queries = [query for query in subject.manifest.verify if not only or query.name in only]
    missing = sorted(set(only) - {query.name for query in queries})
    if missing:
        names = ", ".join(query.name for query in subject.manifest.verify)
        hint = f"there are {names}" if names else "the manifest has none"
        raise ReconcilerError([Problem("usage", f"no query is called {one}", hint=hint) for one in missing])
    with opened(subject, common, output) as session:
        made = made_plan(session, subject, known)
        proof = proving.prove(session, queries, made.context, execute.known_attributes(made))
        proving.print_proof(proof, output, made.context)
        if junit is not None:
            proving.write_junit(proof, subject.manifest.name, junit, session.secrets.redaction)
    if not proof.succeeded:
        raise typer.Exit(1)


def show(load: Load, common: Common) -> None:
    """Print the live objects the manifest names."""
    output, known = Output(common), sessions.kinds()
    subject = sessions.subject(load, known)
    with opened(subject, common, output) as session:
        made = made_plan(session, subject, known)
    if output.is_json:
        output.data(
            {
                str(change.address): {
                    "id": change.live.id,
                    "attributes": change.live.attributes,
                    "fields": change.live.fields,
                }
                if change.live
                else None
                for change in made.changes
            }
        )
        return
    unreadable = {problem.address: problem.message for problem in made.problems if problem.code == "unreadable"}
    for change in made.changes:
        if change.live is None:
            output.line(f"{change.address}: {unreadable.get(str(change.address), 'not there')}")
        else:
            rule = known[change.address.kind].schema.rule
            output.lines(as_text.live_lines(change.address, change.live.fields, change.live.attributes, rule))


@contextmanager
def opened(
    subject: Subject, common: Common, output: Output, reading: Callable[[Request], None] = reading_only
) -> Iterator[Session]:
    """A session whose figures are written and whose threads are ended, whatever happens.

    `reading` is asked before each request of its reader. Whatever error ends it is told as problems without a secret
    inside.
    """
    session = Session(subject.manifest, subject.ledger, Waits(output), reading)
    output.redaction = session.secrets.redaction
    ended = session.close
    with session.interrupts.listening():
        try:
            session.sign_in()
            yield session
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Interrupted:
            ended = session.leave
            raise
        except Exception as error:
            found = diagnosis.problems(error, diagnosis.Scene(endpoint=_endpoint(subject.manifest)))
            told = ReconcilerError(map(session.secrets.redaction.problem, found))
            raise told.with_traceback(error.__traceback__) from error
        finally:
            ended()
            if common.stats is not None:
                _write_stats(session, common.stats, output)


def _write_stats(session: Session, path: Path, output: Output) -> None:
    try:
        session.write_stats(path)
    except OSError as error:
        output.note(f"The figures can not be written to {path}: {error.strerror}.")


def made_plan(session: Session, subject: Subject, known: Mapping[str, Kind]) -> Plan:
    """The plan of a manifest. ReconcilerError with what services refuse."""
    return looking(
        session,
        subject,
        known,
        lambda question, context: planned(session.reader, question, context, subject.desired, subject.permissions),
    )


def looking(session: Session, subject: Subject, known: Mapping[str, Kind], look: Callable[[Question, Context], T]) -> T:
    """What `look` finds once it is known who calls and what answers. What services refuse is told as problems."""
    question = Question(subject.manifest, known, session.region, session.secrets)
    context: Context | None = None
    try:
        context = introduce(session.reader, question)
        return look(question, context)
    except _SERVICE_ERRORS as error:
        caller = context.caller.arn or context.caller.user if context else ""
        raise ReconcilerError(
            diagnosis.problems(error, diagnosis.Scene(caller=caller, endpoint=_endpoint(subject.manifest)))
        ) from error


def _endpoint(manifest: Manifest) -> str:
    target = manifest.target.opensearch
    return (target.endpoint or "").rstrip("/") if target else ""


def _save(made: Plan, subject: Subject, out: Path, redaction: Redaction) -> None:
    shown = as_json.plan_json(made, sessions.timestamp())
    document = {name: redaction.json(value) for name, value in shown.items()}
    document[saved_plans.KEY] = saved_plans.dump(made, subject.desired, subject.permissions, subject.ledger)
    try:
        out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        message = f"the plan can not be written to {out}: {error.strerror}"
        raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error


def _print_plan(made: Plan, session: Session, output: Output, calls: bool, detail: Detail) -> None:
    """Print a plan where somebody reads along: what is wrong with it to standard error."""
    if output.for_people:
        for line in _plan_lines(made, session, calls, detail):
            output.line(line)
        output.problems(made.problems)
        output.line(as_text.summary(made, session.requests, session.seconds))


def _plan_lines(made: Plan, session: Session, calls: bool, detail: Detail) -> Iterator[Text | str]:
    yield as_text.heading(made)
    yield as_text.reading(made, session.requests, session.seconds)
    if made.shown or (detail is Detail.FULL and made.changes):
        yield ""
        yield from as_text.changes(made, detail)
        yield ""
    if calls and not made.errored:
        for change, requests in execute.calls(made):
            yield f"  {change.address}"
            for request in requests:
                yield f"      {request.label}" + (f"   as {request.identity}" if request.identity else "")
        yield ""


def _plan_account(made: Plan, session: Session, wish: Wish) -> Account:
    """What there is to tell of a plan."""
    at, summary = sessions.timestamp(), as_text.summary(made, session.requests, session.seconds)

    def lines() -> Iterator[Text | str]:
        yield from _plan_lines(made, session, wish.calls, wish.detail)
        yield from _problem_lines(made.problems)
        yield summary

    def data() -> Mapping[str, Json]:
        document = as_json.plan_json(made, at)
        if wish.calls and not made.errored:
            document["calls"] = [
                {
                    "address": str(change.address),
                    "request": request.label,
                    "body": _body(request),
                    "as": request.identity,
                }
                for change, requests in execute.calls(made)
                for request in requests
            ]
        return document

    return Account(lines, data, lambda: digests.of_plan(made, at, summary.plain))


def _problem_lines(problems: Sequence[Problem]) -> Iterator[str]:
    return (format_problem(one, lambda *_: "") for one in problems)


def write_page(sheet: Sheet, path: Path, redaction: Redaction) -> None:
    """Write a page to a file. ReconcilerError when it can not be written."""
    try:
        path.write_text(page(sheet, redaction.text), "utf-8")
    except OSError as error:
        message = f"the page can not be written to {path}: {error.strerror}"
        raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error


def _body(request: Request) -> Json:
    return as_json.known(list(request.body) if isinstance(request.body, tuple) else request.body)


def _carry_out(job: _Job, session: Session, output: Output, queries: list[Query]) -> None:
    """Show the plan, ask, and carry it out under the manifest's lock. Nothing to do means nothing written."""
    made = _ready(job.plan(), session, output, job)
    if not made.work:
        job.reports.tell(_nothing_done(made, session, job))
        return
    if not output.for_people and not job.yes and made.shown:
        how = "--json" if output.is_json else f"--format {job.reports.form}"
        raise ReconcilerError([Problem("usage", f"{how} shows no plan to confirm", hint=f"give --yes with {how}")])
    # Nothing is written before somebody agreed, the ledger included; where there is one, the lock comes first.
    agreed = job.yes or not made.shown or (not made.context.ledger.id and _confirm(made))
    made = execute.with_ledger(session.writer, made, sessions.new_id)
    caller = made.context.caller.arn or made.context.caller.user
    with lease(session, output, caller or "somebody", job.lock_timeout) as held:
        # Another apply may have ended between our look and our lock; what it did stands in the ledger.
        token = held.lock.holder.token
        now = session.reader.run(read_ledger(made.context.manifest, made.context.kinds, token))
        if now != made.context.ledger:
            output.note("Another apply ended just now: planned again.")
        latest = job.plan() if now != made.context.ledger else made
        latest = settled(latest, job.plan, session.reader, sessions.timestamp)
        if latest is not made:
            made = _ready(latest, session, output, job)
            agreed = job.yes or not made.shown
        if not agreed:
            _confirm(made)
        began = session.seconds
        with Progress(output, job.reports.event) as progress:
            session.writer.observe(progress)
            edge = Edge(
                sessions.moment, sessions.new_id, session.secrets.read, lambda: session.seconds, held.lock, is_gone,
                session.secrets.redaction,
            )  # fmt: skip
            session.interrupts.defer(session.writer.stop)
            report = execute.execute(session.writer, made, edge, progress)
    proof = Proof(())
    if report.succeeded and queries and made.pending:
        try:
            session.interrupts.resume()
            known = report.attributes or execute.known_attributes(made)
            proof = proving.prove(session, queries, made.context, known)
        except Interrupted as interrupted:
            _print_report(_Ended(made, report, proof, session.seconds - began, [_UNASKED]), output, job)
            raise Interrupted(interrupted.number, "") from None
    ended = _Ended(made, report, proof, session.seconds - began, [_STOPPED] if report.stopped else [])
    _print_report(ended, output, job)
    if not (report.succeeded and proof.succeeded):
        raise typer.Exit(1)


def _ready(made: Plan, session: Session, output: Output, job: _Job) -> Plan:
    """The plan, shown, and the secrets read that it sends. ReconcilerError with those that can not be."""
    _print_plan(made, session, output, calls=False, detail=job.detail)
    if made.errored:
        account = _plan_account(made, session, Wish(detail=job.detail))
        told: Mapping[str, Json] = {"errored": True, "problems": [problem_json(one) for one in made.problems]}
        job.reports.tell(replace(account, data=lambda: told))
        raise typer.Exit(1)
    job.reports.events("change", as_json.changes_json(made))
    session.secrets.need(session.reader, {name for change in made.work for name in to_read(change)})
    return made


def _nothing_done(made: Plan, session: Session, job: _Job) -> Account:
    """What there is to tell where there was nothing to do."""
    account, at = _plan_account(made, session, Wish(detail=job.detail)), sessions.timestamp()
    summary = as_text.summary(made, session.requests, session.seconds).plain
    return Account(
        account.lines,
        lambda: _NOTHING_DONE,
        lambda: digests.of_apply(made, Report(()), at, summary, made.problems, []),
    )


@dataclass(frozen=True, slots=True)
class _Ended:
    """What became of an apply. `interruption` is what a signal kept it from."""

    plan: Plan
    report: Report
    proof: Proof
    seconds: float
    interruption: Sequence[Problem]

    @property
    def problems(self) -> Sequence[Problem]:
        """What went wrong, but for queries that were answered and not as expected."""
        results = self.report.results
        problems = [problem for one in results if one.error for problem in _result_problems(self.plan, one)]
        problems += [
            Problem("not-as-planned", f"read again, {text}", address=str(address), hint="run plan to see what differs")
            for address, text in self.report.differing.items()
        ]
        return [*problems, *proving.problems(self.proof, self.plan.context), *self.interruption]

    @property
    def data(self) -> Mapping[str, Json]:
        """All of it as JSON."""
        return {
            "applied": self.report.succeeded,
            "changes": [
                {
                    "address": str(result.change.address),
                    "action": str(result.change.action),
                    "status": str(result.status),
                    "seconds": round(result.seconds, 3),
                }
                for result in self.report.results
            ],
            "differing": {str(address): text for address, text in self.report.differing.items()},
            "problems": [problem_json(one) for one in (*self.problems, *proving.failed(self.proof.verdicts))],
            "queries": [proving.verdict_json(verdict) for verdict in self.proof.verdicts],
            "seconds": round(self.seconds, 3),
        }


def _print_report(ended: _Ended, output: Output, job: _Job) -> None:
    report, verdicts, problems = ended.report, ended.proof.verdicts, ended.problems
    summary = as_text.applied(report, ended.seconds, verdicts)
    if output.for_people:
        waiting = [result for result in report.results if result.status is Status.NOT_STARTED]
        output.lines(as_text.ended(result) for result in waiting)
        output.lines(as_text.verdict_lines(verdicts))
        output.problems(problems)
        output.line(summary)
        if not report.succeeded and not report.stopped:
            output.line("Run the same command again to go on; nothing needs cleaning up.")

    def lines() -> Iterator[Text | str]:
        yield from map(as_text.ended, report.results)
        yield from as_text.verdict_lines(verdicts)
        yield from _problem_lines(problems)
        yield summary

    at = sessions.timestamp()
    account = Account(
        lines,
        lambda: ended.data,
        lambda: digests.of_apply(ended.plan, report, at, summary.plain, problems, verdicts),
    )
    job.reports.tell(account)


def _result_problems(made: Plan, result: execute.Result) -> Sequence[Problem]:
    mapping = made.change(Address("role_mappings", "ml_full_access"))
    place = diagnosis.Scene(
        result.change.address,
        result.change.position,
        made.context.caller.arn or made.context.caller.user,
        str(mapping.position) if mapping and mapping.position else "",
        made.context.place.endpoint,
    )
    assert result.error is not None
    return diagnosis.problems(result.error, place)


def _confirm(made: Plan) -> bool:
    """Ask whether to go on. ReconcilerError when the answer is anything but `yes`."""
    destroys = made.counts.get(Action.DELETE, 0) + made.counts.get(Action.REPLACE, 0)
    if not sys.stdin.isatty():
        hint = "give --yes where nobody can answer"
        raise ReconcilerError([Problem("not-confirmed", "nobody is there to confirm the plan", hint=hint)])
    question = "Make these changes" + (f", {destroys} of them deleting something" if destroys else "")
    try:
        answer = typer.prompt(f"{question}? Only `yes` does", default="", show_default=False)
    except Interrupted:
        typer.echo(err=True)  # the line of the question is still open
        raise
    if answer != "yes":
        raise ReconcilerError([Problem("not-confirmed", "not confirmed", hint="nothing was changed")])
    return True
