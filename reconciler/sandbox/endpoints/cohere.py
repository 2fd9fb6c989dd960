"""Cohere's API: embeddings.

https://docs.cohere.com/reference/embed and /v1/reference/embed, errors at https://docs.cohere.com/reference/errors
"""

import hmac
import re
from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.endpoints.chat import bearer
from reconciler.sandbox.endpoints.embedding import embed
from reconciler.sandbox.endpoints.provider import BROKEN, read_object, texts, tokens
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer

_SIZES = {
    "embed-english-v3.0": 1024,
    "embed-english-light-v3.0": 384,
    "embed-multilingual-v3.0": 1024,
    "embed-multilingual-light-v3.0": 384,
}
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")


def _error(status: int, message: str) -> Answer:
    return json_answer(status, {"message": message})


def _wrong_model(model: Json) -> Answer:
    message = (
        f"model '{model}' not found, make sure the correct model ID was used and that you have access to the model."
    )
    return _error(404, message)


class Cohere:
    """Serves `api.cohere.ai` and `api.cohere.com` to callers with the key."""

    hosts = re.compile(r"api\.cohere\.(?:ai|com)")
    troubles: Mapping[str, Answer] = {
        "throttled": _error(
            429, "You are using a Trial key, which is limited to 40 API calls / minute. You can continue to use the "
            "Trial key for free or upgrade to a Production key with higher rate limits.",
        ),
        "unauthorised": _error(401, "invalid api token"),
        "wrong-model": _wrong_model("embed-none"),
        "balance": _error(402, "Please add or update your payment method at https://dashboard.cohere.com/billing"),
        "error": _error(500, "internal server error, this has been reported to our developers"),
        "unavailable": _error(503, "service unavailable"),
        "malformed": BROKEN,
    }  # fmt: skip

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """Path, then key, then body, then model."""
        route = re.fullmatch(r"/v(?P<version>[12])/embed", request.path)
        if route is None or request.method != "POST":
            return _error(404, "404 page not found")
        key = bearer(request.headers.get("authorization", ""))
        if key is None:
            return _error(401, "no api key supplied")
        if not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return _error(401, "invalid api token")
        body = read_object(request)
        if body is None:
            return _error(400, "invalid request: the body is not a JSON object")
        return _embed(body, int(route["version"]))


def _embed(body: Mapping[str, Json], version: int) -> Answer:
    given, model, kinds = texts(body.get("texts")), body.get("model"), body.get("embedding_types")
    if given is None:
        return _error(400, "invalid request: at least one text is required")
    if not isinstance(model, str) or model not in _SIZES:
        return _wrong_model(model)
    if body.get("input_type") not in _INPUT_TYPES:
        return _error(400, "invalid request: valid input_type must be provided with the provided model")
    if version == 2 and not isinstance(kinds, list):
        return _error(400, "invalid request: valid embedding_types must be provided")
    if isinstance(kinds, list) and kinds != ["float"]:
        return _error(400, "invalid request: the sandbox embeds as float only")
    vectors: list[Json] = [list(embed(text, _SIZES[model])) for text in given]
    by_type = isinstance(kinds, list)
    answer: dict[str, Json] = {
        "id": "sandbox",
        "texts": list(given),
        "embeddings": {"float": vectors} if by_type else vectors,
        "meta": {"api_version": {"version": str(version)}, "billed_units": {"input_tokens": sum(map(tokens, given))}},
        "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
    }
    return json_answer(200, answer)
