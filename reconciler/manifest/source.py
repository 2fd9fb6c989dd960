"""The text of a file and where its lines are."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from itertools import accumulate
from pathlib import Path

from reconciler.errors import Position, Problem, ReconcilerError

LARGEST = 16 * 1024 * 1024
"""Bytes a manifest file may have."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file's name and text. Offsets count characters from 0, lines and columns from 1."""

    file: str
    text: str = field(repr=False)
    _starts: "array[int]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = array("L", (0,))
        starts.extend(accumulate(map(len, StringIO(self.text, newline=""))))  # lines as \n, \r\n and \r end them
        if self.text and self.text[-1] not in "\r\n":
            starts.pop()
        object.__setattr__(self, "_starts", starts)

    def position(self, start: int, end: int | None = None) -> Position:
        """The place of the text from `start` up to `end`; its length ends with the first line."""
        number = bisect_right(self._starts, start)
        first = self._starts[number - 1]
        last = min(end if end is not None else start, first + len(self.line(number)))
        return Position(self.file, number, start - first + 1, max(0, last - start))

    def line(self, number: int) -> str:
        """Line `number` without its end, "" when there is none."""
        if not 0 < number <= len(self._starts):
            return ""
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[self._starts[number - 1] : end].rstrip("\r\n")


def read_source(path: Path, file: str) -> Source:
    """Read `path`, calling it `file` in positions.

    Raises ReconcilerError (`file-not-found`, `file-not-text`).
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise _error("file-not-found", f"{file} does not exist", "check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _error("file-not-found", f"{file} can not be read: {reason}", "check the path") from None
    return decode(data, file)


def decode(data: bytes, file: str) -> Source:
    """The source that `data` is, as UTF-8 with or without a byte order mark.

    Raises ReconcilerError (`file-not-text`).
    """
    if len(data) > LARGEST:
        raise _error("file-not-text", f"{file} is larger than {LARGEST // 1024 // 1024} MiB", "split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _error("file-not-text", f"{file} is UTF-16", "save it as UTF-8")
    try:
        return Source(file, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = Source(file, data.removeprefix(b"\xef\xbb\xbf")[: error.start].decode("utf-8", "replace"))
        place = before.position(len(before.text))
        raise _error("file-not-text", "the byte here is not UTF-8 text", "save the file as UTF-8", place) from None


def line_reader() -> Callable[[str, int], str]:
    """A function that gives a line of a file by its number from 1, "" when it can not; files are read once."""

    @cache
    def source(file: str) -> Source:
        try:
            return read_source(Path(file), file)
        except ReconcilerError:
            return Source(file, "")

    return lambda file, number: source(file).line(number)


def merge_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems in the order of their places, those without a place first, none twice."""
    seen: dict[tuple[Position | None, str, str], Problem] = {}
    for problem in problems:
        seen.setdefault((problem.position, problem.code, problem.message), problem)
    return tuple(sorted(seen.values(), key=_place))


def _place(problem: Problem) -> tuple[bool, str, int, int, str, str]:
    place = problem.position
    if place is None:
        return False, "", 0, 0, problem.code, problem.message
    return True, place.file, place.line, place.column, problem.code, problem.message


def _error(code: str, message: str, hint: str, position: Position | None = None) -> ReconcilerError:
    return ReconcilerError([Problem(code, message, position, hint=hint)])
