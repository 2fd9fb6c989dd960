"""Reports of plan, apply and drift in every format, each against its published form (those of others in `published/`).

`sarif-2.1.0.json` is SchemaStore's copy (Apache-2.0), `junit-10.xsd` Jenkins' (MIT).
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from markdown_it import MarkdownIt

from reconciler.drift.report import Acceptance, Class, Finding
from reconciler.drift.report import Report as DriftReport
from reconciler.errors import Position, Problem, Severity
from reconciler.execute import Report, Result, Status
from reconciler.ledger import Ledger
from reconciler.manifest.load import Query
from reconciler.model.change import Action, FieldChange
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.plan.decide import decide
from reconciler.plan.plan import Context, Plan
from reconciler.redaction import Redaction
from reconciler.render import digest as digests
from reconciler.render import drift as as_drift
from reconciler.render import text as as_text
from reconciler.render.annotations import annotations
from reconciler.render.digest import Digest, Outcome
from reconciler.render.formats import Account, Format, rendered
from reconciler.render.markdown import COMMENT, STEP_SUMMARY, markdown
from reconciler.render.plan_json import plan_json
from reconciler.render.sarif import sarif
from reconciler.verify import Verdict
from tests.support.bench import kinds, manifest
from tests.unit.test_render import HERE, survey

PUBLISHED = Path(__file__).parent / "published"
EVENTS = Path(__file__).parents[2] / "schemas" / "formats" / "events.schema.json"
AT = "2026-11-23T00:00:00Z"
WARNED = Problem(
    "hidden", "others may be there", Position("chain.yaml", 3, 5), "connectors.a", severity=Severity.WARNING
)
REFUSED = Problem(
    "not-ours", "exists already", Position("chain.yaml", 9, 5), "connectors.b", "adopt it", (("as", "ci"),)
)
MISSING, CHANGED, ROLE = Address("models", "m"), Address("connectors", "chat"), Address("iam_roles", "invoke")
NASTY = "a|b `c` ``` <img src=x> @somebody [x](y) 100%, 1:2\n::error::no"
SECRET = "sk-4f1d0c0ffee"


@pytest.fixture(autouse=True)
def _in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def made() -> Plan:
    return replace(decide(survey()), complaints=[WARNED])


def of_plan(plan: Plan) -> Account:
    summary = as_text.summary(plan, 14, 0.6)
    return Account(
        lambda: as_text.changes(plan), lambda: plan_json(plan, AT), lambda: digests.of_plan(plan, AT, summary.plain)
    )


def ended() -> tuple[Plan, Report, Sequence[Verdict]]:
    plan = made()
    statuses = (Status.DONE, Status.FAILED, Status.NOT_STARTED)
    results = tuple(Result(one, statuses[number % 3], seconds=1.5) for number, one in enumerate(plan.pending))
    query = Query("hello", "predict", {}, Position("chain.yaml", 90, 5))
    return (
        plan,
        Report(results),
        [Verdict(query, True, 200, 12.0), Verdict(replace(query, name="b"), False, reason="no")],
    )


def of_apply() -> Account:
    plan, report, verdicts = ended()
    summary = as_text.applied(report, 3.0, verdicts)
    data: Any = {
        "applied": False,
        "changes": [
            {"address": str(one.change.address), "action": str(one.change.action), "status": str(one.status),
             "seconds": one.seconds}
            for one in report.results
        ],
        "problems": [],
    }  # fmt: skip
    return Account(
        lambda: iter([summary]),
        lambda: data,
        lambda: digests.of_apply(plan, report, AT, summary.plain, [REFUSED], verdicts),
    )


def drifted(*more: Finding) -> DriftReport:
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    findings = (
        Finding(MISSING, Class.MISSING, "it is gone", position=Position("chat.yaml", 71, 3)),
        Finding(CHANGED, Class.CHANGED, fields=(FieldChange(("description",), "x", NASTY),),
                position=Position("chat.yaml", 30, 3)),
        Finding(ROLE, Class.EXTRA, fields=(FieldChange(("managed_policy_arns",), None, admin, widens=True),)),
        Finding(ROLE, Class.CHANGED, fields=(FieldChange(("description",), "a", None),),
                accepted=Acceptance("by hand", date(2027, 1, 31))),
        Finding(CHANGED, Class.UNKNOWN, "no permissions for [x]"),
        Finding(CHANGED, Class.PENDING,
                fields=(FieldChange(("credential", "key"), SECRET, f"{SECRET}2", write_only=True),)),
        Finding(Address("models", "theirs"), Class.UNMANAGED, "id-1"),
        *more,
    )  # fmt: skip
    rows = {one: Row(one, "chain", "id", one.name) for one in (MISSING, CHANGED, ROLE, Address("models", "fine"))}
    context = Context(
        replace(manifest("chain"), files=("chat.yaml",)), kinds(), Place(domain="search"), ledger=Ledger("l", rows=rows)
    )
    return DriftReport(context, findings, objects=4, last_applied=AT)


def of_drift(report: DriftReport) -> Account:
    return Account(
        lambda: as_drift.lines(report),
        lambda: {**as_drift.drift_json(report, AT, 2), "problems": []},
        lambda: digests.of_drift(report, AT, [WARNED]),
    )


def of_failure() -> Account:
    return Account(lambda: iter(["no"]), dict, lambda: digests.of_problems("plan", "chain.yaml", AT, [REFUSED]))


ACCOUNTS = {
    "plan": lambda: of_plan(made()), "apply": of_apply, "drift": lambda: of_drift(drifted()), "failure": of_failure,
}  # fmt: skip
COMMANDS = pytest.mark.parametrize("command", ACCOUNTS)


def written(form: Format, account: Account, *secrets: str) -> str:
    return rendered(form, account, Redaction(secrets), "the log")


@COMMANDS
def test_sarif_is_as_published(command: str) -> None:
    document = json.loads(written(Format.SARIF, ACCOUNTS[command]()))
    jsonschema.Draft7Validator(json.loads((PUBLISHED / "sarif-2.1.0.json").read_text())).validate(document)
    (run,) = document["runs"]
    rules = [one["id"] for one in run["tool"]["driver"]["rules"]]
    assert run["results"]
    for one in run["results"]:
        assert rules[one["ruleIndex"]] == one["ruleId"]
        (place,) = one["locations"]  # code scanning wants one of each
        assert place["physicalLocation"]["artifactLocation"]["uri"].endswith(".yaml")
    prints = [one["partialFingerprints"]["reconciler/v1"] for one in run["results"]]
    assert len(set(prints)) == len(prints)


def results(report: DriftReport) -> Mapping[tuple[str, str], Any]:
    (run,) = json.loads(written(Format.SARIF, of_drift(report)))["runs"]
    return {(one["ruleId"], one["properties"]["address"]): one for one in run["results"]}


def test_sarif_has_places_levels_and_what_is_accepted() -> None:
    found = results(drifted())
    gone = found["drift/missing", "models.m"]
    assert gone["level"] == "error"
    assert gone["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "chat.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 71, "startColumn": 3},
    }
    assert found["drift/changed", "iam_roles.invoke"]["suppressions"] == [
        {"kind": "external", "justification": "accepted until 2027-01-31: by hand"}
    ]
    assert found["drift/unknown", "connectors.chat"]["level"] == "warning"
    assert found["drift/pending", "connectors.chat"]["level"] == "note"
    assert found["drift/extra", "iam_roles.invoke"]["properties"]["marks"] == ["widens privileges"]
    assert not any(rule == "drift/in-sync" for rule, _ in found)


def test_fingerprints_stay_when_lines_and_values_move() -> None:
    report = drifted()
    moved = replace(
        report,
        findings=[
            replace(
                one,
                position=replace(one.position, line=one.position.line + 7) if one.position else None,
                fields=tuple(replace(field, after="other") for field in one.fields),
            )
            for one in reversed(report.findings)
        ],
    )
    before, after = results(report), results(moved)
    assert {key: one["partialFingerprints"] for key, one in before.items()} == {
        key: one["partialFingerprints"] for key, one in after.items()
    }
    assert before["drift/missing", "models.m"]["locations"] != after["drift/missing", "models.m"]["locations"]


def test_problems_of_one_sort_and_object_are_several_alerts() -> None:
    several = [replace(REFUSED, message=f"{name} exists already") for name in "ab"]
    found = digests.of_problems("plan", "m.yaml", AT, several).items
    assert len({one.fingerprint for one in found}) == 2


def test_sarif_names_absolute_files_by_uri() -> None:
    place = Position("/a folder/m.yaml", 1, 1)
    document: Any = sarif(digests.of_problems("plan", "", AT, [replace(REFUSED, position=place)]))
    location = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "file:///a%20folder/m.yaml"}


@COMMANDS
def test_junit_is_as_published(command: str) -> None:
    text = written(Format.JUNIT, ACCOUNTS[command]())
    xmlschema.XMLSchema(str(PUBLISHED / "junit-10.xsd")).validate(text)
    (suite,) = ElementTree.fromstring(text)  # noqa: S314  (our own)
    cases = suite.findall("testcase")
    counts = {name: sum(case.find(tag) is not None for case in cases) for name, tag in TAGS.items()}
    assert {name: int(suite.get(name, "")) for name in TAGS} == counts
    assert int(suite.get("tests", "")) == len(cases) > 0


TAGS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def test_junit_tells_drift_from_what_is_pending_and_unknown() -> None:
    (suite,) = ElementTree.fromstring(written(Format.JUNIT, of_drift(drifted())))  # noqa: S314  (our own)
    found = {
        (case.get("classname"), case.get("name")): [part.tag for part in case] for case in suite.findall("testcase")
    }
    assert found == {
        ("drift.chain.drift/missing", "models.m"): ["failure"],
        ("drift.chain.drift/changed", "connectors.chat"): ["failure"],
        ("drift.chain.drift/extra", "iam_roles.invoke"): ["failure"],
        ("drift.chain.drift/changed", "iam_roles.invoke"): ["skipped"],
        ("drift.chain.drift/unknown", "connectors.chat"): ["error"],
        ("drift.chain.drift/pending", "connectors.chat"): ["skipped"],
        ("drift.chain.drift/unmanaged", "models.theirs"): [],
        ("drift.chain.drift/in-sync", "models.fine"): [],
    }
    gone = suite.find("testcase/failure")
    assert gone is not None
    assert gone.text == "missing: it is gone\nat chat.yaml:71:3"


@COMMANDS
def test_events_are_as_published(command: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(EVENTS.read_text("utf-8")))
    lines = written(Format.NDJSON, ACCOUNTS[command]()).splitlines()
    found = [json.loads(line) for line in lines]
    for one in found:
        validator.validate(one)
    assert [one["event"] for one in found].index("end") == len(found) - 1
    if command == "plan":
        assert [one["address"] for one in found if one["event"] == "change"] == [
            str(change.address) for change in made().changes
        ]


ANNOTATION = re.compile(r"::(error|warning|notice) ([a-zA-Z]+=[^,:\n\r]*(?:,[a-zA-Z]+=[^,:\n\r]*)*)::([^\n\r]*)")


def parsed(line: str) -> tuple[str, Mapping[str, str], str]:
    """A workflow command as the runner takes it apart: of its values only the escapes are undone."""
    found = ANNOTATION.fullmatch(line)
    assert found, line
    word, properties, message = found.groups()
    given = dict(one.split("=", 1) for one in properties.split(","))
    return word, {key: unescaped(value) for key, value in given.items()}, unescaped(message)


def unescaped(text: str) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


@COMMANDS
def test_annotations_are_workflow_commands(command: str) -> None:
    lines = written(Format.GITHUB, ACCOUNTS[command]()).splitlines()
    assert lines
    for line in lines:
        parsed(line)


def test_annotations_have_places_and_nothing_is_taken_for_a_command() -> None:
    found = [parsed(line) for line in annotations(of_drift(drifted()).digest())]
    assert found[0] == (
        "error",
        {"file": "chat.yaml", "line": "71", "col": "3", "title": "models.m"},
        "missing: it is gone",
    )
    assert [word for word, _, _ in found] == ["error"] * 3 + ["warning"] * 2 + ["notice"]
    assert "::error::no" in found[1][2]


def test_no_more_annotations_than_github_shows() -> None:
    gone = [Finding(Address("models", f"m{number}"), Class.MISSING, "it is gone") for number in range(30)]
    found = [parsed(line) for line in annotations(of_drift(drifted(*gone)).digest())]
    errors = [message for word, _, message in found if word == "error"]
    assert len(errors) == 10
    assert errors[-1].startswith("and 24 more, which GitHub would not show: 33 drifted")


def many(count: int) -> Digest:
    digest = of_drift(drifted()).digest()
    items = [
        replace(digest.items[2], address=f"connectors.c{number}", details=("description: - ü" + "x" * 300,) * 3)
        for number in range(count)
    ]
    return replace(digest, items=items)


@pytest.mark.parametrize("most", [COMMENT, STEP_SUMMARY, 4_000])
@pytest.mark.parametrize("count", [1, 49, 5_000])
def test_markdown_is_cut_between_objects_with_a_pointer(most: int, count: int) -> None:
    text = markdown(many(count), most, "the log")
    assert len(text) <= len(text.encode()) <= most
    shown = text.count("<details>")
    assert text.count("</details>") == shown
    assert shown == count or f"\n{count - shown:,} more are left out, for there is no more room here" in text
    assert (shown == count) == (count == 1 or (most > 4_000 and count == 49))
    MarkdownIt("commonmark").parse(text)


@COMMANDS
def test_markdown_shows_everything_and_renders(command: str) -> None:
    account = ACCOUNTS[command]()
    text = written(Format.MARKDOWN, account)
    page = html.unescape(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    for one in account.digest().items:
        if one.outcome is not Outcome.PASSED:
            assert one.address in page
            for detail in one.details:
                assert all(line in page for line in detail.splitlines())
    assert page.count("<details>") == page.count("</details>")


def test_no_value_is_taken_for_markdown() -> None:
    text = written(Format.MARKDOWN, of_drift(drifted(Finding(Address("models", "n"), Class.UNKNOWN, NASTY))))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert not any(token.type in ("image", "link_open") for token in flat)
    tags = [token.content for token in flat if token.type in ("html_block", "html_inline")]
    assert not any("<img" in tag or "@somebody" in tag for tag in tags)
    assert any(NASTY.splitlines()[1] in token.content for token in flat if token.type == "fence")


@pytest.mark.parametrize("form", Format)
def test_no_format_shows_a_secret(form: Format) -> None:
    shown = Finding(MISSING, Class.CHANGED, f"it has {SECRET}", (FieldChange(("a", SECRET), SECRET, "b"),))
    text = written(form, of_drift(drifted(shown)), SECRET)
    assert SECRET not in text
    literal = replace(survey().desired[Address("connectors", "new-connector")])
    literal = replace(literal, fields={**literal.fields, "credential": {"key": SECRET}})
    seen = survey()
    plan = decide(replace(seen, desired={**seen.desired, literal.address: literal}))
    assert SECRET not in written(form, of_plan(plan))


@pytest.mark.parametrize("form", Format)
def test_reports_are_the_same_on_every_run(form: Format) -> None:
    assert written(form, of_plan(made())) == written(form, of_plan(made()))


def test_marks_and_outcomes_of_a_plan() -> None:
    items = {one.address: one for one in of_plan(made()).digest().items if one.rule != "problem/hidden"}
    assert items["iam_roles.changed-role"].marks == ("widens privileges",)
    assert items["iam_roles.same-role"].outcome is Outcome.PASSED
    assert {one.outcome for one in items.values()} == {Outcome.PASSED, Outcome.SKIPPED}
    assert {one.rule for one in items.values()} == {f"plan/{action}" for action in Action}
