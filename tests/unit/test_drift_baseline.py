"""The baseline: what it accepts is told apart, until its last day, and what it is about no more is told."""

import json
from datetime import date
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.drift import baseline
from reconciler.drift.baseline import Entry, accepting, entries_for, extended, load, told
from reconciler.drift.report import Class, Finding, Report
from reconciler.errors import ReconcilerError
from reconciler.ledger import Ledger
from reconciler.manifest.source import Source
from reconciler.model.change import FieldChange
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.plan.plan import Context
from tests.support.bench import kinds, manifest

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/formats/drift-baseline.schema.json").read_text("utf-8"))
TODAY, SOON, PAST = date(2026, 6, 1), date(2026, 6, 1), date(2026, 5, 31)
ROLE, MODEL = Address("iam_roles", "r"), Address("models", "m")
ADMIN = FieldChange(("managed_policy_arns",), None, "arn:aws:iam::aws:policy/AdministratorAccess", widens=True)
MORE = FieldChange(("inline_policies", "more"), None, "allow s3:* on *", text="+ allow s3:* on *", widens=True)
MODE = FieldChange(("parameters", "model"), "a", "b")
HOPS = FieldChange(("actions", 0, "url"), {"x": 1}, {"x": [1, 2]})


def report(*findings: Finding) -> Report:
    rows = {address: Row(address, "chain", applied_at="2026-01-01T00:00:00Z") for address in (ROLE, MODEL)}
    return Report(Context(manifest("chain"), kinds(), Place(), ledger=Ledger("l", rows=rows)), findings, objects=2)


EXTRA = Finding(ROLE, Class.EXTRA, fields=(ADMIN, MORE))
GONE = Finding(MODEL, Class.MISSING, "it is gone")


def entries(text: str) -> tuple[Entry, ...]:
    return load(Source("drift-baseline.yaml", text), SCHEMA)


def entry(address: str = "iam_roles.r", until: date = SOON, **about: str) -> Entry:
    return Entry(address, "known", until, about.get("field", ""), about.get("value"), about.get("pattern"))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("one", "accepted"),
    [
        (entry(), [ADMIN, MORE]),
        (entry("iam_roles.*"), [ADMIN, MORE]),
        (entry("models.*"), []),
        (entry(field="managed_policy_arns"), [ADMIN]),
        (entry(field="inline_policies"), [MORE]),
        (entry(field="inline_policies.*"), [MORE]),
        (entry(field="description"), []),
        (entry(value="arn:aws:iam::aws:policy/AdministratorAccess"), [ADMIN]),
        (entry(value="arn:aws:iam::aws:policy/*"), []),
        (entry(pattern="arn:aws:iam::aws:policy/*"), [ADMIN]),
        (entry(value="+ allow s3:* on *"), [MORE]),
        (entry(field="inline_policies.*", pattern="arn:*"), []),
    ],
)
def test_an_entry_accepts_what_it_is_about(one: Entry, accepted: list[FieldChange]) -> None:
    found, warnings = accepting(report(EXTRA), [one], TODAY)
    assert [change for finding in found.accepted for change in finding.fields] == accepted
    assert [change for finding in found.drifted for change in finding.fields] == [
        change for change in (ADMIN, MORE) if change not in accepted
    ]
    assert [warning.code for warning in warnings] == ([] if accepted else ["stale-baseline"])


def test_what_is_accepted_is_still_counted_and_is_no_alarm() -> None:
    found, _ = accepting(report(EXTRA, GONE), [entry(), entry("models.m")], TODAY)
    assert (found.counts["accepted"], found.counts["drifted"], found.counts["in_sync"]) == (2, 0, 0)
    assert found.exit_code(fail_on_pending=True) == 0
    (extra, gone) = found.accepted
    assert extra.accepted is not None
    assert (extra.accepted.reason, extra.accepted.until, gone.kind) == ("known", SOON, Class.MISSING)


def test_an_object_that_is_gone_is_not_accepted_with_one_of_its_fields() -> None:
    found, _ = accepting(report(GONE), [entry("models.m", field="description")], TODAY)
    assert found.exit_code(fail_on_pending=False) == 2


