"""The one comparison, case by case."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pytest

from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences, dotted, replacement
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.schema import Schema
from tests.support.bench import kinds

SECRET = Template((Reference("secret", "key"),))
UNKNOWN = Template((Reference("connectors", "c", "id"),))
ROLE = kinds()["iam_roles"].schema
CONNECTOR = kinds()["connectors"].schema
MODEL = kinds()["models"].schema
MAPPING = kinds()["role_mappings"].schema
USER = kinds()["internal_users"].schema
SETTINGS = kinds()["cluster_settings"].schema
NUMBER = "plugins.ml_commons.native_memory_threshold"
ON_ML_NODE = "plugins.ml_commons.only_run_on_ml_node"
Case: TypeAlias = tuple[Any, ...]


def found(schema: Schema, desired: Mapping[str, Value], live: Mapping[str, Json], **rest: Any) -> list[tuple[Any, ...]]:
    ignore: Sequence[str] = rest.pop("ignore", ())
    changes = differences(schema, Versions(desired, live, **rest), ignore)
    return [(dotted(change.path), change.before, change.after) for change in changes]


SAME: list[Case] = [
    ("numbers as text", CONNECTOR, {"version": 1}, {"version": "1"}),
    ("parameters as text", CONNECTOR, {"parameters": {"a": 0, "b": True}}, {"parameters": {"a": "0", "b": "true"}}),
    ("a structure as text", CONNECTOR, {"parameters": {"a": [1, {"b": 2}]}}, {"parameters": {"a": '[1,{"b":2}]'}}),
    ("case", CONNECTOR, {"actions": [{"action_type": "predict"}]}, {"actions": [{"action_type": "PREDICT"}]}),
    ("a default that is not said", CONNECTOR, {"description": ""}, {}),
    ("a field nobody stated", CONNECTOR, {}, {"description": "theirs"}),
    ("members nobody stated", CONNECTOR, {"client_config": {}}, {"client_config": {"max_retry_times": 1}}),
    ("local fields", CONNECTOR, {"sign_as": "arn"}, {}),
    ("a set in another order", ROLE, {"managed_policy_arns": ["a", "b"]}, {"managed_policy_arns": ["b", "a"]}),
    ("tags of others", ROLE, {"tags": {"a": "x"}}, {"tags": {"a": "x", "b": "y"}}),
    ("a tag's key in another case", ROLE, {"tags": {"Team": "x"}}, {"tags": {"team": "x"}}),
    ("members of others", MAPPING, {"users": ["a"]}, {"users": ["b", "a", "a"]}),
    ("a boolean as text", SETTINGS, {ON_ML_NODE: False}, {ON_ML_NODE: "false"}),
    ("the state asked for", MODEL, {}, {"model_state": "DEPLOYED", "is_enabled": True}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "desired", "live"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_no_difference(schema: Schema, desired: Mapping[str, Value], live: Mapping[str, Json]) -> None:
    assert found(schema, desired, live) == []


OTHER: list[Case] = [
    ("a value", CONNECTOR, {"description": "a"}, {"description": "b"}, [("description", "b", "a")]),
    ("a value not there", CONNECTOR, {"description": "a"}, {}, [("description", "", "a")]),
    ("a key too many", CONNECTOR, {"parameters": {}}, {"parameters": {"a": "1"}}, [("parameters.a", "1", None)]),
    ("inside a list", CONNECTOR, {"actions": [{"url": "b"}]}, {"actions": [{"url": "a"}]},
     [("actions[0].url", "a", "b")]),
    ("what is not known yet", MODEL, {"connector_id": UNKNOWN}, {"connector_id": "x", "model_state": "DEPLOYED"},
     [("connector_id", "x", UNKNOWN)]),
    ("an exclusive field", ROLE, {}, {"managed_policy_arns": ["a"]}, [("managed_policy_arns", "a", None)]),
    ("a boundary put on", ROLE, {}, {"permissions_boundary": "arn"}, [("permissions_boundary", "arn", None)]),
    ("a tag", ROLE, {"tags": {"a": "x"}}, {"tags": {"A": "y"}}, [("tags.a", "y", "x")]),
    ("a member not there", MAPPING, {"users": ["a"]}, {"users": ["b"]}, [("users", None, "a")]),
    ("an exclusive list", MAPPING, {"users": ["a"], "membership": "exclusive"}, {"users": ["b"]},
     [("users", "b", None), ("users", None, "a")]),
    ("a member not known yet", MAPPING, {"users": [UNKNOWN]}, {"users": []}, [("users", None, UNKNOWN)]),
    ("an undeployed model", MODEL, {}, {"model_state": "UNDEPLOYED"}, [("model_state", "UNDEPLOYED", "DEPLOYED")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "desired", "live", "expected"), [case[1:] for case in OTHER], ids=[case[0] for case in OTHER]
)
def test_a_difference(
    schema: Schema, desired: Mapping[str, Value], live: Mapping[str, Json], expected: list[tuple[Any, ...]]
) -> None:
    assert found(schema, desired, live) == expected


def test_what_was_applied_and_is_stated_no_longer_is_to_be_what_absence_means() -> None:
    live: Mapping[str, Json] = {"description": "ours", "parameters": {"a": "1"}}
    assert found(CONNECTOR, {}, live, applied={"description": "ours"}) == [("description", "ours", "")]
    assert found(CONNECTOR, {}, live, applied={"parameters": {"a": 1}}) == [("parameters.a", "1", None)]
    assert found(ROLE, {}, {"tags": {"a": "x", "b": "y"}}, applied={"tags": {"a": "x"}}) == [("tags.a", "x", None)]


def test_members_go_unless_they_were_there_before_or_others_count_on_them() -> None:
    live: Mapping[str, Json] = {"users": ["before", "ours", "shared", "theirs"]}
    applied: Mapping[str, Json] = {"users": ["before", "ours", "shared"]}
    rest: dict[str, Any] = {
        "applied": applied,
        "prior": {"users": ["before"]},
        "others": {"users": frozenset({"shared"})},
    }
    assert found(MAPPING, {}, live, **rest) == [("users", "ours", None)]
    assert found(MAPPING, {"users": ["ours"]}, live, **rest) == []


def test_a_shared_scalar_goes_back_only_if_it_is_as_we_left_it() -> None:
    rest: dict[str, Any] = {"applied": {NUMBER: 80}, "prior": {NUMBER: "70"}}
    assert found(SETTINGS, {}, {NUMBER: "80"}, **rest) == [(NUMBER, "80", "70")]
    assert found(SETTINGS, {}, {NUMBER: "60"}, **rest) == []


def test_what_the_service_never_shows_is_compared_with_what_was_sent() -> None:
    desired: Mapping[str, Value] = {"credential": {"key": SECRET, "id": "plain"}}
    sent = {"credential": {"key": "${secret.key}", "id": "plain"}}
    assert found(CONNECTOR, desired, {}, applied=sent) == []
    assert found(CONNECTOR, desired, {}, applied=sent, rotated=frozenset({"key"})) == [
        ("credential.key", "${secret.key}", "${secret.key}")
    ]
    assert found(CONNECTOR, desired, {}, applied={"credential": {"key": "${secret.old}", "more": "x"}}) == [
        ("credential.key", "${secret.old}", "${secret.key}"),
        ("credential.id", None, "plain"),
        ("credential.more", "x", None),
    ]
    # Nothing is known of what was sent before there was a row.
    assert found(CONNECTOR, desired, {}) == [("credential", None, {"key": "${secret.key}", "id": "plain"})]


def test_what_is_never_shown_and_has_no_members_is_compared_as_a_whole() -> None:
    desired: Mapping[str, Value] = {"password": SECRET}
    sent = {"password": "${secret.key}"}
    assert found(USER, desired, {}, applied=sent) == []
    again = [("password", "${secret.key}", "${secret.key}")]
    assert found(USER, desired, {}, applied=sent, rotated=frozenset({"key"})) == again
    changed = found(USER, desired, {}, applied={"password": "${secret.old}"})
    assert changed == [("password", "${secret.old}", "${secret.key}")]
    assert found(USER, desired, {}, applied={"backend_roles": []}) == [("password", None, "${secret.key}")]
    assert found(USER, desired, {}) == [("password", None, "${secret.key}")]


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ((), ["description", "tags.a", "tags.b"]),
        (("tags",), ["description"]),
        (("tags.*",), ["description"]),
        (("tags.b", "description"), ["tags.a"]),
        (("*",), []),
    ],
)
def test_ignored_paths(ignore: Sequence[str], left: list[str]) -> None:
    desired: Mapping[str, Value] = {"description": "x", "tags": {"a": "x", "b": "x"}}
    assert [path for path, _, _ in found(ROLE, desired, {}, ignore=ignore)] == left


def test_differences_come_in_the_schemas_order() -> None:
    desired: Mapping[str, Value] = {"parameters": {"z": 1, "a": 1}, "description": "x", "version": 2}
    assert [path for path, _, _ in found(CONNECTOR, desired, {})] == [
        "description",
        "version",
        "parameters.z",
        "parameters.a",
    ]


@pytest.mark.parametrize(
    ("schema", "desired", "live", "applied", "why"),
    [
        (CONNECTOR, {"protocol": "http"}, {"protocol": "aws_sigv4"}, None, "protocol can not be changed"),
        (CONNECTOR, {"parameters": {}}, {"parameters": {"a": "1"}}, None, "can not remove keys from parameters"),
        (CONNECTOR, {}, {"client_config": {}}, {"client_config": {"read_timeout": 1}}, "client_config can not be"),
        (MODEL, {}, {"rate_limiter": {"limit": "1"}}, {"rate_limiter": {}}, "rate_limiter can not be unset"),
        (CONNECTOR, {"parameters": {"a": 2}}, {"parameters": {"a": "1"}}, None, ""),
        (CONNECTOR, {}, {"description": "x"}, {"description": "x"}, ""),
        (MAPPING, {}, {"description": "x"}, {"description": "x"}, ""),
    ],
)  # fmt: skip
def test_what_needs_a_new_object(
    schema: Schema, desired: Mapping[str, Value], live: Mapping[str, Json], applied: Mapping[str, Json], why: str
) -> None:
    live = {"model_state": "DEPLOYED", **live} if schema is MODEL else live
    changes = differences(schema, Versions(desired, live, applied))
    assert changes != ()
    found_why = replacement(schema, changes, desired)
    assert why in found_why if why else found_why == ""
