"""The schema of a whole manifest, and the schema of schemas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.manifest.schema import Schemas, assemble, assemble_for_editors, load_schemas

SCHEMAS = Path(__file__).parents[3] / "schemas"
KINDS = sorted(
    path for path in SCHEMAS.glob("*.schema.json") if path.name not in ("meta.schema.json", "manifest.schema.json")
)
META = json.loads((SCHEMAS / "meta.schema.json").read_text("utf-8"))
TEST_KIND = json.loads((Path(__file__).parent / "kinds" / "connectors.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.name)
def test_every_kind_keeps_to_the_meta_schema(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(META).validate(schema)
    assert schema["$id"] == path.name


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.name)
def test_every_pointer_of_a_kind_leads_to_a_field_or_an_attribute(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    for words in ("writeOnlyProperties", "createOnlyProperties"):
        for pointer in schema.get(words, []):
            assert pointer.split("/")[2] in schema["properties"]


@pytest.mark.parametrize(
    "change",
    [
        {"insertionOrdr": False},
        {"writeOnlyProperties": ["/credential"]},
        {"additionalProperties": True},
        {"properties": {"a": {"type": "text"}}},
        {"properties": {"a": {"compare": "fuzzy"}}},
        {"properties": {"a": {"properties": {"b": {"secret": True}}}}},
        {"properties": {"a": {"items": {"additve": True}}}},
        {"$defs": {"a": {"merge": "yes"}}},
    ],
)
def test_the_meta_schema_refuses_what_it_does_not_know(change: Mapping[str, Any]) -> None:
    assert Draft202012Validator(META).is_valid(TEST_KIND)
    assert not Draft202012Validator(META).is_valid({**TEST_KIND, **change})


def test_the_whole_has_a_section_for_every_kind(schemas: Schemas) -> None:
    whole = dict(assemble(schemas))
    Draft202012Validator.check_schema(whole)
    validator = Draft202012Validator(whole)
    action = {"url": "http://x"}
    assert validator.is_valid({"connectors": {"a": {"protocol": "http", "actions": [action], "adopt": True}}})
    assert not validator.is_valid({"connectors": {"a": {"protocol": "http", "actions": [{**action, "x": 1}]}}})
    assert not validator.is_valid({"connectors": {"a{": {"protocol": "http"}}})
    assert not validator.is_valid({"models": {}})
    assert validator.is_valid({"$schema": "x", "manifest": "m", "connectors": None})


def test_editors_accept_references_where_loading_resolves_them(schemas: Schemas) -> None:
    whole = dict(assemble_for_editors(schemas))
    Draft202012Validator.check_schema(whole)
    validator = Draft202012Validator(whole)
    fields: dict[str, Any] = {
        "protocol": "${var.protocol}",
        "retries": "${var.retries}",
        "actions": ["${var.action}"],
        "sign_as": "${iam_roles.a.arn}",
    }
    assert validator.is_valid({"connectors": {"a": fields}})
    assert not validator.is_valid({"connectors": {"a": {**fields, "retries": "many"}}})
    assert not validator.is_valid({"connectors": {"a": {**fields, "unknown": "${var.x}"}}})


def test_write_only_paths_cover_what_is_inside(schemas: Schemas) -> None:
    assert schemas.is_write_only(("connectors", "a", "credential"))
    assert schemas.is_write_only(("connectors", "a", "credential", "key", 0))
    assert schemas.is_write_only(("connectors", "a", "actions", 3, "headers", "key"))
    assert not schemas.is_write_only(("connectors", "a", "actions", 3, "headers", "other"))
    assert not schemas.is_write_only(("connectors", "a"))
    assert not schemas.is_write_only(("iam_roles", "a", "credential"))


def test_the_projects_own_schemas_load_and_make_a_whole() -> None:
    schemas = load_schemas(SCHEMAS)
    assert set(schemas.kinds) == {path.name.removesuffix(".schema.json") for path in KINDS}
    Draft202012Validator.check_schema(dict(assemble(schemas)))
    Draft202012Validator.check_schema(dict(assemble_for_editors(schemas)))
