"""The inverse of normalisation: what a service shows of an object, as a manifest states it.

What to leave out says the kind's schema: what the service makes itself, and what says what saying nothing does.
"""

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from reconciler.canonical.json import Json, canonical_text
from reconciler.model.schema import Rule, Schema

_TYPES: Mapping[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_Paths = AbstractSet[tuple[str, ...]]


def stated(schema: Schema, fields: Mapping[str, Json]) -> dict[str, Json]:
    """Live fields as a manifest states them, in the schema's order."""
    return _members(schema.rule, fields, schema.made_by_service)


def _members(rule: Rule, value: Mapping[str, Json], made: _Paths) -> dict[str, Json]:
    required = rule.schema.get("required", ())
    assert isinstance(required, Sequence)
    found: dict[str, Json] = {}
    for key in (*(name for name in rule.members if name in value), *(key for key in value if key not in rule.members)):
        member, one = rule.member(key), value[key]
        if (key,) in made or not _is_ours(rule, key):
            continue
        unsaid = (one is None and key in rule.members) or member.is_default(member.canonical(one))
        if key in required or not unsaid:
            found[key] = _value(member, one, {path[1:] for path in made if path[0] == key})
    return found


def _is_ours(rule: Rule, key: str) -> bool:
    """Whether a key may be stated: of a map that is not ours alone, others' keys may be what ours can not be."""
    pattern = rule.names.schema.get("pattern")
    return not rule.additive or not isinstance(pattern, str) or re.search(pattern, key) is not None


def _value(rule: Rule, value: Json, made: _Paths = frozenset()) -> Json:
    if rule.compare == "policy":
        return value
    if rule.compare == "string" and isinstance(value, str):
        return _typed(rule, value)
    if rule.compare == "casefold" and isinstance(value, str):
        return _spelled(rule, value)
    if isinstance(value, Mapping):
        return _members(rule, value, made)
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = [_value(rule.items, one) for one in value]
        return listed if rule.ordered else sorted(listed, key=canonical_text)
    return value


def _typed(rule: Rule, text: str) -> Json:
    """The value of the schema's type that a service which keeps strings shows as `text`."""
    types = rule.schema.get("type", "string")
    allowed = [types] if isinstance(types, str) else list(types) if isinstance(types, Sequence) else []
    if "string" in allowed:
        return text
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value if any(type(value) in _TYPES.get(str(one), ()) for one in allowed) else text


def _spelled(rule: Rule, text: str) -> str:
    """Text that is the same in capitals: as the schema spells it, else small."""
    allowed = rule.schema.get("enum", ())
    assert isinstance(allowed, Sequence)
    return next((str(one) for one in allowed if str(one).casefold() == text.casefold()), text.casefold())
