"""Loading never fails in a way of its own, and always knows where things stand."""

import json
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.document import Document
from reconciler.manifest.events import parse
from reconciler.manifest.excerpt import WIDEST, excerpt, format_problem
from reconciler.manifest.load import load
from reconciler.manifest.scalars import NUMBER
from reconciler.manifest.schema import Schemas, load_schemas
from reconciler.manifest.source import Source
from reconciler.manifest.templates import Template, TemplateError
from reconciler.manifest.templates import parse as parse_text
from reconciler.manifest.variables import Inputs

SCHEMAS = Path(__file__).parents[2] / "schemas"
KINDS = {"connectors": ("id",), "iam_roles": ("arn", "id")}

TOKENS = st.sampled_from(
    [
        *(
            ": ",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "? ",
            "#",
            "|",
            ">",
            "'",
            '"',
            "\\",
            "\t",
            "\r\n",
        ),
        *(
            "&a ",
            "*a",
            "!!str ",
            "!x ",
            "<<",
            "---\n",
            "...",
            "%YAML 1.2\n",
            "%TAG ! x\n",
            "@",
            "`",
            "~",
            "null",
            "true",
        ),
        *(
            "0",
            "-1.5e3",
            "1e999",
            "9" * 1200,
            "\\ud800",
            "\\ud83d\\ude00",
            "\x00",
            "\x85",
            "\u2028",
            "\ufeff",
            "\U0001f600",
        ),
        *("manifest", "connectors", "variables", "secrets", "verify", "queries", "target", "aws", "opensearch", "auth"),
        *(
            "name",
            "actions",
            "credential",
            "password",
            "default",
            "type",
            "adopt",
            "lifecycle",
            "depends_on",
            "predict",
        ),
        *(
            "${",
            "$${",
            "}",
            "${var.x}",
            "${env.X}",
            "${secret.x}",
            "${connectors.x.id}",
            "${vars.x}",
            "${parameters.x}",
        ),
    ]
)
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(TOKENS, max_size=40).map(lambda tokens: "".join(tokens).encode()),
)

WORDS = st.text(string.ascii_letters + string.digits + " _-.:/#\"'{}[]$é漢😀", max_size=12).filter(
    lambda text: not NUMBER.fullmatch(text)  # PyYAML writes some of these without quotes
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20
)


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return load_schemas(SCHEMAS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests")


def paths_in(value: Json) -> Iterator[tuple[str | int, ...]]:
    """The paths of all keys and items in `value`."""
    members = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (key,)
        for path in paths_in(member):
            yield (key, *path)


def text_at(document: Document, place: Position) -> str:
    line = document.source.line(place.line)
    return line[place.column - 1 : place.column - 1 + place.length]


def problems_of(file: Path, schemas: Schemas) -> tuple[Problem, ...]:
    """What loading one file reports; any other exception is for the test to die of."""
    try:
        load([str(file)], schemas, Inputs())
    except ReconcilerError as error:
        return error.problems
    return ()


@settings(max_examples=400, deadline=None)
@given(data=ANYTHING, suffix=st.sampled_from([".yaml", ".json"]))
def test_whatever_the_bytes_only_problems_come_out(data: bytes, suffix: str, schemas: Schemas, folder: Path) -> None:
    file = folder / f"any{suffix}"
    file.write_bytes(data)
    shown = Source("any", data.decode("utf-8-sig", "replace"))
    for problem in problems_of(file, schemas):
        text = format_problem(problem, lambda _, number: shown.line(number))
        assert f"error[{problem.code}]" in text
        assert text.replace("\n", "").isprintable()


@settings(max_examples=300, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 0, 2, "\t"]), ascii_only=st.booleans())
def test_json_is_read_as_json_with_every_key_in_its_place(
    value: Json, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = parse(Source("x.json", text))
    assert document.value == value
    for path in paths_in(value):
        token = text_at(document, document.position(path))
        if isinstance(path[-1], str):
            assert json.loads(token) == path[-1]
        elif token not in ("{", "["):
            assert json.loads(token) == document.at(path)


@settings(max_examples=300, deadline=None)
@given(
    value=VALUES,
    flow=st.sampled_from([None, True, False]),
    width=st.sampled_from([20, 10_000]),
    breaks=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_yaml_is_read_as_written_with_every_key_in_its_place(
    value: Json, flow: bool | None, width: int, breaks: str
) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, width=width, line_break=breaks)
    document = parse(Source("x.yaml", text))
    assert document.value == value
    for path in paths_in(value):
        if isinstance(path[-1], str):
            token = text_at(document, document.position(path))
            assert yaml.load(token, Loader=yaml.BaseLoader) == path[-1]


@given(text=st.text(st.sampled_from("${}abc."), max_size=30))
def test_an_escaped_text_is_that_text(text: str) -> None:
    assert parse_text(text.replace("${", "$${"), KINDS) == text


@given(
    tokens=st.lists(
        st.sampled_from(["$", "{", "}", "${", "$${", "var.x", "connectors.a.id", "parameters.x", " ", "."]), max_size=12
    )
)
def test_a_template_says_what_it_was_parsed_from(tokens: list[str]) -> None:
    text = "".join(tokens)
    try:
        parsed = parse_text(text, KINDS)
    except TemplateError as error:
        for fault in error.faults:
            assert text[fault.offset :].startswith("${")
            assert fault.offset + fault.length <= len(text)
        return
    if isinstance(parsed, Template):
        for reference in parsed.references:
            assert text[reference.offset :].startswith(str(reference))
            assert text[reference.name_offset :].startswith(reference.name)


@settings(deadline=None)
@given(
    names=st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=5), unique=True, max_size=8),
    homes=st.lists(st.integers(0, 2), min_size=8, max_size=8),
)
def test_how_objects_are_spread_over_files_does_not_matter(
    names: list[str], homes: list[int], schemas: Schemas, folder: Path
) -> None:
    files = []
    for home in range(3):
        groups = {name: {"description": name} for name, at in zip(names, homes, strict=False) if at == home}
        file = folder / f"part{home}.yaml"
        file.write_text(json.dumps({"manifest": "m", "model_groups": groups}, indent=home))
        files.append(str(file))
    manifest = load(files, schemas, Inputs())
    assert {declared.name: declared.fields for declared in manifest.objects} == {
        name: {"description": name} for name in names
    }
    for declared in manifest.objects:
        assert text_at(declared.document, declared.position).strip('"') == declared.name


@given(
    line=st.text(st.characters(blacklist_characters="\r\n"), max_size=300),
    column=st.integers(1, 310),
    length=st.integers(0, 50),
)
def test_an_excerpt_fits_and_points_into_itself(line: str, column: int, length: int) -> None:
    shown = excerpt(Position("f", 1, column, length), lambda _, number: line if number == 1 else "")
    if shown is None:
        assert not line.strip()
        return
    assert shown.text.isprintable()
    assert shown.width >= 1
    assert shown.column <= WIDEST


def test_numbers_that_no_float_can_hold_are_problems() -> None:
    for file in ("x.yaml", "x.json"):
        document = parse(Source(file, '{"a": 1e999}'))
        assert [problem.code for problem in document.problems] == ["wrong-value"]
        assert parse(Source(file, '{"a": 1e308}')).value == {"a": 1e308}
