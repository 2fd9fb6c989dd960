"""The parts of the emulated ML Commons that need no node: what the recorded exchanges do not reach."""

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Refusal
from reconciler.sandbox.mlcommons.cluster_settings import flat, nested
from reconciler.sandbox.mlcommons.connector import check_protocol, merged, parse_new_connector
from reconciler.sandbox.mlcommons.filter_path import filtered
from reconciler.sandbox.mlcommons.processing import Input, Painless, post_process, pre_process, with_parameters
from reconciler.sandbox.mlcommons.rate_limit import TokenBucket
from reconciler.sandbox.mlcommons.search import narrowed, source_filter
from reconciler.sandbox.mlcommons.security import Caller, Security
from reconciler.sandbox.mlcommons.settings import check
from reconciler.sandbox.mlcommons.templates import substitute, unfilled
from reconciler.sandbox.mlcommons.values import parse_body

_PAINLESS = Painless(None)  # type: ignore[arg-type]  # no test here gets as far as the node

_CONNECTOR = {
    "name": "c",
    "version": 1,
    "protocol": "http",
    "credential": {"key": "k"},
    "actions": [{"action_type": "predict", "method": "POST", "url": "https://api.deepseek.com/v1"}],
}
_SIGNED = {"service_name": "bedrock", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("a ${parameters.x} b", "a 1 b"),
        ("${parameters.y}", "${parameters.y}"),
        ("${parameters.y:-none}", "none"),
        ("${parameters.x:-none}", "1"),
        ("$${parameters.x}", "${parameters.x}"),
        ("${parameters.nested}", "<1>"),
        ("${credential.x}", "${credential.x}"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert substitute(template, "parameters", {"x": "1", "nested": "<${parameters.x}>"}) == text


def test_a_template_that_holds_itself_is_refused() -> None:
    with pytest.raises(Refusal, match="Infinite loop"):
        substitute("${parameters.a}", "parameters", {"a": "${parameters.b}", "b": "${parameters.a}"})


def test_unfilled_names_what_is_left() -> None:
    assert unfilled('{"a": ${parameters.a}, "b": "${parameters.b}"}') == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("a.b", {"a": {"b": 1}}),
        ("a.*", {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}),
        ("**.d", {"a": {"c": [{"d": 2}]}}),
        ("-a.c", {"a": {"b": 1}, "f": 4}),
        ("a.c.e,f", {"a": {"c": [{"e": 3}]}, "f": 4}),
        ("nothing", {}),
        (None, {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}, "f": 4}),
    ],
)
def test_filter_path(path: str | None, left: Json) -> None:
    assert filtered({"a": {"b": 1, "c": [{"d": 2, "e": 3}]}, "f": 4}, path) == left


_KEYS = st.text("abc", min_size=1, max_size=3)
_TREES = st.recursive(
    st.dictionaries(_KEYS, st.text(max_size=3), min_size=1, max_size=3),
    lambda inner: st.dictionaries(_KEYS, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(_TREES)
def test_settings_flattened_and_nested_again_are_the_same(tree: dict[str, Json]) -> None:
    assert nested(flat(tree)) == tree


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("native_memory_threshold", 101, "must be <= 100"),
        ("ml_task_timeout_in_seconds", 0, "must be >= 1"),
        (
            "max_model_on_node",
            "many",
            "Failed to parse value [many] for setting [plugins.ml_commons.max_model",
        ),
        ("agent_framework_enabled", "yes", "only [true] or [false] are allowed"),
        ("nope", 1, "persistent setting [plugins.ml_commons.nope], not recognized"),
        ("remote_metadata_type", "x", "not dynamically updateable"),
    ],
)
def test_settings_that_are_refused(key: str, value: Json, reason: str) -> None:
    refusal = check("persistent", key, value)
    assert refusal is not None
    assert reason in str(refusal)


@pytest.mark.parametrize("value", [None, 90, "90"])
def test_settings_that_are_taken(value: Json) -> None:
    assert check("persistent", "native_memory_threshold", value) is None


