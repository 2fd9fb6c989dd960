"""The `${...}` syntax: which references are ours, which text passes through untouched, what is a near miss.

Ours are `${<kind>.<name>.<attribute>}`, `${var.x}`, `${env.X}`, `${secret.x}` and `${target.x}`. `$${` stands for a
literal `${`. Everything else belongs to the services (`${parameters.x}`, `${aws:username}`, `${user.name}`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from types import NoneType
from typing import TypeAlias, TypeVar, overload

from reconciler.canonical.json import Json, Scalar

TARGET_ATTRIBUTES = ("region", "account_id", "partition", "domain_arn", "endpoint")
"""What `${target.x}` may ask for."""

_FOREIGN = frozenset({"parameters", "credential", "user", "attr"})
_PLAIN = {
    "var": re.compile(r"[A-Za-z_][A-Za-z0-9_-]*"),
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "secret": re.compile(r"[A-Za-z_][A-Za-z0-9_-]*"),
    "target": re.compile("|".join(TARGET_ATTRIBUTES)),
}
_MISNOMERS = {"variable": "var", "variables": "var", "environment": "env", "evn": "env", "vra": "var"}
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OBJECT = re.compile(r"[^\s{}$](?:[^{}$\r\n]*[^\s{}$])?")
_OPENING = re.compile(r"\$?\$\{")
_WORD = re.compile(r"[\w.-]*")
_LONGEST = 512
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: `${namespace.name}`, or `${namespace.name.attribute}` when the namespace is a kind.

    `offset` is where its `${` stands in the string it was found in; references to the same thing are equal.
    """

    namespace: str
    name: str
    attribute: str = ""
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        tail = f".{self.attribute}" if self.attribute else ""
        return f"${{{self.namespace}.{self.name}{tail}}}"

    @property
    def length(self) -> int:
        """Characters of the reference in the text, `${` and `}` included."""
        return len(str(self))

    @property
    def name_offset(self) -> int:
        """Where the name stands in the string the reference was found in."""
        return self.offset + len(self.namespace) + 3


