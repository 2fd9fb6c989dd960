"""Generated manifests (chains from IAM role to model) and generated worlds with others' objects in them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

from reconciler.canonical.json import Json
from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Sections
from tests.support.domain import DEFAULTS, PREFIX, TRUSTED
from tests.support.refusal import Doc
from tests.support.security import ADMIN, LISTS
from tests.support.world import World

SECRETS = {"key": "correct horse battery staple"}
Fields: TypeAlias = st.SearchStrategy[dict[str, Json]]

words = st.sampled_from(["", "one", "two words", "ümlaut", "${parameters.x}"])
plain = st.sampled_from(["", "one", "two words", "ümlaut"])
"""Descriptions that ML Commons takes in every version."""

flags = st.booleans()


def trust(*principals: str, service: str = "es.amazonaws.com") -> dict[str, Json]:
    """A trust policy for the principals, or for a service where there are none."""
    who: Json = {"AWS": list(principals)} if principals else {"Service": service}
    statement = {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def allow(action: str, resource: str) -> dict[str, Json]:
    """An identity policy of one statement."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


def action(number: int, *, header: str = "") -> dict[str, Json]:
    """A predict action of the endpoint with this number, which chain `number` trusts."""
    headers: dict[str, Json] = {"headers": {"Authorization": header}} if header else {}
    url = f"https://api{number}.test/${{parameters.model}}"
    return {"action_type": "predict", "method": "POST", "url": url, "request_body": "${parameters.inputs}", **headers}


def beside_a_chain(model: str) -> Sections:
    """One object of each kind that a chain does without. A search pipeline asks the model of this address's name."""
    asks = {"retrieval_augmented_generation": {"model_id": f"${{models.{model}.id}}"}}
    return {
        "iam_policies": {
            "asking": {
                "policy_document": {"Statement": {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}},
                "tags": {"team": "x"},
            }
        },
        "secretsmanager_secrets": {
            "kept": {"description": "a secret", "secret_string": "plain", "tags": {"team": "x"}}
        },
        "action_groups": {"ask": {"allowed_actions": ["cluster:admin/opensearch/ml/predict"]}},
        "tenants": {"room": {"description": "a tenant"}},
        "security_roles": {"asks": {"cluster_permissions": ["ask"]}},
        "internal_users": {"ann": {"password": "plain", "opendistro_security_roles": ["asks"]}},
        "ingest_pipelines": {"tidies": {"processors": [{"trim": {"field": "a"}}]}},
        "index_templates": {
            "shapes": {"index_patterns": ["a-*"], "template": {"settings": {"default_pipeline": "tidies"}}}
        },
        "indices": {
            "kept": {
                "settings": {"number_of_shards": 1, "default_pipeline": "tidies"},
                "mappings": {"properties": {"a": {"type": "text"}}},
                "aliases": {"x": {}},
            }
        },
        "search_pipelines": {"answers": {"response_processors": [asks]}},
        "agents": {"asks": {"type": "flow", "tools": [{"type": "MLModelTool", "parameters": _asked(model)}]}},
    }


def _asked(model: str) -> dict[str, Json]:
    return {"model_id": f"${{models.{model}.id}}", "prompt": "${parameters.question}"}


