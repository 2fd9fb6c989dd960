"""Keeping the lock of a manifest while a command plans, asks and writes."""

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.cli.session import Session, new_id, timestamp
from reconciler.errors import Problem, ReconcilerError
from reconciler.ledger import lock as locks
from reconciler.ledger.lock import Holder, Lock
from reconciler.model.request import Request, ServiceFailure, writes
from reconciler.model.steps import Failed, NeverHappened
from reconciler.runner import Flow, Runner

_RENEWALS = 10  # in one lease
_MARGIN = 65.0  # seconds: more than a request may take, so that none outlives the lease


class Lease:
    """A lock that a thread renews. `guard` refuses to write once it may have run out."""

    def __init__(self, runner: Runner, lock: Lock) -> None:
        self._runner = runner
        self._lock = lock
        self._renewed = time.monotonic()
        self._lost = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def guard(self, request: Request) -> None:
        """Raise where a write could reach a service after somebody else took the lock."""
        left = locks.LEASE - (time.monotonic() - self._renewed)
        if writes(request) and (self._lost or left < _MARGIN):
            reason = self._lost or "the lock could not be renewed in time"
            raise ReconcilerError([Problem("lock-lost", reason, hint="run the same command again to go on")])

    def end(self) -> None:
        """Stop renewing and give the lock back."""
        self._ending.set()
        self._thread.join()
        if not self._lost:
            self._runner.run_all([Flow("lock", locks.release(self._lock))])

    def _keep(self) -> None:
        while not self._ending.wait(locks.LEASE / _RENEWALS):
            try:
                began = time.monotonic()
                self._lock = self._runner.run(locks.renew(self._lock))
                self._renewed = began
            except Failed as error:
                self._lost = error.reason
                return
            except (ServiceFailure, ReconcilerError):
                continue  # what can not be renewed runs out, and `guard` sees that


@contextmanager
def lease(session: Session, who: str, patience: float) -> Iterator[Lease]:
    """Hold the lock of the session's manifest. ReconcilerError when somebody else holds it all the time."""
    machine, process = platform.node(), os.getpid()
    holder = Holder(who, timestamp(), new_id(), machine, process)

    def is_gone(other: Holder) -> bool:
        return other.machine == machine and not _runs(other.process)

    keeper = session.keeper
    try:
        lock = session.writer.run(locks.acquire(session.manifest.name, holder, patience, is_gone))
    except NeverHappened as error:
        hint = "wait with --lock-timeout, or free it with `reconciler unlock` when you know that nobody works"
        raise ReconcilerError([Problem("locked", str(error), hint=hint)]) from error
    held = Lease(keeper, lock)
    session.guard_writes(held.guard)
    try:
        yield held
    finally:
        session.guard_writes(lambda request: None)
        held.end()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
