"""Saved plans: they keep to their published form, come back as they were, name what moved, and hold no secret."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.canonical.json import Json
from reconciler.cli import saved_plan
from reconciler.errors import Position, ReconcilerError
from reconciler.manifest.load import (
    AwsTarget,
    BasicAuth,
    Documents,
    EnvironmentSecret,
    FileSecret,
    ManagedSecret,
    Manifest,
    OpenSearchTarget,
    Query,
    SecretSource,
    SigV4Auth,
    Target,
)
from reconciler.manifest.moves import Moved
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.objects import Address
from reconciler.plan import looking, saved
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Plan
from reconciler.plan.promise import decode, encode
from reconciler.plan.secrets import Secrets
from reconciler.plan.survey import Question, introduce
from reconciler.render.plan_json import plan_json
from reconciler.runner import Runner, reading_only
from tests.support.bench import Bench, Sections, actions, desired, kinds, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import SECRETS, action, add_foreign_chain, manifests, trust, worlds
from tests.support.domain import TRUSTED
from tests.support.exchange import WorldExchange
from tests.support.world import World

SCHEMAS = Path(__file__).parents[2] / "schemas"
SCHEMA = json.loads((SCHEMAS / "formats" / "saved-plan.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
KNOWN = load_schemas(SCHEMAS)
LIFECYCLE = {"on_remove": "forget", "ignore": ["tags"]}
SECTIONS: Sections = {
    "iam_roles": {"r": {"assume_role_policy_document": trust(), "lifecycle": LIFECYCLE}},
    "cluster_settings": {"s": {TRUSTED: ["^https://api1.test/.*$"]}},
    "connectors": {
        "c": {
            "protocol": "http",
            "description": "d",
            "credential": {"key": "Bearer ${secret.key}", "roleArn": "arn:aws:iam::123456789012:role/r"},
            "parameters": {"model": "m"},
            "actions": [action(1)],
        }
    },
    "model_groups": {"g": {"adopt": True}},
    "models": {"m": {"connector_id": "${connectors.c.id}", "depends_on": ["iam_roles.r"]}},
}
PERMISSIONS = Permissions(frozenset({Address("connectors", "c")}), adopt_all=False, include_adopted=True)
SOURCES: Mapping[str, SecretSource] = {
    "key": EnvironmentSecret("KEY"),
    "file": FileSecret("key.txt"),
    "managed": ManagedSecret("prod/key", "api"),
    "whole": ManagedSecret("prod/whole"),
}


def planned(world: World, sections: Sections = SECTIONS) -> Plan:
    plan = Bench(world, secrets=SECRETS).plan(sections)
    assert not plan.errored, plan.problems
    manifest = replace(plan.context.manifest, secrets=SOURCES)
    return replace(plan, context=replace(plan.context, manifest=manifest))


def written(plan: Plan, sections: Sections = SECTIONS, permissions: Permissions = PERMISSIONS) -> dict[str, Any]:
    """The document of a plan, as it is written to a file; it keeps to the published form."""
    document = plan_json(plan, "2026-01-01T00:00:00Z")
    document[saved.KEY] = saved.dump(plan, desired(sections), permissions)
    found: dict[str, Any] = json.loads(json.dumps(document))
    VALIDATOR.validate(found)
    return found


def kept(plan: Plan, sections: Sections = SECTIONS, permissions: Permissions = PERMISSIONS) -> saved.Saved:
    """The plan written to a file and read again."""
    return saved.load(written(plan, sections, permissions), "plan.json", SCHEMA)


def moved(back: saved.Saved, plan: Plan) -> dict[str, str]:
    """Why a saved plan is not to be carried out, by address."""
    found = saved.stale(back, plan)
    assert {problem.code for problem in found} <= {"stale-plan"}
    return {problem.address: problem.message for problem in found}


# the form


def test_the_published_schema_is_one_and_describes_everything() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert [path for path, schema in properties(SCHEMA, "") if "description" not in schema] == []
    assert SCHEMA["$defs"]["kept"]["properties"]["version"]["const"] == saved.VERSION


def properties(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All properties of the schema, with what they refer to."""
    if isinstance(schema, Mapping):
        for name, member in schema.get("properties", {}).items():
            branches = [SCHEMA["$defs"][one["$ref"].rpartition("/")[2]] for one in _branches(member) if "$ref" in one]
            yield f"{path}.{name}", {**(branches[0] if branches else {}), **member}
        for key, member in schema.items():
            yield from properties(member, f"{path}.{key}")
    if isinstance(schema, list):
        for member in schema:
            yield from properties(member, path)


