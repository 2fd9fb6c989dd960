"""What is printed, word for word. The expected texts stand in `rendered/`; the plan they show is made of `chain.yaml`
and of what `live.json` says is live and in the ledger."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from reconciler.cli.options import Common
from reconciler.cli.output import Output
from reconciler.errors import Position, Problem, Severity
from reconciler.execute import Report, Result, Status
from reconciler.kinds import load_kinds
from reconciler.ledger import Ledger
from reconciler.manifest.load import Query, load
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import parse
from reconciler.manifest.variables import Inputs
from reconciler.model.change import Action
from reconciler.model.kind import Caller, Place, Reading
from reconciler.model.objects import Address, Live, Row
from reconciler.plan.decide import Permissions, decide
from reconciler.plan.plan import Cluster, Context, Plan
from reconciler.plan.survey import Survey, desired_objects, with_target
from reconciler.render import text as as_text
from reconciler.render.plan_json import plan_json
from reconciler.render.problems import problem_json
from reconciler.render.values import plain, shown
from reconciler.verify import Verdict

HERE = Path(__file__).parent / "rendered"
SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")
KINDS = load_kinds(SCHEMAS)
ACCOUNT = "arn:aws:iam::123456789012"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-79]|4[0-79]|9[0-7]|38|48)(?:;[0-9]+)*m")


@pytest.fixture(autouse=True)
def _in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests are named as they were given: without the folders of a machine."""
    monkeypatch.chdir(HERE)


def lives() -> dict[str, Reading]:
    """What is live, by kind."""
    stated = json.loads((HERE / "live.json").read_text("utf-8"))["live"]
    return {kind: Reading(tuple(Live(**{"id": "", **one}) for one in ones)) for kind, ones in stated.items()}


def rows() -> dict[Address, Row]:
    """What the ledger knows."""
    stated = json.loads((HERE / "live.json").read_text("utf-8"))["rows"]
    found = [Row(manifest="chain", **{**one, "address": Address.parse(one["address"])}) for one in stated]
    return {one.address: replace(one, name=one.name or one.address.name) for one in found}


def survey(file: str = "chain.yaml") -> Survey:
    """What the plan is made of."""
    manifest = load([file], SCHEMAS, Inputs())
    place = Place(
        "us-east-1",
        "123456789012",
        "aws",
        "search-demo",
        "https://search-demo.us-east-1.es.amazonaws.com",
        managed=True,
    )
    ledger = Ledger("ledger-1", rows=rows())
    caller = Caller(f"{ACCOUNT}:user/ci", "123456789012", "ci", ("all_access",))
    context = Context(manifest, KINDS, place, caller, Cluster("demo", "uuid", "2.19.4"), ledger)
    desired = {address: with_target(one, place) for address, one in desired_objects(manifest, KINDS).items()}
    return Survey(context, desired, lives(), fingerprints={"key": "01"})


@pytest.fixture
def plan() -> Plan:
    """A plan with every action in it."""
    made = decide(survey())
    assert not made.problems
    assert {change.action for change in made.changes} == set(Action)
    return made


def lines(plan: Plan) -> list[Text]:
    """All of a plan."""
    return [
        as_text.heading(plan),
        as_text.reading(plan, 14, 0.61),
        *as_text.changes(plan),
        as_text.summary(plan, 14, 0.61),
    ]


def printed(texts: Iterable[Text]) -> str:
    """Lines as they are without a terminal."""
    return "".join(f"{line.plain}\n" for line in texts)


def expected(name: str, found: str) -> None:
    """Compare with the text in the file."""
    assert found == (HERE / name).read_text("utf-8")


def test_plan_with_every_action(plan: Plan) -> None:
    expected("plan.txt", printed(lines(plan)))


def test_plan_of_a_destroy() -> None:
    expected("destroy.txt", printed(lines(decide(replace(survey(), desired={})))))


def test_plan_of_a_destroy_with_what_was_adopted() -> None:
    seen = survey()
    group = Row(Address("model_groups", "taken-over"), "chain", "g-theirs", "taken-over", adopted=True)
    context = replace(seen.context, ledger=Ledger("ledger-1", rows={group.address: group}))
    seen = replace(seen, desired={}, context=context)
    left = printed(as_text.changes(decide(seen)))
    assert left == "  x model_groups.taken-over\n      adopted, so it is left in place\n"
    gone = printed(as_text.changes(decide(seen, Permissions(include_adopted=True))))
    assert gone == "  - model_groups.taken-over\n"


def test_plan_without_changes(plan: Plan) -> None:
    (same,) = [change for change in plan.changes if change.action is Action.NO_OP]
    text = "No changes: 2 objects match (1,203 requests, 0.5 s)."
    assert as_text.summary(replace(plan, changes=[same, same]), 1203, 0.5).plain == text
    assert as_text.summary(replace(plan, changes=[]), 3, 0.5).plain == "No changes: the manifest has no objects."


