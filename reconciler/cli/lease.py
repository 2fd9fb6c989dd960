"""Keeping the lock of a manifest while a command plans, asks and writes."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.cli.output import Output
from reconciler.cli.session import Session, new_id, timestamp
from reconciler.errors import Problem, ReconcilerError
from reconciler.ledger import lock as locks
from reconciler.ledger.lock import Holder, Lock
from reconciler.model.request import Request, ServiceFailure, writes
from reconciler.model.steps import Failed, NeverHappened, Stopped
from reconciler.runner import Flow, Runner, anything

_RENEWALS = 10  # in one lease
_MARGIN = 65.0  # seconds: more than a request may take, so that none outlives the lease


class Lease:
    """A lock that a thread renews. `guard` refuses to write once it may have run out.

    `lock` is the lock as it was taken, with a number greater than that of all who held it before.
    """

    def __init__(self, runner: Runner, lock: Lock) -> None:
        self.lock = lock
        self._runner = runner
        self._renewed_lock = lock
        self._renewed = _awake()
        self._lost = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def guard(self, request: Request) -> None:
        """Raise where a write could reach a service after somebody else took the lock."""
        left = locks.LEASE - (_awake() - self._renewed)
        if writes(request) and (self._lost or left < _MARGIN):
            reason = self._lost or "the lock could not be renewed in time"
            raise ReconcilerError([Problem("lock-lost", reason, hint="run the same command again to go on")])

    def end(self) -> str:
        """Stop renewing and give the lock back. Returns why that did not work, or ""."""
        self._ending.set()
        self._thread.join()
        if self._lost:
            return ""
        outcome = self._runner.run_all([Flow("lock", locks.release(self._renewed_lock))])["lock"]
        return str(outcome.error) if outcome.error is not None else ""

    def _keep(self) -> None:
        while not self._ending.wait(locks.LEASE / _RENEWALS):
            try:
                began = _awake()
                self._renewed_lock = self._runner.run(locks.renew(self._renewed_lock))
                self._renewed = began
            except Failed as error:
                self._lost = error.reason
                return
            except (ServiceFailure, ReconcilerError):
                continue  # what can not be renewed runs out, and `guard` sees that


@contextmanager
def lease(session: Session, output: Output, who: str, patience: float) -> Iterator[Lease]:
    """Hold the lock of the session's manifest. ReconcilerError when somebody else holds it all the time.

    It is given back whatever happens; from then on signals are kept until `session.interrupts.resume`.
    """
    holder = oneself(who, session.manifest.name)
    keeper = session.keeper
    session.interrupts.defer(session.writer.stop)
    try:
        lock = session.writer.run(locks.acquire(session.manifest.name, holder, patience, is_gone))
    except Stopped:
        session.interrupts.resume()
        raise
    except NeverHappened as error:
        hint = (
            f"wait with --lock-timeout (after {locks.LEASE:.0f} s without a sign of life the lock is taken over), "
            "or free it with `reconciler unlock`"
        )
        raise ReconcilerError([Problem("locked", str(error), hint=hint)]) from error
    held = Lease(keeper, lock)
    session.guard_writes(held.guard)
    try:
        session.interrupts.resume()
        yield held
    finally:
        session.interrupts.defer(session.writer.stop)
        session.guard_writes(anything)
        if left := held.end():
            output.note(f"The lock could not be given back ({left}); it is free after {locks.LEASE:.0f} s.")


def oneself(who: str, manifest: str) -> Holder:
    """This process as the holder of something for a manifest."""
    return Holder(who, timestamp(), new_id(), _machine(), os.getpid(), manifest)


def is_gone(holder: Holder) -> bool:
    """Whether a holder's process ran on this machine and does so no longer."""
    machine = _machine()
    return bool(machine) and holder.machine == machine and not _runs(holder.process)


def _machine() -> str:
    """What tells this machine, since its start, and its processes' namespace from all others; "" when unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _awake() -> float:
    """Seconds that also pass while the machine sleeps, where it can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
