"""Problems as text."""

from collections.abc import Callable

import pytest

from reconciler.errors import Position, Problem, Severity
from reconciler.manifest.excerpt import WIDEST, excerpt, format_problem


def lines_of(text: str) -> Callable[[str, int], str]:
    lines = text.split("\n")
    return lambda _, number: lines[number - 1] if 0 < number <= len(lines) else ""


def test_a_problem_in_a_file() -> None:
    text = "\n" * 48 + "    sign_as: ${iam_roles.create-conector.arn}"
    place = Position("manifests/deepseek-bedrock.yaml", 49, 26, 15)
    problem = Problem(
        "unknown-reference", "no such role", place, "connectors.deepseek-r1.sign_as", "did you mean create-connector?"
    )
    assert format_problem(problem, lines_of(text)) == (
        "manifests/deepseek-bedrock.yaml:49:26: error[unknown-reference] connectors.deepseek-r1.sign_as\n"
        "   49 |     sign_as: ${iam_roles.create-conector.arn}\n"
        "      |                          ^^^^^^^^^^^^^^^ no such role; did you mean create-connector?"
    )


def test_a_problem_from_a_service() -> None:
    facts = (
        ("request", "POST https://search-demo/_plugins/_ml/connectors/_create -> 403"),
        ("reason", "no permissions for [x]\nand User [y]"),
        ("as", "arn:aws:iam::123456789012:role/r"),
        ("cause", "the role is mapped to no security role\nthat allows this"),
    )
    problem = Problem("wrong-value", "creating the connector was refused", None, "connectors.x", "map it", facts)
    assert format_problem(problem, lines_of("")) == (
        "error[wrong-value] connectors.x: creating the connector was refused\n"
        "   POST https://search-demo/_plugins/_ml/connectors/_create -> 403\n"
        "   no permissions for [x]\n"
        "   and User [y]\n"
        "   as     arn:aws:iam::123456789012:role/r\n"
        "   cause  the role is mapped to no security role\n"
        "          that allows this\n"
        "   fix    map it"
    )


def test_a_problem_whose_line_can_not_be_read() -> None:
    problem = Problem("syntax", "what", Position("a.yaml", 3, 1), hint="mend it", severity=Severity.WARNING)
    assert format_problem(problem, lines_of("")) == "a.yaml:3:1: warning[syntax]: what; mend it"


def test_nothing_in_a_problem_can_steer_the_terminal() -> None:
    problem = Problem("syntax", "a\x1b[31m\u202eb\tc", Position("f\x07", 1, 1), "x\r")
    assert format_problem(problem, lines_of("k\x1b: \u202e")).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("line", "column", "length", "text", "at"),
    [
        ("a: b", 4, 1, "a: b", 3),
        ("\ta: b", 2, 1, "    a: b", 4),
        ("\u6f22\u5b57: b", 5, 1, "\u6f22\u5b57: b", 6),
        ("e\u0301: b", 5, 1, "e\u0301: b", 3),
        ("a: " + "x" * 100, 1, 1, "a: " + "x" * 74 + "...", 0),
        ("y" * 100 + "here" + "x" * 100, 101, 4, "..." + "y" * 30 + "here" + "x" * 40 + "...", 33),
        ("y" * 100 + "here", 101, 4, "..." + "y" * 73 + "here", 76),
        ("a: b", 9, 5, "a: b", 4),
    ],
)
def test_lines_are_shown_around_the_place(line: str, column: int, length: int, text: str, at: int) -> None:
    shown = excerpt(Position("f", 1, column, length), lambda *_: line)
    assert shown
    assert (shown.text, shown.column) == (text, at)
    assert len(shown.text) <= WIDEST


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [
        ("password: hunter2", 1, "password: ***"),
        ("  api_key: 'hunter2' # x", 1, "  api_key: *** # x"),
        ('  "password": "hunter2", "b": "x",', 1, '  "password": ***, "b": "x",'),
        ("{a: x, token: hunter2, b: y}", 1, "{a: x, token: ***, b: y}"),
        ("credential: {any: hunter2, b: x}", 1, "credential: {any: ***, b: ***}"),
        ("{credential: {}, name: x}", 1, "{credential: {}, name: x}"),
        ("credential:\n  any: hunter2", 2, "  any: ***"),
        ("credential:\n  deep:\n\n    # note\n    any: hunter2", 5, "    any: ***"),
        ("credential:\n- hunter2", 2, "- ***"),
        ("private_key: |\n  hunter2\n  hunter3", 3, "  ***"),
        ("headers:\n  Authorization: Bearer hunter2", 2, "  Authorization: ***"),
        ("url: http://x?a=Bearer hunter2", 1, "url: http://x?a=***"),
        ("model: sk-0123456789abcdef", 1, "model: ***"),
        ("password: a,hunter2", 1, "password: ***"),
        ('{"credential": {\n  "x": "hunter2"}}', 2, '  "x": ***}}'),
    ],
)
def test_secrets_are_not_quoted(text: str, number: int, shown: str) -> None:
    found = excerpt(Position("f", number, 1), lines_of(text))
    assert found
    assert found.text == shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 300",
        "Authorization: Bearer ${credential.key}",
        "password: ${secret.admin}",
        "roleArn: arn:aws:iam::123456789012:role/x",
        "credential:\n  roleArn: arn:aws:iam::123456789012:role/x",
        "credential:\n  key: ${secret.x}\nname: hello",
        "connectors:\n  a:\n    credential:\n      k: x\n    url: http://x",
    ],
)
def test_what_is_no_secret_is_quoted(text: str) -> None:
    last = text.rpartition("\n")[2]
    found = excerpt(Position("f", text.count("\n") + 1, 1), lines_of(text))
    assert found
    assert found.text == last