def _branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [schema, *schema.get("anyOf", ())]


@worlds_each(8)
@given(worlds(), manifests(), manifests(), st.data())
def test_every_plan_that_is_written_keeps_to_the_schema(
    world: World, first: Sections, second: Sections, data: st.DataObject
) -> None:
    bench = Bench(world, secrets=SECRETS)
    for sections in (first, second):
        allowed = Permissions(adopt_all=True, max_deletes=data.draw(st.sampled_from([None, 100])))
        plan = bench.plan(sections, allowed)
        assert not plan.errored, plan.problems
        back = kept(plan, sections, allowed)
        assert (back.desired, back.permissions) == (desired(sections), allowed)
        assert refusals(replace(back, manifest=replace(back.manifest, secrets=SOURCES))) <= UNSOUND
        assert moved(back, bench.plan(sections, allowed)) == {}
        assert outcome(bench.apply(sections, allowed)) == []
        work = {str(change.address) for change in plan.pending}
        assert set(moved(back, bench.plan(sections, allowed))) == work
    assert kept(bench.plan({}), {}).desired == {}


UNSOUND = {
    "a credential stands in the manifest as it is",
    "the parameters have no model",
    "aws_sigv4 needs the parameter service_name",
    "aws_sigv4 needs the parameter region",
    "Amazon OpenSearch Service wants roleArn, the role that it calls the model as",
}
"""What is wrong with generated manifests, which no file could hold."""


def refusals(back: saved.Saved) -> set[str]:
    """What is wrong with a saved plan's objects."""
    try:
        saved_plan.check(back, kinds(), KNOWN, ())
    except ReconcilerError as error:
        return {problem.message for problem in error.problems}
    return set()


def test_a_plan_with_warnings_keeps_to_the_schema() -> None:
    signed = copy.deepcopy(dict(SECTIONS))
    signed["connectors"]["c"]["sign_as"] = "arn:aws:iam::123456789012:role/nobody"  # type: ignore[index]
    signed["role_mappings"] = {"ml_full_access": {"users": ["ann"]}}
    plan = planned(World(), signed)
    assert [problem.code for problem in plan.problems] == ["not-mapped"]
    assert written(plan, signed)["problems"][0]["severity"] == "warning"


def test_a_plan_comes_back_as_it_was() -> None:
    plan = planned(World())
    back = kept(plan)
    assert refusals(back) == set()
    assert back.desired == desired(SECTIONS)
    assert back.permissions == PERMISSIONS
    assert back.manifest == plan.context.manifest
    assert back.ledger is None
    assert moved(back, plan) == {}


@pytest.mark.parametrize("auth", [None, SigV4Auth(), BasicAuth(), BasicAuth("u", FileSecret("/secret"))])
def test_a_manifests_own_things_come_back(auth: SigV4Auth | BasicAuth | None) -> None:
    template = Template(("a", Reference("models", "m", "id")))
    manifest = Manifest(
        name="m",
        target=Target(
            AwsTarget("us-east-1", "123456789012", "aws", "p", "arn:aws:iam::123456789012:role/r", "http://localhost"),
            OpenSearchTarget("https://e", "d", auth, "ca.pem", False, 5.0),
        ),
        objects=(),
        secrets=SOURCES,
        verify=(Query("hello", "predict", {"model": template, "expect": {"status": 200}}, Position("m.yaml", 3, 5)),),
        files=(),
        moved=(Moved("connectors.old", "connectors.c"),),
        secret_positions={"key": Position("m.yaml", 9, 3, 3)},
        documents=(Documents("texts", {"documents": [{"text": template}]}, Position("m.yaml", 5, 5)),),
    )
    plan = planned(World())
    back = kept(replace(plan, context=replace(plan.context, manifest=manifest)))
    assert back.manifest == manifest


def test_the_file_of_the_ledger_is_the_same_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = planned(World())
    monkeypatch.chdir(tmp_path)
    document = written(plan)
    document[saved.KEY] = saved.dump(plan, desired(SECTIONS), PERMISSIONS, Path("ledger.json"))
    VALIDATOR.validate(document)
    monkeypatch.chdir("/")
    assert saved.load(document, "plan.json", SCHEMA).ledger == tmp_path / "ledger.json"


