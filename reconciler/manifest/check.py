"""What is wrong with a document by its schema, said plainly and at the right place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeAlias

from reconciler.canonical.json import Json
from reconciler.errors import Problem
from reconciler.manifest.document import Document, Path
from reconciler.manifest.scalars import spelled
from reconciler.manifest.schema import Schemas, assemble
from reconciler.manifest.templates import Template, Value
from reconciler.manifest.variables import address_of

_LONGEST = 60
_MOST_KEYS = 12
_HIDDEN = frozenset({"password", "secrets"})
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}
_YES = frozenset({"yes", "on", "y", "True", "TRUE", "Yes", "On", "true"})
_NO = frozenset({"no", "off", "n", "False", "FALSE", "No", "Off", "false"})

_Error: TypeAlias = Any  # jsonschema.ValidationError; the library is imported where it is used


@dataclass(frozen=True, slots=True)
class _Finding:
    """One problem before it has a place: `at_key` when the key is to blame rather than the value."""

    path: Path
    code: str
    message: str
    hint: str
    at_key: bool = False


def check(value: Value, document: Document, schemas: Schemas) -> list[Problem]:
    """The problems `document` has by the manifest's schema; `value` is the document with variables filled in.

    Where templates stand, only what can be known of them is checked. Values of write-only fields, passwords
    and whatever was filled in from outside are never part of a message.
    """
    findings: dict[_Finding, None] = {}
    for error in _validator(schemas).iter_errors(value):
        for finding in _findings(error, _Words(document, schemas)):
            findings.setdefault(finding)
    return [_problem(finding, document) for finding in findings]


def _problem(finding: _Finding, document: Document) -> Problem:
    place = document.position(finding.path) if finding.at_key else document.value_position(finding.path)
    return Problem(finding.code, finding.message, place, address_of(finding.path), finding.hint)


@lru_cache(maxsize=8)
def _validator(schemas: Schemas) -> Any:
    """A validator of whole documents that knows templates."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    library = Draft202012Validator
    checker = library.TYPE_CHECKER.redefine("string", lambda _, value: isinstance(value, str | Template))
    keywords = ("pattern", "minLength", "maxLength", "enum", "const", "format")
    overrides = {keyword: _unless_template(library.VALIDATORS[keyword]) for keyword in keywords}
    overrides["type"] = _unless_whole(library.VALIDATORS["type"])
    validator = extend(library, overrides, type_checker=checker)  # type: ignore[no-untyped-call]
    return validator(assemble(schemas))


def _unless_template(keyword: Callable[..., Iterable[_Error]]) -> Callable[..., Iterable[_Error]]:
    def checked(validator: Any, expected: Any, value: Any, schema: Any) -> Iterable[_Error]:
        return () if isinstance(value, Template) else keyword(validator, expected, value, schema) or ()

    return checked


def _unless_whole(keyword: Callable[..., Iterable[_Error]]) -> Callable[..., Iterable[_Error]]:
    def checked(validator: Any, expected: Any, value: Any, schema: Any) -> Iterable[_Error]:
        if isinstance(value, Template) and value.whole:
            return ()
        return keyword(validator, expected, value, schema) or ()

    return checked


@dataclass(frozen=True, slots=True)
class _Words:
    """Values as messages may show them."""

    document: Document
    schemas: Schemas

    def show(self, path: Path, value: Value) -> str:
        """`value` on at most 60 characters, or "" when it must not or can not be shown."""
        if self.schemas.is_write_only(path) or _HIDDEN & set(path):
            return ""
        stated = self.document.at(path)
        if isinstance(stated, str) and "${" in stated:
            return f'"{_shortened(stated)}"'
        if stated != value:
            return ""
        if isinstance(value, str):
            return f'"{_shortened(value)}"'
        if isinstance(value, bool | int | float):
            return _shortened(spelled(value))
        return ""

    def kind(self, path: Path, value: Value) -> str:
        """What `value` is: `the number 3`, `the text "x"`, `a list`."""
        shown = self.show(path, value)
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return shown or "true or false"
        if isinstance(value, int | float):
            return f"the number {shown}" if shown else "a number"
        if isinstance(value, str | Template):
            return f"the text {shown}" if shown else "text"
        return "a mapping" if isinstance(value, Mapping) else "a list"


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 3] + "..."


