"""Objects that the service does not show the caller: what is made all the same is said."""

from collections.abc import Iterator, Mapping

from reconciler.errors import Problem, Severity
from reconciler.model.change import Action
from reconciler.model.kind import Reading
from reconciler.plan.plan import Plan

_LISTED = 3


def hidden(plan: Plan, readings: Mapping[str, Reading]) -> Iterator[Problem]:
    """A warning for each kind of which objects are to be made though others of their names may be there, unseen."""
    for kind, reading in readings.items():
        made = [one for one in plan.changes if one.address.kind == kind and one.action is Action.CREATE]
        if reading.hidden and made:
            listed = [str(one.address) for one in made[:_LISTED]]
            listed += [f"{len(made) - _LISTED:,} more"] if len(made) > _LISTED else []
            message = f"others of the same name may be there, unseen ({reading.hidden}): {', '.join(listed)}"
            hint = "plan as somebody with the security role all_access to be sure"
            yield Problem("hidden", message, made[0].position, kind, hint, severity=Severity.WARNING)
