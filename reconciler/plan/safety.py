"""What a plan must not do unless it is allowed: delete more than was meant, lock its own caller out."""

from collections.abc import Iterator

from reconciler.errors import Problem
from reconciler.model.change import Action, Change
from reconciler.plan.plan import Plan

_ACCESS = frozenset({"all_access", "security_manager"})


def too_many_deletes(plan: Plan, limit: int) -> Iterator[Problem]:
    """A problem when the plan deletes or replaces more objects than `limit`."""
    deleting = [change for change in plan.changes if change.action in (Action.DELETE, Action.REPLACE)]
    if len(deleting) > limit:
        message = f"{len(deleting):,} objects would be deleted or replaced, and {limit:,} are allowed"
        yield Problem("too-many-deletes", message, hint="look at the plan; raise --max-deletes if it is meant")


def lockout(plan: Plan) -> Iterator[Problem]:
    """A problem for each change that takes the caller's own access away."""
    for change in plan.pending:
        if change.address.kind == "role_mappings":
            yield from _unmapped(plan, change)
        elif change.address.kind == "security_roles" and change.action is Action.DELETE:
            yield from _unroled(plan, change)
        elif change.action in (Action.DELETE, Action.REPLACE) and _is_caller(plan, change):
            yield _problem(change, f"it is the role you are ({plan.context.caller.arn})")


def _unmapped(plan: Plan, change: Change) -> Iterator[Problem]:
    caller = plan.context.caller
    if change.address.name not in _ACCESS or change.address.name not in caller.roles:
        return
    selves = {caller.user, *caller.backend_roles}
    gone = sorted({str(field.before) for field in change.fields if field.after is None and field.before in selves})
    if gone:
        yield _problem(change, f"{gone[0]}, which is you, would lose {change.address.name}")


def _unroled(plan: Plan, change: Change) -> Iterator[Problem]:
    roles = plan.context.caller.roles
    if change.address.name in roles and "all_access" not in roles:
        yield _problem(change, f"{plan.context.caller.user}, which is you, would lose what it allows")


def _is_caller(plan: Plan, change: Change) -> bool:
    live = change.live
    arn = plan.context.caller.arn
    if live is None or change.address.kind != "iam_roles" or ":assumed-role/" not in arn:
        return False
    return arn.partition(":assumed-role/")[2].partition("/")[0] == live.name


def _problem(change: Change, message: str) -> Problem:
    hint = "give --allow-lockout if somebody else keeps access"
    return Problem("lockout", message, change.position, str(change.address), hint)
