"""Search and ingest pipelines with the processors of ML Commons.

The real node does not have these processors. A pipeline is kept in it all the same, each of them in the place of a
real processor that does nothing and carries the original in its `tag`; the caller sees the original only.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Cause, Refusal, failure, forwarded, illegal_argument
from reconciler.sandbox.mlcommons.security import Security
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, document, listed, string
from reconciler.sandbox.protocol import MlRequest, MlResponse, NodeClient

RAG = "retrieval_augmented_generation"
ML_INFERENCE = "ml_inference"
RAG_DISABLED = "plugins.ml_commons.rag_pipeline_feature_enabled is not enabled."

_SEARCH = "/_search/pipeline"
_INGEST = "/_ingest/pipeline"
_MARK = "ml-commons:"
_NEVER = 2_147_483_647


@dataclass(frozen=True, slots=True)
class _Section:
    """A list of processors in a pipeline: which of ours may stand in it, and the real one that carries them."""

    processors: tuple[str, ...]
    carrier: Callable[[str], Document]


def _truncating(tag: str) -> Document:
    return {"truncate_hits": {"target_size": _NEVER, "tag": tag}}


def _matching_all(tag: str) -> Document:
    return {"filter_query": {"query": {"match_all": {}}, "tag": tag}}


def _setting_never(tag: str) -> Document:
    return {"set": {"field": "unused", "value": "unused", "if": "false", "tag": tag}}


_SECTIONS: Mapping[str, Mapping[str, _Section]] = {
    _SEARCH: {
        "request_processors": _Section((ML_INFERENCE, "question_rewrite"), _matching_all),
        "response_processors": _Section((RAG, ML_INFERENCE), _truncating),
    },
    _INGEST: {"processors": _Section((ML_INFERENCE,), _setting_never)},
}


class Pipelines:
    """Reads and writes pipelines through the real node."""

    def __init__(self, node: NodeClient, security: Security, settings: LiveSettings) -> None:
        self._node = node
        self._security = security
        self._settings = settings
        self._has_search: bool | None = None

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a request for pipelines that our processors have a part in, else None."""
        kind = next((path for path in _SECTIONS if request.path == path or request.path.startswith(f"{path}/")), None)
        if kind is None or request.path.endswith("/_simulate"):
            return None
        if request.method == "GET":
            return await self._get(request, kind)
        if request.method == "PUT":
            return await self._put(request, kind)
        return None

    async def has_search(self) -> bool:
        """Whether there may be a search pipeline with our processors; False when there never was one."""
        if self._has_search is None:
            status, body = await self._node.request("GET", _SEARCH)
            self._has_search = status == 200 and _MARK in json.dumps(body)
        return self._has_search

    async def read_search(self) -> dict[str, Document]:
        """All search pipelines by name, as their authors wrote them."""
        return await self._read(_SEARCH)

    async def read_ingest(self) -> dict[str, Document]:
        """All ingest pipelines by name, as their authors wrote them."""
        return await self._read(_INGEST)

    async def _read(self, kind: str) -> dict[str, Document]:
        status, body = await self._node.request("GET", kind)
        if status != 200:
            return {}
        return {name: _unpacked(document(pipeline), kind) for name, pipeline in document(body).items()}

    async def _get(self, request: MlRequest, kind: str) -> MlResponse:
        path = f"{quote(request.path, safe='/*,')}?{urlencode(request.query)}"
        status, body = await self._node.request("GET", path, headers=request.auth_headers)
        if status != 200:
            return forwarded(status, body)
        return forwarded(
            status, {name: _unpacked(document(pipeline), kind) for name, pipeline in document(body).items()}
        )

    async def _put(self, request: MlRequest, kind: str) -> MlResponse | None:
        try:
            pipeline = document(json.loads(request.body))
        except ValueError:
            return None
        found = [
            (name, document(document(processor)[name]))
            for section, rules in _SECTIONS[kind].items()
            for processor in listed(pipeline.get(section))
            for name in rules.processors
            if name in document(processor)
        ]
        if not found:
            return None
        caller = await self._security.caller(request.auth_headers)
        action = "cluster:admin/search/pipeline/put" if kind == _SEARCH else "cluster:admin/ingest/pipeline/put"
        await self._security.require(caller, action)
        await self._settings.load()
        for name, config in found:
            self._check(name, config)
        packed = dict(pipeline)
        for section, rules in _SECTIONS[kind].items():
            if section in pipeline:
                packed[section] = [_packed(document(processor), rules) for processor in listed(pipeline[section])]
        if kind == _SEARCH:
            self._has_search = True
        path = quote(request.path, safe="/")
        status, body = await self._node.request("PUT", path, json=packed, headers=request.auth_headers)
        return forwarded(status, body)

    def _check(self, name: str, config: Document) -> None:
        if name == ML_INFERENCE:
            if not config.get("model_id"):
                raise _refused_property(name, config, "model_id", "required property is missing")
            return
        if not self._settings.flag("rag_pipeline_feature_enabled"):
            raise failure("m_l_exception", RAG_DISABLED)
        if name != RAG:
            return
        fields = config.get("context_field_list")
        if fields is None:
            raise _refused_property(name, config, "context_field_list", "required property is missing")
        if not isinstance(fields, list):
            reason = f"property isn't a list, but of type [{type(fields).__name__}]"
            raise _refused_property(name, config, "context_field_list", reason)
        if not fields:
            raise _refused_property(name, config, "context_field_list", "required property can't be empty.")
        if not config.get("model_id"):
            raise failure("null_pointer_exception", None)
        known = {"tag", "description", "ignore_failure", "model_id", "llm_model", "context_field_list"}
        unknown = sorted(config.keys() - known - {"system_prompt", "user_instructions"})
        if unknown:
            raise illegal_argument(
                f"processor [{name}] doesn't support one or more provided configuration parameters {unknown}"
            )


def _refused_property(name: str, config: Document, key: str, reason: str) -> Refusal:
    fields: Document = {"processor_type": name}
    if config.get("tag"):
        fields["processor_tag"] = string(config["tag"])
    fields["property_name"] = key
    return Refusal(400, Cause("parse_exception", f"[{key}] {reason}", fields))


def _packed(processor: Document, rules: _Section) -> Json:
    if not any(name in processor for name in rules.processors):
        return processor
    text = json.dumps(processor, ensure_ascii=False)
    return rules.carrier(_MARK + base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode())


def _unpacked(pipeline: Document, kind: str) -> Document:
    original = dict(pipeline)
    for section in _SECTIONS[kind]:
        if section in original:
            original[section] = [_original(processor) for processor in listed(original[section])]
    return original


def _original(processor: Json) -> Json:
    for config in document(processor).values():
        tag = string(document(config).get("tag"))
        if tag.startswith(_MARK):
            text = base64.urlsafe_b64decode(tag.removeprefix(_MARK)).decode("utf-8", "surrogatepass")
            return document(json.loads(text))
    return processor
