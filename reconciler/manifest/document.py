"""A parsed file: its JSON value and, compactly, where every key and every value of it stands."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    _marks: Mapping[int, "array[int]"] = field(repr=False)  # by container: offsets, four a member, two an item

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
            marks = self._marks[id(container)]
            for index, (key, value) in enumerate(container.items()):
                yield key, value, self.source.position(marks[4 * index], marks[4 * index + 1])

    def _spans(self, path: Path) -> tuple[tuple[int, int] | None, tuple[int, int]]:
        """The offsets of key and value of the last step of `path` that exists."""
        if not self._root:
            return None, (0, 0)
        start, end = self._marks[id(self._root)]
        key: tuple[int, int] | None = None
        span = (start, end)
        value = self._root[0]
        for step in path:
            if isinstance(value, dict) and step in value:
                at = 4 * list(value).index(str(step))
                marks = self._marks[id(value)]
                key, span, value = (marks[at], marks[at + 1]), (marks[at + 2], marks[at + 3]), value[step]
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                marks = self._marks[id(value)]
                key, span, value = None, (marks[2 * step], marks[2 * step + 1]), value[step]
            else:
                break
        return key, span


@dataclass(frozen=True, slots=True)
class Anchored:
    """A value that aliases may repeat, with how many values it holds and how deep they go."""

    value: Json
    size: int = 1
    height: int = 0


class _Frame:
    """A container that is being filled."""

    __slots__ = ("container", "height", "key", "marks", "size")

    def __init__(self, container: _Container) -> None:
        self.container = container
        self.marks: array[int] = array("L")
        self.key: tuple[str, int, int] | None = None
        self.size = 1
        self.height = 0


class DocumentBuilder:
    """Makes a `Document` of keys, values and containers as a parser meets them. Offsets are the source's."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._frame = _Frame([])
        self._stack: list[_Frame] = []
        self._root = self._frame
        self._marks: dict[int, array[int]] = {id(self._root.container): self._root.marks}
        self._aliased = 0

    @property
    def depth(self) -> int:
        """How many containers are open."""
        return len(self._stack)

    @property
    def in_mapping(self) -> bool:
        """Whether the innermost open container is a mapping."""
        return type(self._frame.container) is dict

    @property
    def wants_key(self) -> bool:
        """Whether a key has to come next, or the end of the mapping."""
        return self._frame.key is None and type(self._frame.container) is dict

    def key(self, name: str, start: int, end: int) -> None:
        """The key of the next value."""
        frame = self._frame
        assert isinstance(frame.container, dict)
        if name in frame.container:
            first = frame.marks[4 * list(frame.container).index(name)]
            place = self.source.position(first)
            self.report("repeated-key", f"{shortened(name)} is there already", start, end, f"the first is at {place}")
        frame.key = (name, start, end)

    def value(self, value: Json, start: int, end: int) -> None:
        """The value of the last key, or the next item."""
        frame = self._frame
        container = frame.container
        if type(container) is list:
            container.append(value)
            frame.marks.extend((start, end))
            return
        assert isinstance(container, dict)
        assert frame.key is not None
        name, key_start, key_end = frame.key
        frame.key = None
        marks = array("L", (key_start, key_end, start, end))
        if name in container:
            at = 4 * list(container).index(name)
            frame.marks[at : at + 4] = marks
        else:
            frame.marks.extend(marks)
        container[name] = value

    def open(self, container: _Container, start: int, end: int) -> None:
        """A mapping or list as the next value; what follows goes into it until it is closed."""
        if len(self._stack) >= DEEPEST:
            self.fail("unsupported-yaml", f"nested deeper than {DEEPEST} levels", start, end, "make it flatter")
        self.value(container, start, end)
        frame = _Frame(container)
        self._marks[id(container)] = frame.marks
        self._stack.append(self._frame)
        self._frame = frame

    def close(self) -> Anchored:
        """End the innermost container; the answer is what an alias to it repeats."""
        frame = self._frame
        self._frame = parent = self._stack.pop()
        size = frame.size + len(frame.container)
        parent.size += size
        parent.height = max(parent.height, frame.height + 1)
        return Anchored(frame.container, size, frame.height + 1)

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
        return Document(self.source, tuple(self.problems), root, self._marks)
