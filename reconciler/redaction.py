"""Taking secrets out of what people, files and logs get to see, in whatever form they stand in it."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.canonical.json import Json
from reconciler.errors import Problem

HIDDEN = "***"
"""What stands in the place of a secret."""

_LONG = 6
"""Characters of a secret that is found inside of words too, and in base64; a shorter one is found as a word."""

_NEVER_ESCAPED = re.compile(r"[A-Za-z0-9]")
_SHORT_ESCAPES: Mapping[str, str] = {
    character: json.dumps(character)[2] for character in '"\\\b\f\n\r\t'
} | {"/": "/", "'": "'"}  # fmt: skip
_ENTITIES: Mapping[str, str] = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Redaction:
    """The secrets that are known, and how text is freed from them.

    A secret is found as it is, escaped as JSON, Gson and Python do it (also more than once), percent-encoded, in HTML's
    and XML's entities, and in base64 wherever it stands in what was encoded. Of a secret of several lines each line is
    one, of a secret that is a JSON object each text in it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._patterns: dict[str, re.Pattern[str]] = {}
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """Take one more secret out from now on."""
        for part in _parts(secret):
            if part not in self._patterns:
                # The longest first: one may be a part of another.
                known = {**self._patterns, part: _pattern(part)}
                self._patterns = dict(sorted(known.items(), key=lambda one: -len(one[0])))

    def text(self, text: str) -> str:
        """The text without the secrets."""
        for pattern in self._patterns.values():
            text = pattern.sub(HIDDEN, text)
        return text

    def json(self, value: Json) -> Json:
        """The value with the secrets taken out of every text and key in it."""
        # One look at the whole is much faster than one at each text.
        whole = json.dumps(value, ensure_ascii=False)
        return self._inside(value) if self.text(whole) != whole else value

    def problem(self, problem: Problem) -> Problem:
        """The problem without the secrets."""
        facts = tuple((label, self.text(text)) for label, text in problem.facts)
        message, hint = self.text(problem.message), self.text(problem.hint)
        return replace(problem, message=message, hint=hint, address=self.text(problem.address), facts=facts)

    def _inside(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._inside(member) for key, member in value.items()}
        if isinstance(value, Sequence):
            return [self._inside(member) for member in value]
        return value


def _parts(secret: str) -> Iterator[str]:
    """The secret, and what in it may be told by itself."""
    if not secret.strip():
        return
    yield secret
    lines = [line.strip() for line in secret.splitlines()]
    yield from (line for line in lines if len(line) >= _LONG and line != secret)
    try:
        inside = json.loads(secret)
    except (ValueError, RecursionError):
        return
    if isinstance(inside, Mapping):
        yield from (text for text in inside.values() if isinstance(text, str) and len(text) >= _LONG)


def _pattern(secret: str) -> re.Pattern[str]:
    written = "".join(map(_character, secret))
    if len(secret) < _LONG:
        return re.compile(rf"(?<![A-Za-z0-9_]){written}(?![A-Za-z0-9_])")
    return re.compile("|".join([written, *_encoded(secret.encode("utf-8", "surrogatepass"))]))


def _character(character: str) -> str:
    """An expression for one character, as it is or escaped."""
    plain = re.escape(character)
    if _NEVER_ESCAPED.fullmatch(character):
        return plain
    units = character.encode("utf-16-be", "surrogatepass")
    unicode = "".join(rf"\\+u{_either_case(units[at : at + 2].hex())}" for at in range(0, len(units), 2))
    percent = "".join(rf"%(?:25)*{_either_case(f'{byte:02x}')}" for byte in character.encode("utf-8", "surrogatepass"))
    code = ord(character)
    forms = [unicode, percent, rf"&(?:amp;)*#(?:0*{code}|[xX]0*{_either_case(f'{code:x}')});"]
    forms += [rf"\\+(?:U{_either_case(f'{code:08x}')}{'|x' + _either_case(f'{code:02x}') if code < 256 else ''})"]
    forms += [rf"\\+{re.escape(_SHORT_ESCAPES[character])}"] if character in _SHORT_ESCAPES else []
    forms += [rf"&(?:amp;)*{_ENTITIES[character]};"] if character in _ENTITIES else []
    forms += [r"\+"] if character == " " else []
    # What is escaped may begin with the character itself: that comes last.
    return f"(?:{'|'.join([*forms, plain])})"


def _either_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _encoded(secret: bytes) -> Iterator[str]:
    """Expressions for the secret in base64, after any number of other bytes and before any.

    Six bits make a character: those characters count that hold bits of the secret alone.
    """
    for before in range(3):
        characters = base64.b64encode(bytes(before) + secret).decode()
        inner = characters[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        yield "".join(_base64_character(character) for character in inner)


def _base64_character(character: str) -> str:
    other = {"+": "-", "/": "_"}.get(character)
    return f"(?:{_character(character)}|{other})" if other else character
