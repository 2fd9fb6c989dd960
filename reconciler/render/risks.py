"""What of a change deserves a second look before anybody agrees to it."""

from enum import StrEnum

from reconciler.drift.report import Class, Finding
from reconciler.model.change import Action, Change
from reconciler.plan.plan import Plan


class Risk(StrEnum):
    """A reason for a second look, in the order they are told."""

    LOCKOUT = "locks you out"
    WIDENS = "widens privileges"
    DELETES = "deletes"
    REPLACES = "replaces"
    DISRUPTS = "disrupts"

    @property
    def letter(self) -> str:
        """What it is where there is no room for words."""
        return self.name[0] if self is not Risk.DELETES else "X"


def risks_of_change(plan: Plan, change: Change) -> tuple[Risk, ...]:
    """The risks of one change of a plan."""
    kind = plan.context.kinds.get(change.address.kind)
    found: list[Risk] = []
    if change.action is Action.NO_OP:
        return ()
    if kind is not None and kind.shuts_out(change, plan.context.caller):
        found.append(Risk.LOCKOUT)
    if any(field.widens for field in change.fields):
        found.append(Risk.WIDENS)
    if change.action is Action.DELETE:
        found.append(Risk.DELETES)
    if change.action is Action.REPLACE:
        found.append(Risk.REPLACES)
    if change.disruption:
        found.append(Risk.DISRUPTS)
    return tuple(found)


def risks_of_finding(finding: Finding) -> tuple[Risk, ...]:
    """The risks of what drifted."""
    found = [Risk.WIDENS] if finding.widens else []
    found += [Risk.DISRUPTS] if finding.kind in (Class.MISSING, Class.UNDEPLOYED) else []
    return tuple(found)
