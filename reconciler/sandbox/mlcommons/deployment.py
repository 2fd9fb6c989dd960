"""Which models are deployed, that is held in memory with their connector, ready to predict."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import PlainRefusal, Refusal, failure, status_error
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing, VersionConflict
from reconciler.sandbox.mlcommons.rate_limit import TokenBucket, bucket
from reconciler.sandbox.mlcommons.tasks import Tasks
from reconciler.sandbox.mlcommons.values import Document, compact, document, string

# how long the real plugin takes to settle a deployment after it has answered
_SETTLES_AFTER_SECONDS = 0.1
_MEASURED = 100  # the last so many predictions of a model


@dataclass(slots=True)
class Predictor:
    """What a deployed model predicts with: its connector (credential still encrypted) and limits."""

    connector: Document
    limiter: TokenBucket | None
    user_limiters: dict[str, TokenBucket]
    guardrails: Document


@dataclass(slots=True)
class Deployed:
    """A model in memory."""

    model: Document
    predictor: Predictor
    enabled: bool = True


@dataclass(slots=True)
class Durations:
    """How long the predictions of a model took, in milliseconds: whole requests, and successful remote calls."""

    requests: deque[float] = field(default_factory=lambda: deque(maxlen=_MEASURED))
    inferences: deque[float] = field(default_factory=lambda: deque(maxlen=_MEASURED))


_log = logging.getLogger(__name__)


@dataclass(slots=True)
class DeployTrouble:
    """What becomes of the next deployments, of so many of them or of all. A sandbox has one, all is well at first."""

    answer: str = ""
    times: int | None = None

    def set(self, wanted: Json) -> None:
        """Change it, by `answer` (`error`: they fail; `stuck`: they never end) and `times`; ValueError says what is
        wrong."""
        given = wanted if isinstance(wanted, Mapping) else {}
        answer, times = given.get("answer"), given.get("times")
        if answer not in ("error", "stuck"):
            raise ValueError(f"a deployment has no answer {answer!r}, only error and stuck")
        if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            raise ValueError(f"times is a number from 1, not {times!r}")
        self.answer, self.times = str(answer), times

    def reset(self) -> None:
        """Let all deployments be well again."""
        self.answer, self.times = "", None

    def take(self) -> str:
        """What becomes of this one."""
        answer = self.answer
        if self.times is not None:
            self.times -= 1
        if self.times == 0:
            self.reset()
        return answer


ConnectorReader = Callable[[str], Awaitable[Document]]


class Deployments:
    """The deployed models of the one node, and the work of deploying and undeploying."""

    def __init__(
        self, documents: Documents, tasks: Tasks, counters: Counters, node_id: str, trouble: DeployTrouble
    ) -> None:
        self._documents = documents
        self._tasks = tasks
        self._counters = counters
        self._node_id = node_id
        self._trouble = trouble
        self._models: dict[str, Deployed] = {}
        self._stuck: set[str] = set()
        self._durations: dict[str, Durations] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._auto: set[str] = set()
        self._read_connector: ConnectorReader | None = None

    def use_connectors(self, reader: ConnectorReader) -> None:
        """Where a model's connector is read from, by id."""
        self._read_connector = reader

    def ids(self) -> tuple[str, ...]:
        """The ids of the models in memory: deployed, or stuck in a deployment that failed."""
        return (*self._models, *self._stuck)

    def deployed(self) -> tuple[str, ...]:
        """The ids of the deployed models."""
        return tuple(self._models)

    def durations(self, model_id: str) -> Durations:
        """What is measured of a model's predictions; begins anew after an undeploy."""
        return self._durations.setdefault(model_id, Durations())

    def measured(self) -> dict[str, Durations]:
        """What is measured of all models, also of those that are not deployed."""
        return dict(self._durations)

    def get(self, model_id: str) -> Deployed | None:
        """A deployed model."""
        return self._models.get(model_id)

    async def restore(self) -> None:
        """Hold again what was deployed when the sandbox stopped."""
        for hit in await self._documents.hits(indices.MODELS, {"term": {"model_state": "DEPLOYED"}}, size=1000):
            try:
                await self.load(string(hit.get("_id")), document(hit.get("_source")))
            except (Refusal, PlainRefusal):
                continue

    async def load(self, model_id: str, model: Document) -> Deployed:
        """Hold a model ready in memory, with its connector as it is now; one that is held already stays as it is."""
        held = self._models.get(model_id)
        if held is None:
            held = Deployed(model, await self._predictor(model_id, model), model.get("is_enabled") is not False)
            self._models[model_id] = held
            self._stuck.discard(model_id)
        return held

    async def refresh(self, model_id: str, model: Document) -> None:
        """Take over changes of a deployed model. One whose connector can not be read keeps predicting with the old."""
        held = self._models.get(model_id)
        if held is None:
            return
        held.model = model
        held.enabled = model.get("is_enabled") is not False
        try:
            held.predictor = await self._predictor(model_id, model)
        except (Refusal, PlainRefusal):
            return

    async def deploy(self, model_id: str, model: Document) -> str:
        """Start a deployment; returns the id of its task once the model is DEPLOYING. It settles a moment later."""
        task_id = await self._tasks.start("DEPLOY_MODEL", model_id, asynchronous=True)
        try:
            await self._note_model(
                model_id,
                model_state="DEPLOYING",
                planning_worker_node_count=1,
                planning_worker_nodes=[self._node_id],
                deploy_to_all_nodes=True,
            )
        except VersionConflict as conflict:
            await self._failed(model_id, task_id, str(conflict.root.reason))
            raise
        self._settling[model_id] = self._spawn(self._settle(model_id, model, task_id))
        return task_id

    def deploy_in_background(self, model_id: str, model: Document) -> None:
        """Deploy a model without waiting: on registration, or because a prediction needs it. Not twice at a time."""
        if model_id in self._auto:
            return
        self._auto.add(model_id)

        async def run() -> None:
            try:
                await self.deploy(model_id, model)
            finally:
                self._auto.discard(model_id)

        self._spawn(run())

    async def undeploy(self, model_ids: list[str]) -> Document:
        """Drop models from memory, when their deployments have settled; returns what became of each, by node."""
        outcome: Document = {}
        for model_id in model_ids:
            if model_id in self._settling:
                await asyncio.wait([self._settling.pop(model_id)])
            held = self._models.pop(model_id, None)
            self._stuck.discard(model_id)
            self._durations.pop(model_id, None)
            outcome[model_id] = "undeployed" if held else "not_found"
            if held:
                self._counters.request("undeploy", model_id)
                await self._note_undeployed(model_id)
        if all(state == "not_found" for state in outcome.values()):
            now = int(time.time() * 1000)
            for model_id in model_ids:
                await self._note_undeployed(model_id, last_updated_time=now)
        return {self._node_id: {"stats": outcome}}

    async def _predictor(self, model_id: str, model: Document) -> Predictor:
        connector = document(model.get("connector"))
        if not connector:
            if self._read_connector is None:
                raise status_error(404, "Failed to find connector")
            connector = await self._read_connector(string(model.get("connector_id")))
        users = await self._user_limiters(model_id) if model.get("is_controller_enabled") is True else {}
        return Predictor(
            connector, bucket(document(model.get("rate_limiter"))), users, document(model.get("guardrails"))
        )

    async def _user_limiters(self, model_id: str) -> dict[str, TokenBucket]:
        try:
            stored = await self._documents.get(indices.CONTROLLERS, model_id)
        except IndexMissing:
            stored = None
        limits = document(stored.source.get("user_rate_limiter")) if stored else {}
        buckets = {user: bucket(document(limiter)) for user, limiter in limits.items()}
        return {user: limiter for user, limiter in buckets.items() if limiter is not None}

    async def _settle(self, model_id: str, model: Document, task_id: str) -> None:
        self._counters.request("deploy", model_id)
        try:
            with self._tasks.under_way(task_id, "DEPLOY_MODEL"):
                await self._tasks.note(task_id, "RUNNING")
                await asyncio.sleep(_SETTLES_AFTER_SECONDS)
                if (trouble := self._trouble.take()) == "stuck":
                    return
                if trouble == "error":
                    raise status_error(500, "the deployment fails, as the sandbox was told")
                await self._load_or_stick(model_id, await self._current(model_id, model))
                await self._tasks.note(task_id, "COMPLETED")
            await self._note_model(
                model_id,
                model_state="DEPLOYED",
                last_deployed_time=int(time.time() * 1000),
                current_worker_node_count=1,
                auto_redeploy_retry_times=0,
            )
        except IndexMissing:
            return  # the sandbox was reset meanwhile
        except VersionConflict as conflict:
            await self._failed(model_id, task_id, str(conflict.root.reason))
        except (Refusal, PlainRefusal) as refusal:
            self._counters.failure("deploy")
            await self._failed(model_id, task_id, compact({self._node_id: str(refusal)}))

    async def _load_or_stick(self, model_id: str, model: Document) -> None:
        """Load a model. One whose connector can not be read blocks its next deployment too, as in ML Commons 2.19."""
        if model_id in self._stuck:
            raise failure("m_l_limit_exceeded_exception", "Duplicate deploy model task")
        try:
            await self.load(model_id, model)
        except Refusal as refusal:
            self._stuck.add(model_id)
            if refusal.status == 404:
                raise status_error(404, f"Failed to find connector:{model.get('connector_id')}") from None
            raise

    async def _current(self, model_id: str, model: Document) -> Document:
        stored = await self._documents.get(indices.MODELS, model_id)
        return stored.source if stored else model

    async def _failed(self, model_id: str, task_id: str, error: str) -> None:
        await self._tasks.note(task_id, "FAILED", error=error)
        try:
            await self._note_model(
                model_id,
                model_state="DEPLOY_FAILED",
                last_deployed_time=int(time.time() * 1000),
                current_worker_node_count=0,
            )
        except VersionConflict:
            return

    async def _note_model(self, model_id: str, **fields: str | int | bool | list[str]) -> None:
        changes: Document = {key: list(value) if isinstance(value, list) else value for key, value in fields.items()}
        changes["last_updated_time"] = int(time.time() * 1000)
        await self._documents.update(indices.MODELS, model_id, changes)

    async def _note_undeployed(self, model_id: str, **fields: int) -> None:
        changes: Document = {
            "planning_worker_nodes": [],
            "planning_worker_node_count": 0,
            "current_worker_node_count": 0,
            "model_state": "UNDEPLOYED",
            **fields,
        }
        await self._documents.update(indices.MODELS, model_id, changes, refresh="true")

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        for model_id in [model_id for model_id, settling in self._settling.items() if settling is task]:
            del self._settling[model_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a deployment in the background ended with %r", error)