def _roles(number: int) -> Fields:
    def fields(policy: Json) -> Mapping[str, st.SearchStrategy[Json]]:
        return {
            "description": words,
            "max_session_duration": st.sampled_from([3600, 7200]),
            "permissions_boundary": st.sampled_from([None, f"arn:aws:iam::{ACCOUNT}:policy/limits"]),
            "inline_policies": st.dictionaries(st.sampled_from(["a", "b"]), st.just(policy), max_size=2),
            "managed_policy_arns": st.lists(
                st.sampled_from(["arn:aws:iam::aws:policy/ReadOnlyAccess", f"${{iam_policies.asking{number}.arn}}"]),
                unique=True,
            ),
            "tags": st.dictionaries(st.sampled_from(["team", "Stage"]), st.sampled_from(["x", "y"])),
        }

    signer = f"${{iam_roles.signer{number}.arn}}"
    signing = st.fixed_dictionaries(
        {"assume_role_policy_document": st.just(trust(CALLER))},
        optional={
            **fields(allow("iam:PassRole", f"${{iam_roles.invoke{number}.arn}}")),
            "path": st.sampled_from(["/", "/service/"]),
            "role_name": st.just(f"Signer-{number}"),
        },
    )
    # The other one may be trusted by the signer: a principal that has to be there first.
    invoking = st.fixed_dictionaries(
        {"assume_role_policy_document": st.just(trust())}, optional=fields(allow("bedrock:InvokeModel", "*"))
    )
    trusting = st.fixed_dictionaries({"assume_role_policy_document": st.just(trust(signer))})
    plain = signing.map(lambda role: {key: value for key, value in role.items() if key != "inline_policies"})
    return st.one_of(
        st.fixed_dictionaries({f"signer{number}": signing, f"invoke{number}": invoking}),
        st.fixed_dictionaries({f"signer{number}": plain, f"invoke{number}": trusting}),
    )


def _policies(number: int) -> Fields:
    # Its name is stated, for IAM does not let it be changed.
    documents = st.sampled_from([allow("bedrock:InvokeModel", "*"), allow("bedrock:*", "*"), allow("s3:Get*", "*")])
    tags = st.dictionaries(st.sampled_from(["team", "Stage"]), st.sampled_from(["x", "y"]))
    stated: dict[str, st.SearchStrategy[Any]] = {
        "policy_name": st.just(f"Asking-{number}"),
        "policy_document": documents,
    }
    policy: Fields = st.fixed_dictionaries(stated, optional={"tags": tags})
    return st.fixed_dictionaries({f"asking{number}": policy})


def _managed_secrets(number: int) -> Fields:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "name": st.sampled_from([f"chain/key{number}", f"Key_{number}"]),
        "description": words,
        "kms_key_id": st.sampled_from(["alias/own", "alias/aws/secretsmanager"]),
        "recovery_window_in_days": st.sampled_from([0, 7]),
        "tags": st.dictionaries(st.sampled_from(["team", "Stage"]), st.sampled_from(["x", "y"])),
    }
    # A value that is not stated any more is left as it is, so that it is stated always.
    value = {"secret_string": st.sampled_from(["${secret.key}", '{"key": "${secret.key}"}'])}
    return st.fixed_dictionaries({f"key{number}": st.fixed_dictionaries(value, optional=optional)})


def _settings(number: int) -> Fields:
    own: dict[str, st.SearchStrategy[Json]] = {}
    if number == 1:
        own = {
            # None is the default's: whether a default is stated makes no difference that could be compared.
            f"{PREFIX}only_run_on_ml_node": st.just(False),
            f"{PREFIX}native_memory_threshold": st.sampled_from([80, 100]),
        }
    default = DEFAULTS[TRUSTED][1]
    endpoints = st.sampled_from([[rf"^https://api{number}\.test/.*$"], [rf"^https://api{number}\.test/.*$", default]])
    return st.fixed_dictionaries({f"ml{number}": st.fixed_dictionaries({TRUSTED: endpoints}, optional=own)})


def _security_roles(number: int) -> Fields:
    actions = st.lists(st.sampled_from(["read", "search", "get"]), unique=True, min_size=1)
    indices = st.fixed_dictionaries(
        {"index_patterns": st.just([f"i{number}-*"]), "allowed_actions": actions},
        optional={"dls": st.just(""), "fls": st.lists(st.sampled_from(["a", "~b"]), unique=True)},
    )
    tenants = st.just({"tenant_patterns": [f"room{number}"], "allowed_actions": ["kibana_all_read"]})
    optional: dict[str, st.SearchStrategy[Any]] = {
        "cluster_permissions": st.lists(st.sampled_from(["cluster_monitor", f"allows{number}"]), unique=True),
        "index_permissions": st.lists(indices, max_size=2),
        "tenant_permissions": st.lists(tenants, max_size=1),
        "description": words,
    }
    return st.fixed_dictionaries({f"asks{number}": st.fixed_dictionaries({}, optional=optional)})


