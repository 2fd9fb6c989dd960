"""Schema problems in plain words, without values that may be secret."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from reconciler.canonical.json import Json
from reconciler.errors import Problem
from reconciler.manifest.document import Document, Path
from reconciler.manifest.scalars import shortened, spelled
from reconciler.manifest.schema import Schemas
from reconciler.manifest.templates import Template, Value
from reconciler.manifest.variables import address_of

_MOST_KEYS = 12
_HIDDEN = frozenset({"password", "secrets"})
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}
_TRUE = frozenset({"yes", "on", "true"})
_FALSE = frozenset({"no", "off", "false"})
_WORDINGS = {
    "pattern": ("{value} does not match {limit}", ""),
    "format": ("{value} is not a valid {limit}", ""),
    "minimum": ("{value} is less than {limit}", "give {limit} or more"),
    "maximum": ("{value} is more than {limit}", "give {limit} or less"),
    "exclusiveMinimum": ("{value} is not more than {limit}", "give more"),
    "exclusiveMaximum": ("{value} is not less than {limit}", "give less"),
    "multipleOf": ("{value} is not a multiple of {limit}", "give a multiple"),
    "minLength": ("the text is too short", "give {limit} characters or more"),
    "maxLength": ("the text is too long", "give {limit} characters or less"),
    "minItems": ("the list is too short", "give {limit} items or more"),
    "maxItems": ("the list is too long", "give {limit} items or less"),
    "uniqueItems": ("the list has the same item twice", "remove one of them"),
    "contains": ("the list lacks an item it must have", "add it"),
    "minProperties": ("the mapping has too few keys", "give {limit} or more"),
    "maxProperties": ("the mapping has too many keys", "give {limit} or less"),
    "oneOf": ("this fits more than one of the allowed forms", "keep to one of them"),
    "not": ("this combination is not allowed", "remove one of the keys"),
}
_EMPTY = {
    "minLength": ("the text is empty", "give some text"),
    "minItems": ("the list is empty", "add an item"),
    "minProperties": ("the mapping is empty", "add a key"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem before it has a place: `at_key` when the key is to blame rather than the value."""

    path: Path
    code: str
    message: str
    hint: str
    at_key: bool = False

    def problem(self, document: Document) -> Problem:
        """The problem, at its place in `document`."""
        place = document.position(self.path) if self.at_key else document.value_position(self.path)
        return Problem(self.code, self.message, place, address_of(self.path), self.hint)


@dataclass(frozen=True, slots=True)
class Words:
    """Values as messages may show them."""

    document: Document
    schemas: Schemas

    def show(self, path: Path, value: Value) -> str:
        """`value` on at most 60 characters as the document has it, or "" when it must not or can not be shown."""
        if self.schemas.is_write_only(path) or _HIDDEN & set(path):
            return ""
        stated = self.document.at(path)
        if isinstance(stated, str) and (stated == value or "${" in stated):
            return f'"{shortened(stated)}"'
        if isinstance(value, bool | int | float) and stated == value:
            return shortened(spelled(value))
        return ""

    def kind(self, path: Path, value: Value) -> str:
        """What `value` is: `the number 3`, `the text "x"`, `a list`."""
        shown = self.show(path, value)
        match value:
            case None:
                return "nothing"
            case bool():
                return shown or _TYPES["boolean"]
            case int() | float():
                return f"the number {shown}" if shown else _TYPES["number"]
            case str() | Template():
                return f"the text {shown}" if shown else _TYPES["string"]
        return _TYPES["object"] if isinstance(value, Mapping) else _TYPES["array"]


def unknown_key(path: Path, absent: Sequence[str], known: Sequence[str]) -> Finding:
    """A key that the schema does not have; `absent` are the known ones that are not there already."""
    name = str(path[-1])
    near = get_close_matches(name, absent, 1) or get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "remove it"
    if not near and 0 < len(known) <= _MOST_KEYS:
        hint = f"known are {', '.join(known)}"
    return Finding(path, "unknown-key", "no such key", hint, at_key=True)


def bad_key(path: Path, description: str, form: Json) -> Finding:
    """A key of the user's own that is not of the form its mapping asks for."""
    hint = _advice(description) or f"it must be of the form {form}"
    return Finding(path, "wrong-value", "this name is not allowed here", hint, at_key=True)


def wrong_type(path: Path, value: Value, types: Iterable[str], words: Words) -> Finding:
    """A value of none of `types`, which are JSON Schema's."""
    wanted = [_TYPES[name] for name in types if name in _TYPES]
    message = f"expected {' or '.join(wanted) or 'nothing'}, found {words.kind(path, value)}"
    return Finding(path, "wrong-type", message, _type_hint(value, set(types)), at_key=value is None)


def not_one_of(path: Path, value: Value, allowed: Iterable[Json], words: Words) -> Finding:
    """A value that is not among the `allowed`."""
    names = [
        each if isinstance(each, str) else spelled(each) for each in allowed if isinstance(each, str | int | float)
    ]
    shown = words.show(path, value)
    hint = "give one of them" if len(names) > 1 else ""
    if shown and isinstance(value, str):
        folded = {name.casefold(): name for name in names}
        near = get_close_matches(value.casefold(), folded, 1)
        hint = f"did you mean {folded[near[0]]}?" if near else hint
    listed = f"one of {', '.join(names)}" if len(names) > 1 else ", ".join(names)
    return Finding(path, "wrong-value", f"{shown or 'the value'} is not {listed}", hint)


def not_allowed(path: Path, value: Value, rule: str, limit: Json, description: str, words: Words) -> Finding:
    """A value that breaks the JSON Schema keyword `rule`; `description` is the schema's."""
    message, advice = _WORDINGS.get(rule, ("this is not allowed here", ""))
    if not value and rule in _EMPTY:
        message, advice = _EMPTY[rule]
    shown = words.show(path, value) or "the value"
    hint = advice.format(limit=limit) or _advice(description)
    at_key = isinstance(value, Mapping | list)
    return Finding(path, "wrong-value", message.format(value=shown, limit=limit), hint, at_key)


def _advice(description: str) -> str:
    """A schema's description of a value, as advice what to give."""
    first = description.partition(". ")[0].removesuffix(".")
    return f"give {first[0].lower()}{first[1:]}" if first else ""


def _type_hint(value: Value, types: set[str]) -> str:
    if value is None:
        return "give a value, or remove the key"
    if "string" in types and isinstance(value, bool | int | float):
        return "put it in quotes"
    if "boolean" in types and isinstance(value, str) and value.casefold() in _TRUE | _FALSE:
        return "write true" if value.casefold() in _TRUE else "write false"
    if types & {"integer", "number"} and isinstance(value, str):
        return "remove the quotes" if value.removeprefix("-").isdecimal() else "write digits"
    if "array" in types and not isinstance(value, Mapping):
        return "write it as a list"
    return "write it as `key: value` lines" if "object" in types else ""
