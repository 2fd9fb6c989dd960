"""What the real node, and the account, say back of any valid object compares equal to it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences
from reconciler.model.kind import Kind, Place, Work
from reconciler.model.objects import Address, Live, Row, Sought
from reconciler.model.request import Answer, Request, Service
from reconciler.model.steps import Call, Pause, Reply, Steps
from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.support.bench import kinds

T = TypeVar("T")
PLACE = Place(version="2.19.4")
Fields: TypeAlias = Mapping[str, Json]


def _told_apart(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Statements whose names are not the same."""
    return [{**one, "Sid": f"S{number}"} if "Sid" in one else one for number, one in enumerate(statements)]


def objects(names: st.SearchStrategy[str], fields: st.SearchStrategy[Any], most: int = 6) -> st.SearchStrategy[Any]:
    """Some objects by name, each as it is made and as it is changed."""
    return st.dictionaries(names, st.tuples(fields, fields), min_size=1, max_size=most)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)
some = st.lists(words, max_size=3)
names = st.text("abcXYZ0189 -_.*/~%ü", min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "~0" not in name and "~1" not in name
)
in_paths = names.filter(lambda name: "*" not in name and name not in (".", ".."))
indices = st.fixed_dictionaries(
    {"index_patterns": st.lists(words, min_size=1, max_size=3), "allowed_actions": some},
    optional={"dls": st.sampled_from(["", '{ "term": { "a": "ü" } }']), "fls": some, "masked_fields": some},
)
tenants = st.fixed_dictionaries({"tenant_patterns": st.lists(words, min_size=1, max_size=3), "allowed_actions": some})
roles = st.fixed_dictionaries(
    {},
    optional={
        "cluster_permissions": some,
        "index_permissions": st.lists(indices, max_size=3),
        "tenant_permissions": st.lists(tenants, max_size=3),
        "description": st.one_of(st.just(""), words),
    },
)


