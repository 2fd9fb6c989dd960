"""A watch: what is known after each look, when it is told, and how metrics, health and lines tell it."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.cli.watch_commands import Watch, wanted
from reconciler.drift.report import Class, Finding, Report
from reconciler.drift.watching import Look, Standing, Status, after, turn
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.ledger import Ledger
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.plan.plan import Context
from reconciler.render import events
from reconciler.render.watched import line, metrics, standing_json, turn_json
from reconciler.transports.pages import Page, served
from tests.support.bench import kinds, manifest

EVENTS = Path(__file__).parents[2] / "schemas" / "formats" / "events.schema.json"

MODEL, ROLE = Address("models", "m"), Address("iam_roles", "r")
GONE = Finding(MODEL, Class.MISSING, "it is gone", position=Position("a.yaml", 3, 1))
PENDING = Finding(ROLE, Class.PENDING, "it is to be made")
UNKNOWN = Finding(ROLE, Class.UNKNOWN, "AccessDenied")
REFUSED = Problem("refused", "no", address="models.m")
LATE = Problem("unreachable", "nothing came")


def look(began: float, *findings: Finding, problems: Sequence[Problem] = ()) -> Look:
    rows = {address: Row(address, "chain") for address in (MODEL, ROLE)}
    context = Context(manifest("chain"), kinds(), Place(), ledger=Ledger("l", rows=rows))
    return Look(began, 0.5, 7, None if problems else Report(context, findings, objects=2), problems)


def told(*looks: Look) -> list[str]:
    """The lines of a watch that looked so."""
    lines = []
    known: Standing | None = None
    for one in looks:
        before, known = known, after(known, one)
        if (changed := turn(before, known)) is not None:
            lines.append(line(changed).plain)
    return lines


def test_what_a_look_came_to() -> None:
    found = [look(0), look(0, PENDING), look(0, PENDING, UNKNOWN), look(0, PENDING, UNKNOWN, GONE)]
    assert [one.status for one in found] == [Status.IN_SYNC, Status.PENDING, Status.INCOMPLETE, Status.DRIFT]
    assert look(0, problems=[LATE]).status is Status.ERROR


def test_a_line_for_each_change_of_state_and_none_between() -> None:
    moved = replace(GONE, position=Position("a.yaml", 9, 1))
    lines = told(
        look(0), look(60), look(120, GONE), look(180, moved), look(240, GONE, PENDING), look(300, PENDING),
        look(360), look(420),
    )  # fmt: skip
    assert [(text[:25], text[27:37].rstrip()) for text in lines] == [
        ("1970-01-01T00:00:00+00:00", "in sync"),
        ("1970-01-01T00:02:00+00:00", "drift"),
        ("1970-01-01T00:04:00+00:00", "drift"),
        ("1970-01-01T00:05:00+00:00", "pending"),
        ("1970-01-01T00:06:00+00:00", "in sync"),
    ]
    assert lines[1].endswith(
        "1 drifted, 0 not applied yet, 1 in sync, 0 unknown (never applied). new: missing models.m."
    )
    assert lines[2].endswith("new: pending iam_roles.r.")
    assert lines[3].endswith("gone: missing models.m.")


def test_an_error_is_told_once_and_what_was_known_before_it_is_kept() -> None:
    lines = told(
        look(0, GONE), look(60, problems=[LATE]), look(120, problems=[LATE]), look(180, problems=[REFUSED]),
        look(240, GONE), look(300, problems=[LATE]), look(360),
    )  # fmt: skip
    assert [text[27:] for text in lines][1:4] == [
        "error       [unreachable] nothing came",
        "error       [refused] models.m: no",
        "drift       1 drifted, 0 not applied yet, 1 in sync, 0 unknown (never applied).",
    ]
    assert lines[-1].endswith("gone: missing models.m.")
    standing = after(after(None, look(0, GONE)), look(60, problems=[LATE]))
    assert standing_json(standing)["counts"] == standing_json(after(None, look(0, GONE)))["counts"]
    assert standing_json(standing)["last_success"] == "1970-01-01T00:00:00+00:00"


def test_more_findings_than_a_line_has_room_for_are_counted() -> None:
    many = [Finding(Address("models", f"m{number}"), Class.MISSING) for number in range(12)]
    (text,) = told(look(0, *many))
    assert text.endswith("new: missing models.m0, missing models.m1, missing models.m2, 9 more.")


def standing() -> Standing:
    return after(after(after(None, look(0)), look(60, GONE)), look(120, problems=[LATE]))


def test_metrics_are_what_prometheus_reads() -> None:
    families = list(text_string_to_metric_families(metrics("chain", "1.2.3", standing())))
    found = {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "manifest")): sample.value
        for family in families
        for sample in family.samples
    }
    assert {sample.labels.get("manifest") for family in families for sample in family.samples} == {None, "chain"}
    assert found["reconciler_build_info", "1.2.3"] == 1
    assert found["reconciler_drift_objects", "missing"] == 1
    assert found["reconciler_drift_objects", "in_sync"] == 1
    assert [found["reconciler_drift_status", status.name.lower()] for status in Status] == [0, 0, 0, 0, 1]
    assert [found["reconciler_drift_looks_total", status.name.lower()] for status in Status] == [1, 0, 1, 0, 1]
    assert found["reconciler_drift_requests_total",] == 21
    assert found["reconciler_drift_last_look_timestamp_seconds",] == 120
    assert found["reconciler_drift_last_success_timestamp_seconds",] == 60
    assert found["reconciler_drift_look_duration_seconds",] == 0.5
    assert all(family.documentation for family in families)
    before = {family.name for family in text_string_to_metric_families(metrics("chain", "1.2.3", None))}
    assert before == {"reconciler_build_info"}


def test_every_metric_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
    families = text_string_to_metric_families(metrics("chain", "1.2.3", standing()))
    assert [one.name for family in families for one in family.samples if f"`{one.name}" not in page] == []


def test_events_have_the_published_form() -> None:
    schema = json.loads(EVENTS.read_text("utf-8"))
    for known in (after(None, look(0, GONE)), standing()):
        changed = turn(None, known)
        assert changed is not None
        event = events.event("state", turn_json(changed), "2026-11-20T08:12:33Z")
        jsonschema.validate(event, schema)


def asked(port: int, method: str, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()
    finally:
        connection.close()


def test_pages_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def page() -> Page:
        made.append(1)
        return Page(f"é{len(made)}", "text/plain; charset=utf-8", 503)

    with served("127.0.0.1", 0, {"/health": page}) as port:
        assert asked(port, "GET", "/health?full=1") == (503, "text/plain; charset=utf-8", "é1".encode())
        assert asked(port, "HEAD", "/health") == (503, "text/plain; charset=utf-8", b"")
        assert asked(port, "GET", "/nothing")[0] == 404
        assert asked(port, "POST", "/health")[0] == 501
        assert len(made) == 2
        with pytest.raises(ReconcilerError) as refused, served("127.0.0.1", port, {}):
            pass
        assert [one.code for one in refused.value.problems] == ["usage"]
    with pytest.raises(ConnectionRefusedError):
        asked(port, "GET", "/health")


def test_how_often_and_where() -> None:
    assert wanted("5m", None, None) == Watch(300)
    assert wanted("1h", "9464", None) == Watch(3600, ("127.0.0.1", 9464))
    assert wanted("30s", "0.0.0.0:0", None) == Watch(30, ("0.0.0.0", 0))


@pytest.mark.parametrize(
    ("every", "listen", "accepting", "wrong"),
    [
        ("5", None, None, ["--watch 5 is no duration"]),
        ("0m", "x", None, ["--watch 0m is no duration", "--listen x is no port"]),
        (None, "9464", None, ["--listen goes with --watch"]),
        ("5m", "1:65536", ["a.b"], ["--watch accepts nothing", "--listen 1:65536 is no port"]),
    ],
)
def test_all_that_is_wrong_with_the_options_is_said(
    every: str | None, listen: str | None, accepting: list[str] | None, wrong: list[str]
) -> None:
    with pytest.raises(ReconcilerError) as refused:
        wanted(every, listen, accepting)
    assert [one.message for one in refused.value.problems] == wrong
