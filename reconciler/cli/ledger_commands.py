"""The commands about the ledger: what was done, whose lock it is, what to give up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import typer

from reconciler import execute
from reconciler import ledger as ledger_store
from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.commands import opened
from reconciler.cli.lease import lease
from reconciler.cli.options import Common, Consent, Load
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.ledger import lock as locks
from reconciler.model.kind import Place
from reconciler.model.steps import Stopped
from reconciler.plan.moves import read_ledger
from reconciler.plan.survey import find_cluster
from reconciler.render import history as as_text
from reconciler.runner import Flow


def history(load: Load, common: Common, last: int) -> None:
    """Print what the last applies did, each in short and with its number."""
    output = Output(common)
    found = _applies(load, common, output, last)
    if output.is_json:
        output.data([{"number": number, **one} for number, one in enumerate(found, 1)])
        return
    for number, one in enumerate(found, 1):
        output.lines(as_text.listed(number, one))
    if not found:
        output.line("Nothing was applied yet.")


def history_show(load: Load, common: Common, number: int) -> None:
    """Print one apply in full. The newest is number 1."""
    output = Output(common)
    found = _applies(load, common, output, 1, number - 1)
    if not found:
        hint = "see `reconciler history` for those there are"
        raise ReconcilerError([Problem("usage", f"there is no apply {number} in the ledger's history", hint=hint)])
    if output.is_json:
        output.data({"number": number, **found[0]})
    else:
        output.lines(as_text.in_full(number, found[0]))


def _applies(load: Load, common: Common, output: Output, most: int, skipped: int = 0) -> Sequence[Mapping[str, Json]]:
    subject = sessions.subject(load, sessions.kinds())
    with opened(subject, common, output) as session:
        return session.reader.run(ledger_store.history(subject.manifest.name, most, skipped))


def forget(load: Load, common: Common, addresses: Sequence[str], consent: Consent) -> None:
    """Give objects up, under the manifest's lock: their marks and their rows go, they themselves stay."""
    output = Output(common)
    known = sessions.kinds()
    subject = sessions.subject(load, known)
    wanted = [sessions.address(text) for text in addresses]
    with opened(subject, common, output) as session:
        ledger = session.reader.run(read_ledger(subject.manifest, known))
        unknown = [one for one in wanted if one not in ledger.rows or one.kind not in known]
        if unknown:
            hint = "see `reconciler show` for what is there"
            raise ReconcilerError(
                [Problem("usage", f"the ledger has no {unknown[0]}", address=str(unknown[0]), hint=hint)]
            )
        _confirm(consent, f"Forget {', '.join(map(str, wanted))}? Nothing is deleted")
        with lease(session, output, "forget", consent.lock_timeout) as held:
            session.interrupts.defer(session.writer.stop)
            mark = f"{subject.manifest.name}/{ledger.id}"
            outcomes = session.writer.run_all(
                Flow(one, execute.let_go(known[one.kind], Place(), mark, ledger.rows[one], held.lock.seq_no))
                for one in wanted
            )
        for outcome in outcomes.values():
            if isinstance(outcome.error, Stopped):
                session.interrupts.check("run the same command again to go on")
            outcome.value()
    if output.is_json:
        forgotten: Json = [str(one) for one in wanted]
        output.data({"forgotten": forgotten})
    else:
        output.line(f"Forgotten: {', '.join(map(str, wanted))}.")


def unlock(load: Load, common: Common, consent: Consent) -> None:
    """Free the lock of a manifest."""
    output = Output(common)
    subject = sessions.subject(load, sessions.kinds())
    name = subject.manifest.name
    with opened(subject, common, output) as session:
        seen = session.reader.run(locks.look(name))
        if seen is None:
            _said(output, f"{name} is not locked.", {"freed": False})
            return
        _confirm(consent, f"{name} is held by {seen.holder.who} since {seen.holder.since}. Free it")
        held = locks.Lock(name, seen.holder, seen.seq_no, seen.primary_term)
        session.writer.run(locks.release(held))
        if session.reader.run(locks.look(name)) is not None:
            message = f"{seen.holder.who} renewed the lock meanwhile: an apply is under way"
            raise ReconcilerError([Problem("locked", message, hint="wait for it to end")])
    _said(output, f"{name} is free.", {"freed": True})


def rebind(load: Load, common: Common, consent: Consent) -> None:
    """Say that a ledger that came along in a snapshot belongs to the cluster it is on now."""
    output = Output(common)
    subject = sessions.subject(load, sessions.kinds())
    with opened(subject, common, output) as session:
        ledger = session.reader.run(ledger_store.read(subject.manifest.name))
        cluster = session.reader.run(find_cluster())
        if not ledger.id or ledger.cluster == cluster.uuid:
            _said(output, "The ledger belongs to this cluster.", {"rebound": False})
            return
        _confirm(consent, f"The ledger is of cluster {ledger.cluster}. Bind it to {cluster.uuid}")
        session.writer.run(ledger_store.rebind(replace(ledger, cluster=cluster.uuid)))
    _said(output, "The ledger belongs to this cluster now.", {"rebound": True})


def _said(output: Output, text: str, data: Json) -> None:
    if output.is_json:
        output.data(data)
    else:
        output.line(text)


def _confirm(consent: Consent, question: str) -> None:
    if consent.yes:
        return
    if typer.prompt(f"{question}? Only `yes` does", default="", show_default=False) != "yes":
        raise ReconcilerError([Problem("not-confirmed", "not confirmed", hint="nothing was changed")])
