"""Pre- and post-processing of a remote call: ML Commons' built-in functions, and Painless run by the real node."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Cause, failure, illegal_argument, node_refusal
from reconciler.sandbox.mlcommons.templates import substitute
from reconciler.sandbox.mlcommons.values import Document, compact, document, listed, parameter_map, string
from reconciler.sandbox.protocol import NodeClient

_ESCAPE = (
    "String escape(def input) {\n"
    '  if (input.contains("\\\\")) { input = input.replace("\\\\", "\\\\\\\\"); }\n'
    '  if (input.contains("\\"")) { input = input.replace("\\"", "\\\\\\""); }\n'
    "  if (input.contains('\r')) { input = input.replace('\r', '\\\\r'); }\n"
    "  if (input.contains('\t')) { input = input.replace('\t', '\\\\t'); }\n"
    "  if (input.contains('\n')) { input = input.replace('\n', '\\\\n'); }\n"
    "  if (input.contains('\b')) { input = input.replace('\b', '\\\\b'); }\n"
    "  if (input.contains('\f')) { input = input.replace('\f', '\\\\f'); }\n"
    "  return input;\n}\n"
)


@dataclass(frozen=True, slots=True)
class Input:
    """What a prediction is given: parameters of a remote model, or texts (and a query text to rank them by)."""

    parameters: Mapping[str, str] | None = None
    texts: Sequence[str] = ()
    query_text: str | None = None


def _texts_as(name: str) -> Callable[[Input], Document]:
    def function(given: Input) -> Document:
        if given.parameters is not None or given.query_text is not None:
            raise illegal_argument(
                "This pre_process_function can only support TextDocsInputDataSet which including a list of string with "
                "key 'text_docs'"
            )
        return {name: list(given.texts)}

    return function


def _first_text(given: Input) -> Document:
    return {"inputText": string(listed(_texts_as("texts")(given)["texts"])[0])}


def _rerank(texts: str) -> Callable[[Input], Document]:
    def function(given: Input) -> Document:
        if given.query_text is None:
            raise illegal_argument("This pre_process_function can only support TextSimilarityInputDataSet")
        return {"query": given.query_text, texts: list(given.texts), "top_n": len(given.texts)}

    return function


DEFAULT_EMBEDDING = "connector.pre_process.default.embedding"
BEDROCK_EMBEDDING = "connector.pre_process.bedrock.embedding"
PRE_PROCESS: Mapping[str, Callable[[Input], Document]] = {
    "connector.pre_process.openai.embedding": _texts_as("input"),
    DEFAULT_EMBEDDING: _texts_as("input"),
    "connector.pre_process.cohere.embedding": _texts_as("texts"),
    BEDROCK_EMBEDDING: _first_text,
    "connector.pre_process.cohere.rerank": _rerank("documents"),
    "connector.pre_process.default.rerank": _rerank("documents"),
    "connector.pre_process.bedrock.rerank": _rerank("documents"),
}


def _tensor(name: str, data: list[Json]) -> Document:
    return {"name": name, "data_type": "FLOAT32", "shape": [len(data)], "data": data}


def _embeddings(value: Json) -> list[Document]:
    if not isinstance(value, list):
        raise illegal_argument("Post process function input is not a List.")
    if value and not isinstance(value[0], list):
        raise illegal_argument("The embedding should be a non-empty List containing List of Float values.")
    return [_tensor("sentence_embedding", listed(embedding)) for embedding in value]


def _one_embedding(value: Json) -> list[Document]:
    if not isinstance(value, list):
        raise illegal_argument("Post process function input is not a List.")
    return [_tensor("sentence_embedding", value)]


def _similarities(value: Json) -> list[Document]:
    if not isinstance(value, list):
        raise illegal_argument("Post process function input is not a List.")
    scores: dict[int, Json] = {}
    for result in value:
        index = document(result).get("index")
        if not isinstance(index, int) or "relevance_score" not in document(result):
            raise illegal_argument("The rerank result should contain index and relevance_score.")
        scores[index] = document(result)["relevance_score"]
    return [_tensor("similarity", [scores.get(index)]) for index in range(len(value))]


POST_PROCESS: Mapping[str, tuple[str, Callable[[Json], list[Document]]]] = {
    "connector.post_process.openai.embedding": ("$.data[*].embedding", _embeddings),
    "connector.post_process.cohere.embedding": ("$.embeddings", _embeddings),
    "connector.post_process.default.embedding": ("$[*]", _embeddings),
    "connector.post_process.bedrock.embedding": ("$.embedding", _one_embedding),
    "connector.post_process.cohere.rerank": ("$.results", _similarities),
    "connector.post_process.bedrock.rerank": ("$.results", _similarities),
    "connector.post_process.default.rerank": ("$[*]", _similarities),
}


class Painless:
    """Runs Painless scripts on the real node."""

    def __init__(self, node: NodeClient) -> None:
        self._node = node

    async def run(self, script: str, params: Document) -> str | None:
        """The result of a script as text, None for null; refuses with the node's answer when it fails."""
        used = re.search(r"(?<!\bString\s)\bescape\s*\(", script)
        if used and not re.search(r"String\s+escape\s*\(", script):
            script = _ESCAPE + script
        body: Document = {"script": {"lang": "painless", "source": script, "params": params}}
        status, found = await self._node.request("POST", "/_scripts/painless/_execute", json=body)
        if status != 200:
            raise node_refusal(status, found)
        result = document(found).get("result")
        return None if result in (None, "null") else str(result)