@dataclass(frozen=True, slots=True)
class Template:
    """A string with references in it that are not resolved yet: literal text and references in turn."""

    parts: tuple[str | Reference, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    @property
    def whole(self) -> Reference | None:
        """The reference that is the entire string, so that the value keeps its type; None for a mixture."""
        only = self.parts[0]
        return only if len(self.parts) == 1 and isinstance(only, Reference) else None

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references in it, in order."""
        return tuple(part for part in self.parts if isinstance(part, Reference))


Value: TypeAlias = "Scalar | Template | Sequence[Value] | Mapping[str, Value]"
"""A JSON value in which strings may still be templates."""

_Member = TypeVar("_Member")


@dataclass(frozen=True, slots=True)
class Fault:
    """A malformed reference: the characters of the string it covers, what is wrong, what to do."""

    offset: int
    length: int
    message: str
    hint: str


class TemplateError(Exception):
    """A string holds malformed references."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in faults))


def parse(text: str, kinds: Mapping[str, Sequence[str]]) -> str | Template:
    """The string itself, escapes undone, or a `Template` when it holds references of ours.

    `kinds` maps every kind to the attributes that may be asked of its objects. Raises TemplateError with all
    malformed references and near misses.
    """
    if "${" not in text:
        return text
    parts: list[str | Reference] = []
    faults: list[Fault] = []
    literal = ""
    at = 0
    while opening := _OPENING.search(text, at):
        literal += text[at : opening.start()]
        at = opening.end()
        if len(opening[0]) == 3:
            literal += "${"
            continue
        found = _reference(text, opening.start(), kinds)
        if found is None:
            literal += "${"
            continue
        if isinstance(found, Fault):
            faults.append(found)
        else:
            parts += [literal, found] if literal else [found]
            literal = ""
        at = opening.start() + found.length
    literal += text[at:]
    if faults:
        raise TemplateError(faults)
    if not parts:
        return literal
    return Template((*parts, literal) if literal else tuple(parts))


def is_name(text: str) -> bool:
    """Whether an object of a manifest may be called so: references to it can be written."""
    return len(text) <= _LONGEST_NAME and _OBJECT.fullmatch(text) is not None


def written(value: str | Template, kinds: Mapping[str, Sequence[str]]) -> str:
    """The text that `parse` reads as `value`: of literal `${` those are escaped that it would not let through.

    ValueError where there is none: a `$` can not stand before a reference.
    """
    text = ""
    for part in reversed((value,) if isinstance(value, str) else value.parts):
        if isinstance(part, Reference):
            text = f"{part}{text}"
        elif part.endswith("$") and text:
            raise ValueError("a $ before a reference would escape it")
        else:
            text = _escaped(part, text, kinds)
    return text


def _escaped(literal: str, after: str, kinds: Mapping[str, Sequence[str]]) -> str:
    """The literal with what follows it, escaped from its end on: what a `${` is depends on the text behind it."""
    text = literal + after
    start = literal.rfind("${")
    while start >= 0:
        if text[start - 1 : start] == "$" or _reference(text, start, kinds) is not None:
            text = f"{text[:start]}${text[start:]}"
        start = literal.rfind("${", 0, start)
    return text


SCALARS = (str, int, float, NoneType)
"""What holds no other value. Asked for first: nearly all values do not, and it is quick to tell."""


_MAPPINGS = (dict, Mapping)  # nearly all are dicts, and to ask whether something is a Mapping takes ten times as long


def references(value: Value) -> Iterator[tuple[tuple[str | int, ...], Reference]]:
    """Every reference inside `value`, with the path of the string it stands in."""
    found: list[tuple[tuple[str | int, ...], Reference]] = []
    if isinstance(value, Template):
        found += [((), reference) for reference in value.references]
    elif not isinstance(value, SCALARS):
        _collect(value, (), found)
    return iter(found)


def _collect(
    value: Sequence[Value] | Mapping[str, Value],
    path: tuple[str | int, ...],
    found: list[tuple[tuple[str | int, ...], Reference]],
) -> None:
    for step, member in members(value):
        if isinstance(member, Template):
            found += [((*path, step), reference) for reference in member.references]
        elif not isinstance(member, SCALARS):
            _collect(member, (*path, step), found)


def members(value: Sequence[_Member] | Mapping[str, _Member]) -> Iterable[tuple[str | int, _Member]]:
    """What is in a mapping or a list, with keys or indices."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return enumerate(value)
    return value.items() if isinstance(value, Mapping) else enumerate(value)


@overload
def replaced(value: Value, by: Callable[[Template], Json]) -> Json: ...
@overload
def replaced(value: Value, by: Callable[[Template], Value]) -> Value: ...
def replaced(value: Value, by: Callable[[Template], Value]) -> Value:
    """`value` with `by(template)` in place of each template. Where that changes nothing, it is the same and no copy."""
    if isinstance(value, Template):
        return by(value)
    if isinstance(value, SCALARS):
        return value
    changed: dict[str | int, Value] = {}
    for step, member in members(value):
        if not isinstance(member, SCALARS):
            new = replaced(member, by)
            if new is not member:
                changed[step] = new
    if not changed:
        return value
    if isinstance(value, _MAPPINGS):
        return {key: changed.get(key, member) for key, member in value.items()}
    return [changed.get(index, item) for index, item in enumerate(value)]


def holds_template(value: Value) -> bool:
    """Whether a template stands anywhere inside `value`."""
    if isinstance(value, SCALARS):
        return False
    if isinstance(value, Template):
        return True
    members = value.values() if isinstance(value, _MAPPINGS) else value
    return any(not isinstance(member, SCALARS) and holds_template(member) for member in members)


def _reference(text: str, start: int, kinds: Mapping[str, Sequence[str]]) -> Reference | Fault | None:
    """What begins with the `${` at `start`: ours, a near miss of ours, or None when it is not ours."""
    end = text.find("}", start, start + _LONGEST)
    closed = end >= 0 and "${" not in text[start + 2 : end]
    body = text[start + 2 : end] if closed else _WORD.match(text, start + 2, start + _LONGEST)[0]  # type: ignore[index]
    trimmed = body.strip(" \t\r\n{")
    namespace, dot, rest = trimmed.partition(".")
    length = len(body) + 2 + closed
    if namespace in _FOREIGN or ":" in namespace:
        return None
    if namespace not in _PLAIN and namespace not in kinds:
        near = _nearest(namespace, tuple(kinds)) if dot else ""
        if not near:
            return None
        suggestion = f"did you mean ${{{near}.{rest}}}?" if closed else f"did you mean {near}?"
        return Fault(start, length, f"nothing is called {namespace}", suggestion)
    if not closed:
        return Fault(start, length, "the reference is not closed", "add `}`; references can not be nested")
    if body != trimmed:
        return Fault(start, length, "spaces in a reference", f"write ${{{trimmed}}}")
    if namespace in _PLAIN:
        return _plain_reference(namespace, rest, start, length)
    return _object_reference(namespace, rest, kinds[namespace], start, length)


def _plain_reference(namespace: str, name: str, start: int, length: int) -> Reference | Fault:
    if _PLAIN[namespace].fullmatch(name):
        return Reference(namespace, name, offset=start)
    if namespace == "target":
        near = get_close_matches(name, TARGET_ATTRIBUTES, 1)
        hint = f"did you mean ${{target.{near[0]}}}?" if near else f"there are {', '.join(TARGET_ATTRIBUTES)}"
        return Fault(start, length, "the target has no such attribute", hint)
    return Fault(start, length, f"not a name of {_WHAT[namespace]}", f"write ${{{namespace}.name}}")


_WHAT = {"var": "a variable", "env": "an environment variable", "secret": "a secret"}


def _object_reference(kind: str, rest: str, attributes: Sequence[str], start: int, length: int) -> Reference | Fault:
    name, _, attribute = rest.rpartition(".")
    if _OBJECT.fullmatch(name) and _ATTRIBUTE.fullmatch(attribute):
        return Reference(kind, name, attribute, offset=start)
    shown = attributes[0] if attributes else "attribute"
    stated = rest.rstrip(".")
    whole = stated if _OBJECT.fullmatch(stated) and not stated.startswith(".") else "name"
    return Fault(start, length, "the reference names no attribute", f"write ${{{kind}.{whole}.{shown}}}")


@lru_cache(maxsize=1024)
def _nearest(namespace: str, kinds: tuple[str, ...]) -> str:
    """The namespace of ours that was probably meant, or ""."""
    lower = namespace.casefold()
    if lower in _MISNOMERS:
        return _MISNOMERS[lower]
    matches = get_close_matches(lower, (*_PLAIN, *kinds), 1, 0.75)
    return matches[0] if matches else ""