def _action_groups(number: int) -> Fields:
    optional: dict[str, st.SearchStrategy[Any]] = {"type": st.sampled_from(["cluster", "index"]), "description": words}
    actions = st.lists(st.sampled_from(["read", "cluster:monitor/*", "indices:data/read/get"]), unique=True)
    inner = st.fixed_dictionaries({"allowed_actions": actions}, optional=optional)
    holding = actions.map(lambda listed: [*listed, f"allows{number}"])
    outer = st.fixed_dictionaries({"allowed_actions": st.one_of(actions, holding)}, optional=optional)
    return st.fixed_dictionaries({f"allows{number}": inner, f"more{number}": outer})


def _tenants(number: int) -> Fields:
    tenant = st.fixed_dictionaries({}, optional={"description": words})
    return st.dictionaries(st.sampled_from([f"room{number}", f"other{number}"]), tenant, max_size=2)


def _search_pipelines(number: int) -> Fields:
    found: dict[str, st.SearchStrategy[Any]] = {
        "request_processors": st.lists(
            st.sampled_from([{"filter_query": {"query": {"term": {"a": 1}}}}, {"oversample": {"sample_factor": 1.5}}]),
            max_size=2,
        ),
        "response_processors": st.sampled_from(
            [[], [{"truncate_hits": {}}], [{"retrieval_augmented_generation": {"context_field_list": ["a", "b"]}}]]
        ),
        "description": words,
        "version": st.sampled_from([1, "2"]),
    }
    pipeline = st.fixed_dictionaries({}, optional=found)
    return st.dictionaries(st.sampled_from([f"answers{number}", f"other/{number}"]), pipeline, max_size=2)


def _ingest_pipelines(number: int) -> Fields:
    processors: st.SearchStrategy[Any] = st.lists(
        st.sampled_from([{"trim": {"field": "a"}}, {"set": {"field": "b", "value": 1}}]), max_size=3
    )
    pipeline: Fields = st.fixed_dictionaries(
        {"processors": processors},
        optional={"on_failure": processors, "description": words, "version": st.sampled_from([1, "2"])},
    )
    return st.dictionaries(st.sampled_from([f"tidies{number}", f"other{number}"]), pipeline, max_size=2)


def _index_templates(number: int) -> Fields:
    own: dict[str, st.SearchStrategy[Any]] = {
        "settings": st.sampled_from(
            [
                {},
                {"number_of_shards": 1, "index.refresh_interval": "5s"},
                {"index": {"default_pipeline": f"tidies{number}", "number_of_shards": "2"}},
            ]
        ),
        "mappings": st.sampled_from([{}, {"properties": {"a": {"type": "text"}}}, {"dynamic": "strict"}]),
        "aliases": st.sampled_from([{}, {"x": {}}, {"x": {"index_routing": "1"}, "y": {"filter": {"match_all": {}}}}]),
    }
    optional: dict[str, st.SearchStrategy[Any]] = {
        "template": st.fixed_dictionaries({}, optional=own),
        "priority": st.integers(0, 3),
        "version": st.integers(1, 3),
        "data_stream": st.just({}),
        "_meta": st.sampled_from([{"by": "us"}, {}]),
    }
    patterns = {"index_patterns": st.sampled_from([["a-*"], ["a-*", "b-*"], ["b-*", "a-*"]])}
    template = st.fixed_dictionaries(patterns, optional=optional)
    return st.dictionaries(st.just(f"shapes{number}"), template, max_size=1)


