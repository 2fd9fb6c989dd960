"""The memory API: conversations and their messages, also written by retrieval-augmented generation."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import answer, failure, status_error
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, document, parse_body, string, string_map
from reconciler.sandbox.protocol import MlResponse

_DISABLED = (
    "The Conversation Memory feature is not enabled. To enable, please update the setting "
    "plugins.ml_commons.memory_feature_enabled"
)
_MESSAGE_TEXTS = ("input", "prompt_template", "response", "origin")


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Memory:
    """Conversations and messages in the real node."""

    def __init__(self, documents: Documents, settings: LiveSettings) -> None:
        self._documents = documents
        self._settings = settings

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        kept = f"{ACTION}memory/"
        return (
            Route("POST", "/memory", f"{kept}conversation/create", self.create),
            Route("GET", "/memory", f"{kept}conversation/list", self.list),
            Route("GET", "/memory/{memory_id}", f"{kept}conversation/get", self.get),
            Route("DELETE", "/memory/{memory_id}", f"{kept}conversation/delete", self.delete),
            Route("POST", "/memory/{memory_id}/messages", f"{kept}interaction/create", self.create_message),
            Route("GET", "/memory/{memory_id}/messages", f"{kept}interaction/list", self.list_messages),
        )

    async def create(self, call: Call) -> MlResponse:
        """POST memory."""
        body = document(parse_body(call.request.body).value) if call.request.body else {}
        caller = await self._allowed(call)
        now = _now()
        source: Document = {"name": body.get("name", ""), "create_time": now, "updated_time": now, "user": caller.name}
        for key in ("application_type", "additional_info"):
            if key in body:
                source[key] = body[key]
        return answer({"memory_id": await self._documents.create(indices.MEMORIES, source)})

    async def list(self, call: Call) -> MlResponse:
        """GET memory: the caller's own."""
        caller = await self._allowed(call)
        hits = await self._documents.hits(indices.MEMORIES, {"term": {"user": caller.name}})
        return answer({"memories": [{"memory_id": hit.get("_id"), **document(hit.get("_source"))} for hit in hits]})

    async def get(self, call: Call) -> MlResponse:
        """GET memory/{id}."""
        memory_id = call.argument("memory_id")
        source = await self._read(await self._allowed(call), memory_id)
        return answer({"memory_id": memory_id, **source})

    async def delete(self, call: Call) -> MlResponse:
        """DELETE memory/{id}, with its messages."""
        memory_id = call.argument("memory_id")
        await self._read(await self._allowed(call), memory_id)
        for hit in await self._documents.hits(indices.MESSAGES, {"term": {"memory_id": memory_id}}, size=10_000):
            await self._documents.delete(indices.MESSAGES, string(hit.get("_id")))
        await self._documents.delete(indices.MEMORIES, memory_id)
        return answer({"success": True})

    async def create_message(self, call: Call) -> MlResponse:
        """POST memory/{id}/messages."""
        body = document(parse_body(call.request.body).value)
        caller = await self._allowed(call)
        message = {key: string(body.get(key)) for key in _MESSAGE_TEXTS if key in body}
        return answer(
            {
                "message_id": await self.add(
                    caller, call.argument("memory_id"), message, string_map(body.get("additional_info"))
                )
            }
        )

    async def list_messages(self, call: Call) -> MlResponse:
        """GET memory/{id}/messages, the oldest first."""
        memory_id = call.argument("memory_id")
        messages = await self.messages(await self._allowed(call), memory_id, size=10)
        return answer({"messages": list(messages)})

    async def messages(self, caller: Caller, memory_id: str, size: int) -> Sequence[Document]:
        """The first messages of a conversation that the caller may read; 404 when there is none."""
        await self._read(caller, memory_id)
        status, body = await self._documents.search(
            indices.MESSAGES,
            {"query": {"term": {"memory_id": memory_id}}, "size": size, "sort": [{"create_time": "asc"}]},
        )
        if status != 200:
            return []
        hits = document(document(body).get("hits")).get("hits")
        found = [document(hit) for hit in hits] if isinstance(hits, list) else []
        return [{"message_id": hit.get("_id"), **document(hit.get("_source"))} for hit in found]

    async def add(
        self, caller: Caller, memory_id: str, message: Mapping[str, str], additional: Mapping[str, str]
    ) -> str:
        """Add a message (`input`, `prompt_template`, `response`, `origin`) to a conversation; returns its id."""
        await self._read(caller, memory_id)
        source: Document = {"memory_id": memory_id, "create_time": _now(), **message}
        source["additional_info"] = dict(additional)
        return await self._documents.create(indices.MESSAGES, source)

    async def _allowed(self, call: Call) -> Caller:
        caller = await call.permit()
        if not self._settings.flag("memory_feature_enabled"):
            raise failure("exception", _DISABLED)
        return caller

    async def _read(self, caller: Caller, memory_id: str) -> Document:
        try:
            stored = await self._documents.get(indices.MEMORIES, memory_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise failure("resource_not_found_exception", f"Memory [{memory_id}] not found", 404)
        owner = string(stored.source.get("user"))
        if owner != caller.name:
            raise status_error(401, f"User [{caller.name}] does not have access to memory {memory_id}")
        return stored.source


def metadata(results: Sequence[str]) -> str:
    """The search results an answer was made from, as they are noted in a message."""
    return json.dumps(list(results), ensure_ascii=False, separators=(",", ":"))
