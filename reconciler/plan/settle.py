"""Waiting for what an apply that was killed may still have under way.

A process that is killed leaves its requests to the services: one that has arrived is carried out, and what it makes
is seen only afterwards. Whoever plans before that makes it a second time. The ledger says what was about to be done.
"""

from collections.abc import Callable
from datetime import datetime

from reconciler.model.change import Action, Change
from reconciler.model.membership import entries
from reconciler.model.steps import Pause, Steps
from reconciler.plan.plan import Plan
from reconciler.runner import Runner

SETTLE = 15.0
"""Seconds that a service may take to carry out a request whose sender is gone."""


def settled(plan: Plan, again: Callable[[], Plan], runner: Runner, timestamp: Callable[[], str]) -> Plan:
    """The plan, made `again` until it shows what a killed apply was about to do, or that can not come any more.

    `timestamp` gives the time as ISO 8601 in UTC. However clocks differ, it takes `SETTLE` seconds at most.
    """
    waited = 0.0
    began: float | None = None
    while waited < SETTLE and (changes := _unsettled(plan, timestamp())):
        clock = runner.run(_rest(changes, waited))
        began = clock - 1.0 if began is None else began
        waited = clock - began
        plan = again()
    return plan


def _unsettled(plan: Plan, now: str) -> list[Change]:
    """The changes of which an earlier apply said that it would make them, and that may still come."""
    return [change for change in plan.changes if _young(change, now) and not _arrived(change)]


def _young(change: Change, now: str) -> bool:
    intent = change.row.intent if change.row is not None else None
    at = intent.get("at") if intent is not None else None
    if not isinstance(at, str) or not at:
        return False
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(at)).total_seconds() < SETTLE
    except (ValueError, TypeError):
        return False


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


def _rest(changes: list[Change], waited: float) -> Steps[float]:
    listed = str(changes[0].address) + (f" and {len(changes) - 1} more" if len(changes) > 1 else "")
    reply = yield Pause(1.0, f"what a killed apply may still have under way: {listed}", waited, SETTLE)
    return reply.clock
