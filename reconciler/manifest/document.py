"""A parsed file: its JSON value and, compactly, where every key and every value of it stands."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import NoReturn, TypeAlias

from reconciler.canonical.json import Json
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.scalars import shortened
from reconciler.manifest.source import Source

Path: TypeAlias = tuple[str | int, ...]

DEEPEST = 64
"""Levels of nesting a document may have, aliases followed: far below what the interpreter's stack carries."""

MOST_ALIASED = 100_000
"""Values that aliases may add to a document."""

_Container: TypeAlias = "dict[str, Json] | list[Json]"


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """What one file says. `problems` are those that did not keep it from being read to its end."""

    source: Source
    problems: tuple[Problem, ...]
    _root: list[Json] = field(repr=False)
    _marks: "array[int]" = field(repr=False)  # offsets, four a member, two an item, container after container
    _first: Mapping[int, int] = field(repr=False)  # by container: where in `_marks` its first member or item is

    @property
    def file(self) -> str:
        """The file's name as the user gave it."""
        return self.source.file

    @property
    def value(self) -> Json:
        """The document as JSON; None when the file is empty."""
        return self._root[0] if self._root else None

    def at(self, path: Path) -> Json:
        """The value at `path`; None when there is none."""
        value = self.value
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def position(self, path: Path) -> Position:
        """The place of the key at `path` (of an item for lists), or of what encloses it when there is none."""
        key, value = self._spans(path)
        return self.source.position(*(key or value))

    def value_position(self, path: Path) -> Position:
        """The place of the value at `path`, or of what encloses it when there is none."""
        return self.source.position(*self._spans(path)[1])

    def span(self, path: Path) -> tuple[int, int]:
        """Where the value at `path` begins and ends in the text; of a list or mapping only where it begins counts."""
        return self._spans(path)[1]

    def within(self, path: Path, start: int, length: int) -> Position:
        """The place of `length` characters from `start` in the string at `path`, whatever its quoting."""
        first, last = self._spans(path)[1]
        stated = self.at(path)
        text = stated if isinstance(stated, str) else ""
        fragment = text[start : start + length]
        found = first - 1
        for _ in range(text.count(fragment, 0, start) + 1 if fragment else 0):
            found = self.source.text.find(fragment, found + 1, last)
            if found < 0:
                break
        return self.source.position(found, found + length) if found >= first else self.source.position(first, last)

    def members(self, path: Path) -> Iterator[tuple[str, Json, Position]]:
        """Key, value and place of the key of every member of the mapping at `path`; nothing if it is none."""
        container = self.at(path)
        if isinstance(container, dict):
            first = self._first[id(container)]
            for at, (key, value) in zip(count(first, 4), container.items(), strict=False):
                yield key, value, self.source.position(self._marks[at], self._marks[at + 1])

    def _spans(self, path: Path) -> tuple[tuple[int, int] | None, tuple[int, int]]:
        """The offsets of key and value of the last step of `path` that exists."""
        if not self._root:
            return None, (0, 0)
        key: tuple[int, int] | None = None
        span = self._span(self._first[id(self._root)])
        value = self._root[0]
        for step in path:
            if isinstance(value, dict) and step in value:
                at = self._first[id(value)] + 4 * list(value).index(str(step))
                key, span, value = self._span(at), self._span(at + 2), value[step]
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                key, span, value = None, self._span(self._first[id(value)] + 2 * step), value[step]
            else:
                break
        return key, span

    def _span(self, at: int) -> tuple[int, int]:
        return self._marks[at], self._marks[at + 1]


@dataclass(frozen=True, slots=True)
class Anchored:
    """A value that aliases may repeat, with how many values it holds and how deep they go."""

    value: Json
    size: int = 1
    height: int = 0


class _Frame:
    """A container that is being filled, with the offsets of what is in it, and how much that is."""

    __slots__ = ("container", "height", "marks", "size")

    def __init__(self, container: _Container) -> None:
        self.container = container
        self.marks: list[int] = []
        self.size = 1
        self.height = 0