def _indices(number: int) -> Fields:
    # What can not be changed once there may be documents is the same in all.
    fields = {"a": {"type": "text", "analyzer": "simple"}, "b": {"properties": {"c": {"type": "long"}}}}
    above = st.sampled_from([{}, {"ignore_above": 5}, {"ignore_above": 2147483647}])
    properties = above.map(lambda varied: {**fields, "d": {"type": "keyword", **varied}})
    settings = st.fixed_dictionaries(
        {"number_of_shards": st.sampled_from([1, "1"])},
        optional={
            "index.refresh_interval": st.sampled_from(["5s", "1s"]),
            "index": st.sampled_from([{"default_pipeline": f"tidies{number}"}, {"number_of_replicas": 0}]),
        },
    )
    optional: dict[str, st.SearchStrategy[Any]] = {
        "aliases": st.sampled_from(
            [{}, {f"x{number}": {}}, {f"x{number}": {"index_routing": "1"}, "y": {"filter": {"match_all": {}}}}]
        ),
    }
    stated: dict[str, st.SearchStrategy[Any]] = {
        "name": st.just(f"index-{number}"),
        "settings": settings,
        "mappings": st.fixed_dictionaries({"properties": properties}),
    }
    index = st.fixed_dictionaries(stated, optional=optional)
    return st.dictionaries(st.just(f"index{number}"), index, max_size=1)


def _users(number: int) -> Fields:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "backend_roles": st.lists(st.sampled_from(["shops", "readers"]), unique=True),
        "opendistro_security_roles": st.lists(st.sampled_from([f"asks{number}", "readall"]), unique=True),
        "attributes": st.dictionaries(st.sampled_from(["country", "ü"]), st.sampled_from(["", "de"])),
        "description": words,
    }
    password = st.sampled_from(["${secret.key}", "${secret.key}-and-more"])
    return st.fixed_dictionaries({f"user{number}": st.fixed_dictionaries({"password": password}, optional=optional)})


def _connectors(number: int) -> Fields:
    role, secret = f"${{iam_roles.invoke{number}.arn}}", f"${{secretsmanager_secrets.key{number}.arn}}"
    sigv4 = {
        "protocol": st.just("aws_sigv4"),
        "credential": st.sampled_from([{"roleArn": role}, {"roleArn": role, "secretArn": secret}]),
        "actions": st.just([action(number)]),
    }
    http = {
        "protocol": st.just("http"),
        "credential": st.sampled_from([{"key": "${secret.key}"}, {"key": "Bearer ${secret.key}", "other": "plain"}]),
        "actions": st.just([action(number, header="${credential.key}")]),
    }
    optional: dict[str, st.SearchStrategy[Any]] = {
        "name": st.just(f"Connector {number}"),
        "description": plain,
        "version": st.sampled_from([1, "2"]),
        "parameters": st.dictionaries(
            st.sampled_from(["model", "region", "n"]), st.sampled_from(["a", "5", 0, 0.5, True]), max_size=3
        ),
        "client_config": st.fixed_dictionaries({}, optional={"max_retry_times": st.integers(-1, 3)}),
        "sign_as": st.just(f"${{iam_roles.signer{number}.arn}}"),
    }
    one = st.one_of(st.fixed_dictionaries(sigv4, optional=optional), st.fixed_dictionaries(http, optional=optional))
    return st.fixed_dictionaries({f"c{number}": one})


def _groups(number: int) -> Fields:
    # What absence means depends on the domain, so that a stated mode can not be taken back: always or never.
    modes = {"access_mode": st.sampled_from(["public", "private", "restricted"])} if number == 1 else {}
    # A description can not be emptied.
    described = {"description": plain.filter(bool)} if number == 1 else {}
    stated: dict[str, st.SearchStrategy[Any]] = {**modes, **described}
    named = st.fixed_dictionaries(stated, optional={"name": st.just(f"Group {number}")})
    return st.fixed_dictionaries({f"g{number}": named})