def test_secrets_stand_under_the_words_of_manifests() -> None:
    assert written(planned(World()))[saved.KEY]["secrets"] == {
        "key": {"env": "KEY"},
        "file": {"file": "key.txt"},
        "managed": {"secretsmanager": {"secret_id": "prod/key", "key": "api"}},
        "whole": {"secretsmanager": {"secret_id": "prod/whole"}},
    }


def test_no_secret_is_inside() -> None:
    world = World()
    text = json.dumps(written(planned(world)))
    assert SECRETS["key"] not in text
    assert '"secret", "key"' in text
    # Nor after the secret was sent, nor when it has another value.
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    rotated = Bench(world, secrets={"key": "sk-rotated"}).plan(SECTIONS)
    assert [str(change.address) for change in rotated.pending] == ["connectors.c", "models.m"]
    text = json.dumps(written(rotated))
    assert "sk-rotated" not in text
    assert SECRETS["key"] not in text


# what moved since


def test_a_field_that_moved_is_named() -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    ((name, connector),) = SECTIONS["connectors"].items()
    edited = {**SECTIONS, "connectors": {name: {**connector, "description": "other"}}}
    back = kept(planned(world, edited), edited)
    assert moved(back, planned(world, edited)) == {}
    document = next(iter(world.domain.connectors.documents.values()))
    document["description"] = "theirs"
    assert moved(back, planned(world, edited)) == {"connectors.c": "description changed since the plan was made"}
    document["parameters"]["extra"] = "x"
    document["description"] = "d"
    assert moved(back, planned(world, edited)) == {"connectors.c": "parameters.extra changed since the plan was made"}


def test_a_field_of_an_object_that_was_to_stay_is_named() -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    back = kept(planned(world))
    (model,) = world.domain.models.documents.values()
    model["is_enabled"] = False
    assert moved(back, planned(world)) == {"models.m": "is_enabled changed since the plan was made"}


def test_a_secret_that_was_rotated_since_is_named() -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    back = kept(planned(world))
    rotated = moved(back, Bench(world, secrets={"key": "another value"}).plan(SECTIONS))
    assert rotated["connectors.c"] == "credential.key changed since the plan was made"


def test_an_object_that_came_or_went_is_named() -> None:
    world = World()
    back = kept(planned(world))
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    found = moved(back, planned(world))
    assert set(found) == {str(address) for address in desired(SECTIONS)}
    assert found["connectors.c"] == "it is there by now"
    assert found["cluster_settings.s"] == f"{TRUSTED} changed since the plan was made"


def test_what_the_ledger_has_beside_or_no_longer_is_named() -> None:
    world = World()
    less = {kind: objects for kind, objects in SECTIONS.items() if kind != "model_groups"}
    back = kept(planned(world, less), less)
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    assert moved(back, planned(world, less))["model_groups.g"] == "it was not there when the plan was made"
    back = kept(planned(world, less), less)
    assert Bench(world, secrets=SECRETS).apply(less).succeeded
    assert moved(back, planned(world, less)) == {"model_groups.g": "it is gone since the plan was made"}


def test_another_object_of_the_same_name_is_named() -> None:
    world = World()
    groups: Sections = {"model_groups": {"g": {"description": "ours"}}}
    assert Bench(world).apply(groups).succeeded
    edited: Sections = {"model_groups": {"g": {"description": "edited"}}}
    back = kept(planned(world, edited), edited)
    # Somebody else applied in between, and it is the same again but for its id.
    assert Bench(world).apply({}).succeeded
    assert Bench(world).apply(groups).succeeded
    old, new = "group-0001", "group-0002"
    assert list(world.domain.groups.documents) == [new]
    assert moved(back, planned(world, edited)) == {
        "model_groups.g": f"it is another object since the plan was made ({new}, was {old})"
    }


