"""Retrieval-augmented generation: a search through a pipeline that asks a model about the hits."""

import json
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import answer, failure, forwarded, illegal_argument
from reconciler.sandbox.mlcommons.memory import Memory, metadata
from reconciler.sandbox.mlcommons.pipelines import RAG, RAG_DISABLED, Pipelines
from reconciler.sandbox.mlcommons.predict import Predictions
from reconciler.sandbox.mlcommons.processing import Input
from reconciler.sandbox.mlcommons.routing import ACTION
from reconciler.sandbox.mlcommons.security import Caller, Security
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, compact, document, listed, string
from reconciler.sandbox.protocol import MlRequest, MlResponse, NodeClient

_NO_PARAMETERS = (
    "generative_qa_parameters not found. Please provide ext.generative_qa_parameters to proceed. For more info, refer: "
    "https://opensearch.org/docs/latest/search-plugins/conversational-search/#step-6-use-the-pipeline-for-rag"
)
_DEFAULT_PROMPT = "Answer the question concisely from the search results and the conversation, and cite the results."
_DEFAULT_HISTORY = 10
_PREFIXES = ("bedrock/", "cohere/")
_CONVERSE = "bedrock-converse/"


class Rag:
    """Answers searches whose pipeline has a `retrieval_augmented_generation` processor."""

    def __init__(
        self,
        node: NodeClient,
        security: Security,
        settings: LiveSettings,
        pipelines: Pipelines,
        predictions: Predictions,
        memory: Memory,
    ) -> None:
        self._node = node
        self._security = security
        self._settings = settings
        self._pipelines = pipelines
        self._predictions = predictions
        self._memory = memory

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a search that goes through such a pipeline, or has parameters for one; else None."""
        index, _, operation = request.path.strip("/").rpartition("/")
        if operation != "_search" or index.startswith("_plugins/") or request.method not in ("GET", "POST"):
            return None
        raw = request.body or request.query.get("source", "").encode()
        try:
            body = document(json.loads(raw)) if raw else {}
        except ValueError:
            return None
        has_parameters = "generative_qa_parameters" in document(body.get("ext"))
        configured = await self._processor(request, index)
        if configured is None and not has_parameters:
            return None
        caller = await self._security.caller(request.auth_headers)
        await self._settings.load()
        parameters = _parameters(body)
        response = await self._search(request, body)
        if isinstance(response, MlResponse):
            return response
        if configured is None:
            return answer(response)
        if not self._settings.flag("rag_pipeline_feature_enabled"):
            raise failure("m_l_exception", RAG_DISABLED)
        if parameters is None:
            raise illegal_argument(_NO_PARAMETERS)
        response["ext"] = {RAG: await self._generate(caller, configured, parameters, response)}
        return answer(response)

    async def _processor(self, request: MlRequest, index: str) -> Document | None:
        if not await self._pipelines.has_search():
            return None
        name = request.query.get("search_pipeline") or await self._default_pipeline(index)
        if not name or name == "_none":
            return None
        pipeline = (await self._pipelines.read_search()).get(name, {})
        for processor in listed(pipeline.get("response_processors")):
            if RAG in document(processor):
                return document(document(processor)[RAG])
        return None

    async def _default_pipeline(self, index: str) -> str:
        if not index:
            return ""
        path = f"/{quote(index, safe='*,')}/_settings/index.search.default_pipeline?flat_settings=true"
        status, body = await self._node.request("GET", path)
        if status != 200:
            return ""
        for found in document(body).values():
            return string(document(document(found).get("settings")).get("index.search.default_pipeline"))
        return ""

    async def _search(self, request: MlRequest, body: Document) -> Document | MlResponse:
        query = {key: value for key, value in request.query.items() if key not in ("source", "source_content_type")}
        path = f"{quote(request.path, safe='/*,')}?{urlencode(query)}"
        plain = {key: value for key, value in body.items() if key != "ext"}
        others = {key: value for key, value in document(body.get("ext")).items() if key != "generative_qa_parameters"}
        if others:
            plain["ext"] = others
        status, found = await self._node.request("POST", path, json=plain, headers=request.auth_headers)
        return document(found) if status == 200 else forwarded(status, found)

    async def _generate(
        self, caller: Caller, configured: Document, parameters: Document, response: Document
    ) -> Document:
        llm_model = parameters.get("llm_model", configured.get("llm_model"))
        if not isinstance(llm_model, str):
            raise illegal_argument("llm_model cannot be null.")
        memory_id = parameters.get("memory_id")
        if isinstance(memory_id, str) and not memory_id.strip():
            raise illegal_argument("Empty conversation_id is not allowed.")
        contexts = _contexts(response, listed(configured.get("context_field_list")), parameters.get("context_size"))
        history: Sequence[Document] = ()
        if isinstance(memory_id, str):
            size = parameters.get("message_size")
            history = await self._memory.messages(
                caller, memory_id, size if isinstance(size, int) else _DEFAULT_HISTORY
            )
        system, user = string(configured.get("system_prompt")), string(configured.get("user_instructions"))
        question = string(parameters.get("llm_question"))
        field = parameters.get("llm_response_field")
        asked = _prompt(llm_model, isinstance(field, str), system, user, question, contexts, history)
        await self._security.require(caller, f"{ACTION}predict")
        results = await self._predictions.infer(
            string(configured.get("model_id")), None, Input(parameters=asked), caller
        )
        tensors = listed(results[0].get("output")) if results else []
        data = document(document(tensors[0]).get("dataAsMap")) if tensors else {}
        generated = _answer_in(data, llm_model, field if isinstance(field, str) else None)
        if isinstance(memory_id, str):
            message = {
                "input": question,
                "prompt_template": compact(_template(system, user)),
                "response": string(generated.get("answer")),
                "origin": RAG,
            }
            generated["message_id"] = await self._memory.add(
                caller, memory_id, message, {"metadata": metadata(contexts)}
            )
        return generated


def _parameters(body: Document) -> Document | None:
    parameters = document(body.get("ext")).get("generative_qa_parameters")
    if not isinstance(parameters, dict):
        return None
    if not parameters.get("llm_question") and not parameters.get("llm_messages"):
        raise illegal_argument("At least one of llm_question or llm_messages must be provided.")
    return document(parameters)


def _contexts(response: Document, fields: list[Json], size: Json) -> list[str]:
    hits = listed(document(response.get("hits")).get("hits"))
    contexts: list[str] = []
    for hit in hits[: size if isinstance(size, int) and size >= 0 else None]:
        source = document(document(hit).get("_source"))
        for field in fields:
            value = source.get(string(field))
            if value is None:
                shown = json.dumps(hit, ensure_ascii=False, indent=2, separators=(",", " : "))
                raise failure("runtime_exception", f"Context {field} not found in search hit {shown}")
            contexts.append(value if isinstance(value, str) else compact(value))
    return contexts


def _template(system: str, user: str) -> list[Json]:
    return [{"role": role, "content": text} for role, text in (("system", system), ("user", user)) if text]


def _prompt(
    llm_model: str,
    has_response_field: bool,
    system: str,
    user: str,
    question: str,
    contexts: Sequence[str],
    history: Sequence[Document],
) -> dict[str, str]:
    if has_response_field or llm_model.startswith(_PREFIXES):
        lines = [text for text in (system, user) if text] or [_DEFAULT_PROMPT]
        lines += [f"SEARCH RESULT {number}: {context}" for number, context in enumerate(contexts, 1)]
        lines += [f"{message.get('input')}\\n{message.get('response')}" for message in history]
        lines.append(f"QUESTION: {question}")
        return {"inputs": "".join(f"{line}\\n" for line in lines)}
    if llm_model.startswith(_CONVERSE):
        messages = _messages("", user or _DEFAULT_PROMPT, question, contexts, history)
        return {"messages": compact(messages)}
    if not system and not user:
        user = _DEFAULT_PROMPT
    return {"model": llm_model, "messages": compact(_messages(system, user, question, contexts, history))}


def _messages(
    system: str, user: str, question: str, contexts: Sequence[str], history: Sequence[Document]
) -> list[Json]:
    texts = [user] if user else []
    texts += [f"SEARCH RESULT {number}: {context}" for number, context in enumerate(contexts, 1)]
    messages: list[Json] = [_message("system", [system])] if system else []
    for message in history:
        messages.append(_message("user", [*texts, string(message.get("input"))]))
        messages.append(_message("assistant", [string(message.get("response"))]))
        texts = []
    messages.append(_message("user", [*texts, f"QUESTION: {question}\n", "ANSWER:"]))
    return messages


def _message(role: str, texts: Sequence[str]) -> Json:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def _answer_in(data: Document, llm_model: str, field: str | None) -> Document:
    error = document(data.get("error")).get("message")
    if field is None and llm_model.startswith(_CONVERSE):
        content = listed(document(document(data.get("output")).get("message")).get("content"))
        return {"answer": document(content[0]).get("text")} if content else {"error": error}
    if field is None and not llm_model.startswith(_PREFIXES):
        choices = listed(data.get("choices"))
        if choices:
            return {"answer": document(document(choices[0]).get("message")).get("content")}
        return {"error": error}
    name = field or ("completion" if llm_model.startswith("bedrock/") else "text")
    if isinstance(data.get(name), str):
        return {"answer": data[name]}
    return {"error": error if isinstance(error, str) else "Unknown error or response."}