def test_after_its_last_day_it_is_drift_again_and_said() -> None:
    found, warnings = accepting(report(EXTRA), [entry(until=PAST)], TODAY)
    assert found.exit_code(fail_on_pending=False) == 2
    (warning,) = warnings
    assert (warning.code, str(warning.severity)) == ("stale-baseline", "warning")
    assert warning.message == "it accepted drift until 2026-05-31, and that is over"


def test_unknown_and_pending_can_not_be_accepted() -> None:
    unknown = Finding(ROLE, Class.UNKNOWN, "403")
    found, warnings = accepting(report(unknown, Finding(MODEL, Class.PENDING, "x")), [entry("*.*")], TODAY)
    assert found.exit_code(fail_on_pending=True) == 4
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accepted: [{ address: a.b, reason: x }]", "1:12 there is no until"),
        ("accepted: [{ address: a.b, reason: x, until: 2026-13-01 }]", "1:46 there is no such day"),
        (
            "accepted: [{ address: a.b, reason: x, until: soon }]",
            "1:46 not as the schema of baselines has it (pattern)",
        ),
        ("accepted: [{ address: a.b, reason: x, until: 2026-01-01, who: me }]", "1:12 unknown keys: who"),
        ("accepted: [{ address: 1, reason: x, until: 2026-01-01 }]", "1:23 not of type string"),
        (
            "accepted: [{ address: a.b, value: 1, pattern: 1*, reason: x, until: 2026-01-01 }]",
            "1:12 not as the schema of baselines has it (not)",
        ),
        ("- a", "1:1 not of type object"),
        ("x: 1", "1:1 there is no accepted"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ReconcilerError) as raised:
        entries(text)
    problems = [one for one in raised.value.problems if one.position is not None]
    assert said in [f"{one.position.line}:{one.position.column} {one.message}" for one in problems if one.position]
    assert {one.code for one in problems} == {"bad-baseline"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "accepted:\n", "accepted: []\n"])
def test_an_empty_file_accepts_nothing(text: str) -> None:
    assert entries(text) == ()


MINE = """\
# Known to the team.
accepted:
- address: models.m   # by hand
  reason: 'until the new model is there'
  until: 2027-01-31
"""
INDENTED = (
    MINE.replace("- address", "    - address").replace("  reason", "      reason").replace("  until", "      until")
)


@pytest.mark.parametrize("text", [None, "", "# a comment\n", "accepted:\n", MINE, INDENTED, MINE.rstrip()])
def test_entries_are_added_and_what_stands_there_stays(text: str | None) -> None:
    source = None if text is None else Source("drift-baseline.yaml", text)
    hard = Finding(ROLE, Class.CHANGED, fields=(HOPS, FieldChange(("description",), "a", 'no: "x"\n#y ümlaut')))
    added = entries_for([EXTRA, GONE, hard], "see #12: it's known", SOON)
    written = extended(source, added, SCHEMA)
    assert written.startswith((text or "").rstrip())
    known = entries(text or "")
    found = entries(written)
    assert [(one.address, one.field, one.value, one.reason) for one in found] == [
        (one.address, one.field, one.value, one.reason) for one in (*known, *added)
    ]
    accepted, _ = accepting(report(EXTRA, GONE, hard), found, TODAY)
    assert accepted.drifted == []


def test_a_list_that_can_not_be_added_to_is_left_alone() -> None:
    source = Source("b.yaml", "accepted: [{ address: a.b, reason: x, until: 2026-01-01 }]\n")
    with pytest.raises(ReconcilerError, match="not written so that an entry can be added"):
        extended(source, [entry()], SCHEMA)


def test_a_value_of_any_form_is_told_as_text() -> None:
    assert [told(one) for one in (ADMIN, MORE, MODE, HOPS)] == [
        "arn:aws:iam::aws:policy/AdministratorAccess", "+ allow s3:* on *", "b", '{"x":[1,2]}',
    ]  # fmt: skip
    assert told(FieldChange(("users",), "ann", None)) == "ann"
    assert baseline.NAME == "drift-baseline.yaml"
