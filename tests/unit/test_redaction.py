"""Secrets are found in whatever form they stand in a text, and nothing else is taken for one."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.canonical.json import Json
from reconciler.errors import Problem
from reconciler.redaction import HIDDEN, Redaction

KEY = "sk-0123456789abcdef"
ODD = "p\"a's\\s/w <ö>&=\t𝄞+"

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "in words": lambda secret: f"x{secret}x",
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON with letters of all the world": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"key": secret}))[1:-1],
    "JSON in JSON in JSON": lambda secret: json.dumps(json.dumps(json.dumps([secret])))[1:-1],
    "as Gson writes it": lambda secret: "".join(
        f"\\u{ord(one):04x}" if one in "<>&='" else json.dumps(one)[1:-1] for one in secret
    ),
    "percent": lambda secret: quote(secret, safe=""),
    "percent in lower case": lambda secret: "".join(one.lower() if one[0] == "%" else one for one in _split(secret)),
    "percent of a form": quote_plus,
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "HTML": html.escape,
    "HTML by numbers": lambda secret: "".join(one if one.isalnum() else f"&#{ord(one)};" for one in secret),
    "Python": lambda secret: repr(secret)[1:-1],
    "a query in JSON": lambda secret: json.dumps({"url": f"https://a/?k={quote(secret)}"}),
}


def _split(secret: str) -> list[str]:
    return [quote(one, safe="") for one in secret]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [KEY, ODD, "päss wörd", "-----\n+/="])
def test_a_secret_is_found_in_every_form(secret: str, form: str) -> None:
    written = f"before {FORMS[form](secret)} after"
    freed = Redaction([secret]).text(written)
    assert freed == f"before {FORMS[form]('SECRET').replace('SECRET', HIDDEN)} after"


secrets = st.text(st.characters(codec="utf-8"), min_size=6, max_size=40).filter(lambda text: bool(text.strip()))


@given(secrets, st.binary(max_size=7), st.binary(max_size=7), st.sampled_from(["+/", "-_"]))
@example(KEY, b"admin:", b"", "+/")
def test_nothing_of_a_secret_is_left_in_base64(secret: str, before: bytes, after: bytes, letters: str) -> None:
    encoded = base64.b64encode(before + secret.encode() + after, letters.encode()).decode()
    freed = Redaction([secret]).text(f"Basic {encoded}")
    left, hidden, right = freed.partition(HIDDEN)
    assert hidden
    # At both ends six bits may be the secret's and a neighbour's.
    assert len(left.removeprefix("Basic ")) * 6 <= (len(before) + 1) * 8
    assert len(right.rstrip("=")) * 6 <= (len(after) + 1) * 8


# Behind a secret that ends with a backslash one that escapes what follows may go along.
@given(secrets.filter(lambda secret: not secret.endswith("\\")), st.sampled_from(sorted(FORMS)))
@example("secret%", "percent")
@example("secret&", "HTML")
@example("sec\\ret", "JSON in JSON in JSON")
def test_no_secret_is_left(secret: str, form: str) -> None:
    freed = Redaction([secret]).text(FORMS[form](secret))
    assert freed == FORMS[form]("SECRET").replace("SECRET", HIDDEN)


def test_a_short_secret_is_found_as_a_word_alone() -> None:
    short = Redaction(["lan", "a"])
    assert short.text("plan: lan, a plan of `lan`") == "plan: ***, *** plan of `***`"


def test_a_secret_that_is_a_part_of_another_leaves_nothing_of_it() -> None:
    assert Redaction([KEY[:10], KEY]).text(f"{KEY} and {KEY[:10]}") == "*** and ***"


def test_lines_of_a_secret_and_texts_of_a_json_secret_are_secrets() -> None:
    redaction = Redaction(["-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----\n", json.dumps({"api_key": KEY, "n": 1})])
    assert redaction.text("read MIIEvQIBADANBg") == "read ***"
    assert redaction.text(f"read {KEY}") == "read ***"
    assert redaction.text("api_key") == "api_key"


@pytest.mark.parametrize("nothing", ["", " ", "\n"])
def test_nothing_is_no_secret(nothing: str) -> None:
    assert Redaction([nothing]).text("a b\nc") == "a b\nc"


def test_json_is_freed_text_by_text() -> None:
    redaction = Redaction([ODD, "true"])
    stated: Json = {"a": [f"x {ODD}", 1, True, None], ODD: {"b": "true"}}
    assert redaction.json(stated) == {"a": ["x ***", 1, True, None], "***": {"b": "***"}}
    untouched: Json = {"a": [1, True]}
    assert Redaction([KEY]).json(untouched) is untouched


def test_problems_are_freed_in_all_their_texts() -> None:
    problem = Problem("internal", f"a {KEY}", None, f"connectors.{KEY}", f"{KEY} b", (("reason", f"c {KEY}"),))
    freed = Redaction([KEY]).problem(problem)
    assert (freed.message, freed.address, freed.hint) == ("a ***", "connectors.***", "*** b")
    assert freed.facts == (("reason", "c ***"),)