users = st.fixed_dictionaries(
    {"password": st.sampled_from(["correct horse battery staple nine", "Aa1-nobody-Guesses-ü-this"])},
    optional={
        "backend_roles": some,
        "opendistro_security_roles": st.lists(st.sampled_from(["readall", "ml_read_access"]), max_size=3),
        "attributes": st.dictionaries(words, st.text("ab ü", max_size=3), max_size=3),
        "description": st.one_of(st.just(""), words),
    },
)
groups = st.fixed_dictionaries(
    {"allowed_actions": some},
    optional={"type": st.sampled_from(["cluster", "index"]), "description": st.one_of(st.just(""), words)},
)
tenants_of_dashboards = st.fixed_dictionaries({}, optional={"description": st.one_of(st.just(""), words)})
searching: st.SearchStrategy[Any] = st.one_of(
    st.just({"filter_query": {"query": {"match_all": {}}}}),
    st.fixed_dictionaries(
        {"filter_query": st.fixed_dictionaries({"tag": words, "query": st.just({"term": {"a": 1}})})}
    ),
    st.builds(lambda text: {"script": {"source": f"String s = '{text}'; int i = 1 + 2"}}, st.sampled_from("abü")),
)
finding = st.builds(lambda a, b: {"rename_field": {"field": a, "target_field": b}}, words, words)
pipelines = st.fixed_dictionaries(
    {},
    optional={
        "description": st.one_of(st.just(""), words),
        "version": st.one_of(st.integers(0, 2**31 - 1), st.sampled_from(["1", "2"])),
        "request_processors": st.lists(searching, max_size=3),
        "response_processors": st.lists(finding, max_size=3),
    },
)
value = st.one_of(st.booleans(), st.integers(-(2**31), 2**31), st.floats(-9, 9), words)
processors = st.lists(
    st.one_of(
        st.fixed_dictionaries({"set": st.fixed_dictionaries({"field": st.just("a"), "value": value})}),
        st.fixed_dictionaries({"trim": st.fixed_dictionaries({"field": st.just("a")}, optional={"tag": words})}),
        st.fixed_dictionaries(
            {"set": st.just({"field": "b", "value": 1, "if": "ctx.a == 'ü'", "on_failure": [{"drop": {}}]})}
        ),
    ),
    max_size=3,
)
ingesting = st.fixed_dictionaries(
    {"processors": processors},
    optional={
        "description": st.one_of(st.just(""), words),
        "version": st.one_of(st.integers(0, 2**31 - 1), st.sampled_from(["1", "2"])),
        "on_failure": processors,
    },
)
settings_of_indices = st.fixed_dictionaries(
    {},
    optional={
        "number_of_shards": st.sampled_from([1, "2"]),
        "index.number_of_replicas": st.sampled_from(["0", 1]),
        "index": st.fixed_dictionaries({"refresh_interval": st.just("5s")}, optional={"hidden": st.booleans()}),
        "analysis": st.just({"analyzer": {"a": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}}),
        "query.default_field": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
    },
)
field = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text")}, optional={"analyzer": st.just("standard"), "index": st.booleans()}
    ),
    st.fixed_dictionaries({"type": st.just("keyword")}, optional={"ignore_above": st.integers(1, 99)}),
    st.just({"properties": {"x": {"type": "long"}}}),
)
mappings = st.fixed_dictionaries(
    {},
    optional={
        "properties": st.dictionaries(st.sampled_from(["a", "b", "ü"]), field, max_size=3),
        "dynamic": st.sampled_from(["strict", "true", "false"]),
        "_source": st.fixed_dictionaries({"enabled": st.booleans()}),
        "_meta": st.dictionaries(words, words, max_size=2),
    },
)
alias = st.fixed_dictionaries(
    {},
    optional={
        "filter": st.just({"term": {"a": "ü"}}),
        "index_routing": st.just("1"),
        "search_routing": st.just("1,2"),
        "is_write_index": st.booleans(),
        "is_hidden": st.booleans(),
    },
)
shapes = st.fixed_dictionaries(
    {"index_patterns": st.lists(st.sampled_from(["aa-*", "bb-*", "ü*"]), min_size=1, max_size=3)},
    optional={
        "template": st.fixed_dictionaries(
            {},
            optional={
                "settings": settings_of_indices,
                "mappings": mappings,
                "aliases": st.dictionaries(st.sampled_from(["x", "y", "ü"]), alias, max_size=2),
            },
        ),
        "composed_of": st.just([]),
        "priority": st.integers(0, 99),
        "version": st.integers(0, 2**31),
        "_meta": st.dictionaries(words, st.one_of(words, st.integers(), st.booleans()), max_size=2),
    },
)
text_field = st.fixed_dictionaries(
    {"type": st.just("text")},
    optional={
        "analyzer": st.sampled_from(["standard", "simple", "default"]),
        "index": st.sampled_from([True, "true"]),
        "norms": st.booleans(),
        "store": st.booleans(),
        "similarity": st.just("BM25"),
        "index_options": st.sampled_from(["positions", "docs"]),
    },
)
other_field: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("keyword")},
        optional={
            "index": st.booleans(),
            "doc_values": st.booleans(),
            "norms": st.booleans(),
            "null_value": st.just("x"),
        },
    ),
    st.fixed_dictionaries({"type": st.just("long")}, optional={"index": st.sampled_from([True, "false"])}),
    st.sampled_from(
        [
            {"type": "date"},
            {"type": "date", "format": "yyyy||epoch_millis", "locale": "en"},
            {"type": "boolean", "null_value": False},
            {"type": "scaled_float", "scaling_factor": 100},
            {"type": "geo_point", "index": True},
            {"type": "wildcard", "doc_values": False},
            {"type": "binary", "doc_values": False},
            {"type": "search_as_you_type", "max_shingle_size": 3},
            {"type": "flat_object"},
            {"type": "object", "enabled": False},
            {"type": "nested", "include_in_root": False, "properties": {"properties": {"type": "ip"}}},
            {"type": "integer_range", "coerce": True},
            {"properties": {"fields": {"type": "integer"}}},
        ]
    ),
)
varying: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "text": st.fixed_dictionaries(
        {},
        optional={
            "search_analyzer": st.sampled_from(["simple", "standard", "default"]),
            "search_quote_analyzer": st.sampled_from(["simple", "standard"]),
            "boost": st.sampled_from([1, 2, "1.5"]),
            "fielddata": st.sampled_from([False, True]),
            "copy_to": st.sampled_from(["z", ["z"]]),
            "meta": st.just({"unit": "ü"}),
        },
    ),
    "keyword": st.fixed_dictionaries(
        {},
        optional={
            "ignore_above": st.sampled_from(["7", 9, 2147483647]),
            "split_queries_on_whitespace": st.booleans(),
            "eager_global_ordinals": st.booleans(),
        },
    ),
    "long": st.fixed_dictionaries({}, optional={"coerce": st.booleans(), "ignore_malformed": st.booleans()}),
    "geo_point": st.fixed_dictionaries({}, optional={"ignore_malformed": st.booleans()}),
}
around: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "dynamic": st.sampled_from([True, "false", "strict"]),
        "date_detection": st.booleans(),
        "numeric_detection": st.booleans(),
        "_meta": st.dictionaries(st.sampled_from("abc"), st.one_of(words, st.integers()), max_size=2),
        "dynamic_templates": st.lists(
            st.just({"x": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 5}}}),
            max_size=1,
        ),
    },
)
lasting: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "number_of_shards": st.sampled_from([1, "2"]),
        "analysis": st.just({"analyzer": {"a": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}}),
        "index": st.just({"codec": "best_compression"}),
        "sort": st.just({"field": ["z"], "order": ["desc"]}),
    },
)
passing: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "index.number_of_replicas": st.sampled_from(["0", 1]),
        "refresh_interval": st.sampled_from(["5s", "-1"]),
        "hidden": st.booleans(),
        "query.default_field": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
        "search": st.just({"slowlog": {"threshold": {"query": {"warn": "10s"}}}}),
    },
)