def _findings(error: _Error, words: _Words) -> Iterator[_Finding]:
    path: Path = tuple(error.absolute_path)
    rule, value, expected = error.validator, error.instance, error.validator_value
    if _about_a_key(error):
        yield from _bad_key(path, error)
    elif rule in ("additionalProperties", "unevaluatedProperties") and isinstance(value, Mapping):
        yield from _unknown_keys(path, value, error)
    elif rule == "required":
        yield from _missing(path, value, expected)
    elif rule == "dependentRequired":
        for name in expected:
            if name in value:
                yield from _missing(path, value, expected[name])
    elif rule == "type":
        yield _wrong_type(path, value, [expected] if isinstance(expected, str) else expected, words)
    elif rule in ("anyOf", "oneOf") and error.context:
        yield from _best_branch(error, words)
    elif rule == "enum":
        yield _not_one_of(path, value, expected, words)
    elif rule == "const":
        yield _not_one_of(path, value, [expected], words)
    elif rule is None:
        yield _Finding(path, "unknown-key", "this key is not allowed here", "remove it", at_key=True)
    elif not (rule == "oneOf" and _holds_template(value)):
        shown = words.show(path, value)
        message = _WORDINGS.get(rule, "this is not allowed here").format(expected=expected)
        subject = f"{shown} " if shown and rule in _ABOUT_VALUES else ""
        at_key = isinstance(value, Mapping | list)
        yield _Finding(path, "wrong-value", subject + message, _hint_of(error), at_key)


