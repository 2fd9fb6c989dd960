"""Reading request bodies as the plugin's streaming JSON parser does: lenient on types, exact in its complaints."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Cause, Refusal, failure

Document: TypeAlias = dict[str, Json]
Path: TypeAlias = tuple[str | int, ...]

_SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]"


def document(value: Json) -> Document:
    """`value` as a new dictionary; empty when it is not an object."""
    return dict(value) if isinstance(value, Mapping) else {}


def listed(value: Json) -> list[Json]:
    """`value` as a new list; empty when it is not an array."""
    return list(value) if isinstance(value, list | tuple) else []


def string(value: Json) -> str:
    """`value` when it is a string, else the empty string."""
    return value if isinstance(value, str) else ""


def strings(value: Json) -> list[str]:
    """The strings in the array `value`."""
    return [item for item in listed(value) if isinstance(item, str)]


def string_map(value: Json) -> dict[str, str]:
    """The string values of the object `value`."""
    return {key: item for key, item in document(value).items() if isinstance(item, str)}


def compact(value: Json) -> str:
    """`value` as JSON without white space, the way the plugin turns non-string parameters into strings."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parameter_map(value: Json) -> dict[str, str]:
    """The members of an object, each as a string; what is not one becomes its JSON text."""
    return {key: item if isinstance(item, str) else compact(item) for key, item in document(value).items()}


def is_container(text: str) -> bool:
    """Whether `text` is a JSON object or array."""
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def token_name(value: Json) -> str:
    """The name of the parser token that `value` begins with."""
    match value:
        case None:
            return "VALUE_NULL"
        case bool():
            return "VALUE_BOOLEAN"
        case int() | float():
            return "VALUE_NUMBER"
        case str():
            return "VALUE_STRING"
        case Mapping():
            return "START_OBJECT"
        case _:
            return "START_ARRAY"


@dataclass(frozen=True, slots=True)
class Part:
    """A value inside a request body, which knows where it stands."""

    body: str
    value: Json
    path: Path = ()

    def members(self) -> Iterator[tuple[str, "Part"]]:
        """The members of an object, in the order they were sent."""
        if not isinstance(self.value, Mapping):
            raise self._unexpected("START_OBJECT")
        for key, item in self.value.items():
            yield key, Part(self.body, item, (*self.path, key))

    def elements(self) -> Iterator["Part"]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            raise self._unexpected("START_ARRAY")
        for index, item in enumerate(self.value):
            yield Part(self.body, item, (*self.path, index))

    def text(self) -> str:
        """A scalar as text; numbers and booleans are accepted."""
        match self.value:
            case str():
                return self.value
            case bool():
                return "true" if self.value else "false"
            case int() | float():
                return compact(self.value)
            case _:
                line, column = self.position()
                reason = f"Can't get text on a {token_name(self.value)} at {line}:{column}"
                raise failure("illegal_state_exception", reason)

    def text_or_none(self) -> str | None:
        """Like `text`, with null allowed."""
        return None if self.value is None else self.text()

    def texts(self) -> list[str]:
        """The elements of an array as texts."""
        return [element.text() for element in self.elements()]

    def text_map(self) -> dict[str, str]:
        """The members of an object as texts."""
        return {key: member.text() for key, member in self.members()}

    def flag(self) -> bool:
        """A boolean, or the strings `true` and `false`."""
        if self.value in (True, "true"):
            return True
        if self.value in (False, "false"):
            return False
        text = self.text()
        raise Refusal(
            400,
            Cause(
                "illegal_argument_exception", f"Failed to parse value [{text}] as only [true] or [false] are allowed."
            ),
        )

    def number(self) -> int:
        """A whole number, or a string that holds one."""
        if isinstance(self.value, float):
            return int(self.value)
        text = self.text()
        try:
            return int(text)
        except ValueError:
            raise failure("number_format_exception", f'For input string: "{text}"', 400) from None

    def position(self) -> tuple[int, int]:
        """Line and column (from 1) where the value begins."""
        import yaml

        try:
            node = yaml.compose(self.body, Loader=yaml.SafeLoader)  # knows places, and reads JSON
        except yaml.YAMLError:
            return 1, 1
        for step in self.path:
            if isinstance(node, yaml.MappingNode):
                node = next(value for key, value in node.value if key.value == step)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
        return (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (1, 1)

    def _unexpected(self, wanted: str) -> Refusal:
        line, column = self.position()
        found = token_name(self.value)
        reason = f"Failed to parse object: expecting token of type [{wanted}] but found [{found}]"
        return Refusal(400, Cause("parsing_exception", reason, {"line": line, "col": column}))


def parse_body(body: bytes) -> Part:
    """A request body that is a JSON object; 400 for anything else."""
    text = body.decode("utf-8", "replace")
    try:
        value: Json = json.loads(text)
    except json.JSONDecodeError as error:
        raise _syntax_refusal(text, error) from None
    part = Part(text, value)
    next(part.members(), None)
    return part


def _syntax_refusal(text: str, error: json.JSONDecodeError) -> Refusal:
    if error.pos >= len(text.rstrip()):
        opened = text.lstrip()[:1]
        kind = "Array" if opened == "[" else "Object"
        start = len(text) - len(text.lstrip()) + 1
        reason = (
            f"Unexpected end-of-input: expected close marker for {kind} (start marker at {_SOURCE.format(1, start)})\n"
            f" at {_SOURCE.format(error.lineno, len(text.rsplit(chr(10), 1)[-1]) + 1)}"
        )
        return failure("json_e_o_f_exception", reason, 400)
    found = text[error.pos]
    place = _SOURCE.format(error.lineno, error.colno)
    reason = f"Unexpected character ('{found}' (code {ord(found)})): {error.msg}\n at {place}"
    return failure("json_parse_exception", reason, 400)