def test_heading_says_what_is_known(plan: Plan) -> None:
    context = plan.context
    assert as_text.heading(plan).plain == (
        "chain -> account 123456789012 (us-east-1), domain search-demo (OpenSearch 2.19.4, Amazon OpenSearch Service)"
    )
    own = replace(context, place=Place(endpoint="https://localhost:9200"))
    assert (
        as_text.heading(replace(plan, context=own)).plain
        == "chain -> https://localhost:9200 (OpenSearch 2.19.4, self-managed)"
    )
    aws = replace(context, place=Place(account_id="123456789012"))
    assert as_text.heading(replace(plan, context=aws)).plain == "chain -> account 123456789012"
    assert as_text.heading(replace(plan, context=replace(context, place=Place()))).plain == "chain -> nothing"


def test_numbers_agree_with_their_nouns(plan: Plan) -> None:
    assert as_text.reading(replace(plan, objects=1), 1, 0.04).plain == "read 1 object in 1 request, 0.0 s"
    assert as_text.reading(replace(plan, objects=4212), 14, 61.25).plain == "read 4,212 objects in 14 requests, 61.2 s"


def test_results_of_an_apply(plan: Plan) -> None:
    results = []
    for number, change in enumerate(plan.pending):
        if number % 5 == 3:
            results.append(Result(change, Status.FAILED, ValueError("x"), 12.04))
        elif number % 5 == 4:
            results.append(Result(change, Status.NOT_STARTED, waits_for=(plan.pending[number - 1].address,)))
        else:
            results.append(Result(change, Status.DONE, seconds=number / 7))
    differing = {plan.pending[0].address: "differs in description"}
    broken = as_text.applied(Report(tuple(results), differing), 75.0, [])
    done = [replace(result, status=Status.DONE) for result in results]
    verdicts = [Verdict(query(), passed=True), Verdict(query("other"), passed=False)]
    ends = [
        broken,
        as_text.applied(Report(tuple(done)), 9.83, verdicts),
        as_text.applied(Report(tuple(done[:1])), 0.3, verdicts[:1]),
        as_text.applied(Report(tuple(done[:1])), 0.3, []),
        as_text.applied(Report(()), 0.0, []),
    ]
    waiting = as_text.progress(plan.pending[0], "waiting 6 s of 120: IAM role new-role readable", "yellow", "again")
    expected("apply.txt", printed([*map(as_text.ended, results), waiting, *ends]))


@pytest.mark.parametrize(
    ("value", "text", "bare"),
    [
        ("two words", '"two words"', '"two words"'),
        ("arn:aws:iam::123456789012:role/a", '"arn:aws:iam::123456789012:role/a"', "arn:aws:iam::123456789012:role/a"),
        ("", '""', '""'),
        (True, "true", "true"),
        (None, "null", "null"),
        ("${secret.key}", "(secret key)", "(secret key)"),
        ("${connectors.a.id}", "(known after apply: connectors.a.id)", "(known after apply: connectors.a.id)"),
        ("Bearer ${secret.key}", '"Bearer ${secret.key}"', '"Bearer ${secret.key}"'),
        (
            {"a": ["ü", "${iam_roles.a.arn}"]},
            '{"a": ["ü", (known after apply: iam_roles.a.arn)]}',
            '{"a": ["ü", (known after apply: iam_roles.a.arn)]}',
        ),
    ],
)
def test_values(value: Any, text: str, bare: str) -> None:
    assert shown(template(value)) == text
    assert plain(template(value)) == bare


def template(value: Any) -> Any:
    """A value with its references as the loader has them."""
    if isinstance(value, Mapping):
        return {key: template(member) for key, member in value.items()}
    if isinstance(value, list):
        return [template(member) for member in value]
    return parse(value, SCHEMAS.attributes) if isinstance(value, str) else value


def test_verdicts() -> None:
    verdicts = [
        Verdict(query(), passed=True, status=200, milliseconds=412.6, answer="Hello! How can I help?"),
        Verdict(
            query("a-name-" * 8), passed=False, status=403, milliseconds=7.2, reason="status 403 instead of 200: no"
        ),
        Verdict(query("unreachable"), passed=False, reason="the endpoint does not answer"),
    ]
    expected("verdicts.txt", printed(as_text.verdict_lines(verdicts)))


def test_live_objects() -> None:
    shown: list[Text] = []
    for kind, reading in lives().items():
        for live in reading.lives[:1]:
            rule = KINDS[kind].schema.rule
            shown += as_text.live_lines(Address(kind, live.name), live.fields, live.attributes, rule)
    expected("show.txt", printed(shown))


