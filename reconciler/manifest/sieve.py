"""What of a manifest needs a closer look: nearly all of it keeps to the schema, which is quick to see.

jsonschema-rs tells whether values keep to the schema, hundreds of times faster than jsonschema, which says in `check`
what is wrong with those that do not. For both of them patterns are Python's.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.manifest.schema import Schemas, assemble
from reconciler.manifest.templates import Template, Value, replaced

_Test: TypeAlias = Callable[[object], bool]

# What stands for templates; nobody can write these texts by chance or on purpose.
_WHOLE = f"whole-{secrets.token_hex(16)}"
_MIXED = f"mixed-{secrets.token_hex(16)}"
_PATTERN = "python-pattern"
_OF_TEXTS = ("enum", "const", "minLength", "maxLength", _PATTERN)
_SCHEMAS_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_SCHEMA = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else", "unevaluatedProperties"}
)
_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})


def doubtful(value: Value, schemas: Schemas) -> Iterator[Value]:
    """What of a document's `value` may break its schema: nothing, or the document without the objects that do not."""
    keeps = _test(schemas)
    plain = replaced(value, _mark)
    if keeps(plain):
        return
    if not isinstance(value, dict) or not isinstance(plain, dict):
        yield value
        return
    part = dict(value)
    for kind in schemas.kinds.keys() & value.keys():
        section, stated = value[kind], plain[kind]
        if isinstance(section, dict) and isinstance(stated, dict):
            part[kind] = {name: one for name, one in section.items() if not keeps({kind: {name: stated[name]}})}
    yield part


@lru_cache(maxsize=8)
def _test(schemas: Schemas) -> _Test:
    """A function that tells whether a document without templates is sure to keep to the schema."""
    from jsonschema_rs import Draft202012Validator

    schema = _adapted(assemble(schemas))
    assert isinstance(schema, dict)
    validator = Draft202012Validator(schema, validate_formats=False, keywords={_PATTERN: _Pattern})

    def valid(value: object) -> bool:
        try:
            return validator.is_valid(value)
        except ValueError:  # no JSON, such as half a surrogate out of the environment
            return False

    return valid


class _Pattern:
    """The keyword `pattern` with Python's regular expressions, which jsonschema has, too."""

    def __init__(self, parent_schema: object, value: str, schema_path: object) -> None:
        self._search = re.compile(value).search

    def validate(self, instance: object) -> None:
        """Raise ValueError when `instance` is a text in which the pattern is not found."""
        if isinstance(instance, str) and self._search(instance) is None:
            raise ValueError


def _adapted(schema: Json) -> Json:
    """`schema` for values in which templates are marked: it asks of them what is known of them, as `check` does."""
    if not isinstance(schema, Mapping):
        return schema
    adapted: dict[str, Json] = {}
    for keyword, stated in schema.items():
        if keyword in _SCHEMAS_BY_NAME and isinstance(stated, Mapping):
            adapted[keyword] = {name: _adapted(one) for name, one in stated.items()}
        elif keyword in _SCHEMAS and isinstance(stated, list):
            adapted[keyword] = [_adapted(one) for one in stated]
        elif keyword in _SCHEMA:
            adapted[keyword] = _adapted(stated)
        else:
            adapted[_PATTERN if keyword == "pattern" else keyword] = stated
    of_texts: dict[str, Json] = {keyword: adapted.pop(keyword) for keyword in _OF_TEXTS if keyword in adapted}
    choices: list[Json] = [{"anyOf": [of_texts, {"enum": [_WHOLE, _MIXED]}]}] if of_texts else []
    types = adapted.get("type", "string")
    if "string" not in (types if isinstance(types, list) else [types]):
        choices.append({"anyOf": [{"type": adapted.pop("type")}, {"const": _WHOLE}]})
    if choices:
        before = adapted.get("allOf", [])
        adapted["allOf"] = [*(before if isinstance(before, list) else []), *choices]
    return adapted


def _mark(template: Template) -> str:
    return _WHOLE if template.whole else _MIXED
