"""Who still uses a model: asked before a delete when `safe_delete_model` is on."""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import status_error
from reconciler.sandbox.mlcommons.documents import Documents
from reconciler.sandbox.mlcommons.pipelines import Pipelines
from reconciler.sandbox.mlcommons.values import Document, string


class Usage:
    """Agents and pipelines that name a model."""

    def __init__(self, documents: Documents, pipelines: Pipelines) -> None:
        self._documents = documents
        self._pipelines = pipelines

    async def refuse_if_used(self, model_id: str) -> None:
        """Refuse with 409, naming the users."""
        uses = []
        for kind, what, ids in (
            ("agents", "agents", await self._agents(model_id)),
            ("search pipelines", "pipelines", _naming(await self._pipelines.read_search(), model_id)),
            ("ingest pipelines", "pipelines", _naming(await self._pipelines.read_ingest(), model_id)),
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


def _naming(pipelines: Mapping[str, Document], model_id: str) -> list[str]:
    return [name for name, pipeline in pipelines.items() if _names_model(pipeline, model_id)]


def _names_model(value: Json, model_id: str) -> bool:
    if isinstance(value, dict):
        return value.get("model_id") == model_id or any(_names_model(item, model_id) for item in value.values())
    return isinstance(value, list) and any(_names_model(item, model_id) for item in value)