def _models(number: int) -> Fields:
    one: Fields = st.fixed_dictionaries(
        {
            "connector_id": st.just(f"${{connectors.c{number}.id}}"),
            "model_group_id": st.just(f"${{model_groups.g{number}.id}}"),
        },
        optional={
            "description": plain,
            "is_enabled": flags,
            "rate_limiter": st.fixed_dictionaries({"limit": st.sampled_from([5, "7"]), "unit": st.just("MINUTES")}),
            "model_state": st.sampled_from(["DEPLOYED", "UNDEPLOYED"]),
        },
    )
    return st.dictionaries(st.sampled_from([f"m{number}", f"m{number}b"]), one, min_size=1, max_size=2)


def _agents(models: Sequence[str]) -> Fields:
    """Agents that ask models, and one that asks another agent."""
    asked = st.sampled_from(models).map(_asked)
    values = st.sampled_from(["a", "5", 0, True])
    tool = st.fixed_dictionaries(
        {"type": st.just("MLModelTool"), "parameters": asked},
        optional={"description": words, "include_output_in_agent_response": flags},
    )
    optional: dict[str, st.SearchStrategy[Any]] = {
        "description": words,
        "tools": st.lists(tool, max_size=1),
        "parameters": st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2),
        "memory": st.just({"type": "conversation_index"}),
        "app_type": st.sampled_from(["", "rag"]),
    }
    llm = asked.map(lambda parameters: {"model_id": parameters["model_id"], "parameters": {"n": 5}})
    asking = st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["flow", "conversational_flow"])}, optional=optional),
        st.fixed_dictionaries({"type": st.just("conversational"), "llm": llm}, optional=optional),
    )
    passed_on = {"type": "AgentTool", "parameters": {"agent_id": "${agents.asks.id}"}}
    passing_on = st.fixed_dictionaries({"type": st.just("flow"), "tools": st.just([passed_on])})
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"asks": asking}),
        st.fixed_dictionaries({"asks": asking, "passes-on": passing_on}),
    )


@st.composite
def manifests(draw: st.DrawFn, most: int = 3) -> Sections:
    """A manifest of one to `most` chains, each role, mapping, settings, connector, group and models."""
    sections: dict[str, dict[str, Any]] = {}
    chains = range(1, draw(st.integers(1, most)) + 1)
    for number in chains:
        for kind, strategy in (
            ("iam_policies", _policies(number)),
            ("secretsmanager_secrets", _managed_secrets(number)),
            ("iam_roles", _roles(number)),
            ("cluster_settings", _settings(number)),
            ("action_groups", _action_groups(number)),
            ("tenants", _tenants(number)),
            ("security_roles", _security_roles(number)),
            ("internal_users", _users(number)),
            ("search_pipelines", _search_pipelines(number)),
            ("ingest_pipelines", _ingest_pipelines(number)),
            ("index_templates", _index_templates(number)),
            ("indices", _indices(number)),
            ("connectors", _connectors(number)),
            ("model_groups", _groups(number)),
            ("models", _models(number)),
        ):
            sections.setdefault(kind, {}).update(draw(strategy))
    sections["agents"] = draw(_agents(sorted(sections["models"])))
    mapping = draw(
        st.fixed_dictionaries(
            {"backend_roles": st.just([f"${{iam_roles.signer{number}.arn}}" for number in chains])},
            optional={"users": st.just(["robot"]), "description": st.sampled_from(["asks models", "others"])},
        )
    )
    sections["role_mappings"] = {"ml_full_access": mapping}
    sections["role_mappings"].update(
        draw(st.dictionaries(st.just("asks1"), st.just({"users": ["asker"], "backend_roles": ["arn:reader"]})))
    )
    sections["role_mappings"].update(
        draw(
            st.dictionaries(
                st.just("ml_read_access"),
                st.fixed_dictionaries({"backend_roles": st.just(["arn:reader"])}, optional={"users": st.just(["ann"])}),
            )
        )
    )
    return sections


