"""What the quick validation lets pass has no fault that the thorough one finds; what it holds back has all of them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.manifest.check import thorough
from reconciler.manifest.schema import Schemas, assemble, load_schemas, make_schemas
from reconciler.manifest.sieve import doubtful
from reconciler.manifest.templates import Reference, Template, Value

SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")
META = json.loads((Path(__file__).parents[2] / "schemas" / "meta.schema.json").read_text("utf-8"))
FRAME: Mapping[str, Json] = {"type": ["object", "null"], "properties": {}, "$defs": {"engine": {"properties": {}}}}

WHOLE = Template((Reference("iam_roles", "a", "arn"),))
MIXED = Template(("arn:", Reference("target", "region"), ":x"))
ODD: Sequence[Value] = (
    *(None, True, False, 0, 1, -1, 1.0, 2.5, 1e300, 2**64, -(2**63) - 1, 10**400),
    *(
        "",
        "a",
        "ab\n",
        "\n",
        "\x1c",
        "\x85",
        "\ufeff",
        "\u00e9",
        "\u0663",
        "\U0001f600",
        "\ud800",
        "null",
        "GET",
        "x" * 300,
    ),
    *("https://example.com", "arn:aws:iam::123456789012:role/a", "${parameters.x}", "whole-", "mixed-"),
    *(WHOLE, MIXED, [], {}, [WHOLE], {"a": MIXED}, ["a", "a"], [1, True, 1.0], {"": None}, {"x\n": 1}),
)

KEYWORDS: Sequence[Mapping[str, Json]] = (
    {"type": "string"},
    {"type": "number"},
    {"type": "integer"},
    {"type": "boolean"},
    {"type": "object"},
    {"type": "array"},
    {"type": "null"},
    {"type": ["object", "array"]},
    {"type": ["string", "null"]},
    {"enum": ["a", 1, None, True]},
    {"enum": [["a"], {"a": 1}, False]},
    {"const": "GET"},
    {"const": 1},
    {"const": 0},
    {"pattern": "^[\\w+=,.@-]{1,64}$"},
    {"pattern": "\\S"},
    {"pattern": "^(?![aA][wW][sS]:)[\\w\\s]{1,128}$", "type": "string"},
    {"format": "iam-policy"},
    {"format": "date"},
    {"minLength": 1},
    {"maxLength": 2},
    {"maxLength": 0},
    {"minimum": 1},
    {"maximum": 1.0},
    {"exclusiveMinimum": 0},
    {"exclusiveMaximum": 2**64},
    {"multipleOf": 2},
    {"multipleOf": 3},
    {"items": {"type": "string"}},
    {"items": False, "prefixItems": [{"type": "string"}]},
    {"prefixItems": [{"const": "a"}]},
    {"contains": {"type": "string"}},
    {"minItems": 1},
    {"maxItems": 1},
    {"uniqueItems": True},
    {"required": ["a"]},
    {"properties": {"a": {"type": "string", "maxLength": 3}, "pattern": {"type": "string"}}},
    {"patternProperties": {"^[a-z]+$": {"type": "string"}}, "additionalProperties": False},
    {"additionalProperties": {"type": "integer"}},
    {"propertyNames": {"pattern": "^[a-z]*$", "maxLength": 1}},
    {"minProperties": 1},
    {"maxProperties": 0},
    {"dependentRequired": {"a": ["b"]}},
    {"dependentSchemas": {"a": {"required": ["b"]}}},
    {"allOf": [{"type": "string"}, {"minLength": 1}], "pattern": "a"},
    {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "object"}]},
    {"oneOf": [{"type": "string"}, {"type": ["object", "string"], "minLength": 2}]},
    {"not": {"type": "string"}},
    {"not": {"const": "GET"}},
    {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "object"}},
    {"$ref": "#/properties/other", "properties": {"other": {"type": "string", "pattern": "^a"}}},
)
SAYING_NOTHING = frozenset({"$comment", "title", "description", "examples", "deprecated"})


def schemas_of(field: Mapping[str, Json]) -> Schemas:
    """Schemas of one kind with one field."""
    whole = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"field": field, "other": {"type": "string"}},
    }
    return make_schemas({"things": whole}, {**FRAME, "$defs": {**FRAME["$defs"], "name": {}}})  # type: ignore[dict-item]


def agree(value: Value, schemas: Schemas) -> None:
    """The same faults are found with the sieve and without it."""
    held = [fault for part in doubtful(value, schemas) for fault in faults(part, schemas)]
    assert sorted(held) == sorted(faults(value, schemas))


def faults(value: Value, schemas: Schemas) -> list[str]:
    """The faults that are found, which come in no certain order."""
    return [
        repr((error.absolute_path, error.absolute_schema_path, error.instance))
        for error in thorough(schemas).iter_errors(value)
    ]


def test_every_keyword_that_schemas_may_use_is_tried() -> None:
    known = META["$defs"]["plain"]["properties"].keys() | {"additionalProperties"}
    assert {keyword for schema in KEYWORDS for keyword in schema} == known - SAYING_NOTHING


@pytest.mark.parametrize("keyword", KEYWORDS, ids=json.dumps)
def test_keywords_mean_the_same(keyword: Mapping[str, Json]) -> None:
    schemas = schemas_of(keyword)
    for value in ODD:
        agree({"things": {"one": {"field": value}, "two": {"field": "GET"}, "three": {}}}, schemas)
        agree({"things": {"one": {"field": [value, "b"]}}}, schemas)
        agree({"things": {"one": {"field": {"a": value}}}}, schemas)
    for value in ODD:
        agree({"things": value}, schemas)
        agree(value, schemas)


def test_patterns_of_keys_have_no_class_that_engines_read_differently() -> None:
    found: set[str] = set()

    def gather(schema: Json) -> None:
        if isinstance(schema, Mapping):
            patterns = schema.get("patternProperties")
            found.update(patterns if isinstance(patterns, Mapping) else ())
            for member in schema.values():
                gather(member)
        elif isinstance(schema, list):
            for member in schema:
                gather(member)

    gather(assemble(SCHEMAS))
    assert found
    assert not [pattern for pattern in found if re.search(r"\\[a-zA-Z]|\[\^|\(\?", pattern)]


def valid(schema: Json, definitions: Mapping[str, Json]) -> st.SearchStrategy[Any]:
    """Values that mostly keep to `schema`."""
    if not isinstance(schema, Mapping):
        return st.sampled_from(ODD)
    if "$ref" in schema:
        return valid(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return st.one_of([valid(one, definitions) for one in listed(schema[choice])])
    if "enum" in schema:
        return st.sampled_from(listed(schema["enum"]))
    if "const" in schema:
        return st.just(schema["const"])
    types = schema.get("type", "string")
    names = types if isinstance(types, list) else [types]
    return st.one_of([of_type(str(one), schema, definitions) for one in names])


def of_type(name: str, schema: Mapping[str, Json], definitions: Mapping[str, Json]) -> st.SearchStrategy[Any]:
    match name:
        case "object":
            properties = mapping(schema.get("properties"))
            members = {key: bent(valid(one, definitions)) for key, one in properties.items()}
            required = {key: members.pop(key) for key in listed(schema.get("required")) if key in members}
            stated = st.fixed_dictionaries(required, optional=members)
            others = schema.get("additionalProperties")
            inside = bent(valid(others, definitions)) if isinstance(others, Mapping) else st.sampled_from(ODD)
            patterns = list(mapping(schema.get("patternProperties")))
            names = st.text("ab:-_", min_size=1, max_size=3)
            names = st.one_of(names, *(st.from_regex(pattern) for pattern in patterns))
            more = st.dictionaries(names, inside, max_size=0 if others is False and not patterns else 3)
            return st.builds(lambda a, b: {**a, **b}, stated, more)
        case "array":
            return st.lists(bent(valid(schema.get("items"), definitions)), max_size=3)
        case "integer" | "number":
            return st.sampled_from([0, 1, 3, 100, 3600, 1.0, 60.5])
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    pattern = schema.get("pattern")
    return st.from_regex(pattern) if isinstance(pattern, str) else st.text(max_size=5)


def bent(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Now and then something else, most often a reference."""
    others = {0: st.sampled_from(ODD), 1: st.just(WHOLE), 2: st.just(MIXED)}
    return st.integers(0, 30).flatmap(lambda drawn: others.get(drawn, strategy))


def listed(value: Json) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else []


def mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


WHOLE_SCHEMA = assemble(SCHEMAS)
SECTIONS = {key: valid(one, mapping(WHOLE_SCHEMA["$defs"])) for key, one in mapping(WHOLE_SCHEMA["properties"]).items()}
DOCUMENTS = st.fixed_dictionaries({}, optional={key: bent(section) for key, section in SECTIONS.items()})


@settings(max_examples=300)
@given(value=DOCUMENTS)
def test_the_same_is_found_in_any_document(value: dict[str, Value]) -> None:
    agree(value, SCHEMAS)