@st.composite
def indices_with_what_becomes_of_them(draw: st.DrawFn) -> tuple[Fields, Fields]:
    """An index as it is made and as it is changed: some of it stays, some changes, some is new."""
    stays, old = draw(lasting), draw(st.dictionaries(st.sampled_from("bcd"), st.one_of(text_field, other_field)))
    new = draw(st.dictionaries(st.sampled_from("efg"), st.one_of(text_field, other_field)))

    def made(properties: Mapping[str, Any]) -> Fields:
        varied = {key: {**one, **draw(varying.get(one.get("type"), st.just({})))} for key, one in properties.items()}
        multi = {"fields": {"raw": {"type": "keyword", **draw(varying["keyword"])}}}
        mapped = {**draw(around), "properties": {"z": {"type": "keyword", **multi}, **varied}}
        aliases = draw(st.dictionaries(st.sampled_from(["x", "X", "ü"]), alias, max_size=2))
        return {"settings": {**stays, **draw(passing)}, "mappings": mapped, "aliases": aliases}

    return made(old), made({**old, **new})


texts = st.sampled_from(["a", "two words", "ümlaut ß", "${parameters.x}", '{"a": 1}', "1"])
some_values = st.dictionaries(
    st.sampled_from(["a", "b", "c.d"]), st.one_of(texts, st.integers(), st.booleans()), max_size=3
)
tool = st.fixed_dictionaries(
    {"type": st.just("MLModelTool")},
    optional={
        "description": texts,
        "parameters": some_values,
        "config": some_values,
        "include_output_in_agent_response": st.booleans(),
    },
)
about_agents: dict[str, st.SearchStrategy[Any]] = {
    "description": st.one_of(st.just(""), texts),
    "tools": st.lists(tool, max_size=3).map(lambda tools: [{**one, "name": f"t{n}"} for n, one in enumerate(tools)]),
    "parameters": some_values,
    "app_type": st.sampled_from(["", "rag"]),
    "memory": st.fixed_dictionaries(
        {"type": st.just("conversation_index")}, optional={"window_size": st.integers(0, 9), "session_id": texts}
    ),
}
llm = st.fixed_dictionaries({"model_id": st.sampled_from(["m", "${x}"])}, optional={"parameters": some_values})
agents = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["flow", "conversational_flow"])}, optional=about_agents),
    st.fixed_dictionaries({"type": st.just("conversational"), "llm": llm}, optional=about_agents),
)
listed = st.sampled_from(
    ["s3:GetObject", ["s3:GetObject"], ["s3:PutObject", "s3:GetObject"], ["s3:Get*", "s3:get*"], "*"]
)
statement = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Action": listed,
        "Resource": st.sampled_from(
            ["*", ["*"], "arn:aws:s3:::b/*", ["arn:aws:s3:::b/*", "arn:aws:s3:::a/${aws:username}"]]
        ),
    },
    optional={
        "Sid": st.just("Statement1"),
        "Condition": st.sampled_from(
            [{"Bool": {"aws:SecureTransport": "true"}}, {"Bool": {"aws:SecureTransport": True}}, {}]
        ),
    },
)
statements = st.one_of(statement, st.lists(statement, min_size=1, max_size=3).map(_told_apart))
tags = st.dictionaries(st.sampled_from(["team", "Stage", "a b:c/d=e+f-g@h"]), st.sampled_from(["", "x", "ümlaut"]))
documents = st.fixed_dictionaries(
    {"Version": st.just("2012-10-17"), "Statement": statements}, optional={"Id": st.just("i")}
)