@st.composite
def small_manifests(draw: st.DrawFn) -> Sections:
    """A manifest of up to three objects of one chain, and those that they refer to or can not be made without."""
    whole = draw(manifests(most=1))
    every = [(kind, name) for kind, objects in whole.items() for name in objects]
    wanted = draw(st.lists(st.sampled_from(every), min_size=1, max_size=3, unique=True))
    for kind, name in wanted:  # which grows meanwhile
        text = json.dumps(whole[kind][name])
        needed = [one for one in every if f"${{{one[0]}.{one[1]}." in text]
        if kind == "connectors":  # its endpoint is to be trusted, and who signs for it let in
            needed += [one for one in every if one[0] == "cluster_settings" or one[1] == "ml_full_access"]
        if kind in ("role_mappings", "internal_users"):
            needed += [one for one in every if one[0] == "security_roles"]
        wanted += [one for one in needed if one not in wanted]
    return {
        kind: {name: fields for name, fields in objects.items() if (kind, name) in wanted}
        for kind, objects in whole.items()
        if any(kind == one for one, _ in wanted)
    }


def _foreign_mapping(lists: Mapping[str, Sequence[str]], described: bool) -> Doc:
    mapping: Doc = {name: list(lists.get(name, [])) for name in LISTS}
    return {**mapping, "reserved": False, "hidden": False, **({"description": "others"} if described else {})}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world, of one of three versions, that others use too.

    They have roles, members, trusted endpoints, settings, connectors, groups and models of theirs.
    """
    world = World(page=draw(st.sampled_from([1, 2, 100])), deploy=draw(st.sampled_from([0.0, 1.0])))
    world.domain.version = draw(st.sampled_from(["2.19.4", "3.4.0", "3.9.0"]))
    for name in draw(st.lists(st.sampled_from(["theirs", "Invoke"]), unique=True)):
        about = {"RoleName": name, "AssumeRolePolicyDocument": '{"Version": "2012-10-17", "Statement": []}'}
        world.account.answer("CreateRole", about, 0.0)
    domain = world.domain
    members = st.fixed_dictionaries(
        {},
        optional={
            "backend_roles": st.lists(st.sampled_from(["arn:theirs", "arn:reader"]), unique=True),
            "users": st.lists(st.sampled_from(["robot", "eve"]), unique=True),
        },
    )
    for name in draw(st.lists(st.sampled_from(["ml_full_access", "ml_read_access"]), unique=True)):
        domain.mappings[name] = _foreign_mapping(draw(members), draw(flags))
    if draw(flags):
        entries = ["^https://theirs/.*$", r"^https://api1\.test/.*$"]
        domain.persistent[TRUSTED] = draw(st.lists(st.sampled_from(entries), unique=True, min_size=1))
    if draw(flags):
        domain.persistent[f"{PREFIX}only_run_on_ml_node"] = draw(st.sampled_from(["true", "false"]))
    if draw(flags):
        world.domain.roles["theirs"] = {**world.domain.roles["readall"], "reserved": False}
    if draw(flags):
        world.domain.security.users["theirs"] = {**world.domain.security.users[ADMIN], "reserved": False}
    if draw(flags):
        domain.cluster.search_pipelines["theirs"] = {"description": "theirs"}
    if draw(flags):
        add_foreign_chain(world)
    world.made.clear()
    return world


def add_foreign_chain(world: World, name: str = "theirs") -> tuple[str, str, str]:
    """Somebody else's connector, group and deployed model, all of one name; their ids."""
    domain = world.domain
    connector = domain.connectors.add(
        {
            "name": name,
            "version": "1",
            "protocol": "http",
            "parameters": {},
            "credential": {"key": "theirs"},
            "actions": [{"action_type": "PREDICT", "method": "POST", "url": "https://theirs/x"}],
        }
    )
    group = domain.groups.add({"name": name, "access": "public"})
    model = domain.models.add(
        {
            "name": name,
            "algorithm": "REMOTE",
            "connector_id": connector,
            "model_group_id": group,
            "model_state": "DEPLOYED",
        }
    )
    return connector, group, model
