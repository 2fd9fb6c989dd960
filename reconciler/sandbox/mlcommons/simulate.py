"""`_ingest/pipeline/{id}/_simulate` of a pipeline whose processor asks a model."""

import json

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import forwarded
from reconciler.sandbox.mlcommons.pipelines import ML_INFERENCE, Pipelines
from reconciler.sandbox.mlcommons.predict import Predictions
from reconciler.sandbox.mlcommons.processing import Input, json_path
from reconciler.sandbox.mlcommons.security import Caller, Security
from reconciler.sandbox.mlcommons.values import Document, document, listed, parameter_map, string
from reconciler.sandbox.protocol import MlRequest, MlResponse, NodeClient


class Simulation:
    """Runs `ml_inference` processors on the documents of a simulation, after the real node has run the others."""

    def __init__(self, node: NodeClient, security: Security, pipelines: Pipelines, predictions: Predictions) -> None:
        self._node = node
        self._security = security
        self._pipelines = pipelines
        self._predictions = predictions

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer the simulation of a stored pipeline with such processors, else None."""
        parts = request.path.strip("/").split("/")
        if request.method != "POST" or parts[:2] != ["_ingest", "pipeline"] or parts[3:] != ["_simulate"]:
            return None
        pipeline = (await self._pipelines.read_ingest()).get(parts[2], {})
        configs = [
            document(document(processor)[ML_INFERENCE])
            for processor in listed(pipeline.get("processors"))
            if ML_INFERENCE in document(processor)
        ]
        try:
            body: Json = json.loads(request.body)
        except ValueError:
            return None
        if not configs:
            return None
        status, found = await self._node.request("POST", request.path, json=body, headers=request.auth_headers)
        result = document(found)
        if status != 200:
            return forwarded(status, found)
        caller = await self._security.caller(request.auth_headers)
        docs = []
        for entry in listed(result.get("docs")):
            doc = document(document(entry).get("doc"))
            source = document(doc.get("_source"))
            for config in configs:
                source.update(await self._infer(caller, config, source))
            docs.append({**document(entry), "doc": {**doc, "_source": source}})
        return forwarded(status, {**result, "docs": list(docs)})

    async def _infer(self, caller: Caller, config: Document, source: Document) -> Document:
        inputs = [document(mapping) for mapping in listed(config.get("input_map"))] or [{}]
        outputs = [document(mapping) for mapping in listed(config.get("output_map"))]
        added: Document = {}
        for number, mapping in enumerate(inputs):
            asked = {name: json_path(f"$.{field}", source) for name, field in mapping.items()}
            parameters = parameter_map({**document(config.get("model_config")), **asked})
            results = await self._predictions.infer(
                string(config.get("model_id")), None, Input(parameters=parameters), caller
            )
            tensors = listed(results[0].get("output")) if results else []
            data = document(document(tensors[0]).get("dataAsMap")) if tensors else {}
            for field, path in (outputs[number] if number < len(outputs) else {}).items():
                added[field] = json_path(f"$.{path}", data)
        return added
