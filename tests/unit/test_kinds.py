"""Golden cases of the kinds: what each sends, answer by answer, and what it makes of the answers.

A case is a file `kinds/<kind>/<case>.json`. Its keys:

- `why`: what the case shows
- `do`: `read`, `look`, `create`, `update`, `delete`, `diff` or `check`
- `name`: the address's name; `thing` when absent
- `manifest`: the fields as the manifest states them; `${secret.x}` and references stay symbolic
- `live`: the object as it was read; of a `diff` its `fields` alone matter
- `applied`: the ledger's row: `id`, `name`, `fields`, `prior`, `adopted`
- `users`: the ids of the manifest's objects that use it
- `others`: by field, the entries of shared lists that other manifests count on; `rotated`: secrets with a new value
- `sought`: what to look for, when it is not the object of `manifest` and `applied`
- `sees_all`: false when objects may be hidden from the caller
- `place`: what of the place is not as usual, such as its `version`
- `exchange`: requests with their answers in the order they have to come, those sent side by side as a list, and
  between them the pauses by what is waited for. A policy sent as text is written `{"text": {...}}`
- `result`: what comes out. Of an update `differences` are those between `live` and `manifest`, of a reading with a
  manifest those between what was read and the manifest
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.diff import Versions, differences, dotted, replacement
from reconciler.kinds import load_kinds
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import Template, Value, parse
from reconciler.model.change import FieldChange
from reconciler.model.kind import Kind, Made, Place, Reading, Siblings, Work
from reconciler.model.objects import Address, Desired, Live, Row, Sought
from reconciler.model.request import Answer, Repeat, Request, ServiceFailure
from reconciler.model.steps import Call, Failed, NeverHappened, Pause, Reply, Steps, Usual

CASES = Path(__file__).parent / "kinds"
SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")
KINDS = load_kinds(SCHEMAS)
PLACE = Place(
    "us-east-1", "123456789012", "aws", "search-demo", "https://search-demo.example.com", True, "2.19.4", True
)
MARK = "demo/ledger-1"

Case = Mapping[str, Any]
FILES = sorted(CASES.glob("*/*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_case(file: Path) -> None:
    case = json.loads(file.read_text("utf-8"))
    assert case.keys() <= {
        "why", "do", "name", "manifest", "live", "applied", "others", "users", "rotated", "sought", "sees_all",
        "place", "exchange", "result",
    }  # fmt: skip
    assert case["why"]
    assert case["result"]
    found = outcome(KINDS[file.parent.name], case)
    assert {key: found.get(key) for key in case["result"]} == case["result"]
    assert found.get("error") == case["result"].get("error")


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_of_a_kind_has_cases(kind: str) -> None:
    done = {json.loads(file.read_text("utf-8"))["do"] for file in FILES if file.parent.name == kind}
    assert done - {"check"} == {"read", "look", "create", "update", "delete", "diff"}
    own = type(KINDS[kind])
    assert ("check" in done) == (own.check is not Kind.check or own.unfit is not Kind.unfit)


def test_many_names_are_searched_for_in_parts_and_a_full_page_is_no_answer() -> None:
    steps = KINDS["model_groups"].read([Sought(f"n{number}") for number in range(4_001)], PLACE)
    step = next(steps)
    assert isinstance(step, Call)
    assert len(step.requests) == 3
    full: Any = {"hits": {"hits": [{"_id": str(number), "_source": {"name": "n1"}} for number in range(10_000)]}}
    nothing = Answer(200, {"hits": {"hits": []}})
    with pytest.raises(Failed, match="more than 10,000 model_groups"):
        steps.send(Reply((nothing, Answer(200, full), nothing), 0.0))


def test_a_connector_comes_after_what_trusts_its_endpoint_and_admits_its_signer() -> None:
    signer, other = "arn:aws:iam::123456789012:role/create", "arn:aws:iam::123456789012:role/other"
    settings, admits = Address("cluster_settings", "ml"), Address("role_mappings", "ml_full_access")
    another, connector = Address("role_mappings", "readall"), Address("connectors", "a")
    everything = {
        settings: Desired(settings, {}),
        admits: Desired(admits, {"backend_roles": [other, signer]}),
        another: Desired(another, {"backend_roles": [other]}),
        connector: Desired(connector, {"sign_as": signer}),
    }
    others = Siblings(everything.values())
    assert set(KINDS["connectors"].depends_on(everything[connector], others)) == {settings, admits}


def test_settings_go_back_to_what_somebody_had_set_and_lists_to_what_they_were() -> None:
    lists, scalar = "plugins.ml_commons.trusted_connector_endpoints_regex", "plugins.ml_commons.only_run_on_ml_node"
    unset = "plugins.ml_commons.rag_pipeline_feature_enabled"
    live = Live("ml", "", {lists: ["^a$"], scalar: "true", unset: "true"}, detail={scalar: "true"})
    prior = KINDS["cluster_settings"].prior(live, [lists, scalar, unset])
    assert prior is not None
    assert {name: prior[name] for name in (lists, scalar, unset)} == {lists: ["^a$"], scalar: "true", unset: None}


def outcome(kind: Kind, case: Case) -> dict[str, Any]:
    """What the case's operation comes to, in the words of `result`."""
    name = case.get("name", "thing")
    fields: Mapping[str, Value] = template(case.get("manifest", {}))
    service_name = kind.schema.service_name(name, fields)
    if kind.schema.name_field and "manifest" in case:
        fields = {kind.schema.name_field: service_name, **fields}
    row = _row(Address(kind.name, name), case, service_name)
    do, place = case["do"], replace(PLACE, **case.get("place", {}))
    if do == "check":
        faults = (*kind.check(fields, place), *kind.unfit(fields, place))
        return {"faults": [f"{one.code} {dotted(one.path)}: {one.message} ({one.hint})" for one in faults]}
    if do in ("read", "look"):
        return _reading(kind, case, fields, service_name, row)
    live = _live(case.get("live"), service_name)
    found = differences(kind.schema, _versions(case, fields, live, row)) if live and do != "delete" else ()
    result: dict[str, Any] = {
        "differences": [told(change) for change in found],
        "refused": [f"{one.code} {dotted(one.path)}: {one.message}" for one in kind.refused(found, live)]
        if live
        else [],
        "replace": replacement(kind.schema, found, fields) or (kind.remade(found, fields, place) if found else ""),
    }
    if do == "diff":
        assert "exchange" not in case
        return result
    work = Work(
        Address(kind.name, name), service_name, place, fields, frozenset(change.field for change in found), live, row,
        MARK, {field: frozenset(entries) for field, entries in case.get("others", {}).items()},
        frozenset(case.get("users", ())),
    )  # fmt: skip
    operations: Mapping[str, Callable[[Work], Steps[Any]]] = {
        "create": kind.create,
        "update": kind.update,
        "delete": kind.delete,
    }
    made, error = drive(operations[do](work), case["exchange"])
    return result | {"made": _without_empty(asdict(made)) if isinstance(made, Made) else None, "error": error}