def test_another_object_to_adopt_is_named() -> None:
    world = World()
    sections: Sections = {"model_groups": {"g": {"description": "ours", "adopt": True}}}
    add_foreign_chain(world, "g")
    back = kept(planned(world, sections), sections)
    documents = world.domain.groups.documents
    ((old, group),) = documents.items()
    documents["another"] = documents.pop(old)
    assert moved(back, planned(world, sections)) == {
        "model_groups.g": f"it is another object since the plan was made (another, was {old})"
    }
    del documents["another"]
    found = moved(back, planned(world, sections))["model_groups.g"]
    assert found == f"it is another object since the plan was made (none, was {old})"
    documents[old] = {**group, "description": "ours"}
    assert moved(back, planned(world, sections)) == {"model_groups.g": "description changed since the plan was made"}


def test_another_action_is_named() -> None:
    world = World()
    alone: Sections = {kind: SECTIONS[kind] for kind in ("cluster_settings", "connectors")}
    assert Bench(world, secrets=SECRETS).apply(alone).succeeded
    ((name, connector),) = SECTIONS["connectors"].items()
    edited: Sections = {**alone, "connectors": {name: {**connector, "description": "other"}}}
    back = kept(planned(world, edited), edited)
    (used,) = world.domain.connectors.documents
    add_foreign_chain(world)
    for model in world.domain.models.documents.values():
        model["connector_id"] = used
        model["name"] = name
    models: Sections = {**edited, "models": {"c": {"connector_id": "${connectors.c.id}", "adopt": True}}}
    assert actions(planned(world, models))["connectors.c"] == "replace"
    found = moved(replace(back, desired=desired(models)), planned(world, models))
    assert found["connectors.c"] == "it would be replaced, and was to be changed"


def test_an_old_self_that_is_not_there_any_more_is_named() -> None:
    world = World()
    role = SECTIONS["iam_roles"]["r"]
    before: Sections = {"iam_roles": {"a": {**role, "role_name": "x"}, "b": {**role, "role_name": "y"}}}
    assert Bench(world).apply(before).succeeded
    wanted: Sections = {"iam_roles": {"a": {**role, "role_name": "y"}}}
    back = kept(planned(world, wanted), wanted)
    assert moved(back, planned(world, wanted)) == {}
    del world.account.roles["x"]
    assert "x, which it was, came or went" in moved(back, planned(world, wanted))["iam_roles.a"]


def test_what_others_do_to_shared_lists_does_not_make_it_stale() -> None:
    world = World()
    sections: Sections = {
        "cluster_settings": SECTIONS["cluster_settings"],
        "role_mappings": {"ml_full_access": {"backend_roles": ["arn:ours", "arn:ours-too"]}},
    }
    back = kept(planned(world, sections), sections)
    world.domain.persistent[TRUSTED] = [*world.domain.setting(TRUSTED), "^https://theirs/.*$"]
    # The mapping was not there at all, and now it is, by another manifest's hand.
    other: Sections = {"role_mappings": {"ml_full_access": {"backend_roles": ["arn:theirs"]}}}
    assert Bench(world, "other").apply(other).succeeded
    assert moved(back, planned(world, sections)) == {}
    mapping = world.domain.mappings["ml_full_access"]
    mapping["backend_roles"].append("arn:ours")
    found = moved(back, planned(world, sections))
    assert found == {"role_mappings.ml_full_access": "backend_roles changed since the plan was made"}


@pytest.mark.parametrize(("then", "now"), [("DEPLOYED", "DEPLOYING"), ("DEPLOYING", "DEPLOYED")])
def test_a_state_that_settles_does_not_make_it_stale(then: str, now: str) -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    edited = copy.deepcopy(SECTIONS)
    for beside in ({}, {"description": "edited"}):
        edited["models"]["m"].update(beside)  # type: ignore[attr-defined]
        (model,) = world.domain.models.documents.values()
        model["model_state"] = then
        back = kept(planned(world, edited), edited)
        model["model_state"] = now
        assert moved(back, planned(world, edited)) == {}


def test_a_state_that_does_not_settle_by_itself_is_named() -> None:
    world = World()
    assert Bench(world, secrets=SECRETS).apply(SECTIONS).succeeded
    back = kept(planned(world))
    (model,) = world.domain.models.documents.values()
    model["model_state"] = "UNDEPLOYED"
    assert moved(back, planned(world)) == {"models.m": "model_state changed since the plan was made"}


