"""Text to values and places."""

import json

import pytest
import yaml

from reconciler.canonical.json import Json
from reconciler.errors import ReconcilerError
from reconciler.manifest.document import DEEPEST, Document
from reconciler.manifest.events import parse
from reconciler.manifest.source import LARGEST, Source, decode


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers, since not every installation has libyaml's."""
    if request.param == "python":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    return str(request.param)


def read(text: str, file: str = "x.yaml") -> Document:
    return parse(Source(file, text))


def codes(text: str, file: str = "x.yaml") -> list[tuple[str, int, int]]:
    """Code, line and column of all problems of a text."""
    try:
        problems = read(text, file).problems
    except ReconcilerError as error:
        problems = error.problems
    return [(p.code, p.position.line, p.position.column) for p in problems if p.position]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("true", True), ("false", False),
        ("0", 0), ("-12", -12), ("123456789012", 123456789012),
        ("1.5", 1.5), ("1e3", 1000.0), ("-0.5E-2", -0.005),
        ("012345678901", "012345678901"), ("0o17", "0o17"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("+1", "+1"),
        ("1.", "1."), (".5", ".5"), (".inf", ".inf"), (".nan", ".nan"), ("NaN", "NaN"), ("1.2.3", "1.2.3"),
        ("1:30", "1:30"), ("2026-11-23", "2026-11-23"),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("True", "True"), ("NULL", "NULL"),
        ("'1'", "1"), ('"null"', "null"), ('"\\u00e9"', "\u00e9"),
        ("|\n  a\n  b\n", "a\nb\n"), (">-\n  a\n  b\n", "a b"), ("[1, 'a', {b: c}]", [1, "a", {"b": "c"}]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_scalars_are_what_json_would_call_them(text: str, value: Json) -> None:
    read_value = read(f"key: {text}").at(("key",))
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.usefixtures("parser")
def test_keys_and_values_have_their_places() -> None:
    text = 'first: 1\r\nlist:\r\n  - "ä": {deep: x}\r\n  - "two words"\r\nempty:\r\nblock: |\r\n  text\r\n'
    document = read(text)
    assert str(document.position(("first",))) == "x.yaml:1:1"
    assert str(document.value_position(("first",))) == "x.yaml:1:8"
    assert str(document.position(("list", 0, "ä"))) == "x.yaml:3:5"
    assert document.position(("list", 0, "ä")).length == 3
    assert str(document.position(("list", 0, "ä", "deep"))) == "x.yaml:3:11"
    assert str(document.position(("list", 1))) == "x.yaml:4:5"
    assert document.value_position(("list", 1)).length == len('"two words"')
    assert str(document.value_position(("empty",))) == "x.yaml:5:7"
    assert str(document.value_position(("block",))) == "x.yaml:6:8"


def test_the_place_of_what_is_not_there_is_that_of_what_encloses_it() -> None:
    document = read("a:\n  b: [1]\n")
    assert document.position(("a", "b", 5, "c")) == document.position(("a", "b"))
    assert document.position(("a", "x")) == document.position(("a",))
    assert document.position(()) == document.value_position(())
    assert str(read("").position(("a",))) == "x.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: x${r}y", 1, 5),
        ("a: 'it''s ${r}'", 1, 11),
        ('a: "tab\\t${r}"', 1, 10),
        ("a: |\n  one\n  two ${r}\n", 3, 7),
        ("a: >\n  one\n  ${r}\n", 3, 3),
        ("a: ${r}, again ${r}", 1, 4),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_piece_of_a_string_has_its_place_whatever_the_quoting(text: str, line: int, column: int) -> None:
    document = read(text)
    value = document.at(("a",))
    assert isinstance(value, str)
    place = document.within(("a",), value.index("${r}"), 4)
    assert (place.line, place.column, place.length) == (line, column, 4)


def test_the_second_of_two_equal_pieces_is_told_apart() -> None:
    document = read("a: ${r}, again ${r}")
    assert document.within(("a",), 12, 4).column == 16


@pytest.mark.usefixtures("parser")
def test_aliases_repeat_values_and_point_to_the_original() -> None:
    document = read("a: &x\n  k: [1]\nb: *x\nc: &y text\nd: *y\n")
    assert document.value == {"a": {"k": [1]}, "b": {"k": [1]}, "c": "text", "d": "text"}
    assert str(document.value_position(("b",))) == "x.yaml:3:4"
    assert str(document.position(("b", "k"))) == "x.yaml:2:3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x [*x]", ("unsupported-yaml", 1, 8)),
        ("a: *x", ("unsupported-yaml", 1, 4)),
        ("&x a: 1\n*x : 2", ("unsupported-yaml", 2, 1)),
        ("? [a]\n: 1", ("unsupported-yaml", 1, 3)),
        ("a: 1\n---\nb: 2", ("unsupported-yaml", 2, 1)),
        ("a: !!int 3", ("unsupported-yaml", 1, 4)),
        ("a: !Ref {b: c}", ("unsupported-yaml", 1, 4)),
        ("a: ! x", ("unsupported-yaml", 1, 4)),
        ("{}: 1", ("unsupported-yaml", 1, 1)),
        ("true: 1", ("unsupported-yaml", 1, 1)),
        ("a:\n  <<: {b: 1}", ("unsupported-yaml", 2, 3)),
        ("a: 1\nb: 2\n'a': 3", ("repeated-key", 3, 1)),
        ("a: 1e999", ("wrong-value", 1, 4)),
        ("a: " + "9" * 1001, ("wrong-value", 1, 4)),
        ("a: \x00", ("syntax", 1, 4)),
        ("a: b\n\x07", ("syntax", 2, 1)),
        ("a: \ufeffb", ("syntax", 1, 4)),
        ("a: \udc80", ("syntax", 1, 4)),
        ("[" * 100, ("unsupported-yaml", 1, DEEPEST + 1)),
        ("- " * 5000, ("unsupported-yaml", 1, 2 * DEEPEST + 1)),
    ],
)
@pytest.mark.usefixtures("parser")
def test_what_is_refused_and_where(text: str, expected: tuple[str, int, int]) -> None:
    assert expected in codes(text)


