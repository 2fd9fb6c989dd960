"""Who still uses a model: asked before a delete when `safe_delete_model` is on."""

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import status_error
from reconciler.sandbox.mlcommons.documents import Documents
from reconciler.sandbox.mlcommons.values import document, string
from reconciler.sandbox.protocol import NodeClient


class Usage:
    """Agents and pipelines that name a model."""

    def __init__(self, node: NodeClient, documents: Documents) -> None:
        self._node = node
        self._documents = documents

    async def refuse_if_used(self, model_id: str) -> None:
        """Refuse with 409, naming the users."""
        uses = []
        for kind, what, ids in (
            ("agents", "agents", await self._agents(model_id)),
            ("search pipelines", "pipelines", await self._pipelines("/_search/pipeline", model_id)),
            ("ingest pipelines", "pipelines", await self._pipelines("/_ingest/pipeline", model_id)),
        ):
            if ids:
                uses.append(
                    f"{len(ids)} {kind} are still using this model, please delete or update the {what} first: "
                    f"[{', '.join(ids)}]"
                )
        if uses:
            raise status_error(409, ", ".join(uses))

    async def _agents(self, model_id: str) -> list[str]:
        query = {"bool": {"filter": [{"term": {"tools.parameters.model_id": model_id}}]}}
        return [string(hit.get("_id")) for hit in await self._documents.hits(indices.AGENTS, query)]

    async def _pipelines(self, path: str, model_id: str) -> list[str]:
        status, body = await self._node.request("GET", path)
        if status != 200:
            return []
        return [name for name, pipeline in document(body).items() if _names_model(pipeline, model_id)]


def _names_model(value: object, model_id: str) -> bool:
    if isinstance(value, dict):
        return value.get("model_id") == model_id or any(_names_model(item, model_id) for item in value.values())
    return isinstance(value, list) and any(_names_model(item, model_id) for item in value)