def test_another_place_is_named() -> None:
    plan = planned(World())
    back = kept(plan)
    context = plan.context
    here = replace(context.place, account_id="999999999999", region="eu-west-1")
    there = replace(plan, context=replace(context, place=here, cluster=replace(context.cluster, uuid="another")))
    assert [problem.message for problem in saved.stale(back, there)] == [
        "the plan is for the account 123456789012, and this is 999999999999",
        "the plan is for the region us-east-1, and this is eu-west-1",
        f"the plan is for the cluster {context.cluster.uuid}, and this is another",
    ]


def test_another_ledger_is_named_but_not_the_first_one() -> None:
    world = World()
    first = kept(planned(world, {}), {})
    assert Bench(world, "other").apply({"model_groups": {"theirs": {}}}).succeeded
    plan = planned(world, {})
    assert moved(first, plan) == {}
    back = kept(plan, {})
    lost = replace(plan, context=replace(plan.context, ledger=replace(plan.context.ledger, id="")))
    assert moved(back, lost) == {"": "the plan is for the ledger ledger-1, and this is (none)"}


# broken files


@pytest.mark.parametrize(
    "text",
    [
        None,
        [],
        {},
        {"reconciler": 5},
        {"reconciler": {}},
        {"reconciler": {"version": "1"}},
        {"reconciler": {"version": True}},
    ],
)
def test_what_is_no_plan_is_refused(text: Json) -> None:
    with pytest.raises(ReconcilerError, match="is not a saved plan"):
        saved.load(text, "plan.json", SCHEMA)


def test_a_newer_plan_is_refused() -> None:
    with pytest.raises(ReconcilerError, match=r"plan.json has format 2; this version reads up to 1"):
        saved.load({saved.KEY: {"version": 2, "whatever": "it says"}}, "plan.json", SCHEMA)


def test_all_that_is_wrong_is_said_at_once_and_no_value_is_shown() -> None:
    document = written(planned(World()))
    inner = document[saved.KEY]
    del inner["queries"]
    inner["secrets"]["key"] = {"env": ["sk-secret"]}
    inner["objects"][0]["fields"] = "sk-secret"
    inner["target"]["opensearch"]["auth"] = "sk-secret"
    inner["permissions"]["surprise"] = "sk-secret"
    with pytest.raises(ReconcilerError) as caught:
        saved.load(document, "plan.json", SCHEMA, lambda path: Position("plan.json", len(path), 1))
    found = {problem.address: problem.message for problem in caught.value.problems}
    assert found == {
        "reconciler": "there is no queries",
        "reconciler.secrets.key.env": "not of type string",
        "reconciler.objects[0].fields": "not of type object",
        "reconciler.target.opensearch.auth": "not as the schema of saved plans has it (anyOf)",
        "reconciler.permissions": "unknown keys: surprise",
    }
    assert {problem.position.file for problem in caught.value.problems if problem.position} == {"plan.json"}
    with pytest.raises(ReconcilerError, match=r"plan\.json is not a plan that can be applied: there is no queries"):
        saved.load(document, "plan.json", SCHEMA)


@pytest.mark.parametrize("key", SCHEMA["$defs"]["kept"]["required"])
@pytest.mark.parametrize("instead", [None, 5, "text", ["text"], {"a": 5}])
def test_a_damaged_plan_is_an_error_with_a_message(key: str, instead: Json) -> None:
    document = written(planned(World()))
    del document[saved.KEY][key]
    with pytest.raises(ReconcilerError, match=f"is not a saved plan|there is no {key}"):
        saved.load(document, "plan.json", SCHEMA)
    if (key, instead) not in [("manifest", "text"), ("ledger", None), ("ledger", "text")]:
        document[saved.KEY][key] = instead
        with pytest.raises(ReconcilerError):
            saved.load(document, "plan.json", SCHEMA)