@st.composite
def policies(draw: st.DrawFn) -> tuple[Fields, Fields]:
    """A managed policy as it is made and as it is changed: path and description stay."""
    about = {"path": st.sampled_from(["/", "/a/b/"]), "description": st.sampled_from(["", "about"])}
    stays = draw(st.fixed_dictionaries({}, optional=about))
    made = st.fixed_dictionaries({"policy_document": documents}, optional={"tags": tags})
    return {**stays, **draw(made)}, {**stays, **draw(made)}


members = st.lists(words, max_size=3, unique=True)
read_access = st.sampled_from(["ml_read_access", "alerting_read_access", "reports_read_access"])
mapped = st.fixed_dictionaries(
    {"backend_roles": st.lists(words, min_size=1, max_size=3, unique=True)},
    optional={
        "users": members,
        "hosts": members,
        "and_backend_roles": members,
        "description": st.one_of(st.just(""), words),
    },
)
ML = "plugins.ml_commons."
tuned = st.fixed_dictionaries(
    {},
    optional={
        f"{ML}only_run_on_ml_node": st.booleans(),
        f"{ML}native_memory_threshold": st.one_of(st.integers(0, 100), st.sampled_from(["80", "100"])),
        f"{ML}max_ml_task_per_node": st.integers(0, 10_000),
        f"{ML}rag_pipeline_feature_enabled": st.sampled_from([True, False, "true"]),
        f"{ML}trusted_connector_endpoints_regex": st.lists(
            st.sampled_from([r"^https://a\.test/.*$", r"^https://ü\.test/[^/]+$"]), min_size=1, max_size=2, unique=True
        ),
    },
)
principals = st.sampled_from(
    [
        {"Service": "es.amazonaws.com"},
        {"Service": ["es.amazonaws.com", "ecs-tasks.amazonaws.com"]},
        {"AWS": "arn:aws:iam::123456789012:root"},
        {"AWS": ["123456789012"], "Service": "es.amazonaws.com"},
    ]
)
trusting = st.fixed_dictionaries(
    {
        "Effect": st.just("Allow"),
        "Principal": principals,
        "Action": st.sampled_from(["sts:AssumeRole", ["sts:AssumeRole"]]),  # moto takes no other case
    },
    optional={"Condition": st.just({"StringEquals": {"aws:SourceAccount": ["123456789012"]}})},
)
trusts = st.fixed_dictionaries(
    {"Version": st.just("2012-10-17"), "Statement": st.one_of(trusting, st.lists(trusting, min_size=1, max_size=2))}
)
OF_AWS = "arn:aws:iam::aws:policy/ReadOnlyAccess"
about_roles: dict[str, st.SearchStrategy[Any]] = {
    "description": st.sampled_from(["", "about", "a\tb"]),
    "max_session_duration": st.sampled_from([3600, 7200]),
    "permissions_boundary": st.just(OF_AWS),
    "inline_policies": st.dictionaries(st.sampled_from(["a", "b+=,.@-_"]), documents, max_size=2),
    "managed_policy_arns": st.lists(st.just(OF_AWS), max_size=1),
    "tags": tags,
}


