"""Waiting for what an apply that was killed may still have under way.

A process that is killed leaves its requests to the services: one that has arrived is carried out, and what it makes
is seen only afterwards. Whoever plans before that makes it a second time. The ledger says what was about to be done.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from reconciler.model.change import Action, Change
from reconciler.model.membership import entries
from reconciler.model.objects import Address
from reconciler.model.steps import Pause, Steps
from reconciler.plan.plan import Plan
from reconciler.runner import Runner

T = TypeVar("T")
SETTLE = 15.0
"""Seconds that a service may take to carry out a request whose sender is gone."""


def settled(plan: Plan, again: Callable[[], Plan], runner: Runner, timestamp: Callable[[], str]) -> Plan:
    """The plan, made `again` until it shows what a killed apply was about to do, or that can not come any more.

    `timestamp` gives the time as ISO 8601 in UTC. However clocks differ, it takes `SETTLE` seconds at most.
    """
    return until_certain(
        plan,
        lambda seen: _unsettled(seen, timestamp()),
        lambda *_: again(),
        runner,
        "what a killed apply may still have under way",
        SETTLE,
    )


def until_certain(
    seen: T,
    doubted: Callable[[T], Sequence[Address]],
    again: Callable[[T, Sequence[Address]], T],
    runner: Runner,
    waiting_for: str,
    patience: float,
) -> T:
    """What was seen, looked at `again` each second while addresses in it are `doubted`, for `patience` seconds at most.

    `waiting_for` says to whoever watches what the addresses are waited for.
    """
    waited = 0.0
    began: float | None = None
    while waited < patience and (addresses := doubted(seen)):
        clock = runner.run(_rest(waiting_for, addresses, waited, patience))
        began = clock - 1.0 if began is None else began
        waited = clock - began
        seen = again(seen, addresses)
    return seen


def seconds_between(earlier: str, now: str) -> float:
    """Seconds between two times in ISO 8601, endless where one is none."""
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")


def _unsettled(plan: Plan, now: str) -> list[Address]:
    """The changes of which an earlier apply said that it would make them, and that may still come."""
    return [change.address for change in plan.changes if _young(change, now) and not _arrived(change)]


def _young(change: Change, now: str) -> bool:
    intent = change.row.intent if change.row is not None else None
    at = intent.get("at") if intent is not None else None
    return isinstance(at, str) and seconds_between(at, now) < SETTLE


def _arrived(change: Change) -> bool:
    """Whether what the intent says is seen to be done."""
    intent = change.row.intent if change.row is not None else None
    assert intent is not None
    if intent.get("proof"):
        return False  # what it was proved with is nobody's, and not seen here
    if intent.get("action") == Action.DELETE:
        return change.live is None
    if intent.get("action") == Action.REPLACE and change.live is not None and change.live.id in entries(intent["seen"]):
        return False
    return change.action is Action.NO_OP


def _rest(waiting_for: str, addresses: Sequence[Address], waited: float, patience: float) -> Steps[float]:
    listed = str(addresses[0]) + (f" and {len(addresses) - 1} more" if len(addresses) > 1 else "")
    reply = yield Pause(1.0, f"{waiting_for}: {listed}", waited, patience)
    return reply.clock
