"""Changes: what differs for one address, what will be done about it, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from reconciler.errors import Position
from reconciler.manifest.templates import Value
from reconciler.model.objects import Address, Desired, Live, Row

Path: TypeAlias = tuple[str | int, ...]


class Action(StrEnum):
    """What is done to one address."""

    NO_OP = "no-op"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One difference inside an object. `before` and `after` are None where there is no value.

    `text` names the difference where values alone do not read well (a policy statement); `widens` marks
    that it lets somebody do more than before; `write_only` that the service never shows the value.
    """

    path: Path
    before: Value
    after: Value
    text: str = ""
    widens: bool = False
    write_only: bool = False

    @property
    def field(self) -> str:
        """The top-level field the difference is in."""
        return str(self.path[0])


@dataclass(frozen=True, slots=True)
class Change:
    """One address, an action, the differences, the reason.

    `desired`, `live` and `row` are the three versions it was computed from. `record` says that the ledger's
    row has to be written even when nothing else is done. `adopts` says that the object was not ours until now.
    `namesakes` are the ids of all objects of its name. `strays` are objects of ours under names it had earlier, which
    are removed when nothing needs them any more.
    `notes` are for people and steer nothing; nor does `disruption`, which says what those who use the object notice
    meanwhile, "" for nothing.
    """

    address: Address
    action: Action
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    desired: Desired | None = None
    live: Live | None = None
    row: Row | None = None
    record: bool = False
    adopts: bool = False
    namesakes: tuple[str, ...] = ()
    strays: tuple[Live, ...] = ()
    notes: tuple[str, ...] = ()
    disruption: str = ""

    @property
    def position(self) -> Position | None:
        """Where the manifest declares the object."""
        return self.desired.position if self.desired else None

    @property
    def settled(self) -> bool:
        """Whether live, the manifest and the ledger say the same, and there is nothing to tell."""
        left = self.fields or self.reason or self.record or self.adopts or self.strays or self.notes
        return self.action is Action.NO_OP and self.row is not None and self.live is not None and not left

    @property
    def moved_from(self) -> Address | None:
        """The address the object had before, where the manifest moved it and the ledger does not know it yet."""
        return self.row.moved_from if self.row and self.desired else None

    @property
    def widens(self) -> bool:
        """Whether it lets somebody do more with an object that exists than before."""
        existing = self.action in (Action.UPDATE, Action.ADOPT, Action.REPLACE)
        return existing and any(field.widens for field in self.fields)

    @property
    def changed_fields(self) -> frozenset[str]:
        """The top-level fields that differ."""
        return frozenset(change.field for change in self.fields)


def count(changes: Mapping[Action, int]) -> str:
    """The counts of a plan as one phrase: `3 to create, 1 to change`."""
    words = {
        Action.CREATE: "to create",
        Action.UPDATE: "to change",
        Action.REPLACE: "to replace",
        Action.DELETE: "to delete",
        Action.ADOPT: "to adopt",
        Action.FORGET: "to forget",
    }
    always = (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE)
    return ", ".join(f"{changes.get(a, 0):,} {word}" for a, word in words.items() if changes.get(a, 0) or a in always)
