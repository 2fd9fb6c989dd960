"""The `${...}` syntax."""

import pytest

from reconciler.manifest.templates import (
    Fault,
    Reference,
    Template,
    TemplateError,
    Value,
    holds_template,
    parse,
    references,
)

KINDS = {"connectors": ("id",), "iam_roles": ("arn", "id"), "models": ("id",)}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("${var.x}", ["var x"]),
        ("${env.HOME}/x", ["env HOME", "/x"]),
        ("a ${secret.key-1} b", ["a ", "secret key-1", " b"]),
        ("${target.region}${target.account_id}", ["target region", "target account_id"]),
        ("${connectors.deepseek-r1.id}", ["connectors deepseek-r1 id"]),
        ("${iam_roles.a.b.c.arn}", ["iam_roles a.b.c arn"]),
        ("${connectors.two words.id}", ["connectors two words id"]),
        ("${parameters.${var.y}}", ["${parameters.", "var y", "}"]),
        ("$${var.x} ${var.y}", ["${var.x} ", "var y"]),
    ],
)
def test_references_of_ours(text: str, parts: list[str]) -> None:
    parsed = parse(text, KINDS)
    assert isinstance(parsed, Template)
    shown = [
        part if isinstance(part, str) else f"{part.namespace} {part.name} {part.attribute}".strip()
        for part in parsed.parts
    ]
    assert shown == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${parameters.model}", "${parameters.model}"),
        ("${credential.openAI_key}", "${credential.openAI_key}"),
        ("${aws:username}", "${aws:username}"),
        ("${*}${?}${$}", "${*}${?}${$}"),
        ("${user.name} ${user.roles} ${attr.jwt.sub}", "${user.name} ${user.roles} ${attr.jwt.sub}"),
        ("${parameters.x:-none}", "${parameters.x:-none}"),
        ("${HOME} ${} ${", "${HOME} ${} ${"),
        ("$var.x {var.x} $ {var.x}", "$var.x {var.x} $ {var.x}"),
        ("$${var.x}", "${var.x}"),
        ("$$${var.x}", "$${var.x}"),
        ("$${parameters.x}", "${parameters.x}"),
    ],
)
def test_everything_else_passes_and_escapes_are_undone(text: str, expected: str) -> None:
    assert parse(text, KINDS) == expected


@pytest.mark.parametrize(
    ("text", "offset", "length", "hint"),
    [
        ("a ${vars.x}", 2, 9, "did you mean ${var.x}?"),
        ("${Var.x}", 0, 8, "did you mean ${var.x}?"),
        ("${variable.x}", 0, 13, "did you mean ${var.x}?"),
        ("${secrets.x}", 0, 12, "did you mean ${secret.x}?"),
        ("${environment.X}", 0, 16, "did you mean ${env.X}?"),
        ("${conectors.a.id}", 0, 17, "did you mean ${connectors.a.id}?"),
        ("${model.a.id}", 0, 13, "did you mean ${models.a.id}?"),
        ("${connectors.a}", 0, 15, "write ${connectors.a.id}"),
        ("${iam_roles.a}", 0, 14, "write ${iam_roles.a.arn}"),
        ("${connectors}", 0, 13, "write ${connectors.name.id}"),
        ("${connectors..id}", 0, 17, "write ${connectors.name.id}"),
        ("${connectors.a.}", 0, 16, "write ${connectors.a.id}"),
        ("${ var.x }", 0, 10, "write ${var.x}"),
        ("${{ var.x }}", 0, 11, "write ${var.x}"),
        ("${var.x", 0, 7, "add `}`; references can not be nested"),
        ("${var.x and more", 0, 7, "add `}`; references can not be nested"),
        ("${var.${var.y}}", 0, 6, "add `}`; references can not be nested"),
        ("${var}", 0, 6, "write ${var.name}"),
        ("${var.a.b}", 0, 10, "write ${var.name}"),
        ("${var.x:-y}", 0, 11, "write ${var.name}"),
        ("${env.a-b}", 0, 10, "write ${env.name}"),
        ("${target.regoin}", 0, 16, "did you mean ${target.region}?"),
    ],
)
def test_near_misses(text: str, offset: int, length: int, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text, KINDS)
    first = caught.value.faults[0]
    assert (first.offset, first.length, first.hint) == (offset, length, hint)


def test_all_near_misses_of_a_text_are_found() -> None:
    with pytest.raises(TemplateError) as caught:
        parse("${vars.a} ${var.b} ${ var.c }", KINDS)
    assert [type(fault) for fault in caught.value.faults] == [Fault, Fault]
    assert [fault.offset for fault in caught.value.faults] == [0, 19]


def test_references_are_equal_by_what_they_mean() -> None:
    assert Reference("var", "x", offset=3) == Reference("var", "x")
    assert len({Reference("models", "a", "id", 1), Reference("models", "a", "id", 2)}) == 1
    assert str(Reference("models", "a", "id")) == "${models.a.id}"


def test_only_a_lone_reference_is_whole() -> None:
    reference = Reference("var", "x")
    assert Template((reference,)).whole == reference
    assert Template(("a", reference)).whole is None
    assert Template((reference, reference)).whole is None
    assert str(Template(("a ", reference))) == "a ${var.x}"


def test_references_inside_values_come_with_their_paths() -> None:
    x, y = Reference("var", "x"), Reference("models", "y", "id")
    value: Value = {"a": [1, Template((x,))], "b": {"c": Template(("-", y, x))}, "d": "text"}
    assert list(references(value)) == [(("a", 1), x), (("b", "c"), y), (("b", "c"), x)]
    assert holds_template(value)
    assert not holds_template({"d": ["text", None, 1]})


def test_unclosed_references_cost_no_more_than_their_number() -> None:
    text = "${" * 200_000
    assert parse(text, KINDS) == text
