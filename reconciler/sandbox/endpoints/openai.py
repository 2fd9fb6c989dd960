"""OpenAI's API: chat completions and embeddings.

https://platform.openai.com/docs/api-reference and /docs/guides/error-codes
"""

import hmac
import re
from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.endpoints.chat import bearer, completion, error
from reconciler.sandbox.endpoints.embedding import embed
from reconciler.sandbox.endpoints.provider import BROKEN, read_object, texts, tokens
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer

_CHAT = ("gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")
_SIZES = {"text-embedding-ada-002": 1536, "text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
_INVALID = "invalid_request_error"
_KEYS = "You can find your API key at https://platform.openai.com/account/api-keys."


def _unauthorised(key: str | None) -> Answer:
    if key is None:
        message = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        return error(401, message, _INVALID, None)
    shown = f"{key[:4]}{'*' * max(len(key) - 8, 0)}{key[-4:]}"
    return error(401, f"Incorrect API key provided: {shown}. {_KEYS}", _INVALID, "invalid_api_key")


def _wrong_model(model: Json) -> Answer:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error(404, message, _INVALID, "model_not_found")


class OpenAi:
    """Serves `api.openai.com` to callers with the key."""

    hosts = re.compile(r"api\.openai\.com")
    troubles: Mapping[str, Answer] = {
        "throttled": error(
            429, "Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in "
            "120ms.", "requests", "rate_limit_exceeded",
        ),
        "unauthorised": _unauthorised("sk-00000000"),
        "wrong-model": _wrong_model("gpt-0"),
        "balance": error(
            429, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota",
            "insufficient_quota",
        ),
        "error": error(
            500, "The server had an error while processing your request. Sorry about that!", "server_error", None
        ),
        "unavailable": error(
            503, "The engine is currently overloaded, please try again later.", "server_error", "service_unavailable"
        ),
        "malformed": BROKEN,
    }  # fmt: skip

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """Path, then key, then body, then model."""
        calls = {"/v1/chat/completions": _chat, "/v1/embeddings": _embeddings}
        call = calls.get(request.path)
        if call is None or request.method != "POST":
            return error(404, f"Invalid URL ({request.method} {request.path})", _INVALID, None)
        key = bearer(request.headers.get("authorization", ""))
        if key is None or not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return _unauthorised(key)
        body = read_object(request)
        if body is None:
            message = "We could not parse the JSON body of your request. The API expects a JSON payload."
            return error(400, message, _INVALID, None)
        if not isinstance(body.get("model"), str):
            return error(400, "you must provide a model parameter", _INVALID, None)
        return call(body)


def _chat(body: Mapping[str, Json]) -> Answer:
    model, messages = str(body["model"]), body.get("messages")
    if model not in _CHAT:
        return _wrong_model(model)
    if messages is None:
        message = "Missing required parameter: 'messages'."
        return error(400, message, _INVALID, "missing_required_parameter", "messages")
    if not isinstance(messages, list) or not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        return error(400, message, _INVALID, "empty_array", "messages")
    return completion(model, messages)


def _embeddings(body: Mapping[str, Json]) -> Answer:
    model, given = str(body["model"]), texts(body.get("input"))
    if model not in _SIZES:
        return _wrong_model(model)
    if given is None:
        return error(400, "'$.input' is invalid. Please check the API reference.", _INVALID, None)
    size = body.get("dimensions", _SIZES[model])
    if size != _SIZES[model] and model.endswith("ada-002"):
        return error(400, "This model does not support specifying dimensions.", _INVALID, None)
    if not isinstance(size, int) or not 1 <= size <= _SIZES[model]:
        return error(400, f"Invalid value for 'dimensions' = {size}.", _INVALID, None)
    count = sum(map(tokens, given))
    data: list[Json] = [
        {"object": "embedding", "index": number, "embedding": list(embed(text, size))}
        for number, text in enumerate(given)
    ]
    usage: Json = {"prompt_tokens": count, "total_tokens": count}
    return json_answer(200, {"object": "list", "data": data, "model": model, "usage": usage})
