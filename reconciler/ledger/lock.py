"""Locks: of a manifest, for one apply at a time, and for a moment of a list that manifests share.

It is a document that exists. Whoever waits for it watches its sequence number: when that does not move for a whole
lease, by his own clock, the holder is gone and the document is overwritten, on condition that it is still the same.
To whoever has a lock searches show all that was written to the ledger before he took it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.ledger.bulk import INDEX, SHOWN, Line, bulk, conflicts, refusal
from reconciler.model.request import Request, Service
from reconciler.model.steps import Failed, NeverHappened, Pause, Steps, Stopped, call

LEASE = 150.0
"""Seconds after which a lock that was not renewed is free. Longer than any request may take."""

TURN = 90.0
"""Seconds after which the lock of a shared list is free: it is held for one change and never renewed."""

_ONE = f"/{INDEX}/_doc/{{id}}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a name for people, when he took it, where he runs, and for which manifest."""

    who: str
    since: str
    token: str
    machine: str = ""
    process: int = 0
    manifest: str = ""

    def body(self) -> Mapping[str, Json]:
        """The holder as the ledger keeps him."""
        about: Mapping[str, Json] = {"token": self.token, "machine": self.machine, "process": self.process}
        return {**about, "manifest": self.manifest}


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held: what it takes to renew and release it."""

    name: str
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
    name: str, holder: Holder, patience: float, is_gone: Callable[[Holder], bool], lease: float = LEASE
) -> Steps[Lock]:
    """Take the lock of that name, waiting at most `patience` seconds for whoever holds it.

    `is_gone` says of a holder that he will not come back. The ledger's index has to be there. `lease` is after how
    many seconds a lock that was not renewed is free. Raises NeverHappened when somebody holds the lock all the time.
    """
    try:
        return (yield from _acquire(name, holder, patience, is_gone, lease))
    except Stopped:
        # It may have been given to us in an answer that was lost.
        seen = yield from look(name)
        if seen is not None and seen.holder.token == holder.token:
            yield from release(Lock(name, holder, seen.seq_no, seen.primary_term))
        raise


def _acquire(
    name: str, holder: Holder, patience: float, is_gone: Callable[[Holder], bool], lease: float
) -> Steps[Lock]:
    began: float | None = None
    waited, unmoved, moved_at, pause = 0.0, -1, 0.0, 0.2
    while True:
        taken = yield from _write(name, holder, "create", {})
        seen = None if taken else (yield from look(name))
        if seen is not None:
            if seen.seq_no != unmoved:
                unmoved, moved_at = seen.seq_no, waited
            if waited - moved_at >= lease or is_gone(seen.holder):
                taken = yield from _write(name, holder, "index", _known(seen.seq_no, seen.primary_term))
        if taken is not None:
            return taken
        held = f"held by {seen.holder.who} since {seen.holder.since}" if seen else "just released"
        if waited >= patience:
            raise NeverHappened(f"the lock of {name}", patience, held)
        reply = yield Pause(pause, f"the lock of {name}: {held}", waited, patience)
        began = reply.clock - pause if began is None else began
        waited, pause = reply.clock - began, min(pause * 1.5, 1.0)


def renew(lock: Lock) -> Steps[Lock]:
    """Show that the holder is still there. Failed with `lock-lost` when somebody else took the lock."""
    renewed = yield from _write(lock.name, lock.holder, "index", _known(lock.seq_no, lock.primary_term))
    if renewed is None:
        raise Failed("lock-lost", f"the lock of {lock.name} was taken by somebody else")
    return renewed


def release(lock: Lock) -> Steps[None]:
    """Give the lock back. That somebody else has it by now is no error."""
    about: Line = {"_index": INDEX, "_id": _id(lock.name), **_known(lock.seq_no, lock.primary_term)}
    result = (yield from bulk([[{"delete": about}]], SHOWN))[_id(lock.name)]
    if refusal(result) and not conflicts(result):
        raise Failed("ledger-not-writable", refusal(result))


def look(name: str) -> Steps[Seen | None]:
    """Who holds the lock of that name; None when nobody does."""
    request = Request(Service.LEDGER, f"GET {_ONE}", {"id": _id(name)}, expect=frozenset({"404"}))
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
        str(body.get("manifest", "")),
    )
    return Seen(holder, int(str(answer.body["_seq_no"])), int(str(answer.body["_primary_term"])))


def _write(name: str, holder: Holder, verb: str, condition: Line) -> Steps[Lock | None]:
    """Write the lock's document on a condition; None when the condition does not hold."""
    document: Line = {"type": "lock", "manifest": name, "at": holder.since, "by": holder.who, "body": holder.body()}
    about: Line = {"_index": INDEX, "_id": _id(name), **condition}
    result = (yield from bulk([[{verb: about}, document]], SHOWN))[_id(name)]
    if conflicts(result):
        # An answer that was lost may have been ours: then the document has our token.
        seen = yield from look(name)
        mine = seen is not None and seen.holder.token == holder.token
        return Lock(name, holder, seen.seq_no, seen.primary_term) if seen is not None and mine else None
    if refusal(result):
        raise Failed("ledger-not-writable", refusal(result))
    return Lock(name, holder, int(str(result["_seq_no"])), int(str(result["_primary_term"])))


def _known(seq_no: int, primary_term: int) -> Line:
    return {"if_seq_no": seq_no, "if_primary_term": primary_term}


def _id(name: str) -> str:
    return f"lock:{name}"
