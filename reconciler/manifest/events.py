"""Text to `Document`: JSON by a scanner, YAML by PyYAML's parse events, scalars always as JSON has them."""

import re
from typing import NoReturn, Protocol

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from reconciler.canonical.json import Json, Scalar
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.document import Anchored, Document, DocumentBuilder
from reconciler.manifest.json_scanner import JsonScanner
from reconciler.manifest.scalars import half_surrogate, plain_scalar, shortened
from reconciler.manifest.source import Source

_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_UNENDED = "what begins here does not end"
_WORDINGS = (
    ("cannot start any token", "this can not start a value", "indent with spaces, or put the value in quotes"),
    ("mapping values are not allowed", "a `:` is not allowed here", "check the indentation, or put the text in quotes"),
    ("unexpected end of stream", _UNENDED, "close the quote or the bracket"),
    ("unexpected document", _UNENDED, "close the quote or the bracket"),
    ("expected ':'", "a key without `:`", "add `:` and a value, or indent the line"),
    ("expected ',' or ']'", "expected `,` or `]`", "close the list, or put the text in quotes"),
    ("expected ',' or '}'", "expected `,` or `}`", "close the mapping, or put the text in quotes"),
    ("did not find expected key", "this does not belong to the mapping", "check the indentation and the quotes"),
    ("'-' indicator", "this does not belong to the list", "begin the item with `- `, or indent it"),
    ("<document start>", "this does not belong to the document", "check the indentation"),
    ("tag handle", "tags are not part of manifests", "remove the tag, or put the text in quotes"),
    ("escape character", "no such escape in double quotes", "write two backslashes for one, or use single quotes"),
    ("Unicode character", "an escape that is no character", "write the character itself"),
)


def parse(source: Source) -> Document:
    """Read `source` as JSON when its file's name ends in `.json`, else as YAML 1.1 without its surprises.

    Mappings have string keys; plain scalars are null, true, false or a number where JSON spells them so (null
    also `~` and nothing), else strings. Problems that leave the rest readable are in the document's
    `problems`; others raise ReconcilerError (`syntax`, `unsupported-yaml`).
    """
    builder = DocumentBuilder(source)
    odd = _UNPRINTABLE.search(source.text)
    if odd:
        message = f"the character U+{ord(odd[0]):04X} is not allowed"
        builder.fail("syntax", message, odd.start(), odd.end(), "remove it, or write an escape in double quotes")
    if source.file.endswith(".json"):
        JsonScanner(builder).scan()
    else:
        _YamlReader(builder).read()
    return builder.document()


class _Parser(Protocol):
    """What is used of PyYAML's loaders."""

    def get_event(self) -> Event | None:
        """Return the next event, None after the last."""