@pytest.mark.parametrize(
    ("flavour", "protocol", "credential", "parameters", "reason"),
    [
        ("aws", "http", {"key": "k"}, {}, "Invalid Arguments empty Role ARN"),
        ("aws", "aws_sigv4", {"access_key": "a", "secret_key": "s"}, _SIGNED, "Invalid Arguments empty Role ARN"),
        ("aws", "aws_sigv4", {"roleArn": "r", "access_key": "a"}, _SIGNED, "Invalid Arguments empty Role ARN"),
        ("aws", "aws_sigv4", {"roleArn": "r"}, {"region": "us-east-1"}, "Missing service name"),
        ("aws", "aws_sigv4", {"roleArn": "r"}, {"service_name": "bedrock"}, "Missing region"),
        ("self-managed", "mcp", {"key": "k"}, {}, "Can't find class for type mcp"),
    ],
)
def test_connectors_that_a_flavour_refuses(
    flavour: str, protocol: str, credential: Json, parameters: Json, reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        check_protocol({"protocol": protocol, "credential": credential, "parameters": parameters}, flavour)


@pytest.mark.parametrize("credential", [{"roleArn": "r"}, {"roleArn": "r", "secretArn": "s"}])
def test_connectors_of_the_managed_service(credential: Json) -> None:
    check_protocol({"protocol": "aws_sigv4", "credential": credential, "parameters": _SIGNED}, "aws")


@pytest.mark.parametrize("missing", ["name", "version", "protocol"])
def test_a_new_connector_needs(missing: str) -> None:
    body = {key: value for key, value in _CONNECTOR.items() if key != missing}
    with pytest.raises(Refusal, match=f"Connector {missing} is null"):
        parse_new_connector(parse_body(json.dumps(body).encode()))


def test_a_new_connector_needs_a_credential() -> None:
    body = {**_CONNECTOR, "credential": {}}
    with pytest.raises(Refusal, match="Connector credential is null or empty list"):
        parse_new_connector(parse_body(json.dumps(body).encode()))


def test_an_update_merges_parameters_and_credentials_and_replaces_the_rest() -> None:
    stored: dict[str, Json] = {
        "name": "c",
        "parameters": {"a": "1"},
        "credential": {"x": "1"},
        "actions": [1],
        "access": "private",
    }
    changes: dict[str, Json] = {"parameters": {"b": "2"}, "credential": {"y": "2"}, "actions": [2]}
    assert merged(stored, changes) == {
        "name": "c",
        "parameters": {"a": "1", "b": "2"},
        "credential": {"x": "1", "y": "2"},
        "actions": [2],
        "access": "private",
    }


@given(st.floats(0.5, 50), st.lists(st.floats(0, 5), max_size=40))
def test_a_bucket_never_lets_more_pass_than_its_size_and_what_flowed_in(limit: float, waits: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(limit, 10, clock=lambda: now)
    passed = 0
    for wait in waits:
        now += wait
        passed += bucket.take()
    assert passed <= max(limit, 1) + now * limit / 10 + 1e-6


def test_a_bucket_of_one_a_minute() -> None:
    now = 0.0
    bucket = TokenBucket(1, 60, clock=lambda: now)
    assert [bucket.take(), bucket.take()] == [True, False]
    now = 61.0
    assert bucket.take()


@pytest.mark.parametrize(
    ("function", "texts", "query", "parameters"),
    [
        ("connector.pre_process.openai.embedding", ["a", "b"], None, {"input": '["a","b"]'}),
        ("connector.pre_process.cohere.embedding", ["a"], None, {"texts": '["a"]'}),
        ("connector.pre_process.bedrock.embedding", ["a"], None, {"inputText": "a"}),
        (
            "connector.pre_process.cohere.rerank",
            ["a", "b"],
            "q",
            {"query": "q", "documents": '["a","b"]', "top_n": "2"},
        ),
    ],
)
def test_built_in_pre_processing(
    function: str, texts: list[str], query: str | None, parameters: Mapping[str, str]
) -> None:
    made = asyncio.run(pre_process(function, Input(texts=texts, query_text=query), _PAINLESS, convert=False))
    assert made == parameters


def _embedding(*numbers: float) -> Json:
    return {"name": "sentence_embedding", "data_type": "FLOAT32", "shape": [len(numbers)], "data": list(numbers)}


@pytest.mark.parametrize(
    ("function", "answer", "tensors"),
    [
        (
            "connector.post_process.openai.embedding",
            {"data": [{"embedding": [1.0, 2.0]}, {"embedding": [3.0]}]},
            [_embedding(1.0, 2.0), _embedding(3.0)],
        ),
        ("connector.post_process.bedrock.embedding", {"embedding": [1.0]}, [_embedding(1.0)]),
        ("connector.post_process.cohere.embedding", {"embeddings": [[1.0]]}, [_embedding(1.0)]),
        ("connector.post_process.default.embedding", [[1.0]], [_embedding(1.0)]),
        (
            "connector.post_process.cohere.rerank",
            {"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}]},
            [
                {"name": "similarity", "data_type": "FLOAT32", "shape": [1], "data": [0.25]},
                {"name": "similarity", "data_type": "FLOAT32", "shape": [1], "data": [0.5]},
            ],
        ),
        (None, {"a": 1, "b": [None, True]}, [{"name": "response", "dataAsMap": {"a": 1.0, "b": [None, True]}}]),
        (None, [1], [{"name": "response", "dataAsMap": {"response": [1.0]}}]),
    ],
)
def test_post_processing_without_a_script(function: str | None, answer: Json, tensors: Json) -> None:
    assert asyncio.run(post_process(function, None, json.dumps(answer), _PAINLESS)) == tensors


def test_a_response_filter_picks_a_part() -> None:
    text = json.dumps({"choices": [{"message": {"content": "hi"}}]})
    assert asyncio.run(post_process(None, "$.choices[0].message.content", text, _PAINLESS)) == [
        {"name": "response", "dataAsMap": {"response": "hi"}}
    ]


def test_parameters_in_a_process_function_are_json_strings() -> None:
    assert with_parameters("return ${parameters.a};", {"a": 'say "hi"'}) == 'return "say \\"hi\\"";'


@pytest.mark.parametrize(
    ("wanted", "excludes"),
    [
        (None, ["credential"]),
        (["name"], ["credential"]),
        ("name", ["credential"]),
        ({"includes": "name", "excludes": ["x"]}, ["x", "credential"]),
    ],
)
def test_a_search_never_shows_what_is_hidden(wanted: Json, excludes: list[str]) -> None:
    made = source_filter(wanted, ["credential"])
    assert isinstance(made, dict)
    assert set(excludes) <= set(made["excludes"])


def test_a_condition_joins_the_filters_of_a_bool_query() -> None:
    condition: Json = {"term": {"access": "public"}}
    assert narrowed({"bool": {"should": [1], "filter": 2}}, condition) == {
        "bool": {"should": [1], "filter": [2, condition]}
    }
    assert narrowed({"match_all": {}}, condition) == {"bool": {"must": [{"match_all": {}}], "filter": [condition]}}
    assert narrowed(None, condition) == condition


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("{", "json_e_o_f_exception", "expected close marker for Object"),
        ('{"a": ,}', "json_parse_exception", "Unexpected character"),
        ("[]", "parsing_exception", "expecting token of type [START_OBJECT] but found [START_ARRAY]"),
    ],
)
def test_bodies_that_are_no_object(body: str, kind: str, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_body(body.encode())
    assert (refused.value.status, refused.value.cause.type) == (400, kind)
    assert reason in str(refused.value)


def test_a_null_where_text_belongs_is_named_with_its_place() -> None:
    with pytest.raises(Refusal, match="Can't get text on a VALUE_NULL at 2:8"):
        parse_new_connector(parse_body(b'{"version": 1,\n"name":null}'))


class _Node:
    """A node that knows one role, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        self.asked.append(f"{method} {path}")
        return 200, {"asks": {"cluster_permissions": ["cluster:admin/opensearch/ml/*"]}}


@pytest.mark.parametrize(
    ("path", "reads"),
    [
        ("/_plugins/_security/api/rolesmapping/asks", 1),
        ("/_plugins/_security/api/internalusers/somebody", 1),
        ("/_plugins/_ml/models/_register", 1),
        ("/_plugins/_security/api/roles", 2),
        ("/_opendistro/_security/api/roles/asks", 2),
        ("/_plugins/_security/api/actiongroups/all", 2),
        ("/_plugins/_security/api/securityconfig/config", 2),
    ],
)
def test_roles_are_read_anew_only_where_they_may_have_changed(path: str, reads: int) -> None:
    node = _Node()
    security = Security(node)
    caller = Caller("somebody", (), ("asks",), None, "somebody")
    for _ in range(2):
        assert asyncio.run(security.permits(caller, "cluster:admin/opensearch/ml/connectors/get"))
        security.expect_change(path)
    assert len(node.asked) == reads
