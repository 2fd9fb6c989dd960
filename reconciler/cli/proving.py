"""Proving the chain at the end of an apply or by itself, and telling what came of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reconciler import diagnosis
from reconciler import verify as verification
from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.lease import is_gone, oneself
from reconciler.cli.output import Output
from reconciler.cli.session import Session
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.load import Query
from reconciler.plan.known import Attributes
from reconciler.plan.plan import Context
from reconciler.redaction import Redaction
from reconciler.render.junit import junit
from reconciler.render.problems import problem_json
from reconciler.render.text import queries_passed, verdict_lines
from reconciler.verify import Proof, Trial, Verdict


def prove(session: Session, queries: Sequence[Query], context: Context, attributes: Attributes) -> Proof:
    """Ask the queries. Where documents are loaded for them, a signal is heeded once their indices are gone."""
    manifest = session.manifest
    trial = Trial(
        queries, manifest.documents, attributes, session.secrets.redaction,
        oneself(context.caller.arn or context.caller.user, manifest.name), sessions.new_id, is_gone,
    )  # fmt: skip
    if manifest.documents:
        session.interrupts.defer(session.prover.stop)
    proof = verification.verify(session.prover, trial)
    session.interrupts.resume()
    return proof


def clear(session: Session, output: Output) -> None:
    """Remove temporary indices that a killed verify left, where the manifest has documents. Failing is noted only."""
    if session.manifest.documents:
        proof = verification.clear(session.prover, oneself("", session.manifest.name), is_gone)
        _note_removed(proof, output)
        for trouble in proof.troubles:
            output.note(f"Left: {trouble.what} ({trouble.error}).")


def _note_removed(proof: Proof, output: Output) -> None:
    for name in proof.removed:
        output.note(f"Removed {name}, which an earlier verify left.")


def problems(proof: Proof, context: Context) -> list[Problem]:
    """What went wrong, but for queries that were answered and not as expected."""
    caller, endpoint = context.caller.arn or context.caller.user, context.place.endpoint
    found = [
        (verdict.error, verdict.query.position, f"verify.queries.{verdict.query.name}")
        for verdict in proof.verdicts
        if verdict.error is not None
    ]
    found += [
        (trouble.error, trouble.documents.position, f"verify.documents.{trouble.documents.name}")
        for trouble in proof.troubles
        if trouble.documents is not None
    ]
    told = [
        replace(problem, address=problem.address or address)
        for error, position, address in found
        for problem in diagnosis.problems(error, diagnosis.Scene(position=position, caller=caller, endpoint=endpoint))
    ]
    return told + [
        Problem("left-behind", f"{trouble.what}: {trouble.error}", hint="the next verify looks for it again")
        for trouble in proof.troubles
        if trouble.documents is None
    ]


def failed(verdicts: Sequence[Verdict]) -> list[Problem]:
    """A problem for each query that was answered, but not as expected."""
    return [
        Problem("query-failed", verdict.reason, verdict.query.position, f"verify.queries.{verdict.query.name}")
        for verdict in verdicts
        if not verdict.passed and verdict.error is None
    ]


def verdict_json(verdict: Verdict) -> Json:
    """A verdict as JSON."""
    return {
        "name": verdict.query.name,
        "kind": verdict.query.kind,
        "passed": verdict.passed,
        "status": verdict.status,
        "milliseconds": round(verdict.milliseconds, 1),
        "answer": verdict.answer,
        "reason": verdict.reason,
    }


def print_proof(proof: Proof, output: Output, context: Context) -> None:
    """Print what came of it, as text or JSON."""
    told = problems(proof, context)
    if output.is_json:
        output.data(
            {
                "passed": proof.succeeded,
                "queries": [verdict_json(verdict) for verdict in proof.verdicts],
                "removed": list(proof.removed),
                "problems": [problem_json(problem) for problem in (*told, *failed(proof.verdicts))],
            }
        )
        return
    output.lines(verdict_lines(proof.verdicts))
    output.problems(told)
    _note_removed(proof, output)
    output.line(f"{queries_passed(proof.verdicts)}." if proof.verdicts else "The manifest has no queries.")


def write_junit(proof: Proof, name: str, path: Path, redaction: Redaction) -> None:
    """Write the verdicts as JUnit's XML. ReconcilerError when the file can not be written."""
    try:
        path.write_text(junit(name, proof.verdicts, redaction.text), "utf-8")
    except OSError as error:
        message = f"the verdicts can not be written to {path}: {error.strerror}"
        raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error
