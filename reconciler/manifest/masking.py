"""What of a manifest's line may not be printed: text that is a secret by the look of it or of the keys around it.

Secrets belong outside of manifests. This is for the ones that were written into them all the same and are
then quoted by an error message.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

ReadLine: TypeAlias = Callable[[int], str]
"""The text of a line by its number, from 1; "" when there is none."""

_REACH = 400
"""How many lines above a line its enclosing keys are looked for."""

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|credential|authorization|token$|(api|access|private|secret).?key|(^|[_-])key$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"bearer\s+(?!\$\{)[^\s\"',}]+|\bsk-[\w-]{8,}|\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN.*", re.IGNORECASE
)
_KEY = r"""(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'{}\[\],:#][^\s{}\[\],:]*)\s*:(?=\s|$)"""
_PAIR = re.compile(rf"""{_KEY}\s*(?P<value>"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s{{\[|>&*#][^,}}\]]*)?""")
_HARMLESS = re.compile(r"""["']?(?:-?[\d.]+|true|false|null|~|arn:[^\s"']*|(?:Bearer |Basic )?\$\{[^}]*\})?["']?""")


def masked_spans(number: int, read_line: ReadLine) -> tuple[tuple[int, int], ...]:
    """The characters of line `number` to hide, as offsets from its start."""
    line = read_line(number)
    spans = [match.span() for match in _SECRET_TEXT.finditer(line)]
    spans += _by_keys(line, inside=any(map(_SECRET_NAME.search, _enclosing(number, read_line))))
    return tuple(sorted(spans))


def _by_keys(line: str, *, inside: bool) -> Iterator[tuple[int, int]]:
    """The values of secret keys, and all values below a secret key."""
    if inside and not _PAIR.search(line):
        start = len(line) - len(line.lstrip(" \t-"))
        yield from _unless_harmless(line, start, len(line.rstrip(" \t,]}")))
    deepest = len(line)
    for pair in _PAIR.finditer(line):
        depth = _depth(line[: pair.start()])
        if depth <= deepest:
            secret = inside or _SECRET_NAME.search(pair["key"].strip("\"'"))
            deepest = depth if secret else len(line)
        if deepest < len(line) and pair["value"]:
            quoted = pair["value"][0] in "\"'"
            yield from _unless_harmless(line, pair.start("value"), pair.end() if depth or quoted else len(line))


def _depth(text: str) -> int:
    """How many brackets and braces are open after `text`."""
    return sum(text.count(each) for each in "{[") - sum(text.count(each) for each in "}]")


def _unless_harmless(line: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    text = line[start:end].rstrip()
    if text and not _HARMLESS.fullmatch(text):
        yield start, start + len(text)


def _enclosing(number: int, read_line: ReadLine) -> Iterator[str]:
    """The keys on the lines that enclose line `number` by their indentation, innermost first."""
    limit = _indent(read_line(number))
    for above in range(number - 1, max(0, number - _REACH), -1):
        if not limit:
            return
        line = read_line(above)
        indent = len(line) - len(line.lstrip(" \t"))
        keys = [pair["key"].strip("\"'") for pair in _PAIR.finditer(line)] if indent < limit else []
        if keys and not line.lstrip().startswith("#"):
            limit = _indent(line)
            yield from keys


def _indent(line: str) -> int:
    """How far a line's parent may be indented, plus one; items of a list may stand right below their parent's key."""
    content = line.lstrip(" \t")
    spaces = len(line) - len(content)
    return spaces + 1 if content.startswith("- ") else spaces