junk: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["$template", "$literal", "of", "a", "from"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def _edit(document: Any, draw: st.DataObject) -> None:
    """Something inside the document is taken away, or is something else."""
    inside = document[saved.KEY]
    for _ in range(draw.draw(st.integers(0, 8))):
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        deeper = [key for key in keys if isinstance(inside[key], dict | list) and inside[key]]
        if not deeper:
            break
        inside = inside[draw.draw(st.sampled_from(deeper))]
    key = draw.draw(st.sampled_from(list(inside) if isinstance(inside, dict) else list(range(len(inside)))))
    if draw.draw(st.booleans()):
        del inside[key]
    else:
        inside[key] = draw.draw(junk | st.sampled_from([inside[key], "connectors.c", "iam_roles.other", "secret"]))


PLANNED = planned(World())
DOCUMENT = written(PLANNED)


@settings(max_examples=150)
@given(st.data())
def test_whatever_is_edited_ends_in_a_message_or_a_plan(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 3))):
        _edit(document, data)
    world = World()
    try:
        back = saved.load(document, "plan.json", SCHEMA)
        saved_plan.check(back, kinds(), KNOWN, ())
        runner = Runner(WorldExchange(world), guard=reading_only)
        question = Question(back.manifest, kinds(), "us-east-1", Secrets(back.manifest.secrets, SECRETS))
        context = introduce(runner, question)
        saved.stale(back, looking.planned(runner, question, context, back.desired, back.permissions))
    except ReconcilerError:
        event("refused")


def _unknown_kind(inner: dict[str, Any]) -> None:
    inner["objects"][0]["address"] = "nothings.r"


def _unknown_reference(inner: dict[str, Any]) -> None:
    inner["objects"][-1]["fields"]["connector_id"] = {"$template": [{"of": ["connectors", "gone", "id"]}]}


def _circle(inner: dict[str, Any]) -> None:
    inner["objects"][0]["depends_on"] = ["models.m"]


def _wrong_field(inner: dict[str, Any]) -> None:
    inner["objects"][-1]["fields"]["is_enabled"] = "often"


def _secret_that_is_shown_back(inner: dict[str, Any]) -> None:
    inner["objects"][-1]["fields"]["description"] = {"$template": [{"of": ["secret", "key", ""]}]}


def _unknown_secret(inner: dict[str, Any]) -> None:
    del inner["secrets"]["key"]


def _query_that_asks_nothing(inner: dict[str, Any]) -> None:
    place = {"file": "m.yaml", "line": 1, "column": 1, "length": 0}
    inner["queries"] = [{"name": "q", "kind": "predict", "body": {}, "position": place}]


def _documents_that_are_none(inner: dict[str, Any]) -> None:
    place = {"file": "m.yaml", "line": 1, "column": 1, "length": 0}
    inner["documents"] = [{"name": "d", "stated": {"documents": []}, "position": place}]


def _no_ledger(inner: dict[str, Any]) -> None:
    inner["target"]["opensearch"] = None


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (_unknown_kind, "nothings.r: no such kind"),
        (_unknown_reference, "models.m.connector_id: no object connectors.gone"),
        (_circle, "iam_roles.r: these refer to each other"),
        (_wrong_field, "models.m.is_enabled: not as the schema has it (type)"),
        (_secret_that_is_shown_back, "models.m.description: no secret may stand here"),
        (_unknown_secret, "connectors.c.credential.key: no secret may stand here, or none of this name is declared"),
        (_query_that_asks_nothing, "verify.queries.q.predict: not as the schema has it (required)"),
        (_documents_that_are_none, "verify.documents.d.documents: not as the schema has it (minItems)"),
        (_no_ledger, "reconciler.ledger: no domain is there to hold the ledger"),
    ],
)
def test_what_no_manifest_could_say_is_refused(edit: Callable[[dict[str, Any]], None], expected: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    edit(document[saved.KEY])
    back = saved.load(document, "plan.json", SCHEMA)
    with pytest.raises(ReconcilerError) as caught:
        saved_plan.check(back, kinds(), KNOWN, ())
    found = [f"{problem.address}: {problem.message}" for problem in caught.value.problems]
    assert [text for text in found if text.startswith(expected)], found
    assert {problem.code for problem in caught.value.problems} == {"bad-plan"}


# values


scalars: st.SearchStrategy[Value] = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
templates = st.builds(
    lambda name, text: Template((text, Reference("secret", name))),
    st.text("ab", min_size=1),
    st.text("${}", min_size=1),
)
values: st.SearchStrategy[Value] = st.recursive(
    scalars | templates,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$template", "$literal", "of", "a", "$"]), inner, max_size=3)
    ),
    max_leaves=8,
)
VALUES = Draft202012Validator({"$ref": "#/$defs/value", "$defs": SCHEMA["$defs"]})


@given(values)
def test_values_come_back_whatever_they_look_like(value: Value) -> None:
    encoded = json.loads(json.dumps(encode(value)))
    VALUES.validate(encoded)
    assert decode(encoded) == value