@st.composite
def assumed(draw: st.DrawFn) -> tuple[Fields, Fields]:
    """A role as it is made and as it is changed: the path stays."""
    stays = draw(st.fixed_dictionaries({}, optional={"path": st.sampled_from(["/", "/a/b/"])}))
    made: st.SearchStrategy[Any] = st.fixed_dictionaries({"assume_role_policy_document": trusts}, optional=about_roles)
    return {**stays, **draw(made)}, {**stays, **draw(made)}


one_action = st.fixed_dictionaries(
    {
        "action_type": st.sampled_from(["predict", "PREDICT", "execute"]),
        "method": st.sampled_from(["POST", "post"]),
        "url": st.sampled_from(["https://api.openai.com/v1/chat", "https://api.openai.com/${parameters.a}"]),
    },
    optional={
        "headers": st.just({"Authorization": "Bearer ${credential.key}"}),
        "request_body": texts,
        "pre_process_function": st.just("connector.pre_process.openai.embedding"),
        "post_process_function": st.just("connector.post_process.openai.embedding"),
    },
)
connecting = st.fixed_dictionaries(
    {
        "protocol": st.just("http"),
        "credential": st.just({"key": "nobody's"}),
        "parameters": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", 1, 0.5, True, "ü"])).map(
            lambda found: {"a": "x", **found}
        ),
        "actions": st.lists(one_action, min_size=1, max_size=1),
    },
    optional={
        "description": st.one_of(st.just(""), texts),
        "version": st.sampled_from([1, "2"]),
        "client_config": st.fixed_dictionaries({}, optional={"max_connection": st.integers(1, 60)}),
    },
)
grouping = st.fixed_dictionaries({"description": texts})  # which can not be emptied
modelling = st.fixed_dictionaries(
    {},
    optional={
        "description": st.one_of(st.just(""), texts),
        "is_enabled": st.booleans(),
        "rate_limiter": st.fixed_dictionaries({"limit": st.sampled_from([5, "7"]), "unit": st.just("MINUTES")}),
        "model_state": st.sampled_from(["DEPLOYED", "UNDEPLOYED"]),
    },
)
secrets = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["", "about", "ümlaut"]),
        "kms_key_id": st.sampled_from(["alias/aws/secretsmanager", "alias/own"]),
        "secret_string": st.sampled_from(["one", '{"a": "two"}']),
        "tags": tags,
    },
)
numbered = st.integers(0, 99).map("shape-{}".format)
OBJECTS: Mapping[str, st.SearchStrategy[Any]] = {
    "security_roles": objects(names, roles),
    # A short name is likely to be in the password, which the service refuses.
    "tenants": objects(names, tenants_of_dashboards),
    "search_pipelines": objects(in_paths, pipelines),
    "ingest_pipelines": objects(in_paths, ingesting),
    # No two that match the same names may have the same priority.
    "index_templates": objects(numbered, shapes, most=1),
    "indices": st.dictionaries(
        st.sampled_from(["i", "ü-1", "a.b", "x+%y"]), indices_with_what_becomes_of_them(), min_size=1, max_size=1
    ),
    "role_mappings": objects(
        st.sampled_from(["ml_read_access", "alerting_read_access", "reports_read_access"]), mapped, most=2
    ),
    "action_groups": objects(names.map("group {}".format), groups),
    "agents": objects(words, agents, most=3),
    "connectors": objects(words, connecting, most=3),
    "model_groups": objects(words, grouping, most=3),
    "models": objects(words, modelling, most=2),
    "iam_roles": st.dictionaries(st.integers(0, 99).map("role-{}".format), assumed(), min_size=1, max_size=2),
    "iam_policies": st.dictionaries(st.integers(0, 99).map("policy-{}".format), policies(), min_size=1, max_size=2),
    "secretsmanager_secrets": objects(st.sampled_from(["a", "b/c-123456", "x_+=.@-"]), secrets, most=2),
    "internal_users": objects(names.filter(lambda name: "%" not in name).map("user {}".format), users),
}