def drive(steps: Steps[Any], exchange: Sequence[Any]) -> tuple[Any, str | None]:
    """Drive steps through an exchange, and return their result or how they ended."""
    clock, result, error = 1000.0, None, None
    script = list(exchange)
    reply: Reply | ServiceFailure | None = None
    try:
        while True:
            if isinstance(reply, ServiceFailure):
                step = steps.throw(reply)
            else:
                step = next(steps) if reply is None else steps.send(reply)
            if isinstance(step, Usual):
                reply = Reply((), clock)
                continue
            assert script, f"nothing more is expected than {_step(step)}"
            expected = script.pop(0)
            asked = expected if isinstance(expected, list) else [expected]
            assert _step(step) == [one.get("request", one) for one in asked]
            if isinstance(step, Pause):
                clock += step.seconds
            answers = tuple(_answer(one["answer"]) for one in asked if "answer" in one)
            reply = _reply(step, answers, clock)
    except StopIteration as end:
        result = end.value
    except (Failed, ServiceFailure, NeverHappened) as stop:
        code = f"[{stop.code}]" if isinstance(stop, Failed) else ""
        error = f"{type(stop).__name__}{code}: {stop}"
    assert not script, f"this did not come: {script}"
    return result, error


def template(value: Any) -> Any:
    """A manifest's value with its references as the loader has them."""
    if isinstance(value, str):
        return parse(value, SCHEMAS.attributes)
    if isinstance(value, Mapping):
        return {key: template(member) for key, member in value.items()}
    return [template(member) for member in value] if isinstance(value, list) else value


