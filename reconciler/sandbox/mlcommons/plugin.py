"""The emulated plugin: every family wired together behind `handle`."""

import asyncio

from reconciler.sandbox.mlcommons.answers import PlainRefusal, Refusal, answer, node_refusal
from reconciler.sandbox.mlcommons.cluster_settings import PATH as SETTINGS_PATH
from reconciler.sandbox.mlcommons.cluster_settings import ClusterSettings
from reconciler.sandbox.mlcommons.connectors import Connectors
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.documents import Documents
from reconciler.sandbox.mlcommons.model_groups import ModelGroups
from reconciler.sandbox.mlcommons.models import Models
from reconciler.sandbox.mlcommons.predict import Predictions
from reconciler.sandbox.mlcommons.processing import Painless
from reconciler.sandbox.mlcommons.remote import Remote
from reconciler.sandbox.mlcommons.routing import BASE, Call, Routes
from reconciler.sandbox.mlcommons.search import Search
from reconciler.sandbox.mlcommons.security import Security
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.tasks import Tasks
from reconciler.sandbox.mlcommons.usage import Usage
from reconciler.sandbox.mlcommons.values import document
from reconciler.sandbox.mlcommons.vault import Vault
from reconciler.sandbox.protocol import MlRequest, MlResponse, ModelEndpoints, NodeClient

_JSON_TYPES = ("application/json", "application/vnd.opensearch+json", "application/x-ndjson")


class Plugin:
    """ML Commons 2.19.4 before one real node.

    `flavour` is `aws` or `self-managed`. The first request makes it ready: it asks the node for its id and loads
    the models that were deployed when the sandbox stopped.
    """

    def __init__(self, node: NodeClient, flavour: str, endpoints: ModelEndpoints) -> None:
        self._node = node
        self._flavour = flavour
        self._endpoints = endpoints
        self._security = Security(node)
        self._settings = LiveSettings(node)
        self._cluster_settings = ClusterSettings(node, self._security, self._settings)
        self._routes: Routes | None = None
        self._starting = asyncio.Lock()

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a request, or None when the real node must answer it, as it must refuse callers without a name."""
        if not request.auth_headers:
            return None
        try:
            if request.path == SETTINGS_PATH:
                return await self._cluster_settings.handle(request)
            if request.path.startswith(f"{BASE}/"):
                return await self._answer(request)
        except Refusal as refusal:
            return refusal.response()
        except PlainRefusal as refusal:
            return refusal.response
        return None

    async def _answer(self, request: MlRequest) -> MlResponse | None:
        routes = await self._ready()
        found = routes.find(request)
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

    async def _ready(self) -> Routes:
        async with self._starting:
            if self._routes is None:
                self._routes = await self._start()
            return self._routes

    async def _start(self) -> Routes:
        documents = Documents(self._node)
        search = Search(self._node, documents)
        vault = Vault(documents)
        counters = Counters()
        node_id = await self._node_id()
        tasks = Tasks(documents, search, self._settings, node_id)
        deployments = Deployments(documents, tasks, counters, node_id)
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
            Usage(self._node, documents),
            self._flavour,
        )
        remote = Remote(self._endpoints, vault, self._settings, Painless(self._node))
        predictions = Predictions(documents, self._settings, groups, deployments, remote, counters)
        await deployments.restore()
        families = (connectors, groups, models, tasks, predictions)
        return Routes(route for family in families for route in family.routes())

    async def _node_id(self) -> str:
        status, body = await self._node.request("GET", "/_nodes/_local?filter_path=nodes.*.name")
        if status != 200:
            raise node_refusal(status, body)
        return next(iter(document(document(body).get("nodes"))))