SEEN = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # what an example that failed has left would be in a smaller one's way
)
REMADE = frozenset({"connectors"})
"""Kinds that are not changed but made anew: the service takes no key of a connector's parameters away."""


@pytest.fixture(scope="module", autouse=True)
def _as_it_started(self_managed_sandbox: Bed) -> None:
    """What other files left would be in the way; between these tests nothing is left."""
    lifecycle.reset(self_managed_sandbox.name)


def told(bed: Bed, steps: Steps[T]) -> T:
    """Drive steps with the answers of the node, sent one after the other."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            requests = step.requests if isinstance(step, Call) else ()
            answers = tuple(
                answer(one, bed.ask(one.method, one.path, by=bed.master, content=one.body))
                if one.method
                else called(bed, one)
                for one in requests
            )
            step = steps.send(Reply(answers, time.monotonic()))
    except StopIteration as end:
        result: T = end.value
        return result


def answer(request: Request, response: Any) -> Answer:
    code = str(response.status_code)
    assert response.is_success or code in request.expect, response.text
    return Answer(response.status_code, response.json(), "" if response.is_success else code)


_CLIENTS: dict[tuple[str, Service], Any] = {}


def client(bed: Bed, service: Service) -> Any:
    """A client of the account, which takes a while to make."""
    if (bed.name, service) not in _CLIENTS:
        _CLIENTS[bed.name, service] = bed.aws(str(service))
    return _CLIENTS[bed.name, service]


def called(bed: Bed, request: Request) -> Answer:
    """The answer of a service of the account."""
    try:
        found = getattr(client(bed, request.service), xform_name(request.operation))(**request.parameters)
    except ClientError as error:
        about = error.response["Error"]
        assert about["Code"] in request.expect, about
        return Answer(400, None, about["Code"], about["Message"])
    return Answer(200, json.loads(json.dumps(found, default=str)))


def lives(bed: Bed, kind: Kind, wanted: Mapping[str, Fields]) -> Mapping[str, Live]:
    found = told(bed, kind.read([Sought(name) for name in wanted], Place()))
    live = {one.name: one for one in found.lives}
    assert live.keys() == wanted.keys()
    return live


def differing(bed: Bed, kind: Kind, wanted: Mapping[str, Fields]) -> dict[str, Sequence[object]]:
    """By name, how objects differ from what was written last; what is never shown is as it was sent."""
    live = lives(bed, kind, wanted)
    changes = {
        name: differences(kind.schema, Versions(fields, live[name].fields, fields)) for name, fields in wanted.items()
    }
    return {name: change for name, change in changes.items() if change}


def shown(look: Callable[[], Sized]) -> Sized:
    """What a look finds once it finds nothing, or at the end of the time that searches may take to show a change."""
    began = time.monotonic()
    found = look()
    while found and time.monotonic() - began < _STALE:
        found = look()
    return found


def work(kind: Kind, name: str, fields: Fields, changed: frozenset[str] = frozenset()) -> Work:
    return Work(Address(kind.name, name), name, Place(), fields, changed, Live(name, name, {}), mark="echo/ledger")


def new(kind: Kind, name: str, fields: Fields) -> Work:
    """Work on an object that is not there yet."""
    return replace(work(kind, name, fields), live=None)


_STALE = 15.0
_BENEATH: dict[str, Fields] = {}


def beneath(bed: Bed, kind: str) -> Fields:
    """What all objects of a kind have in common: models their connector and group, which are made once."""
    if kind != "models":
        return {}
    if bed.name not in _BENEATH:
        action = {"action_type": "predict", "method": "POST", "url": "https://api.openai.com/v1/chat"}
        connector: Fields = {"protocol": "http", "credential": {"key": "nobody's"}, "actions": [action]}
        made = [
            told(bed, kinds()[one].create(new(kinds()[one], "beneath", {"name": "beneath", **fields}))).id
            for one, fields in (("connectors", connector), ("model_groups", {}))
        ]
        _BENEATH[bed.name] = {"connector_id": made[0], "model_group_id": made[1]}
    return _BENEATH[bed.name]


@pytest.mark.parametrize("kind", OBJECTS)
@settings(SEEN, max_examples=8)
@given(data=st.data())
def test_an_object_reads_back_as_it_was_written(self_managed_sandbox: Bed, kind: str, data: st.DataObject) -> None:
    bed, steps = self_managed_sandbox, kinds()[kind]
    wanted: Mapping[str, tuple[Fields, Fields]] = data.draw(OBJECTS[kind])
    common = beneath(bed, kind)
    first = {name: {**common, **fields} for name, (fields, _) in wanted.items()}
    second = {name: {**common, **fields} for name, (_, fields) in wanted.items()}
    for name, fields in first.items():
        told(bed, steps.create(new(steps, name, fields)))
    assert shown(lambda: differing(bed, steps, first)) == {}
    there = lives(bed, steps, first)
    for name, fields in second.items():
        row = Row(Address(kind, name), "echo", there[name].id, name, first[name])
        changed = replace(work(steps, name, fields, frozenset({*fields, *first[name]})), live=there[name], row=row)
        if kind in REMADE or steps.remade((), fields, PLACE):
            told(bed, steps.delete(changed))
            told(bed, steps.create(replace(changed, live=None)))
        else:
            told(bed, steps.update(changed))
    assert shown(lambda: differing(bed, steps, second)) == {}
    for name, live in lives(bed, steps, second).items():
        row = Row(Address(kind, name), "echo", live.id, name, {**second[name], "recovery_window_in_days": 0})
        told(bed, steps.delete(replace(work(steps, name, {}), live=live, row=row)))
    left = [Sought(name) for name in wanted]
    assert shown(lambda: told(bed, steps.read(left, Place())).lives) == ()


@settings(SEEN, max_examples=12)
@given(first=tuned, second=tuned)
def test_settings_read_back_as_they_were_written(self_managed_sandbox: Bed, first: Fields, second: Fields) -> None:
    bed, kind, names = self_managed_sandbox, kinds()["cluster_settings"], frozenset({*first, *second})

    def look() -> Live:
        (live,) = told(bed, kind.read([Sought("ml", fields=names)], Place())).lives
        return live

    before = look()
    told(bed, kind.update(work(kind, "ml", first, frozenset(first))))
    assert not differences(kind.schema, Versions(first, look().fields, first))
    row = Row(Address("cluster_settings", "ml"), "echo", "", "ml", first, kind.prior(before, names))
    changed = replace(work(kind, "ml", second, names), row=row)
    told(bed, kind.update(changed))
    assert not differences(kind.schema, Versions(second, look().fields, second))
    told(bed, kind.delete(replace(changed, row=replace(row, applied={**first, **second}))))
    assert look().fields == before.fields


def test_a_user_signs_in_with_the_password_written_last(self_managed_sandbox: Bed) -> None:
    bed, steps = self_managed_sandbox, kinds()["internal_users"]
    first, second = "correct horse battery staple nine", "Aa1-nobody-Guesses-this"

    def known(password: str) -> bool:
        return bed.ask("GET", "/_plugins/_security/authinfo", by=("ann", password)).is_success

    told(bed, steps.create(new(steps, "ann", {"password": first})))
    assert known(first)
    told(bed, steps.update(work(steps, "ann", {"password": first, "description": "new"}, frozenset({"description"}))))
    assert known(first)
    told(bed, steps.update(work(steps, "ann", {"password": second}, frozenset({"password", "description"}))))
    assert (known(first), known(second)) == (False, True)
    told(bed, steps.delete(work(steps, "ann", {})))
    assert not known(second)
