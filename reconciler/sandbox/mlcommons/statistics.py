"""What runs and what it took: `_plugins/_ml/stats` and `_plugins/_ml/profile`."""

import zlib
from collections.abc import Collection, Mapping

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import PlainRefusal, answer, illegal_argument, node_refusal
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.security import denial
from reconciler.sandbox.mlcommons.tasks import Tasks
from reconciler.sandbox.mlcommons.values import Document, document, string
from reconciler.sandbox.protocol import MlResponse, NodeClient

_INDEX_STATS = {
    "ml_config_index_status": indices.CONFIG,
    "ml_connector_index_status": indices.CONNECTORS,
    "ml_controller_index_status": indices.CONTROLLERS,
    "ml_model_index_status": indices.MODELS,
    "ml_task_index_status": indices.TASKS,
}
_CLUSTER_STATS = (*_INDEX_STATS, "ml_connector_count", "ml_model_count")
_NODE_STATS = (
    "ml_circuit_breaker_trigger_count",
    "ml_deployed_model_count",
    "ml_executing_task_count",
    "ml_failure_count",
    "ml_jvm_heap_usage",
    "ml_request_count",
)


class Statistics:
    """The counters and profiles of the plugin on its one node."""

    def __init__(
        self, node: NodeClient, deployments: Deployments, tasks: Tasks, counters: Counters, node_id: str
    ) -> None:
        self._node = node
        self._deployments = deployments
        self._tasks = tasks
        self._counters = counters
        self._node_id = node_id

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        stats, profile = f"{ACTION}stats/nodes", f"{ACTION}profile/nodes"
        return (
            Route("GET", "/stats", stats, self.stats),
            Route("GET", "/stats/{stat}", stats, self.stats),
            Route("GET", "/{node_id}/stats", stats, self.stats),
            Route("GET", "/{node_id}/stats/{stat}", stats, self.stats),
            Route("GET", "/profile", profile, self.profile),
            Route("GET", "/profile/models", profile, self.profile),
            Route("GET", "/profile/models/{model_id}", profile, self.profile),
            Route("GET", "/profile/tasks", profile, self.profile),
            Route("GET", "/profile/tasks/{task_id}", profile, self.profile),
        )

    async def stats(self, call: Call) -> MlResponse:
        """GET stats, stats/{stat}."""
        named = [name.lower() for name in call.arguments.get("stat", "").split(",") if name]
        for name in named:
            if name not in (*_CLUSTER_STATS, *_NODE_STATS):
                raise illegal_argument("Wrong ML cluster level stat")
        body = await self._cluster_stats(call, named)
        wanted = [name for name in named if name in _NODE_STATS]
        if wanted or not named:
            await call.permit()
            own = await self._node_stats()
            shown: Document = {name: own[name] for name in wanted} if named else own
            if not named:
                shown |= {"algorithms": self._counters.algorithms(), "models": self._counters.models()}
            body["nodes"] = {self._node_id: shown}
        return answer(body)

    async def profile(self, call: Call) -> MlResponse:
        """GET profile, profile/models and profile/tasks."""
        status, _ = await self._node.request("GET", f"/{indices.MODELS}/_search?size=0")
        if status != 200:
            return answer({})
        if not await call.security.permits(call.caller, call.action):
            body: Document = {
                "error": "Failed to get ML node level profile",
                "exception": denial(call.caller, call.action),
            }
            raise PlainRefusal(answer(body, 500))
        section = call.request.path.partition("/profile")[2].strip("/").partition("/")[0]
        parts: Document = {}
        tasks = {key: task for key, task in self._tasks.running().items() if _asked(call, "task_id", key)}
        if section in ("", "tasks") and tasks:
            parts["tasks"] = dict(tasks)
        models = {key: profile for key, profile in self._profiles().items() if _asked(call, "model_id", key)}
        if section in ("", "models") and models:
            parts["models"] = dict(models)
        return answer({"nodes": {self._node_id: parts}} if parts else {})

    async def _cluster_stats(self, call: Call, named: list[str]) -> Document:
        body: Document = {}
        wanted = [name for name in named if name in _CLUSTER_STATS]
        if named and not wanted:
            return body
        states = await self._index_states()
        for name, index in _INDEX_STATS.items():
            if name in wanted or not named:
                body[name] = states.get(index, "non-existent")
        if "ml_model_count" in wanted or not named:
            body["ml_model_count"] = await self._count_models()
            body["ml_connector_count"] = await self._count_connectors(call, states)
        elif "ml_connector_count" in wanted:
            body["ml_connector_count"] = 0  # asked for alone it is never counted in 2.19
        return body

    async def _index_states(self) -> dict[str, str]:
        status, body = await self._node.request("GET", "/_cluster/health?level=indices&expand_wildcards=all")
        if status != 200:
            raise node_refusal(status, body)
        found = document(document(body).get("indices"))
        return {name: string(document(state).get("status")) for name, state in found.items()}

    async def _count_models(self) -> int:
        query: Document = {"query": {"bool": {"must_not": {"exists": {"field": "chunk_number"}}}}}
        status, body = await self._node.request("POST", f"/{indices.MODELS}/_count?ignore_unavailable=true", json=query)
        if status != 200:
            raise node_refusal(status, body)
        count = document(body).get("count")
        return count if isinstance(count, int) else 0

    async def _count_connectors(self, call: Call, states: Mapping[str, str]) -> int:
        """The documents in the index, nested ones included; asked for as the caller, who may lack the permission."""
        if indices.CONNECTORS not in states:
            return 0
        path = f"/{indices.CONNECTORS}/_stats/docs"
        status, body = await self._node.request("GET", path, headers=call.request.auth_headers)
        if status != 200:
            raise node_refusal(status, body)
        docs = document(document(document(document(body).get("_all")).get("primaries")).get("docs"))
        count = docs.get("count")
        return count if isinstance(count, int) else 0

    async def _node_stats(self) -> Document:
        path = "/_nodes/_local/stats/jvm?filter_path=nodes.*.jvm.mem.heap_used_percent"
        status, body = await self._node.request("GET", path)
        nodes = list(document(document(body).get("nodes")).values()) if status == 200 else []
        memory = document(document(document(nodes[0]).get("jvm")).get("mem")) if nodes else {}
        return {
            "ml_circuit_breaker_trigger_count": 0,
            "ml_deployed_model_count": len(self._deployments.deployed()),
            "ml_executing_task_count": len(self._tasks.running()),
            "ml_failure_count": self._counters.failures,
            "ml_jvm_heap_usage": memory.get("heap_used_percent", 0),
            "ml_request_count": self._counters.requests,
        }

    def _profiles(self) -> dict[str, Document]:
        profiles: dict[str, Document] = {}
        for model_id in self._deployments.deployed():
            mark = zlib.crc32(model_id.encode())
            profiles[model_id] = {
                "model_state": "DEPLOYED",
                "predictor": f"org.opensearch.ml.engine.algorithms.remote.RemoteModel@{mark:08x}",
                "target_worker_nodes": [self._node_id],
                "worker_nodes": [self._node_id],
            }
        for model_id, durations in self._deployments.measured().items():
            profile = profiles.setdefault(model_id, {})
            for name, values in (
                ("model_inference_stats", durations.inferences),
                ("predict_request_stats", durations.requests),
            ):
                if values:
                    profile[name] = _summary(values)
        return {model_id: profile for model_id, profile in profiles.items() if profile}


def _asked(call: Call, argument: str, key: str) -> bool:
    wanted = call.arguments.get(argument)
    return wanted is None or key in wanted.split(",")


def _summary(values: Collection[float]) -> Document:
    ordered = sorted(values)

    def percentile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {
        "count": len(ordered),
        "max": ordered[-1],
        "min": ordered[0],
        "average": sum(ordered) / len(ordered),
        "p50": percentile(0.5),
        "p90": percentile(0.9),
        "p99": percentile(0.99),
    }
