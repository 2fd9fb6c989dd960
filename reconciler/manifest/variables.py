"""Variables and the environment: their values, and documents with `${var.x}` and `${env.X}` filled in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from reconciler.canonical.json import Json
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.document import Document, Path
from reconciler.manifest.events import parse as parse_document
from reconciler.manifest.scalars import shortened, spelled
from reconciler.manifest.source import Source
from reconciler.manifest.templates import SCALARS, Reference, Template, TemplateError, Value, members
from reconciler.manifest.templates import parse as parse_text

PREFIX = "RECONCILER_VAR_"
"""Before a variable's name: the environment variable that gives its value."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
}
"""The types a variable may be declared with, and the Python types of their values."""

PASSWORD: Path = ("target", "opensearch", "auth", "password")
"""The one place where `${env.X}` is left alone, so that the manifest never holds the password."""

_UNTOUCHED = frozenset({"manifest", "$schema"})

_OUTSIDE = frozenset({"var", "env"})

_UNKNOWN = Template((Reference("", ""),))
"""In place of a value that could not be found, so that nothing else is said about it."""

_TYPE_HINTS = {
    "string": "give text",
    "number": "give a number",
    "integer": "give a whole number",
    "boolean": "give true or false",
    "list": "give a list, as JSON",
    "object": "give a mapping, as JSON",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What comes from outside: values by variable name (text from `--var`, JSON from files), the environment."""

    variables: Mapping[str, Json] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable. `type` is a key of `TYPES`, or "" for any; `default` is None when there is none."""

    name: str
    type: str
    default: Json
    position: Position
    default_position: Position


def declared_variables(document: Document) -> dict[str, Variable]:
    """The variables a document declares; malformed declarations are left to the schema."""
    return {name: _variable(name, stated, place, document) for name, stated, place in document.members(("variables",))}


def _variable(name: str, stated: Json, place: Position, document: Document) -> Variable:
    if not isinstance(stated, Mapping):
        return Variable(name, _type_of(stated), stated, place, document.value_position(("variables", name)))
    default = stated.get("default")
    kind = stated.get("type")
    where = document.value_position(("variables", name, "default"))
    return Variable(name, kind if isinstance(kind, str) and kind in TYPES else _type_of(default), default, place, where)


def _type_of(default: Json) -> str:
    """The type a default implies, so that `--var n=3` is a number where the default is one."""
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, int | float):
        return "number"
    return next((name for name, types in TYPES.items() if isinstance(default, types)), "")