class DocumentBuilder:
    """Makes a `Document` of keys, values and containers as a parser meets them. Offsets are the source's.

    `wants_key` says whether a key has to come next, or the end of the mapping.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.wants_key = False
        self._frame = self._root = _Frame([])
        self._stack: list[_Frame] = []
        self._key: tuple[str, int, int] = ("", 0, 0)
        self._marks: array[int] = array("L")
        self._first: dict[int, int] = {}
        self._aliased = 0

    @property
    def depth(self) -> int:
        """How many containers are open."""
        return len(self._stack)

    @property
    def in_mapping(self) -> bool:
        """Whether the innermost open container is a mapping."""
        return type(self._frame.container) is dict

    def key(self, name: str, start: int, end: int) -> None:
        """The key of the next value."""
        container = self._frame.container
        if name in container:
            first = self._frame.marks[4 * list(container).index(name)]
            place = self.source.position(first)
            self.report("repeated-key", f"{shortened(name)} is there already", start, end, f"the first is at {place}")
        self._key = (name, start, end)
        self.wants_key = False

    def value(self, value: Json, start: int, end: int) -> None:
        """The value of the last key, or the next item."""
        frame = self._frame
        container = frame.container
        if type(container) is list:
            container.append(value)
            frame.marks += (start, end)
            return
        assert type(container) is dict
        name, key_start, key_end = self._key
        if name in container:
            at = 4 * list(container).index(name)
            frame.marks[at : at + 4] = key_start, key_end, start, end
        else:
            frame.marks += (key_start, key_end, start, end)
        container[name] = value
        self.wants_key = True

    def open(self, container: _Container, start: int, end: int) -> None:
        """A mapping or list as the next value; what follows goes into it until it is closed."""
        if len(self._stack) >= DEEPEST:
            self.fail("unsupported-yaml", f"nested deeper than {DEEPEST} levels", start, end, "make it flatter")
        self.value(container, start, end)
        self._stack.append(self._frame)
        self._frame = _Frame(container)
        self.wants_key = type(container) is dict

    def close(self) -> None:
        """End the innermost container."""
        frame = self._frame
        self._settle(frame)
        self._frame = parent = self._stack.pop()
        parent.size += frame.size + len(frame.container)
        parent.height = max(parent.height, frame.height + 1)
        self.wants_key = type(parent.container) is dict

    def _settle(self, frame: _Frame) -> None:
        """Keep the offsets of what is in a container, now that everything is."""
        self._first[id(frame.container)] = len(self._marks)
        self._marks.fromlist(frame.marks)

    @property
    def innermost(self) -> Anchored:
        """What an alias to the innermost container repeats, as far as that is filled."""
        frame = self._frame
        return Anchored(frame.container, frame.size + len(frame.container), frame.height + 1)

    def alias(self, anchored: Anchored, start: int, end: int) -> None:
        """A value that stands elsewhere, as the next value."""
        self._aliased += anchored.size
        if self._aliased > MOST_ALIASED:
            self.fail(
                "unsupported-yaml", f"aliases repeat more than {MOST_ALIASED:,} values", start, end, "repeat less"
            )
        if len(self._stack) + anchored.height > DEEPEST:
            self.fail("unsupported-yaml", f"nested deeper than {DEEPEST} levels", start, end, "make it flatter")
        frame = self._frame
        frame.size += anchored.size
        frame.height = max(frame.height, anchored.height)
        self.value(anchored.value, start, end)

    def report(self, code: str, message: str, start: int, end: int, hint: str) -> None:
        """Note a problem that does not keep the rest from being read."""
        self.problems.append(Problem(code, message, self.source.position(start, end), hint=hint))

    def fail(self, code: str, message: str, start: int, end: int, hint: str) -> NoReturn:
        """Raise ReconcilerError with all problems so far and this one."""
        self.report(code, message, start, end, hint)
        raise ReconcilerError(self.problems)

    def document(self) -> Document:
        """The document, when everything was said."""
        root = self._root.container
        assert isinstance(root, list)
        self._settle(self._root)
        return Document(self.source, tuple(self.problems), root, self._marks, self._first)
