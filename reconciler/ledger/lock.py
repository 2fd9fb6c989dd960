"""The lock of a manifest: one apply at a time, kept by renewing it and lost by not doing so.

It is a document that exists. Whoever waits for it watches its sequence number: when that does not move for a whole
lease, by his own clock, the holder is gone and the document is overwritten, on condition that it is still the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.ledger.rows import INDEX
from reconciler.model.request import Answer, Repeat, Request, Service
from reconciler.model.steps import Failed, NeverHappened, Pause, Steps, call

LEASE = 150.0
"""Seconds after which a lock that was not renewed is free. Longer than any request may take."""

_ONE = f"/{INDEX}/_doc/{{id}}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a name for people, when he took it, and on which machine and in which process he runs."""

    who: str
    since: str
    token: str
    machine: str
    process: int

    def body(self) -> Mapping[str, Json]:
        """The holder as the ledger keeps him."""
        return {"token": self.token, "machine": self.machine, "process": self.process}


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held: what it takes to renew and release it."""

    manifest: str
    holder: Holder
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A lock as somebody else sees it."""

    holder: Holder
    seq_no: int
    primary_term: int


def acquire(
    manifest: str, holder: Holder, patience: float, is_gone: Callable[[Holder], bool], lease: float = LEASE
) -> Steps[Lock]:
    """Take the lock of a manifest, waiting at most `patience` seconds for whoever holds it.

    `is_gone` says of a holder that his process is known to have ended. The ledger's index has to be there.
    Raises NeverHappened when somebody holds the lock all the time.
    """
    began: float | None = None
    waited, unmoved, moved_at = 0.0, -1, 0.0
    while True:
        taken = yield from _write(manifest, holder, {"op_type": "create"})
        seen = None if taken else (yield from look(manifest))
        if seen is not None:
            if seen.seq_no != unmoved:
                unmoved, moved_at = seen.seq_no, waited
            if waited - moved_at >= lease or is_gone(seen.holder):
                known = {"if_seq_no": str(seen.seq_no), "if_primary_term": str(seen.primary_term)}
                taken = yield from _write(manifest, holder, known)
        if taken is not None:
            return taken
        held = f"held by {seen.holder.who} since {seen.holder.since}" if seen else "just released"
        if waited >= patience:
            raise NeverHappened(f"the lock of {manifest}", patience, held)
        reply = yield Pause(1.0, f"the lock of {manifest}: {held}", waited, patience)
        began = reply.clock - 1.0 if began is None else began
        waited = reply.clock - began


def renew(lock: Lock) -> Steps[Lock]:
    """Show that the holder is still there. Failed with `lock-lost` when somebody else took the lock."""
    known = {"if_seq_no": str(lock.seq_no), "if_primary_term": str(lock.primary_term)}
    renewed = yield from _write(lock.manifest, lock.holder, known)
    if renewed is None:
        raise Failed("lock-lost", f"the lock of {lock.manifest} was taken by somebody else")
    return renewed


def release(lock: Lock) -> Steps[None]:
    """Give the lock back. That somebody else has it by now is no error."""
    query = {"if_seq_no": str(lock.seq_no), "if_primary_term": str(lock.primary_term)}
    yield from call(
        Request(
            Service.LEDGER, f"DELETE {_ONE}", {"id": _id(lock.manifest)}, query=query, expect=frozenset({"404", "409"})
        )
    )


def look(manifest: str) -> Steps[Seen | None]:
    """Who holds the lock of a manifest; None when nobody does."""
    request = Request(Service.LEDGER, f"GET {_ONE}", {"id": _id(manifest)}, expect=frozenset({"404"}))
    answer = yield from call(request)
    source = answer.body.get("_source") if isinstance(answer.body, Mapping) and not answer.missing else None
    if not isinstance(answer.body, Mapping) or not isinstance(source, Mapping):
        return None
    body = source.get("body")
    body = body if isinstance(body, Mapping) else {}
    holder = Holder(
        str(source.get("by", "")),
        str(source.get("at", "")),
        str(body.get("token", "")),
        str(body.get("machine", "")),
        int(str(body.get("process", 0))),
    )
    return Seen(holder, int(str(answer.body["_seq_no"])), int(str(answer.body["_primary_term"])))


def _write(manifest: str, holder: Holder, condition: Mapping[str, str]) -> Steps[Lock | None]:
    """Write the lock's document on a condition; None when the condition does not hold."""
    document: Json = {"type": "lock", "manifest": manifest, "at": holder.since, "by": holder.who, "body": holder.body()}
    request = Request(
        Service.LEDGER,
        f"PUT {_ONE}",
        {"id": _id(manifest)},
        query={**condition, "refresh": "true"},
        body=document,
        expect=frozenset({"409"}),
        repeat=Repeat.SAFE,
    )
    answer = yield from call(request)
    if not answer.ok:
        # An answer that was lost may have been ours: then the document has our token.
        seen = yield from look(manifest)
        mine = seen is not None and seen.holder.token == holder.token
        return Lock(manifest, holder, seen.seq_no, seen.primary_term) if seen is not None and mine else None
    return _held(manifest, holder, answer)


def _held(manifest: str, holder: Holder, answer: Answer) -> Lock:
    body = answer.body if isinstance(answer.body, Mapping) else {}
    return Lock(manifest, holder, int(str(body["_seq_no"])), int(str(body["_primary_term"])))


def _id(manifest: str) -> str:
    return f"lock:{manifest}"
