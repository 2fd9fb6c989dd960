"""Plain scalars: text without quotes as the JSON value it spells, and values as text."""

import json
import math
import re

from reconciler.canonical.json import Scalar

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number as JSON spells it; the groups are its fraction and its exponent."""

_DIGITS = 1000
_LONGEST = 60
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}


def plain_scalar(text: str) -> Scalar:
    """What `text` without quotes means. Raises OverflowError when it is a number beyond all sense."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-0123456789":
        return text
    match = NUMBER.fullmatch(text)
    if match is None:
        return text
    return real(text) if match[1] or match[2] else whole(text)


def whole(text: str) -> int:
    """The integer `text` spells. Raises OverflowError beyond 1,000 digits."""
    if len(text) > _DIGITS:
        raise OverflowError
    return int(text)


def real(text: str) -> float:
    """The finite number `text` spells. Raises OverflowError when it is none."""
    number = float(text)
    if not math.isfinite(number):
        raise OverflowError
    return number


def spelled(value: float) -> str:
    """A number, true or false as JSON spells it."""
    return json.dumps(value)


def half_surrogate(text: str) -> bool:
    """Whether `text` holds a code point that no encoding can carry."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def shortened(text: str) -> str:
    """`text` on one line of at most 60 characters, for messages."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 3] + "..."
