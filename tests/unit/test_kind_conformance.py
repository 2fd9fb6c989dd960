"""What every kind has to keep to, whichever kinds there are: nothing here names one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler import lint, references
from reconciler.kinds import load_kinds
from reconciler.manifest.load import Manifest, load
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import Reference, Value
from reconciler.manifest.variables import Inputs
from reconciler.model.kind import Grants, Kind, Made, Place, Work
from reconciler.model.objects import Address, Desired
from reconciler.model.request import Request, Service, writes
from reconciler.model.steps import Call, Reply
from reconciler.plan.survey import desired_objects, stated_place

ROOT = Path(__file__).parents[2]
SCHEMAS = load_schemas(ROOT / "schemas")
KINDS = load_kinds(SCHEMAS)
PLACE = Place("us-east-1", "123456789012", domain="search-demo", endpoint="https://search-demo.example.com")
META = json.loads((ROOT / "schemas" / "meta.schema.json").read_text("utf-8"))

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@every_kind
def test_the_schema_keeps_to_the_schema_of_schemas(kind: Kind) -> None:
    Draft202012Validator.check_schema(META)
    errors = [error.message for error in Draft202012Validator(META).iter_errors(kind.schema.document)]
    assert errors == []


@every_kind
def test_every_property_is_described(kind: Kind) -> None:
    assert [path for path, schema in properties(kind.schema.document) if not schema.get("description")] == []


@every_kind
def test_annotations_point_to_properties(kind: Kind) -> None:
    stated = set(kind.schema.rule.members)
    document: Mapping[str, Any] = kind.schema.document
    assert kind.schema.write_only <= stated
    assert kind.schema.create_only <= stated
    assert kind.schema.read_only <= set(kind.schema.attributes)
    assert not kind.schema.read_only & stated
    identifiers = [
        *document.get("primaryIdentifier", ()),
        *(p for ps in document.get("additionalIdentifiers", ()) for p in ps),
    ]
    assert {pointer.rpartition("/")[2] for pointer in identifiers} <= stated | kind.schema.read_only
    assert set(document.get("required", ())) <= stated


@every_kind
def test_objects_of_a_kind_have_one_way_to_be_told_apart(kind: Kind) -> None:
    if kind.schema.server_made_ids:
        assert "id" in kind.schema.attributes
        assert kind.schema.name_field
    assert not (kind.marks and kind.schema.shared)


@every_kind
def test_grants_are_declared(kind: Kind) -> None:
    for grants in grants_of(kind):
        assert grants.iam
        assert all(action.partition(":")[0] in ("iam", "sts", "es", "secretsmanager") for action in grants.iam)
        assert grants.opensearch or grants.security_rest or not any(action.startswith("es:") for action in grants.iam)
    assert len(set(kind.to_write.iam)) == len(kind.to_write.iam)


@every_kind
def test_grants_cover_what_the_golden_cases_send(kind: Kind) -> None:
    for file, do, request in exchanged(kind):
        allowed = {*kind.to_read.iam, *kind.to_plan.iam, *(kind.to_write.iam if do not in ("read", "look") else ())}
        method = request.method.capitalize()
        assert (f"es:ESHttp{method}" if method else f"{request.service}:{request.operation}") in allowed, file


@every_kind
def test_everything_granted_is_granted_on_something(kind: Kind) -> None:
    fields: Mapping[str, Value] = {
        "sign_as": "arn:aws:iam::123456789012:role/a",
        "credential": {"roleArn": "arn:aws:iam::123456789012:role/b"},
    }
    for action in {one for grants in grants_of(kind) for one in (*grants.iam, *grants.opensearch)}:
        found = list(kind.resources(action, "thing", fields, PLACE))
        of_the_cluster = action.startswith(("cluster:", "indices:admin/index_template/"))
        assert bool(found) is not of_the_cluster
        assert all(one == "*" or one.startswith("arn:") for one in found) or action.startswith("indices:")


@every_kind
def test_reading_does_not_write(kind: Kind) -> None:
    sent = [request for _, do, request in exchanged(kind) if do in ("read", "look")]
    assert sent
    assert [request.label for request in sent if writes(request)] == []


@every_kind
def test_attributes_known_beforehand_are_attributes(kind: Kind) -> None:
    name = "thing"
    assert set(kind.attributes(name, {}, PLACE)) <= set(kind.schema.attributes)
    assert kind.attributes(name, {}, PLACE) == kind.attributes(name, {}, PLACE)


@every_kind
def test_the_example_is_in_order(kind: Kind) -> None:
    manifest = example(kind)
    desired = desired_objects(manifest, KINDS)
    assert any(address.kind == kind.name for address in desired)
    assert references.problems(desired, KINDS, lambda *_: None) == []
    assert lint.problems(desired, KINDS, stated_place(manifest.target), lambda *_: None) == []


@every_kind
def test_declared_answers_carry_a_creation_to_its_end(kind: Kind) -> None:
    """`plan --calls` feeds a kind its declared answers: they have to be enough for create."""
    desired = desired_objects(example(kind), KINDS)
    made = 0
    for address, one in desired.items():
        if address.kind == kind.name:
            result, sent = created(kind, one)
            assert isinstance(result, Made)
            assert set(result.attributes) <= set(kind.schema.attributes)
            assert len(sent) < 20
            made += 1
    assert made


def grants_of(kind: Kind) -> list[Grants]:
    """All grants that the kind declares."""
    declared = (kind.to_read, kind.to_plan, kind.to_list, kind.to_write)
    return [one for one in declared if one is not None and one != Grants()]


def created(kind: Kind, one: Desired) -> tuple[Any, list[Request]]:
    """What creating the object comes to against a service that does as it is told."""

    def unknown(reference: Reference) -> str | None:
        return None if reference.namespace == "secret" else "(known after apply)"

    fields = {name: references.resolve(value, unknown) for name, value in one.fields.items()}
    changed = frozenset(fields)
    work = Work(one.address, kind.schema.service_name(one.address.name, fields), PLACE, fields, changed, mark="a/b")
    steps = kind.create(work)
    sent: list[Request] = []
    try:
        step = next(steps)
        while True:
            requests = step.requests if isinstance(step, Call) else ()
            answers = tuple(kind.answer(request, None, sent) for request in requests)
            sent += requests
            step = steps.send(Reply(answers, float(len(sent))))
    except StopIteration as end:
        return end.value, sent


def example(kind: Kind) -> Manifest:
    """The manifest in docs/examples that the kind's page shows."""
    return load([str(ROOT / "docs" / "examples" / f"{kind.name}.yaml")], SCHEMAS, Inputs())


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All properties of a schema, at any depth, with their paths."""
    if isinstance(schema, Mapping):
        for keyword in ("properties", "patternProperties"):
            for name, member in schema.get(keyword, {}).items():
                yield f"{path}.{name}", member
                yield from properties(member, f"{path}.{name}")
        for keyword in ("items", "additionalProperties"):
            yield from properties(schema.get(keyword), f"{path}[]")


def exchanged(kind: Kind) -> Iterator[tuple[str, str, Request]]:
    """The requests of the kind's golden cases: the file, what it does, the request by its label alone."""
    for file in sorted((Path(__file__).parent / "kinds" / kind.name).glob("*.json")):
        case = json.loads(file.read_text("utf-8"))
        for asked in case.get("exchange", ()):
            for one in asked if isinstance(asked, list) else [asked]:
                if "request" in one:
                    yield file.name, case["do"], labelled(one["request"]["operation"])


def labelled(label: str) -> Request:
    """The request with this label, as far as the label tells."""
    if " " in label:
        return Request(Service.OPENSEARCH, label.partition("?")[0])
    service, _, operation = label.partition(":")
    return Request(Service(service), operation)


def test_an_address_is_enough_to_name_an_object() -> None:
    for kind in KINDS.values():
        assert kind.schema.service_name("thing", {}) == "thing"
        assert Address.parse(f"{kind.name}.thing").kind == kind.name