class _YamlReader:
    """Feeds a builder with what PyYAML's parser meets."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._anchors: dict[str, Anchored | None] = {}
        self._opened: list[str | None] = []
        self._begun = False
        self._plain: dict[str, Scalar] = {}  # texts without quotes that were met: many are met again

    def read(self) -> None:
        """Read the whole text."""
        text = self._builder.source.text
        try:
            parser: _Parser = yaml.CSafeLoader(text) if yaml.__with_libyaml__ else yaml.SafeLoader(text)
            next_event = parser.get_event
            while (event := next_event()) is not None:
                if isinstance(event, ScalarEvent):
                    self._scalar(event)
                else:
                    self._event(event)
        except yaml.MarkedYAMLError as error:
            self._builder.problems.append(_worded(error, self._builder.source))
            raise ReconcilerError(self._builder.problems) from None
        except (yaml.YAMLError, ValueError) as error:
            self._builder.fail("syntax", f"not YAML: {error}", 0, 0, "mend the syntax")

    def _event(self, event: Event) -> None:
        if isinstance(event, CollectionStartEvent):
            self._start(event)
        elif isinstance(event, CollectionEndEvent):
            name = self._opened.pop()
            if name:
                self._anchors[name] = self._builder.innermost
            self._builder.close()
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            if self._begun:
                self._fail("a second document in one file", event, "make it a file of its own")
            self._begun = True

    def _scalar(self, event: ScalarEvent) -> None:
        builder, text, style = self._builder, event.value, event.style
        first, last = event.start_mark, event.end_mark
        assert first is not None
        assert last is not None
        if event.tag is not None:
            self._report(_tagged(event.tag), event, "remove it")
        if style:
            value: Scalar = text if text.isascii() else self._quoted(event)
        elif text in self._plain:
            value = self._plain[text]
        else:
            value = self._unquoted(event)
        if builder.wants_key:
            if not isinstance(value, str) or (text == "<<" and not style):
                self._odd_key(event)
                value = text
            builder.key(value, first.index, last.index)
            return
        builder.value(value, first.index, last.index)
        if event.anchor:
            self._anchors[event.anchor] = Anchored(value)

    def _odd_key(self, event: ScalarEvent) -> None:
        if event.value == "<<":
            self._report("merge keys are not part of manifests", event, "write the keys out")
        else:
            self._report(f"a key has to be text, not {shortened(event.value) or 'nothing'}", event, "put it in quotes")

    def _quoted(self, event: ScalarEvent) -> str:
        if half_surrogate(event.value):
            self._builder.fail("syntax", "an escape that is no character", *_span(event), "write the character itself")
        return event.value

    def _unquoted(self, event: ScalarEvent) -> Scalar:
        try:
            value = self._plain[event.value] = plain_scalar(event.value)
            return value
        except OverflowError:
            message = "the number is out of range"
            self._builder.report("wrong-value", message, *_span(event), "put it in quotes if it is text")
            return 0

    def _start(self, event: CollectionStartEvent) -> None:
        if event.tag is not None:
            self._report(_tagged(event.tag), event, "remove it")
        if self._builder.wants_key:
            self._fail("a key has to be text", event, "write a plain key")
        container: dict[str, Json] | list[Json] = {} if isinstance(event, MappingStartEvent) else []
        self._builder.open(container, *_span(event))
        if event.anchor:
            self._anchors[event.anchor] = None
        self._opened.append(event.anchor)

    def _alias(self, event: AliasEvent) -> None:
        name = event.anchor or ""
        if self._builder.wants_key:
            self._fail("a key has to be text", event, "write the key itself")
        target = self._anchors.get(name)
        if target is None:
            what = "stands inside its own anchor" if name in self._anchors else "has no anchor before it"
            self._fail(f"the alias *{shortened(name)} {what}", event, "write the value itself")
        self._builder.alias(target, *_span(event))

    def _report(self, message: str, event: Event, hint: str) -> None:
        self._builder.report("unsupported-yaml", message, *_span(event), hint)

    def _fail(self, message: str, event: Event, hint: str) -> NoReturn:
        self._builder.fail("unsupported-yaml", message, *_span(event), hint)


def _span(event: Event) -> tuple[int, int]:
    """Return the offsets of what an event is about."""
    assert event.start_mark is not None
    assert event.end_mark is not None
    return event.start_mark.index, event.end_mark.index


def _tagged(tag: str) -> str:
    shown = tag.replace("tag:yaml.org,2002:", "!!")
    return f"the tag {shortened(shown)} is not part of manifests"


def _worded(error: yaml.MarkedYAMLError, source: Source) -> Problem:
    """Say a parser's complaint in plain words, at the place it is about."""
    raw = str(error.problem or error.context or "not YAML")
    worded = ((message, hint) for part, message, hint in _WORDINGS if part in raw)
    message, hint = next(worded, (raw, "mend the syntax"))
    mark = error.problem_mark or error.context_mark
    if message == _UNENDED:
        mark = error.context_mark or mark
    index = min(mark.index, len(source.text)) if mark else 0
    if source.text.startswith("${", index - 1):
        message, hint = "a reference in brackets without quotes", "put it in quotes"
    return Problem("syntax", message, source.position(index, index + 1), hint=hint)
