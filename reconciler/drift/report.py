"""What a look after drift found, as data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from reconciler.canonical.json import Json
from reconciler.errors import Position
from reconciler.model.change import FieldChange
from reconciler.model.objects import Address
from reconciler.plan.plan import Context


class Class(StrEnum):
    """How an object is not as it was applied, in the order it is told."""

    MISSING = "missing"  # it is gone
    REPLACED = "replaced"  # another object has its name
    CHANGED = "changed"
    EXTRA = "extra"  # something was added to what is ours as a whole
    ORPHANED = "orphaned"  # it names what is gone
    UNDEPLOYED = "undeployed"
    UNKNOWN = "unknown"  # it could not be read
    PENDING = "pending"  # the manifest states it otherwise than it was applied
    UNMANAGED = "unmanaged"  # no manifest of the ledger owns it


DRIFT = (Class.MISSING, Class.REPLACED, Class.CHANGED, Class.EXTRA, Class.ORPHANED, Class.UNDEPLOYED)
"""The classes that are drift."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Why drift is accepted, and the last day it is."""

    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class Finding:
    """One object and one way in which it is not as it was applied.

    In `fields`, `before` is what was applied and `after` what is live; for what is pending, `after` is what the
    manifest states. `reason` says it in words where fields do not. `accepted` is why it is no alarm, where a baseline
    says so.
    """

    address: Address
    kind: Class
    reason: str = ""
    fields: tuple[FieldChange, ...] = ()
    position: Position | None = None
    accepted: Acceptance | None = None

    @property
    def widens(self) -> bool:
        """Whether somebody may do more than was applied."""
        return any(change.widens for change in self.fields)


@dataclass(frozen=True, slots=True)
class Invisible:
    """A field that no look can compare, for the service never shows it."""

    address: Address
    field: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what there is of a kind manifests own: of `total` objects `owned`, what services keep left out.

    `untold` says why it can not be told, "" where it can; `hidden` why there may be more than were shown.
    """

    kind: str
    owned: int = 0
    total: int = 0
    untold: str = ""
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found.

    `objects` is how many the ledger has of this manifest, `last_applied` when the last of them was applied (ISO 8601,
    UTC; "" for never). `notes` are what could not be looked into beside them. `lives` are the live fields of what
    differs.
    """

    context: Context
    findings: Sequence[Finding] = ()
    invisible: Sequence[Invisible] = ()
    coverage: Sequence[Coverage] = ()
    objects: int = 0
    last_applied: str = ""
    notes: Sequence[str] = ()
    lives: Mapping[Address, Mapping[str, Json]] = field(default_factory=dict)

    @property
    def drifted(self) -> Sequence[Finding]:
        """The drift that nobody accepted."""
        return [one for one in self.findings if one.kind in DRIFT and one.accepted is None]

    @property
    def accepted(self) -> Sequence[Finding]:
        """The drift that a baseline accepts."""
        return [one for one in self.findings if one.accepted is not None]

    def of(self, kind: Class) -> Sequence[Finding]:
        """The findings of a class, accepted ones left out."""
        return [one for one in self.findings if one.kind is kind and one.accepted is None]

    @property
    def in_sync(self) -> int:
        """How many applied objects are as they were applied and as the manifest states them."""
        found = {one.address for one in self.findings if one.kind is not Class.UNMANAGED}
        return self.objects - len(found & self.context.ledger.rows.keys())

    @property
    def counts(self) -> Mapping[str, int]:
        """How many objects there are of each: drifted, accepted, in sync, and of every class that has any."""
        classes: Mapping[Class, int] = Counter(kind for _, kind in {(one.address, one.kind) for one in self._loud})
        return {
            "drifted": len({one.address for one in self.drifted}),
            "accepted": len({one.address for one in self.accepted}),
            "in_sync": self.in_sync,
            **{str(kind): classes.get(kind, 0) for kind in Class},
        }

    @property
    def _loud(self) -> Sequence[Finding]:
        return [one for one in self.findings if one.accepted is None]

    def exit_code(self, *, fail_on_pending: bool) -> int:
        """0 in sync; 2 drift; 4 nothing drifted, but not everything could be read; 3 only pending, if that fails."""
        if self.drifted:
            return 2
        if self.of(Class.UNKNOWN):
            return 4
        return 3 if fail_on_pending and self.of(Class.PENDING) else 0