class Resolver:
    """Fills variables and the environment into documents. `problems` are all that were met on the way."""

    def __init__(self, variables: Mapping[str, Variable], inputs: Inputs, kinds: Mapping[str, Sequence[str]]) -> None:
        self.problems: list[Problem] = []
        self._variables = variables
        self._environment = inputs.environment
        self._kinds = kinds
        self._values = self._given(inputs)
        self._texts: dict[str, str | Template] = {}  # as they were parsed: many stand in many objects
        self._document: Document
        self._path: list[str | int] = []

    def resolve(self, document: Document) -> Value:
        """The document's value with variables and environment filled in; other references stay as templates."""
        value = document.value
        if not isinstance(value, Mapping):
            return value
        self._document = document
        return {name: self._section(name, section) for name, section in value.items()}

    def _section(self, name: str, section: Json) -> Value:
        if name in _UNTOUCHED:
            return section
        self._path = [name]
        return self._resolved(section)

    def _resolved(self, value: Json) -> Value:
        """`value` with all of it filled in; itself where there is nothing to fill in."""
        if isinstance(value, str):
            return self._text(value) if "${" in value else value
        if isinstance(value, SCALARS):
            return value
        changed: dict[str | int, Value] = {}
        path = self._path
        for step, member in members(value):
            if isinstance(member, str):
                if "${" not in member:
                    continue
            elif isinstance(member, SCALARS):
                continue
            path.append(step)
            resolved = self._resolved(member)
            if resolved is not member:
                changed[step] = resolved
            path.pop()
        if isinstance(value, dict | Mapping):
            filled = {key: changed.get(key, member) for key, member in value.items()} if changed else value
            return self._named(filled) if "${" in "\n".join(value) else filled
        return [changed.get(index, item) for index, item in enumerate(value)] if changed else value

    def _named(self, filled: Mapping[str, Value]) -> Value:
        """The members by their keys without escapes."""
        named: dict[str, Value] = {}
        for key, member in filled.items():
            self._path.append(key)
            name = self._key(key) if "${" in key else key
            if name is not None:
                named[name] = member
            self._path.pop()
        return named

    def _key(self, key: str) -> str | None:
        """The key without escapes; None when it holds references, which keys may not."""
        place = self._document.position(tuple(self._path))
        try:
            parsed = parse_text(key, self._kinds)
        except TemplateError as error:
            for fault in error.faults:
                self._report("bad-reference", fault.message, place, fault.hint)
            return None
        if isinstance(parsed, Template):
            self._report("bad-reference", "a reference in a key", place, "references stand in values only")
            return None
        return parsed

    def _text(self, text: str) -> Value:
        parsed = self._parsed(text)
        if isinstance(parsed, str):
            return parsed
        if self._path[0] == "variables" and parsed is not _UNKNOWN:
            hint = "give the value with --var, or use the reference where the variable is used"
            self._report(
                "bad-reference", "a variable's default is plain", self._reference_place(parsed.references[0]), hint
            )
            return text
        outside = any(one.namespace in _OUTSIDE for one in parsed.references)
        if not outside or tuple(self._path) == PASSWORD:
            return parsed
        parts = [self._part(part) for part in parsed.parts]
        if len(parts) == 1:
            return parts[0]
        joined: list[str | Reference] = []
        for part, value in zip(parsed.parts, parts, strict=True):
            if isinstance(value, Template):
                joined += value.parts
            elif joined and isinstance(joined[-1], str):
                joined[-1] += self._spelled(part, value)
            else:
                joined.append(self._spelled(part, value))
        if len(joined) == 1 and isinstance(joined[0], str):
            return joined[0]
        return Template(tuple(joined))

    def _parsed(self, text: str) -> str | Template:
        if text in self._texts:
            return self._texts[text]
        try:
            parsed = self._texts[text] = parse_text(text, self._kinds)
            return parsed
        except TemplateError as error:
            for fault in error.faults:
                place = self._document.within(tuple(self._path), fault.offset, fault.length)
                self._report("bad-reference", fault.message, place, fault.hint)
            return _UNKNOWN

    def _part(self, part: str | Reference) -> Value:
        if isinstance(part, str):
            return part
        if part.namespace == "var":
            return self._variable_value(part)
        if part.namespace == "env":
            return self._environment_value(part)
        return Template((part,))

    def _variable_value(self, reference: Reference) -> Value:
        name = reference.name
        if name in self._values:
            return self._values[name]
        variable = self._variables.get(name)
        if variable is None:
            hint = _nearest(name, self._variables) or f"declare it under variables: `{name}:`"
            place = self._reference_place(reference)
            self._report("unknown-variable", f"no variable is called {name}", place, hint)
        else:
            hint = f"give it with --var {name}=..., or a default"
            self._report(
                "unknown-variable", f"the variable {name} has no value", variable.position, hint, f"var.{name}"
            )
        return _UNKNOWN

    def _environment_value(self, reference: Reference) -> Value:
        if reference.name in self._environment:
            return self._environment[reference.name]
        place = self._reference_place(reference)
        hint = _nearest(reference.name, self._environment) or "set it"
        self._report("unset-environment", f"the environment variable {reference.name} is not set", place, hint)
        return _UNKNOWN

    def _spelled(self, part: str | Reference, value: Value) -> str:
        """`value` as a piece of a longer text."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return spelled(value)
        if isinstance(part, Reference) and value is not None:
            place = self._reference_place(part)
            self._report(
                "wrong-type", "a list or a mapping inside a text", place, "let the reference be the whole value"
            )
        return ""

    def _reference_place(self, reference: Reference) -> Position:
        return self._document.within(tuple(self._path), reference.offset, reference.length)

    def _report(self, code: str, message: str, place: Position | None, hint: str, address: str = "") -> None:
        self.problems.append(Problem(code, message, place, address or address_of(self._path), hint))

    def _given(self, inputs: Inputs) -> dict[str, Json]:
        """The values of all variables that have one: given, from the environment, by default, in this order."""
        for name in inputs.variables:
            if name not in self._variables:
                hint = _nearest(name, self._variables) or "declare it under variables"
                self._report("unknown-variable", f"no variable is called {name}", None, hint, f"var.{name}")
        values: dict[str, Json] = {}
        for name, variable in self._variables.items():
            if name in inputs.variables:
                values[name] = self._typed(variable, inputs.variables[name])
            elif PREFIX + name in inputs.environment:
                values[name] = self._typed(variable, inputs.environment[PREFIX + name])
            elif variable.default is not None:
                default = variable.default
                if not _is(default, variable.type):
                    self._wrong_type(variable, variable.default_position)
                values[name] = self._unescaped(default)
        return values

    def _unescaped(self, default: Json) -> Json:
        if not isinstance(default, str):
            return default
        try:
            parsed = parse_text(default, self._kinds)
        except TemplateError:
            return default
        return parsed if isinstance(parsed, str) else default

    def _typed(self, variable: Variable, value: Json) -> Json:
        if isinstance(value, str) and variable.type not in ("", "string"):
            try:
                value = parse_document(Source(f"--var {variable.name}", value)).value
            except ReconcilerError:
                value = None
        if not _is(value, variable.type):
            self._wrong_type(variable, None)
        return value

    def _wrong_type(self, variable: Variable, place: Position | None) -> None:
        message = f"the value of the variable {variable.name} is not of its type, {variable.type}"
        self._report("wrong-type", message, place, _TYPE_HINTS[variable.type], f"var.{variable.name}")


def address_of(path: Iterable[str | int]) -> str:
    """A path as people write it: `connectors.x.actions[0].url`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shortened(step)}" for step in path)
    return text.removeprefix(".")


def _is(value: Json, kind: str) -> bool:
    if not kind:
        return True
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _nearest(name: str, names: Iterable[str]) -> str:
    found = get_close_matches(name, list(names), 1)
    return f"did you mean {found[0]}?" if found else ""
