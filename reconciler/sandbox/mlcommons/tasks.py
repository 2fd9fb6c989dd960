"""Tasks: their documents, how many run at once, and the task API."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import answer, failure, status_error
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.search import Search
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document
from reconciler.sandbox.protocol import MlResponse

_LIMITS = {
    "REGISTER_MODEL": "max_register_model_tasks_per_node",
    "DEPLOY_MODEL": "max_deploy_model_tasks_per_node",
}


class Tasks:
    """The tasks that register and deploy models."""

    def __init__(self, documents: Documents, search: Search, settings: LiveSettings, node_id: str) -> None:
        self._documents = documents
        self._search = search
        self._settings = settings
        self._node_id = node_id
        self._running: dict[str, Document] = {}

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/tasks/{task_id}"
        return (
            Route("GET", "/tasks/_search", f"{ACTION}tasks/search", self.search),
            Route("POST", "/tasks/_search", f"{ACTION}tasks/search", self.search),
            Route("GET", one, f"{ACTION}tasks/get", self.get),
            Route("DELETE", one, f"{ACTION}tasks/delete", self.delete),
        )

    def running(self) -> dict[str, Document]:
        """The tasks under way by id."""
        return dict(self._running)

    async def start(self, kind: str, model_id: str | None = None, *, asynchronous: bool) -> str:
        """Note a new task of a kind (`REGISTER_MODEL`, `DEPLOY_MODEL`); returns its id."""
        now = int(time.time() * 1000)
        source: Document = {
            "task_type": kind,
            "function_name": "REMOTE",
            "state": "CREATED",
            "worker_node": [self._node_id],
            "create_time": now,
            "last_update_time": now,
            "is_async": asynchronous,
        }
        if model_id is not None:
            source["model_id"] = model_id
        return await self._documents.create(indices.TASKS, source)

    @contextmanager
    def under_way(self, task_id: str, kind: str) -> Iterator[None]:
        """Count a task as running; refuses when too many of its kind do already."""
        limit = self._settings.number(_LIMITS[kind])
        if sum(task["task_type"] == kind for task in self._running.values()) >= limit:
            raise failure("m_l_limit_exceeded_exception", "exceed max running task limit")
        now = int(time.time() * 1000)
        self._running[task_id] = {
            "task_id": task_id,
            "task_type": kind,
            "function_name": "REMOTE",
            "state": "RUNNING",
            "worker_node": [self._node_id],
            "create_time": now,
            "last_update_time": now,
            "is_async": kind == "DEPLOY_MODEL",
        }
        try:
            yield
        finally:
            del self._running[task_id]

    async def note(self, task_id: str, state: str, **fields: str) -> None:
        """Set a task's state (`RUNNING`, `COMPLETED`, `FAILED`) and other fields (`model_id`, `error`)."""
        changes: Document = {"state": state, "last_update_time": int(time.time() * 1000), **fields}
        await self._documents.update(indices.TASKS, task_id, changes)

    async def get(self, call: Call) -> MlResponse:
        """GET tasks/{id}."""
        await call.permit()
        return answer(await self._read(call.argument("task_id")))

    async def delete(self, call: Call) -> MlResponse:
        """DELETE tasks/{id}."""
        await call.permit()
        task_id = call.argument("task_id")
        if (await self._read(task_id)).get("state") == "RUNNING":
            raise failure("exception", "Task cannot be deleted in running state. Try after some time.")
        return answer(await self._documents.delete(indices.TASKS, task_id))

    async def search(self, call: Call) -> MlResponse:
        """GET and POST tasks/_search."""
        raw, body = self._search.parse(call)
        await call.permit()
        return await self._search.run(indices.TASKS, raw, body)

    async def _read(self, task_id: str) -> Document:
        try:
            stored = await self._documents.get(indices.TASKS, task_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise status_error(404, "Failed to find task")
        return stored.source
