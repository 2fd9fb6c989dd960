"""How much a plan shows: a line for each change, what differs, or everything; JSON inside of strings; marks."""

import io
from collections.abc import Iterable
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from reconciler.model.change import Action, Change, FieldChange
from reconciler.model.objects import Address
from reconciler.plan.decide import decide
from reconciler.plan.plan import Plan
from reconciler.render import embedded
from reconciler.render import text as as_text
from reconciler.render.text import Detail
from tests.unit.test_render import HERE, survey

BODY = '{"model": "${parameters.model}", "messages": ${parameters.messages}, "temperature": 0, "stream": false}'


@pytest.fixture(autouse=True)
def _in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


@pytest.fixture
def plan() -> Plan:
    return decide(survey())


def plain(texts: Iterable[Text]) -> list[str]:
    return [text.plain.rstrip() for text in texts]


def test_a_line_for_each_change(plan: Plan) -> None:
    lines = plain(as_text.changes(plan, Detail.SUMMARY))
    assert len(lines) == len(plan.shown)
    assert lines[1] == "  ~ iam_roles.changed-role                      chain.yaml:25     widens privileges"


def test_in_full_what_is_the_same_is_shown_and_no_secret(plan: Plan) -> None:
    lines = plain(as_text.changes(plan, Detail.FULL))
    assert "    iam_roles.same-role                         chain.yaml:38" in lines
    start = lines.index("  ~ connectors.rotated-connector                chain.yaml:69")
    assert '      protocol: "http"' in lines[start : start + 6]
    assert {one for one in plain(as_text.changes(plan)) if "JSON" not in one} - set(lines) == {
        '      actions[0].request_body: "{ \\"model\\": \\"${parameters.model}\\", \\"messages\\": '
        '${parameters.messages} }"'
    }
    start = lines.index("      actions[0].request_body: JSON")
    assert lines[start + 1 : start + 5] == [
        "        + {",
        '        +   "model": "${parameters.model}",',
        '        +   "messages": ${parameters.messages}',
        "        + }",
    ]


def test_json_in_a_string_is_shown_as_a_difference_with_the_rest_folded() -> None:
    long = '{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "model": "x", "f": [1, "}"], "messages": ${parameters.m}}'
    field = FieldChange(("actions", 0, "request_body"), long, long.replace('"x"', '"y"'))
    assert plain(as_text.differing([field])) == [
        "      actions[0].request_body: JSON",
        "          ... 4 lines unchanged",
        '            "d": 4,',
        '            "e": 5,',
        '        -   "model": "x",',
        '        +   "model": "y",',
        '            "f": [',
        "              1,",
        "          ... 4 lines unchanged",
    ]


@pytest.mark.parametrize("text", ["", "plain", "{broken", '{"a": }', "[" * 100_000, "3", '"a"'])
def test_other_strings_are_no_json(text: str) -> None:
    assert embedded.lines(text) is None


def test_what_stands_for_values_is_left_as_it_is() -> None:
    found = embedded.lines(BODY)
    assert found is not None
    assert found[1:3] == ['  "model": "${parameters.model}",', '  "messages": ${parameters.messages},']


def test_spaces_in_json_are_told_as_values() -> None:
    """Where the values inside are equal the difference is in the text, and that is shown."""
    field = FieldChange(("body",), '{"a": 1}', '{"a":1}')
    assert plain(as_text.differing([field])) == ['      body: - "{\\"a\\": 1}"  + "{\\"a\\":1}"']


def test_a_write_only_string_of_json_is_never_opened() -> None:
    field = FieldChange(("credential",), '{"key": "sk-1"}', '{"key": "sk-2"}', write_only=True)
    (line,) = plain(as_text.differing([field]))
    assert "sk-" not in line


def test_what_users_notice_is_marked_and_counted() -> None:
    """A role has one name: it is gone before it is there again."""
    seen = survey()
    address = Address("iam_roles", "same-role")
    moved = replace(seen.desired[address], fields={**seen.desired[address].fields, "path": "/chain/"})
    made = decide(replace(seen, desired={address: moved}))
    (change,) = [one for one in made.changes if one.address == address]
    assert change.action is Action.REPLACE
    assert "      removed before it is made anew: there is none meanwhile     disruptive" in plain(
        as_text.changes(made)
    )
    assert as_text.summary(made, 1, 1.0).plain.endswith(" 1 disruptive.")
    summaries = plain(as_text.changes(made, Detail.SUMMARY))
    assert sum(line.endswith("     disruptive") for line in summaries) == 1


def test_a_replaced_connector_is_no_disruption(plan: Plan) -> None:
    """The new one is made first, and models are pointed to it."""
    change = plan.change(Address("connectors", "used-connector"))
    assert isinstance(change, Change)
    assert (change.action, change.disruption) == (Action.REPLACE, "")
    assert "disruptive" not in as_text.summary(plan, 1, 1.0).plain


@pytest.mark.parametrize("width", [30, 80, 250])
@pytest.mark.parametrize("detail", Detail)
def test_nothing_is_lost_at_any_width(plan: Plan, width: int, detail: Detail) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    for line in as_text.changes(plan, detail):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "".join(f"{line.plain}\n" for line in as_text.changes(plan, detail))
