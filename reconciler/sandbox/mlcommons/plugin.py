"""The emulated plugin: every family wired together behind `handle`."""

import asyncio
from dataclasses import dataclass

from reconciler.sandbox.mlcommons.agents import Agents
from reconciler.sandbox.mlcommons.answers import PlainRefusal, Refusal, answer, node_refusal
from reconciler.sandbox.mlcommons.cluster_settings import PATH as SETTINGS_PATH
from reconciler.sandbox.mlcommons.cluster_settings import ClusterSettings
from reconciler.sandbox.mlcommons.connectors import Connectors
from reconciler.sandbox.mlcommons.controllers import Controllers
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.deployment import Deployments, DeployTrouble
from reconciler.sandbox.mlcommons.documents import Documents, Staleness
from reconciler.sandbox.mlcommons.memory import Memory
from reconciler.sandbox.mlcommons.model_groups import ModelGroups
from reconciler.sandbox.mlcommons.models import Models
from reconciler.sandbox.mlcommons.pipelines import Pipelines
from reconciler.sandbox.mlcommons.predict import Predictions
from reconciler.sandbox.mlcommons.processing import Painless
from reconciler.sandbox.mlcommons.rag import Rag
from reconciler.sandbox.mlcommons.remote import Remote
from reconciler.sandbox.mlcommons.routing import BASE, Call, Routes
from reconciler.sandbox.mlcommons.search import Search
from reconciler.sandbox.mlcommons.security import Security
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.simulate import Simulation
from reconciler.sandbox.mlcommons.statistics import Statistics
from reconciler.sandbox.mlcommons.tasks import Tasks
from reconciler.sandbox.mlcommons.usage import Usage
from reconciler.sandbox.mlcommons.values import document
from reconciler.sandbox.mlcommons.vault import Vault
from reconciler.sandbox.protocol import MlRequest, MlResponse, ModelEndpoints, NodeClient

_JSON_TYPES = ("application/json", "application/vnd.opensearch+json", "application/x-ndjson")


@dataclass(frozen=True, slots=True)
class _Wired:
    """What answers requests once the plugin is ready."""

    routes: Routes
    rag: Rag
    simulation: Simulation


class Plugin:
    """ML Commons 2.19.4 before one real node.

    `flavour` is `aws` or `self-managed`. The first request makes it ready: it asks the node for its id and loads
    the models that were deployed when the sandbox stopped.
    """

    def __init__(
        self, node: NodeClient, flavour: str, endpoints: ModelEndpoints, staleness: Staleness, trouble: DeployTrouble
    ) -> None:
        self._node = node
        self._flavour = flavour
        self._endpoints = endpoints
        self._staleness = staleness
        self._trouble = trouble
        self._security = Security(node)
        self._settings = LiveSettings(node)
        self._cluster_settings = ClusterSettings(node, self._security, self._settings)
        self._pipelines = Pipelines(node, self._security, self._settings)
        self._wired: _Wired | None = None
        self._starting = asyncio.Lock()

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a request, or None when the real node must answer it. A caller without a name gets no further."""
        if not request.auth_headers:
            return MlResponse(401, b"Unauthorized", "text/plain") if request.path.startswith(f"{BASE}/") else None
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusal.response()
        except PlainRefusal as refusal:
            return refusal.response

    async def _answer(self, request: MlRequest) -> MlResponse | None:
        if request.method != "GET":
            self._security.expect_change(request.path)
        if request.path == SETTINGS_PATH:
            return await self._cluster_settings.handle(request)
        if request.path.startswith(f"{BASE}/"):
            return await self._answer_own(request)
        if request.path.startswith(("/_search/pipeline", "/_ingest/pipeline")):
            return await self._pipelines.handle(request) or await (await self._ready()).simulation.handle(request)
        if request.path.endswith("/_search"):
            return await (await self._ready()).rag.handle(request)
        return None

    async def _answer_own(self, request: MlRequest) -> MlResponse | None:
        found = (await self._ready()).routes.find(request)
        if found is None:
            return None
        route, arguments = found
        caller = await self._security.caller(request.auth_headers)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if request.body and content_type not in _JSON_TYPES:
            reason = f"Content-Type header [{content_type}] is not supported"
            raise PlainRefusal(answer({"error": reason, "status": 406}, 406))
        await self._settings.load()
        return await route.handler(Call(request, caller, route.action, arguments, self._security))

    async def _ready(self) -> _Wired:
        async with self._starting:
            if self._wired is None:
                self._wired = await self._start()
            return self._wired

    async def _start(self) -> _Wired:
        documents = Documents(self._node, self._staleness)
        search = Search(self._node)
        vault = Vault(documents)
        counters = Counters()
        node_id = await self._node_id()
        tasks = Tasks(documents, search, self._settings, node_id)
        deployments = Deployments(documents, tasks, counters, node_id, self._trouble)
        connectors = Connectors(documents, search, self._settings, vault, deployments, self._flavour)
        deployments.use_connectors(connectors.read)
        groups = ModelGroups(documents, search, self._settings)
        models = Models(
            documents,
            search,
            self._settings,
            vault,
            connectors,
            groups,
            tasks,
            deployments,
            counters,
            Usage(documents, self._pipelines),
            self._flavour,
        )
        remote = Remote(self._endpoints, vault, self._settings, Painless(self._node))
        predictions = Predictions(documents, self._settings, groups, deployments, remote, counters)
        memory = Memory(documents, self._settings)
        families = (
            connectors,
            groups,
            models,
            tasks,
            predictions,
            Statistics(self._node, deployments, tasks, counters, node_id),
            Controllers(documents, self._settings, groups, deployments),
            Agents(documents, search, self._settings, predictions),
            memory,
        )
        await deployments.restore()
        return _Wired(
            Routes(route for family in families for route in family.routes()),
            Rag(self._node, self._security, self._settings, self._pipelines, predictions, memory),
            Simulation(self._node, self._security, self._pipelines, predictions),
        )

    async def _node_id(self) -> str:
        status, body = await self._node.request("GET", "/_nodes/_local?filter_path=nodes.*.name")
        if status != 200:
            raise node_refusal(status, body)
        return next(iter(document(document(body).get("nodes"))))
