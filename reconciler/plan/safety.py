"""What a plan must not do unless it is allowed: delete more than was meant, lock its own caller out."""

from collections.abc import Iterator

from reconciler.errors import Problem
from reconciler.model.change import Action
from reconciler.plan.plan import Plan


def too_many_deletes(plan: Plan, limit: int) -> Iterator[Problem]:
    """A problem when the plan deletes or replaces more objects than `limit`."""
    deleting = [change for change in plan.changes if change.action in (Action.DELETE, Action.REPLACE)]
    if len(deleting) > limit:
        message = f"{len(deleting):,} objects would be deleted or replaced, and {limit:,} are allowed"
        yield Problem("too-many-deletes", message, hint="look at the plan; raise --max-deletes if it is meant")


def lockout(plan: Plan) -> Iterator[Problem]:
    """A problem for each change that takes the caller's own access away."""
    hint = "give --allow-lockout if somebody else keeps access"
    for change in plan.pending:
        kind = plan.context.kinds.get(change.address.kind)
        why = kind.shuts_out(change, plan.context.caller) if kind is not None else ""
        if why:
            yield Problem("lockout", why, change.position, str(change.address), hint)