_ABOUT_VALUES = frozenset(
    {"pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
_WORDINGS = {
    "pattern": "does not match {expected}",
    "format": "is not a valid {expected}",
    "minimum": "is less than {expected}",
    "maximum": "is more than {expected}",
    "exclusiveMinimum": "is not more than {expected}",
    "exclusiveMaximum": "is not less than {expected}",
    "multipleOf": "is not a multiple of {expected}",
    "minLength": "the text is shorter than {expected} characters",
    "maxLength": "the text is longer than {expected} characters",
    "minItems": "the list has fewer than {expected} items",
    "maxItems": "the list has more than {expected} items",
    "uniqueItems": "the list has the same item twice",
    "contains": "the list lacks an item it must have",
    "minProperties": "the mapping has fewer than {expected} keys",
    "maxProperties": "the mapping has more than {expected} keys",
    "oneOf": "this fits more than one of the allowed forms",
    "not": "this combination is not allowed",
}
_HINTS = {
    "minLength": "give a longer text",
    "maxLength": "shorten it",
    "minItems": "add some",
    "maxItems": "remove some",
    "uniqueItems": "remove one of them",
    "minProperties": "add some",
    "maxProperties": "remove some",
}


def _hint_of(error: _Error) -> str:
    return _HINTS.get(error.validator, "give an allowed value")


def _about_a_key(error: _Error) -> bool:
    steps = list(error.absolute_schema_path)
    return any(
        step == "propertyNames" and (index == 0 or steps[index - 1] not in ("properties", "patternProperties", "$defs"))
        for index, step in enumerate(steps)
    )


def _bad_key(path: Path, error: _Error) -> Iterator[_Finding]:
    name = str(error.instance)
    limits = {
        "pattern": "match {expected}",
        "maxLength": "have at most {expected} characters",
        "enum": "be one of {expected}",
    }
    limit = limits.get(error.validator, "be of another form").format(expected=error.validator_value)
    yield _Finding((*path, name), "wrong-value", "this name is not allowed here", f"it must {limit}", at_key=True)


def _unknown_keys(path: Path, value: Mapping[str, Value], error: _Error) -> Iterator[_Finding]:
    import re

    known = list(error.schema.get("properties", {}))
    patterns = list(error.schema.get("patternProperties", {}))
    for name in value:
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        absent = [key for key in known if key not in value]
        near = get_close_matches(name, absent, 1) or get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        if not near and 0 < len(known) <= _MOST_KEYS:
            hint = f"known are {', '.join(known)}"
        yield _Finding((*path, name), "unknown-key", "no such key", hint, at_key=True)


def _missing(path: Path, value: Mapping[str, Value], names: Iterable[str]) -> Iterator[_Finding]:
    for name in names:
        if name not in value:
            yield _Finding(path, "missing-key", f"the key {name} is missing", "add it", at_key=True)


def _wrong_type(path: Path, value: Value, types: Iterable[str], words: _Words) -> _Finding:
    wanted = [_TYPES[name] for name in types if name != "null"] or ["nothing"]
    message = f"expected {' or '.join(wanted)}, found {words.kind(path, value)}"
    return _Finding(path, "wrong-type", message, _type_hint(value, set(types)), at_key=value is None)


def _type_hint(value: Value, types: set[str]) -> str:
    if value is None:
        return "give a value, or remove the key"
    if "string" in types and isinstance(value, bool | int | float):
        return "put it in quotes"
    if "boolean" in types and isinstance(value, str) and value in _YES | _NO:
        return "write true" if value in _YES else "write false"
    if types & {"integer", "number"} and isinstance(value, str):
        return "remove the quotes" if value.removeprefix("-").isdecimal() else "write digits"
    if "array" in types and not isinstance(value, Mapping):
        return "write it as a list"
    return "write it as `key: value` lines" if "object" in types else "change it"


def _not_one_of(path: Path, value: Value, allowed: Iterable[Json], words: _Words) -> _Finding:
    names = [
        item if isinstance(item, str) else spelled(item)
        for item in allowed
        if isinstance(item, str | bool | int | float)
    ]
    shown = words.show(path, value) or "this"
    listed = ", ".join(names)
    message = f"{shown} is not one of {listed}" if len(names) > 1 else f"{shown} is not {listed}"
    close = (
        get_close_matches(value.casefold(), {name.casefold(): name for name in names}, 1)
        if isinstance(value, str)
        else []
    )
    near = next((name for name in names if close and name.casefold() == close[0]), "")
    visible = words.show(path, value)
    hint = f"did you mean {near}?" if near and visible else "give one of them" if len(names) > 1 else f"write {listed}"
    return _Finding(path, "wrong-value", message, hint)


def _best_branch(error: _Error, words: _Words) -> Iterator[_Finding]:
    """The problems of the branch that was most likely meant: right type first, then fewest and deepest problems."""
    branches: dict[int, list[_Error]] = {}
    for nested in error.context:
        branches.setdefault(nested.schema_path[0], []).append(nested)
    depth = len(error.absolute_path)
    mistyped = [
        e for errors in branches.values() for e in errors if e.validator == "type" and len(e.absolute_path) == depth
    ]
    fitting = {i: errors for i, errors in branches.items() if not any(e in mistyped for e in errors)}
    if not fitting:
        types = [
            t
            for e in mistyped
            for t in ([e.validator_value] if isinstance(e.validator_value, str) else e.validator_value)
        ]
        yield _wrong_type(tuple(error.absolute_path), error.instance, dict.fromkeys(types), words)
        return
    best = min(fitting.values(), key=lambda errors: (_misfits(errors, depth), len(errors)))
    for nested in best:
        yield from _findings(nested, words)


def _misfits(errors: Iterable[_Error], depth: int) -> int:
    """How strongly problems say that another branch was meant: a wrong discriminator, unknown or missing keys."""
    return sum(
        3 if e.validator in ("const", "enum") else 1
        for e in errors
        if len(e.absolute_path) <= depth + 1 and e.validator in ("const", "enum", "required", "additionalProperties")
    )


def _holds_template(value: Value) -> bool:
    if isinstance(value, Template):
        return True
    if isinstance(value, Mapping):
        return any(map(_holds_template, value.values()))
    return isinstance(value, list) and any(map(_holds_template, value))
