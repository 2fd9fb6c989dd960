"""What ML Commons keeps by ids of its own, in memory: searches show an update a while later."""

from collections import defaultdict
from dataclasses import dataclass

from tests.support.refusal import Doc, Refused


@dataclass
class Delays:
    """Seconds the domain takes: until an update shows in searches, and until a model is deployed."""

    search: float = 0.0
    deploy: float = 0.0


class Collection:
    """Documents by id. An update shows in `searched` after a while; what is new or gone shows at once."""

    def __init__(self, prefix: str, delays: Delays) -> None:
        self.documents: dict[str, Doc] = {}
        self.used = False
        self._prefix = prefix
        self._delays = delays
        self._stale: dict[str, tuple[Doc, float]] = {}
        self._names: defaultdict[str, list[str]] = defaultdict(list)
        self._made = 0

    def add(self, document: Doc, chosen: str | None = None) -> str:
        """Keep a new document under an id of its own, or under the one that was chosen for it."""
        if chosen is not None and chosen in self.documents:
            raise Refused(409, f"{self._prefix}id '{chosen}' already exists")
        self.used = True
        self._made += 1
        one = chosen or f"{self._prefix}{self._made:04d}"
        self.documents[one] = document
        self._names[document["name"]].append(one)
        return one

    def named(self, name: str) -> list[str]:
        """The ids of the documents that have a name now."""
        return [one for one in self._names[name] if one in self.documents and self.documents[one]["name"] == name]

    def update(self, one: str, changes: Doc, now: float) -> None:
        """Change a document; searches show the old one for a while."""
        before, until = self._stale.get(one, ({}, -1.0))
        if now >= until:
            before = dict(self.documents[one])
        if self._delays.search:
            self._stale[one] = (before, now + self._delays.search)
        self.documents[one] = {**self.documents[one], **changes}
        if one not in self._names[self.documents[one]["name"]]:
            self._names[self.documents[one]["name"]].append(one)

    def searched(self, now: float) -> dict[str, Doc]:
        """The documents as a search shows them now."""
        return {
            one: self._stale[one][0] if one in self._stale and now < self._stale[one][1] else document
            for one, document in self.documents.items()
        }
