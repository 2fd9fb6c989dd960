"""What makes objects ours and ends it: the ledger that is made where there is none, and letting go."""

from collections.abc import Callable
from dataclasses import replace

from reconciler import ledger as ledger_store
from reconciler.model.kind import Kind, Place, Work
from reconciler.model.objects import Row, Sought
from reconciler.model.steps import Steps
from reconciler.plan.plan import Plan
from reconciler.runner import Runner


def released(kind: Kind, place: Place, mark: str, row: Row) -> Steps[None]:
    """Take our mark off an object, which is left as it is. `mark` is the manifest's own."""
    if kind.marks:
        found = yield from kind.look(Sought(row.name, row.id), place)
        for live in found.lives:
            if live.mark == mark:
                yield from kind.release(Work(row.address, live.name, place, live=live, row=row))


def let_go(kind: Kind, place: Place, mark: str, row: Row, fence: int = 0) -> Steps[None]:
    """Give an object up and leave it as it is: our mark goes, then the row.

    `mark` is the manifest's own, `fence` the number of its lock.
    """
    yield from released(kind, place, mark, row)
    yield from ledger_store.remove(row, fence)


def with_ledger(runner: Runner, plan: Plan, new_id: Callable[[], str]) -> Plan:
    """The plan with a ledger that exists, in this version's format: it is made where there is none yet."""
    context = plan.context
    if context.ledger.id and context.ledger.version == ledger_store.VERSION:
        return plan
    if context.ledger.id:
        upgraded = runner.run(ledger_store.upgrade(context.ledger))
        return replace(plan, context=replace(context, ledger=upgraded))
    fresh = replace(context.ledger, id=new_id(), cluster=context.cluster.uuid, account=context.place.account_id)
    there = runner.run(ledger_store.create(fresh))
    return replace(plan, context=replace(context, ledger=there))
