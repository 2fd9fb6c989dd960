"""The schema as the engine reads it: names, rules and canonical forms."""

from collections.abc import Mapping

import pytest

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Reference, Template
from reconciler.model.schema import Rule, Schema, is_known
from tests.support.bench import kinds

TEMPLATE = Template(("a", Reference("connectors", "c", "id")))


@pytest.mark.parametrize(
    ("kind", "name_field", "server_made", "shared", "in_use", "create_only"),
    [
        ("iam_policies", "policy_name", False, False, False, {"policy_name", "path", "description"}),
        ("indices", "name", False, False, False, {"name"}),
        ("iam_roles", "role_name", False, False, False, {"role_name", "path"}),
        ("cluster_settings", "", False, True, False, set()),
        ("security_roles", "", False, False, False, set()),
        ("action_groups", "", False, False, False, set()),
        ("tenants", "", False, False, False, set()),
        ("search_pipelines", "", False, False, False, set()),
        ("ingest_pipelines", "", False, False, False, set()),
        ("index_templates", "", False, False, False, set()),
        ("internal_users", "", False, False, False, set()),
        ("role_mappings", "", False, True, False, set()),
        ("connectors", "name", True, False, True, {"protocol"}),
        ("model_groups", "name", True, False, False, set()),
        ("models", "name", True, False, False, {"function_name", "model_group_id"}),
    ],
)
def test_identity_and_replacement(
    kind: str, name_field: str, server_made: bool, shared: bool, in_use: bool, create_only: set[str]
) -> None:
    schema = kinds()[kind].schema
    assert (
        schema.name_field,
        schema.server_made_ids,
        schema.shared,
        schema.replaced_in_use,
        set(schema.create_only),
    ) == (
        name_field,
        server_made,
        shared,
        in_use,
        create_only,
    )


def test_what_makes_a_field_be_sent_again_is_local_and_the_field_is_never_shown() -> None:
    assert kinds()["connectors"].schema.versions == {"credential": ("credential_version",)}
    assert kinds()["internal_users"].schema.versions == {"password": ("password_version",)}
    for kind in kinds().values():
        for name, rule in kind.schema.rule.members.items():
            assert not rule.resends or rule.local, name
            assert rule.resends in {"", *kind.schema.write_only}, name


def test_service_names() -> None:
    connectors, mappings = kinds()["connectors"].schema, kinds()["role_mappings"].schema
    assert connectors.service_name("c", {"name": "Connector"}) == "Connector"
    assert connectors.service_name("c", {}) == "c"
    assert mappings.service_name("ml_full_access", {"name": "other"}) == "ml_full_access"


@pytest.mark.parametrize(
    ("rule", "value", "form"),
    [
        ({"compare": "string"}, 5, "5"),
        ({"compare": "string"}, 0.5, "0.5"),
        ({"compare": "string"}, False, "false"),
        ({"compare": "string"}, [1, "ü"], '[1,"ü"]'),
        ({"compare": "string"}, None, None),
        ({"compare": "casefold"}, "PREDICT", "predict"),
        ({"insertionOrder": False}, ["b", "a", "b"], ["a", "b"]),
        ({}, ["b", "a"], ["b", "a"]),
        ({"properties": {"n": {"compare": "string"}}}, {"n": 1, "m": 1}, {"n": "1", "m": 1}),
        ({"patternProperties": {"^x": {"compare": "string"}}}, {"x1": 1, "y1": 1}, {"x1": "1", "y1": 1}),
        ({"additionalProperties": {"compare": "string"}}, {"a": 1}, {"a": "1"}),
        (
            {"compare": "settings"},
            {"index": {"a": {"b": 1}, "c": None}, "d.e": True, "index.f": [1, "x"], "g": {}},
            {"index.a.b": "1", "index.d.e": "true", "index.f": ["1", "x"]},
        ),
        ({"items": {"compare": "casefold"}, "insertionOrder": False}, ["A", "a"], ["a"]),
        ({"properties": {"n": {"default": ""}, "m": {"default": [], "insertionOrder": False}}}, {"n": "", "m": []}, {}),
        ({"properties": {"n": {"default": True, "compare": "string"}}}, {"n": "true"}, {}),
        ({"properties": {"n": {"default": "a"}}}, {"n": "b", "m": "a"}, {"n": "b", "m": "a"}),
    ],
)
def test_canonical_forms(rule: Mapping[str, Json], value: Json, form: Json) -> None:
    assert Rule(rule).canonical(value) == form
    assert Rule(rule).canonical(form) == form


def test_what_is_not_known_stays() -> None:
    assert Rule({"compare": "string"}).canonical(TEMPLATE) == TEMPLATE
    assert not is_known({"a": [TEMPLATE]})
    assert is_known({"a": ["b", 1, None]})


def test_engine_words_of_one_field() -> None:
    schema = Schema(
        "things",
        {
            "properties": {
                "list": {"additive": True, "default": []},
                "map": {"merge": True},
                "mine": {"local": True},
                "whole": {"exclusive": True},
            }
        },
    )
    rules = schema.rule.members
    assert rules["list"].additive
    assert rules["list"].has_default
    assert rules["map"].merge
    assert not rules["map"].has_default
    assert rules["mine"].local
    assert rules["whole"].exclusive
    assert not schema.rule.member("unknown").additive
