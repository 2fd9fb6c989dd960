"""The predict API."""

import time

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import Refusal, answer, failure, illegal_argument, status_error
from reconciler.sandbox.mlcommons.connectors import require_remote
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.model_groups import ModelGroups
from reconciler.sandbox.mlcommons.processing import Input
from reconciler.sandbox.mlcommons.remote import Remote
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, document, parameter_map, parse_body, string, strings
from reconciler.sandbox.protocol import MlResponse


class Predictions:
    """Predicts with deployed models; deploys an undeployed one by itself, as the setting allows."""

    def __init__(
        self,
        documents: Documents,
        settings: LiveSettings,
        groups: ModelGroups,
        deployments: Deployments,
        remote: Remote,
        counters: Counters,
    ) -> None:
        self._documents = documents
        self._settings = settings
        self._groups = groups
        self._deployments = deployments
        self._remote = remote
        self._counters = counters

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            Route("POST", "/models/{model_id}/_predict", f"{ACTION}predict", self.predict),
            Route("POST", "/_predict/{algorithm}/{model_id}", f"{ACTION}predict", self.predict),
        )

    async def predict(self, call: Call) -> MlResponse:
        """POST models/{id}/_predict and _predict/{algorithm}/{id}."""
        model_id = call.argument("model_id")
        model = await self._read(model_id)
        require_remote(self._settings)
        given = parse_input(call.request.body, call.arguments.get("algorithm", "remote"))
        caller = await call.permit()
        results = await self.infer(model_id, model, given, caller)
        return answer({"inference_results": list(results)})

    async def infer(self, model_id: str, model: Document | None, given: Input, caller: Caller) -> list[Document]:
        """The inference results of a model for a caller who may predict; reads the model when not given."""
        model = model if model is not None else await self._read(model_id)
        if not await self._groups.may_use(caller, string(model.get("model_group_id"))):
            raise status_error(403, "User Doesn't have privilege to perform this operation on this model")
        held = self._deployments.get(model_id)
        if held is not None and not held.enabled:
            raise status_error(403, "Model is disabled.")
        began = time.perf_counter()
        if held is None:
            if not self._settings.flag("model_auto_deploy.enable"):
                self._deployments.durations(model_id).requests.append((time.perf_counter() - began) * 1000)
                raise illegal_argument("Model not ready yet. Please deploy the model first.")
            if document(model.get("deploy_setting")).get("is_auto_deploy_enabled") is False:
                raise illegal_argument("Auto deployment disabled for this model, please deploy model first")
            self._deployments.deploy_in_background(model_id, model)
            held = await self._deployments.load(model_id, model)
        self._counters.request("predict", model_id)
        inferring = time.perf_counter()
        try:
            results = await self._remote.predict(held.predictor, given, caller.name)
        finally:
            self._deployments.durations(model_id).requests.append((time.perf_counter() - began) * 1000)
        self._deployments.durations(model_id).inferences.append((time.perf_counter() - inferring) * 1000)
        return results

    async def _read(self, model_id: str) -> Document:
        held = self._deployments.get(model_id)
        if held is not None:
            return held.model
        try:
            stored = await self._documents.get(indices.MODELS, model_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise status_error(404, "Failed to find model")
        return stored.source


def parse_input(body: bytes, algorithm: str) -> Input:
    """A predict body. `algorithm` is that of the path: `remote`, `text_embedding`, `text_similarity`, ..."""
    try:
        part = parse_body(body)
    except Refusal as error:
        raise failure(
            "null_pointer_exception",
            'Cannot invoke "org.opensearch.ml.common.input.MLInput.setAlgorithm('
            'org.opensearch.ml.common.FunctionName)" because "<local4>" is null',
        ) from error
    given = document(part.value)
    if "text_docs" in given:
        query = given.get("query_text")
        return Input(texts=tuple(strings(given["text_docs"])), query_text=query if isinstance(query, str) else None)
    if algorithm.lower() != "remote":
        raise illegal_argument("Input dataset is null")
    return Input(parameters=parameter_map(given.get("parameters")))
