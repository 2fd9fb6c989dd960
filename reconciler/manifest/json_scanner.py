"""JSON with offsets: containers by hand, scalars by the standard library.

JSON is almost YAML, but a YAML parser refuses surrogate pairs in escapes, keys of more than 1,024 characters and
tabs in front of the first brace.
"""

import json
import re
from typing import NoReturn

from reconciler.canonical.json import Json
from reconciler.manifest.document import DocumentBuilder
from reconciler.manifest.scalars import NUMBER, half_surrogate, real, whole

_SPACE = re.compile(r"[ \t\n\r]*")


class JsonScanner:
    """Feeds a builder with what RFC 8259 finds in its source. Nesting costs no stack."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._text = builder.source.text
        self._decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=whole, parse_float=real)

    def scan(self) -> None:
        """Read the whole text; nothing at all is an empty document. Raises ReconcilerError (`syntax`)."""
        at = self._skip(0)
        if at == len(self._text):
            return
        while at >= 0:
            at = self._after(self._value(at))

    def _value(self, at: int) -> int:
        """Read a scalar, or open containers up to and with the first scalar in them; return where it ends."""
        builder, text = self._builder, self._text
        while True:
            if text.startswith("{", at):
                builder.open({}, at, at + 1)
                at = self._skip(at + 1)
                if text.startswith("}", at):
                    return at
                at = self._key(at)
            elif text.startswith("[", at):
                builder.open([], at, at + 1)
                at = self._skip(at + 1)
                if text.startswith("]", at):
                    return at
            else:
                value, end = self._scalar(at)
                builder.value(value, at, end)
                return end

    def _after(self, at: int) -> int:
        """Close what ends here and step over the comma; return where the next value begins, -1 at the end."""
        builder, text = self._builder, self._text
        while True:
            at = self._skip(at)
            if builder.depth == 0:
                if at < len(text):
                    self._fail("nothing may follow the value", at, "remove it")
                return -1
            closing = "}" if builder.in_mapping else "]"
            if text.startswith(closing, at):
                builder.close()
                at += 1
            elif text.startswith(",", at):
                at = self._skip(at + 1)
                return self._key(at) if builder.in_mapping else at
            else:
                self._fail(f"expected `,` or `{closing}`", at, "mend the syntax")

    def _key(self, at: int) -> int:
        """Read a key and its colon; return where the value begins."""
        if not self._text.startswith('"', at):
            self._fail("expected a key in double quotes", at, "JSON has no comments and no comma before `}`")
        name, end = self._scalar(at)
        self._builder.key(str(name), at, end)
        at = self._skip(end)
        if not self._text.startswith(":", at):
            self._fail("expected `:`", at, "mend the syntax")
        return self._skip(at + 1)

    def _scalar(self, at: int) -> tuple[Json, int]:
        value: Json
        try:
            value, end = self._decoder.raw_decode(self._text, at)
        except OverflowError:
            number = NUMBER.match(self._text, at)
            end = number.end() if number else at
            message = "the number is out of range"
            self._builder.report("wrong-value", message, at, end, "put it in quotes if it is text")
            return 0, end
        except json.JSONDecodeError as error:
            if error.msg == "Expecting value":
                self._fail("expected a value", at, "mend the syntax")
            self._fail(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.pos, "mend the syntax")
        except ValueError:
            self._fail("expected a value", at, "JSON has no NaN and no Infinity")
        if isinstance(value, str) and half_surrogate(value):
            self._builder.fail("syntax", "half of a surrogate pair", at, end, "write the character itself")
        return value, end

    def _skip(self, at: int) -> int:
        space = _SPACE.match(self._text, at)
        return space.end() if space else at

    def _fail(self, message: str, at: int, hint: str) -> NoReturn:
        self._builder.fail("syntax", message, at, at + 1, hint)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