def with_parameters(function: str, parameters: Mapping[str, str]) -> str:
    """A process function with its `${parameters.x}` replaced, as JSON strings."""
    if "${parameters." not in function:
        return function
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in parameters.items()}
    return substitute(function, "parameters", quoted)


async def pre_process(function: str, given: Input, painless: Painless, convert: bool) -> dict[str, str]:
    """The parameters that a pre-process function makes of texts.

    `convert` hands each member of the input to the script as JSON text
    (`pre_process_function.convert_input_to_json_string`).
    """
    if function in PRE_PROCESS:
        return parameter_map(PRE_PROCESS[function](given))
    escaped = [compact(text)[1:-1] for text in given.texts]
    params: Document = {"text_docs": list(escaped)}
    if given.query_text is not None:
        params["query_text"] = compact(given.query_text)[1:-1]
    if convert:
        params = dict(parameter_map(params))
    result = await painless.run(function, params)
    if result is None:
        raise illegal_argument("Preprocess function output is null")
    try:
        made = document(json.loads(result))
    except ValueError:
        raise failure("json_syntax_exception", result) from None
    return parameter_map(made.get("parameters", made))


def read_json(text: str) -> Json:
    """A model's answer as JSON; Java's complaint when it is not."""
    try:
        value: Json = json.loads(text)
    except ValueError:
        word = re.match(r"[^\s,;:=#{}\[\]/\\]*\s*", text)
        column = (word.end() if word else 0) + 2
        reason = (
            "Use JsonReader.setStrictness(Strictness.LENIENT) to accept malformed JSON at line 1 column "
            f"{column} path $\nSee https://github.com/google/gson/blob/main/Troubleshooting.md#malformed-json"
        )
        inner = Cause("malformed_json_exception", reason)
        raise MalformedAnswer(
            Cause("json_syntax_exception", f"com.google.gson.stream.MalformedJsonException: {reason}", caused_by=inner)
        ) from None
    if not isinstance(value, dict | list):
        raise illegal_argument("Unsupported response type")
    return value


class MalformedAnswer(Exception):
    """A model's answer is not JSON; `cause` says where."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        super().__init__(cause.reason)


def json_path(expression: str, value: Json) -> Json:
    """What a JSONPath selects: the value itself for a definite path, else the list of all matches."""
    from jsonpath_ng.ext.parser import parse

    matches: list[Json] = [match.value for match in parse(expression).find(value)]
    if re.search(r"\*|\.\.|\?|:|,", expression):
        return matches
    if not matches:
        raise illegal_argument(f"No results for path: {expression}")
    return matches[0]


async def post_process(
    function: str | None, response_filter: str | None, text: str, painless: Painless
) -> list[Document]:
    """The tensors of a model's answer `text`."""
    if function is not None and function in POST_PROCESS:
        path, convert = POST_PROCESS[function]
        return convert(json_path(response_filter or path, read_json(text)))
    answer = read_json(text)
    as_map: Document = document(answer) if isinstance(answer, dict) else {"result": answer}
    if function is not None:
        processed = await painless.run(function, as_map)
        if processed is not None:
            try:
                made: Json = json.loads(processed)
            except ValueError:
                return [_response({"response": processed})]
            return [_named(document(entry)) for entry in (made if isinstance(made, list) else [made])]
    if response_filter is not None:
        return [_response(_as_response(json_path(response_filter, answer)))]
    return [_response(document(answer) if isinstance(answer, dict) else {"response": answer})]


def _named(tensor: Document) -> Document:
    allowed = ("name", "data_type", "shape", "data", "byte_buffer", "result", "dataAsMap")
    return {key: value for key, value in tensor.items() if key in allowed}


def _as_response(value: Json) -> Document:
    return {"response": value}


def _response(data: Document) -> Document:
    return {"name": "response", "dataAsMap": _doubles(data)}


def _doubles(value: Json) -> Json:
    """Numbers as Gson reads them into a map: all of them doubles."""
    match value:
        case bool():
            return value
        case int():
            return float(value)
        case dict():
            return {key: _doubles(item) for key, item in value.items()}
        case list():
            return [_doubles(item) for item in value]
        case _:
            return value
