"""Which live id stands for which recorded one: ids made by the server differ from run to run."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.canonical.json import Json

_ID_KEY = re.compile(r"(.+_)?id|_id|(.+_)?ids|.*worker_nodes?|node|sort")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GENERATED = re.compile(rf"(?=.*[A-Z])(?=.*[a-z0-9])[A-Za-z0-9_-]{{20}}(?:[A-Za-z0-9_-]{{2}})?|{_UUID}")
_LIVE_ID = re.compile(r"[A-Za-z0-9_.:-]{6,64}")
TOKEN = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_UUID}|[A-Za-z0-9_-]{{20}}(?:[A-Za-z0-9_-]{{2}})?)(?![A-Za-z0-9_-])")

Mark: TypeAlias = tuple[dict[str, str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded exchange. `sender` is a user's name, an IAM role ARN, or None for nobody."""

    seq: int
    name: str
    sender: str | None
    method: str
    path: str
    headers: dict[str, str]
    body: Json
    status: int
    answer: Json


class Ids:
    """Learns the pairs of ids from the pairs of answers, and puts the live ones into later requests."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._live: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._origin: dict[str, Row] = {}
        for row in rows:
            self._scan(row.answer, "", row)
            for token in TOKEN.findall(row.path):
                if _GENERATED.fullmatch(token):
                    self._origin.setdefault(token, row)

    def _scan(self, value: Json, key: str, row: Row) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                if _GENERATED.fullmatch(name):
                    self._origin.setdefault(name, row)
                self._scan(item, name, row)
        elif isinstance(value, list):
            for item in value:
                self._scan(item, key, row)
        elif isinstance(value, str) and _ID_KEY.fullmatch(key) and _GENERATED.fullmatch(value):
            self._origin.setdefault(value, row)

    def origin(self, text: str) -> Row | None:
        """The row that first shows the recorded id."""
        return self._origin.get(text)

    def is_id(self, text: str) -> bool:
        """Whether the text is a recorded id."""
        return text in self._origin

    def is_bound(self, text: str) -> bool:
        """Whether the live id for a recorded one is known."""
        return text in self._live

    def unknown(self, text: str) -> list[str]:
        """The recorded ids in a text whose live ones are not known."""
        return [token for token in TOKEN.findall(text) if token in self._origin and token not in self._live]

    def live(self, text: str) -> str:
        """A recorded text with the live ids."""
        return TOKEN.sub(lambda match: self._live.get(match[0], match[0]), text)

    def live_all(self, value: Json) -> Json:
        """A recorded value with the live ids in all its texts and keys."""
        return walk_strings(value, self.live)

    def may_bind(self, recorded: str, live: str) -> bool:
        """Whether a live text may be the id that stands for a recorded one."""
        free = recorded not in self._live and live not in self._recorded
        return self.is_id(recorded) and free and _LIVE_ID.fullmatch(live) is not None

    def bind(self, recorded: str, live: str) -> None:
        """Note a pair."""
        self._live[recorded], self._recorded[live] = live, recorded

    def mark(self) -> Mark:
        """The pairs so far, to go back to."""
        return dict(self._live), dict(self._recorded)

    def reset(self, mark: Mark) -> None:
        """Forget the pairs noted since."""
        self._live, self._recorded = dict(mark[0]), dict(mark[1])


def walk_strings(value: Json, change: Callable[[str], str]) -> Json:
    """A value with all its texts and keys changed."""
    if isinstance(value, dict):
        return {change(key): walk_strings(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [walk_strings(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
