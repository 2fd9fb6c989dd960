"""What is written is read back: any text with `${` in it, any JSON as YAML."""

from collections.abc import Mapping
from itertools import pairwise

import hypothesis
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.manifest.events import parse as parse_document
from reconciler.manifest.source import Source
from reconciler.manifest.templates import Reference, Template, is_name, parse, written
from reconciler.render.yaml_text import dumped
from tests.support.bench import kinds

ATTRIBUTES = {name: kind.schema.attributes for name, kind in kinds().items()}
PIECES = st.sampled_from(
    ["$", "${", "}", "$$", "{", ".", "x", " ", "parameters", "aws:username", "var", "var.x", "iam_roles.a.arn",
     "secret", "target.region", "conectors.a.id", "variable.x", "user.name"]
)  # fmt: skip
LITERALS = st.lists(PIECES, max_size=12).map("".join)
REFERENCES = st.builds(
    Reference,
    st.just("iam_roles"),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=5).filter(is_name),
    st.just("arn"),
) | st.sampled_from([Reference("target", "region"), Reference("secret", "x")])


@hypothesis.given(st.lists(LITERALS | REFERENCES, max_size=4))
def test_text_is_read_as_what_it_was_written_for(parts: list[str | Reference]) -> None:
    merged: list[str | Reference] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part:
            merged.append(part)
    value = (
        Template(tuple(merged)) if any(isinstance(part, Reference) for part in merged) else "".join(map(str, merged))
    )
    try:
        text = written(value, ATTRIBUTES)
    except ValueError:
        pairs = pairwise(merged)
        assert any(str(one).endswith("$") and isinstance(two, Reference) for one, two in pairs)
        return
    assert parse(text, ATTRIBUTES) == value


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["yes", "1e5", "0x1", "1_000", "~", "<<", "=", "- a", "a: b", "#", "a\nb\n", " a\n  b", "\n\na", "a " * 80, "|",
     "null", "2012-10-17", "1" * 1200, "a\x85b", "a\u2028b ", "\ufeff", "x" * 300, "word " * 30 + "\n" + "word " * 30]
)  # fmt: skip
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@hypothesis.example({"\n": None, " \n\n": "\n\n", "": " "}, 2)
@hypothesis.given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.sampled_from([0, 2]))
def test_yaml_is_read_as_what_it_was_written_for(value: Mapping[str, Json], indent: int) -> None:
    text = dumped(value, indent)
    document = parse_document(Source("x.yaml", f"top:\n{text}" if indent else text))
    assert document.problems == ()
    found = document.value
    assert (found == {"top": value}) if indent else (found == value), text
    assert repr(found) == repr({"top": value} if indent else value)