@pytest.mark.usefixtures("parser")
def test_quoted_merge_keys_and_numbers_are_ordinary_keys() -> None:
    document = read("'<<': 1\n'1': 2\n\"true\": 3\n")
    assert not document.problems
    assert document.value == {"<<": 1, "1": 2, "true": 3}


@pytest.mark.usefixtures("parser")
def test_aliases_can_not_blow_up() -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert codes("\n".join(laughs))[0][0] == "unsupported-yaml"
    deep = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]
    assert codes("\n".join(deep)) == [("unsupported-yaml", DEEPEST, 12)]


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_has_tabs_long_keys_and_surrogate_pairs(indent: int | str | None) -> None:
    value = {"k" * 2000: ["\U0001f600", {"tab": "\t", "slash": "/"}], "n": [1, -0.5, 1e300, None, True, {}, []]}
    document = read("\t\n" + json.dumps(value, indent=indent), "x.json")
    assert document.value == value
    assert not document.problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", ("syntax", 1, 2)),
        ('{"a" 1}', ("syntax", 1, 6)),
        ('{"a": 1,}', ("syntax", 1, 9)),
        ("[1,\n]", ("syntax", 2, 1)),
        ("[1 2]", ("syntax", 1, 4)),
        ("{a: 1}", ("syntax", 1, 2)),
        ("// x\n{}", ("syntax", 1, 1)),
        ("[NaN]", ("syntax", 1, 2)),
        ("[-Infinity]", ("syntax", 1, 2)),
        ("[01]", ("syntax", 1, 3)),
        ('["\\ud800"]', ("syntax", 1, 2)),
        ('["a\nb"]', ("syntax", 1, 4)),
        ('["\\x"]', ("syntax", 1, 3)),
        ('["', ("syntax", 1, 2)),
        ("{} {}", ("syntax", 1, 4)),
        ("[" * 100, ("unsupported-yaml", 1, DEEPEST + 1)),
        ('{"a": 1, "a": 2}', ("repeated-key", 1, 10)),
        ('{"a": 1e999}', ("wrong-value", 1, 7)),
        ("[" + "9" * 5000 + "]", ("wrong-value", 1, 2)),
    ],
)
def test_what_json_refuses_and_where(text: str, expected: tuple[str, int, int]) -> None:
    assert codes(text, "x.json") == [expected]


def test_a_byte_order_mark_and_line_ends_do_not_count() -> None:
    document = parse(decode(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "x.yaml"))
    assert document.value == {"a": 1, "b": 2}
    assert str(document.position(("b",))) == "x.yaml:2:1"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"a: 1\nb: \xff", "x:2:4"),
        (b"\xef\xbb\xbfa: \xc3", "x:1:4"),
        ("a: 1".encode("utf-16"), "None"),
        (b"a" * (LARGEST + 1), "None"),
    ],
)
def test_bytes_that_are_no_text_say_where(data: bytes, place: str) -> None:
    with pytest.raises(ReconcilerError) as caught:
        decode(data, "x")
    (problem,) = caught.value.problems
    assert (problem.code, str(problem.position)) == ("file-not-text", place)


def test_members_have_keys_values_and_places() -> None:
    document = read("a:\n  b: 1\n  c: 2\n")
    assert [(key, value, place.line) for key, value, place in document.members(("a",))] == [("b", 1, 2), ("c", 2, 3)]
    assert list(document.members(("a", "b"))) == []
    assert list(document.members(("x",))) == []
