"""What an intent in the ledger tells of an earlier apply that did not come to its end."""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.model.change import Action, Change
from reconciler.model.objects import Sought


def unproved(change: Change) -> str:
    """The name of a proof that an earlier apply began and may not have ended, else ""."""
    name = change.row.intent.get("proof") if change.row is not None and change.row.intent is not None else None
    return name if isinstance(name, str) else ""


def cleaning(change: Change, kept: str) -> Mapping[str, Json] | None:
    """The intent to remove what a change leaves, without the object that is kept; None where it leaves nothing."""
    left: list[Json] = [{"name": old.name, "id": old.id} for old in leftovers(change) if old.id != kept]
    return {"action": "clean-up", "old": left} if left else None


def leftovers(change: Change) -> tuple[Sought, ...]:
    """Objects that an earlier or this change leaves to be removed."""
    old = change.row.intent.get("old") if change.row and change.row.intent else None
    found = [
        Sought(str(one.get("name")), str(one.get("id")))
        for one in (old if isinstance(old, list) else [])
        if isinstance(one, Mapping)
    ]
    replaced = [change.live] if change.action is Action.REPLACE and change.live is not None else []
    for live in (*replaced, *change.strays):
        if live.id and live.id not in [one.id for one in found]:
            found.append(Sought(live.name, live.id))
    return tuple(found)
