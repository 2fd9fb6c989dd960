"""Where values of variables come from, and what becomes of them."""

from collections.abc import Callable

import pytest

from reconciler.canonical.json import Json
from reconciler.errors import ReconcilerError
from reconciler.manifest.load import Declared, Manifest
from reconciler.manifest.templates import Reference, Template
from reconciler.manifest.variables import Inputs

LoadText = Callable[..., Manifest]


def load_one(load_text: LoadText, variables: str, tags: str, inputs: Inputs | None = None) -> Declared:
    text = f"manifest: m\nvariables: {variables}\niam_roles:\n  r:\n    tags: {tags}\n"
    return load_text(text, inputs=inputs).objects[0]


def problems(load_text: LoadText, variables: str, inputs: Inputs) -> list[tuple[str, str]]:
    with pytest.raises(ReconcilerError) as caught:
        load_one(load_text, variables, "{}", inputs)
    return [(problem.code, problem.address) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (Inputs(), "default"),
        (Inputs(environment={"RECONCILER_VAR_x": "environment"}), "environment"),
        (Inputs({"x": "given"}, {"RECONCILER_VAR_x": "environment"}), "given"),
    ],
)
def test_what_is_given_wins_over_the_environment_and_that_over_the_default(
    load_text: LoadText, inputs: Inputs, expected: str
) -> None:
    assert load_one(load_text, "{x: default}", "{k: '${var.x}'}", inputs).fields == {"tags": {"k": expected}}


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ("{type: string}", "5", "5"),
        ("{type: integer}", "5", 5),
        ("{type: number}", "0.5", 0.5),
        ("{type: boolean}", "true", True),
        ("{type: list}", '["a", 1]', ["a", 1]),
        ("{type: list}", ["a"], ["a"]),
        ("{type: object}", '{"a": 1}', {"a": 1}),
        ("5", "6", 6),
        ("true", "false", False),
        ("text", "6", "6"),
        ("", "6", "6"),
        ("{default: [a]}", '["b"]', ["b"]),
    ],
)
def test_text_becomes_what_the_type_says(load_text: LoadText, declared: str, given: Json, expected: Json) -> None:
    query = "{raw: {path: /, body: {value: '${var.x}'}}}"
    text = f"manifest: m\nvariables:\n  x: {declared}\nverify: {{queries: {{q: {query}}}}}\n"
    manifest = load_text(text, inputs=Inputs({"x": given}))
    assert manifest.verify[0].body["body"] == {"value": expected}


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("{type: integer}", "five"),
        ("{type: integer}", "1.5"),
        ("{type: integer}", True),
        ("{type: boolean}", "yes"),
        ("{type: list}", "a"),
        ("{type: list}", "[a"),
        ("{type: object}", "[]"),
        ("{type: string}", 5),
        ("5", "x"),
    ],
)
def test_text_that_is_not_of_the_type_is_a_problem(load_text: LoadText, declared: str, given: Json) -> None:
    assert problems(load_text, f"{{x: {declared}}}", Inputs({"x": given})) == [("wrong-type", "var.x")]


def test_a_default_of_another_type_is_a_problem_in_its_place(load_text: LoadText) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load_text("manifest: m\nvariables:\n  x: {type: integer, default: five}\n")
    (problem,) = caught.value.problems
    assert problem.code == "wrong-type"
    assert str(problem.position).endswith("0.yaml:3:31")


def test_values_for_variables_that_are_not_declared(load_text: LoadText) -> None:
    assert problems(load_text, "{x: 1}", Inputs({"y": "1"})) == [("unknown-variable", "var.y")]
    environment = Inputs(environment={"RECONCILER_VAR_y": "1"})
    assert load_one(load_text, "{x: 1}", "{}", environment).name == "r"


def test_values_are_part_of_texts_as_json_spells_them(load_text: LoadText) -> None:
    variables = "{n: 5, f: 1.5, b: true, s: text}"
    declared = load_one(
        load_text, variables, "{k: 'a-${var.n}-${var.f}-${var.b}-${var.s}-${env.E}'}", Inputs({}, {"E": "e"})
    )
    assert declared.fields == {"tags": {"k": "a-5-1.5-true-text-e"}}


def test_lists_are_no_part_of_texts(load_text: LoadText) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load_one(load_text, "{l: {default: [a]}}", "{k: 'a ${var.l}'}")
    assert [problem.code for problem in caught.value.problems] == ["wrong-type"]


def test_values_are_not_looked_into(load_text: LoadText) -> None:
    declared = load_one(load_text, "{x: {}}", "{k: '${var.x}'}", Inputs({"x": "${secret.y} $${z}"}))
    assert declared.fields == {"tags": {"k": "${secret.y} $${z}"}}


def test_references_to_objects_stay_with_the_rest_filled_in(load_text: LoadText) -> None:
    declared = load_one(load_text, "{x: b}", "{k: 'a${var.x}${iam_roles.o.arn}${var.x}c'}")
    assert declared.fields == {"tags": {"k": Template(("ab", Reference("iam_roles", "o", "arn"), "bc"))}}


def test_an_empty_value_is_a_value(load_text: LoadText) -> None:
    assert load_one(load_text, "{x: ''}", "{k: '${var.x}${env.E}'}", Inputs({}, {"E": ""})).fields == {
        "tags": {"k": ""}
    }
