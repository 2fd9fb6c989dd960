"""The documents of ML Commons in the real node: read, write, search, with the plugin's own habits of refreshing."""

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Cause, Refusal, node_cause, node_refusal
from reconciler.sandbox.mlcommons.indices import PROPERTIES
from reconciler.sandbox.mlcommons.values import Document, document, listed, string
from reconciler.sandbox.protocol import NodeClient

_MEASURED = 0.7  # seconds, within the 0.2 to 1.5 that a real node takes


@dataclass(slots=True)
class Staleness:
    """How many seconds after an update searches show it. A sandbox has one, which may be changed at any time."""

    seconds: float = _MEASURED

    def set(self, seconds: Json) -> None:
        """Change it; ValueError for anything that is no number from 0."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError(f"stale_search_s is a number from 0, not {seconds!r}")
        self.seconds = float(seconds)

    def reset(self) -> None:
        """Go back to what was measured."""
        self.seconds = _MEASURED


class IndexMissing(Refusal):
    """The index of this kind of document has not been made yet. Unless caught it is answered with 500."""

    def __init__(self, index: str, body: Json) -> None:
        cause = node_cause(body)
        reason = f"Failed to get data object from index {index}"
        super().__init__(500, Cause("status_exception", reason, caused_by=cause), root=cause)


class VersionConflict(Refusal):
    """A document was changed by someone else meanwhile. Unless caught it is answered with 409."""

    def __init__(self, index: str, identifier: str, body: Json) -> None:
        cause = node_cause(body)
        reason = f"Document version conflict updating {identifier} in index {index}"
        super().__init__(409, Cause("status_exception", reason, caused_by=cause), root=cause)


@dataclass(frozen=True, slots=True)
class Stored:
    """One document as the node holds it."""

    id: str
    source: Document
    seq_no: int
    primary_term: int


class Documents:
    """Documents by index and id. Acts as the sandbox's super user.

    Creates and deletes are refreshed at once, updates a moment later: that is why the searches of ML Commons 2.19
    are stale after an update (measured: for 0.2 to 1.5 s).
    """

    def __init__(self, node: NodeClient, staleness: Staleness) -> None:
        self._node = node
        self._staleness = staleness
        self._made: set[str] = set()
        self._making = asyncio.Lock()
        self._refreshing: dict[str, asyncio.Task[None]] = {}

    async def get(self, index: str, identifier: str) -> Stored | None:
        """The document, or None when there is none; raises `IndexMissing`."""
        status, body = await self._node.request("GET", f"/{index}/_doc/{quote(identifier, safe='')}")
        found = document(body)
        if status == 404 and "error" in found:
            raise IndexMissing(index, body)
        if status == 404:
            return None
        if status != 200:
            raise node_refusal(status, body)
        seq_no, primary_term = found.get("_seq_no"), found.get("_primary_term")
        return Stored(
            identifier,
            document(found.get("_source")),
            seq_no if isinstance(seq_no, int) else 0,
            primary_term if isinstance(primary_term, int) else 0,
        )

    async def create(self, index: str, source: Document, identifier: str | None = None) -> str:
        """Store a new document, visible to searches at once; returns its id. Makes the index when absent."""
        await self._ensure(index)
        path = f"/{index}/_doc" if identifier is None else f"/{index}/_doc/{quote(identifier, safe='')}"
        method = "POST" if identifier is None else "PUT"
        status, body = await self._node.request(method, f"{path}?refresh=true", json=source)
        if status not in (200, 201):
            raise node_refusal(status, body)
        return string(document(body).get("_id"))

    async def update(
        self, index: str, identifier: str, partial: Document, *, at: Stored | None = None, refresh: str = "false"
    ) -> Document:
        """Merge `partial` into a document; returns the node's answer.

        With `at` only if the document is still at that state. Raises `VersionConflict`.
        """
        condition = f"&if_seq_no={at.seq_no}&if_primary_term={at.primary_term}" if at else ""
        path = f"/{index}/_update/{quote(identifier, safe='')}?refresh={refresh}{condition}"
        status, body = await self._node.request("POST", path, json={"doc": partial})
        if status == 409:
            raise VersionConflict(index, identifier, body)
        if status not in (200, 201):
            raise node_refusal(status, body)
        if refresh == "false" and index not in self._refreshing:
            self._refreshing[index] = asyncio.get_running_loop().create_task(self._refresh(index))
        return document(body)

    async def delete(self, index: str, identifier: str) -> Document:
        """Delete a document, visible to searches at once; returns the node's answer, also for an absent document."""
        path = f"/{index}/_doc/{quote(identifier, safe='')}?refresh=true"
        status, body = await self._node.request("DELETE", path)
        found = document(body)
        if status == 404 and "error" in found:
            cause = node_cause(body)
            reason = f"Failed to delete data object from index {index}"
            raise Refusal(500, Cause("status_exception", reason, caused_by=cause), root=cause)
        if status not in (200, 404):
            raise node_refusal(status, body)
        return found

    async def search(self, index: str, body: Json) -> tuple[int, Json]:
        """Search an index; one that does not exist has no hits."""
        return await self._node.request("POST", f"/{index}/_search?ignore_unavailable=true", json=body)

    async def hits(self, index: str, query: Json, size: int = 10) -> list[Document]:
        """The hits of a query that must succeed."""
        status, body = await self.search(index, {"query": query, "size": size})
        if status != 200:
            raise node_refusal(status, body)
        found = document(document(body).get("hits"))
        return [document(hit) for hit in listed(found.get("hits"))]

    async def _ensure(self, index: str) -> None:
        async with self._making:
            if index in self._made:
                return
            settings: Json = {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "-1"}}
            mappings: Json = {"_meta": {"schema_version": 1}, "properties": PROPERTIES[index]}
            status, body = await self._node.request(
                "PUT", f"/{index}", json={"settings": settings, "mappings": mappings}
            )
            if status not in (200, 400):
                raise node_refusal(status, body)
            self._made.add(index)

    async def _refresh(self, index: str) -> None:
        await asyncio.sleep(self._staleness.seconds)
        del self._refreshing[index]
        await self._node.request("POST", f"/{index}/_refresh")