def test_plan_as_json(plan: Plan) -> None:
    document = plan_json(plan, "2026-11-23T00:00:00Z")
    expected("plan.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def test_json_has_terraforms_shape(plan: Plan) -> None:
    """https://developer.hashicorp.com/terraform/internals/json-format#change-representation"""
    document: Any = plan_json(plan, "2026-11-23T00:00:00Z")
    assert document["format_version"].startswith("1.")
    assert [one["address"] for one in document["resource_changes"]] == [str(change.address) for change in plan.changes]
    actions = {one["address"]: one["change"]["actions"] for one in document["resource_changes"]}
    known = {
        "no-op": ["no-op"],
        "create": ["create"],
        "update": ["update"],
        "delete": ["delete"],
        "forget": ["forget"],
        "adopt": ["update"],
    }
    for change in plan.changes:
        if change.action is not Action.REPLACE:
            assert actions[str(change.address)] == known[str(change.action)]
    assert actions["connectors.used-connector"] == ["create", "delete"]
    for one in document["resource_changes"]:
        assert (one["change"]["before"] is None) == (
            one["change"]["actions"] == ["create"] or one["address"] == "model_groups.gone"
        )
        assert (one["change"]["after"] is None) == (one["change"]["actions"] in (["delete"], ["forget"]))
    (model,) = [one["change"] for one in document["resource_changes"] if one["address"] == "models.new-model"]
    assert model["after"]["connector_id"] is None
    assert model["after_unknown"] == {"connector_id": True}
    (connector,) = [
        one["change"] for one in document["resource_changes"] if one["address"] == "connectors.new-connector"
    ]
    assert connector["after_sensitive"] == {"credential": True}
    assert connector["after"]["credential"] == {"key": "${secret.key}"}


def test_a_role_is_replaced_the_other_way_round() -> None:
    """Both would have one name, so the old one goes first, and the actions say so."""
    seen = survey()
    address = Address("iam_roles", "same-role")
    moved = replace(seen.desired[address], fields={**seen.desired[address].fields, "path": "/chain/"})
    made = decide(replace(seen, desired={address: moved}))
    document: Any = plan_json(made, "")
    (one,) = [one for one in document["resource_changes"] if one["address"] == str(address)]
    assert one["change"]["actions"] == ["delete", "create"]
    assert one["action_reason"] == "path can not be changed"


def test_problems_in_json(plan: Plan) -> None:
    problem = Problem(
        "not-ours",
        "exists already",
        Position("a.yaml", 3, 5),
        "connectors.a",
        "adopt it",
        (("as", "ci"),),
        Severity.WARNING,
    )
    document: Any = plan_json(replace(plan, complaints=[problem]), "")
    assert document["problems"] == [
        {
            "severity": "warning", "code": "not-ours", "address": "connectors.a", "message": "exists already",
            "hint": "adopt it", "file": "a.yaml", "line": 3, "column": 5, "facts": {"as": "ci"},
        }
    ]  # fmt: skip
    assert (document["errored"], document["complete"], document["applyable"]) == (False, True, True)
    failed: Any = plan_json(replace(plan, complaints=[replace(problem, severity=Severity.ERROR)]), "")
    assert (failed["errored"], failed["complete"], failed["applyable"]) == (True, False, False)
    assert problem_json(replace(problem, position=None))["file"] is None


def test_what_stands_in_a_write_only_field_is_not_printed() -> None:
    """A key somebody wrote into the manifest instead of a reference: neither text nor JSON shows it."""
    literal = "sk-4f1d0c0ffee"
    seen = survey()
    for name in ("new-connector", "used-connector", "rotated-connector"):
        address = Address("connectors", name)
        changed = replace(
            seen.desired[address], fields={**seen.desired[address].fields, "credential": {"key": literal}}
        )
        seen = replace(seen, desired={**seen.desired, address: changed})
    made = decide(seen)
    assert literal not in printed(lines(made))
    assert literal not in json.dumps(plan_json(made, ""))


def test_a_role_in_a_credential_is_printed() -> None:
    """An ARN is no secret, and who looks at a plan wants to see it."""
    arn = f"{ACCOUNT}:role/invoke"
    seen = survey()
    address = Address("connectors", "new-connector")
    changed = replace(seen.desired[address], fields={**seen.desired[address].fields, "credential": {"roleArn": arn}})
    made = decide(replace(seen, desired={address: changed}))
    assert f'      credential.roleArn: "{arn}"   (write-only)\n' in printed(lines(made))


def test_nothing_is_lost_at_80_columns(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Output(Common()).lines(lines(plan))
    out = capsys.readouterr().out
    assert out == printed(lines(plan))
    assert max(map(len, out.splitlines())) > 80


def test_no_escape_codes_without_a_terminal(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Common())
    output.lines(lines(plan))
    output.note(as_text.summary(plan, 1, 1.0))
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_terminal_without_colour(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    if how == "variable":
        monkeypatch.setenv("NO_COLOR", "1")
    Output(Common(no_color=how == "option")).lines(lines(plan))
    out = capsys.readouterr().out
    assert COLOUR.findall(out) == []
    assert ESCAPE.sub("", out) == printed(lines(plan))


def test_a_terminal_in_colour(plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Output(Common()).lines(lines(plan))
    out = capsys.readouterr().out
    assert COLOUR.search(out)
    assert ESCAPE.sub("", out) == printed(lines(plan))


def query(name: str = "hello") -> Query:
    """A test query."""
    return Query(name, "predict", {}, Position("chain.yaml", 1, 1))