def told(change: FieldChange) -> str:
    """A difference in one line."""
    words = [f"{dotted(change.path)}: {_text(change.before)} -> {_text(change.after)}"]
    words += [f"({change.text})"] if change.text else []
    words += ["widens"] if change.widens else []
    words += ["write-only"] if change.write_only else []
    return " ".join(words)


def _reading(kind: Kind, case: Case, fields: Mapping[str, Value], name: str, row: Row | None) -> dict[str, Any]:
    named = frozenset({*fields, *(row.applied if row else ())})
    default = [{"name": name, "id": row.id if row else "", "fields": named}]
    sought = [
        Sought(one["name"], one.get("id", ""), frozenset(one.get("fields", ())), tuple(one.get("signers", ())))
        for one in case.get("sought", default)
    ]
    place = replace(PLACE, sees_all=case.get("sees_all", True), **case.get("place", {}))
    steps = kind.read(sought, place) if case["do"] == "read" else kind.look(sought[0], place)
    reading, error = drive(steps, case["exchange"])
    if not isinstance(reading, Reading):
        return {"error": error}
    result: dict[str, Any] = {
        "lives": [_without_empty(asdict(live)) for live in reading.lives],
        "unreadable": dict(reading.unreadable),
        "hidden": reading.hidden,
    }
    if "manifest" in case:
        (live,) = reading.lives
        found = differences(kind.schema, _versions(case, fields, live, row))
        result["differences"] = [told(change) for change in found]
    return result


def _versions(case: Case, fields: Mapping[str, Value], live: Live, row: Row | None) -> Versions:
    return Versions(
        fields, live.fields, row.applied if row else None, (row.prior or {}) if row else {},
        {field: frozenset(entries) for field, entries in case.get("others", {}).items()},
        frozenset(case.get("rotated", ())),
    )  # fmt: skip


def _live(stated: Case | None, name: str) -> Live | None:
    return Live(**{"name": name, "id": "", **stated}) if stated is not None else None


def _row(address: Address, case: Case, name: str) -> Row | None:
    stated = case.get("applied")
    if stated is None:
        return None
    assert stated.keys() <= {"id", "name", "fields", "prior", "adopted"}
    return Row(
        address, "demo", stated.get("id", ""), stated.get("name", name), stated.get("fields", {}), stated.get("prior"),
        stated.get("adopted", False),
    )  # fmt: skip


def _step(step: Call | Pause) -> list[dict[str, Any]]:
    if isinstance(step, Pause):
        return [{"pause": step.waiting_for}]
    return [_request(request) for request in step.requests]


def _request(request: Request) -> dict[str, Any]:
    shown = {
        "operation": request.label,
        "parameters": {} if request.method else {key: _sent(value) for key, value in request.parameters.items()},
        "body": _plain(request.body),
        "as": request.identity,
        "repeat": str(request.repeat) if request.repeat is not Repeat.SAFE else "",
    }
    return {key: value for key, value in shown.items() if value not in (None, "", [], {})}


def _reply(step: Call | Pause, answers: tuple[Answer, ...], clock: float) -> Reply | ServiceFailure:
    """As the runner has it: an error nobody expected ends the steps."""
    if isinstance(step, Call):
        for request, answer in zip(step.requests, answers, strict=True):
            if not answer.ok and answer.code not in request.expect:
                return ServiceFailure(request, answer, answer.reason)
    return Reply(answers, clock)


def _answer(stated: Case) -> Answer:
    status = stated.get("status", 200)
    return Answer(
        status, stated.get("body"), stated.get("code", str(status) if status >= 400 else ""), stated.get("reason", "")
    )


def _sent(value: Value) -> Any:
    if isinstance(value, str) and value.startswith(("{", "[")):
        return {"text": json.loads(value)}
    return _plain(value)


def _plain(value: Value) -> Any:
    if isinstance(value, Template):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(member) for member in value]
    return value


def _text(value: Value) -> str:
    return "nothing" if value is None else json.dumps(_plain(value), ensure_ascii=False)


def _without_empty(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value not in ("", {}, [], ())}
