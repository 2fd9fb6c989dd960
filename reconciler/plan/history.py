"""Changes as the ledger's history keeps them: small, and without a value that a service never shows."""

from collections.abc import Mapping

from reconciler.canonical.json import Json, canonical_text
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change, FieldChange
from reconciler.plan.decide import recorded
from reconciler.plan.known import Attributes
from reconciler.references import resolve

_DIFFERING = frozenset({Action.UPDATE, Action.REPLACE, Action.ADOPT, Action.DELETE})
_FIELDS = 50  # differences of one change
_VALUE = 300  # characters of one value
_WHOLE = 2**20  # characters of all changes together


def entry(change: Change, attributes: Attributes) -> dict[str, Json]:
    """A change: its address, action and reason, where it was before, and what differed from what was live."""
    found: dict[str, Json] = {"address": str(change.address), "action": str(change.action)}
    if change.moved_from is not None:
        found["moved_from"] = str(change.moved_from)
    if change.reason:
        found["reason"] = change.reason
    if change.action in _DIFFERING and change.fields:
        found["fields"] = [_difference(field, attributes) for field in change.fields[:_FIELDS]]
        if len(change.fields) > _FIELDS:
            found["fields_left_out"] = len(change.fields) - _FIELDS
    return found


def bounded(changes: list[dict[str, Json]]) -> list[Json]:
    """The changes, without their differences where all of them together would be too much for one document."""
    if sum(len(canonical_text(one)) for one in changes) <= _WHOLE:
        return [*changes]
    return [{key: value for key, value in one.items() if key != "fields"} for one in changes]


def cut(text: str, most: int = 1_000) -> str:
    """A text, or its beginning."""
    return text if len(text) <= most else text[: most - 3] + "..."


def differences(listed: Json) -> tuple[FieldChange, ...]:
    """What `entry` made of the differences, as differences again; what is not of its form is left out."""
    found = []
    for one in listed if isinstance(listed, list) else ():
        path = one.get("path") if isinstance(one, Mapping) else None
        if isinstance(one, Mapping) and isinstance(path, list) and path:
            parts = tuple(part if isinstance(part, int) else str(part) for part in path)
            text, write_only = str(one.get("text", "")), one.get("write_only") is True
            found.append(
                FieldChange(parts, one.get("before"), one.get("after"), text, one.get("widens") is True, write_only)
            )
    return tuple(found)


def _difference(field: FieldChange, attributes: Attributes) -> Json:
    about: dict[str, Json] = {"path": list(field.path)}
    if field.write_only:
        return {**about, "text": field.text or "changed", "write_only": True}
    values = {"before": _value(field.before, attributes), "after": _value(field.after, attributes)}
    about |= {key: value for key, value in values.items() if value is not None}
    about |= {"text": field.text} if field.text else {}
    return {**about, **({"widens": True} if field.widens else {})}


def _value(value: Value, attributes: Attributes) -> Json:
    known = recorded({"": resolve(value, attributes.lookup)})[""]
    text = known if isinstance(known, str) else canonical_text(known)
    return known if len(text) <= _VALUE else cut(text, _VALUE)
