"""Amazon Bedrock's runtime: InvokeModel and Converse.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from reconciler.canonical.json import Json
from reconciler.sandbox.endpoints.embedding import embed
from reconciler.sandbox.endpoints.provider import BROKEN, echo, read_object, texts, tokens
from reconciler.sandbox.endpoints.signed import aws_error, refusal, signer
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.settings import ACCOUNT, PARTITION

Body = Mapping[str, Json]

_ACTION = "bedrock:InvokeModel"  # Converse asks for the same one
_PROFILES = {"us.deepseek.r1-v1:0": "deepseek.r1-v1:0"}
_PROFILE_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
_IMPORTED = re.compile(rf"arn:{PARTITION}:bedrock:[a-z0-9-]+:{ACCOUNT}:imported-model/[A-Za-z0-9]+")
_SIZES = {
    "amazon.titan-embed-text-v1": 1536,
    "amazon.titan-embed-text-v2:0": 1024,
    "cohere.embed-english-v3": 1024,
    "cohere.embed-multilingual-v3": 1024,
}
_TITAN_SIZES = (256, 512, 1024)
_ROUTE = re.compile(r"/model/(?P<model>.+)/(?P<call>invoke|converse)")
_WRONG_MODEL = "The provided model identifier is invalid."


class Bedrock:
    """Serves DeepSeek R1 by its inference profile, imported models, and embeddings of Titan and Cohere."""

    hosts = re.compile(r"bedrock-runtime\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
    troubles: Mapping[str, Answer] = {
        "throttled": aws_error(429, "ThrottlingException", "Too many requests, please wait before trying again."),
        "unauthorised": aws_error(
            403, "AccessDeniedException", "You don't have access to the model with the specified model ID."
        ),
        "wrong-model": aws_error(400, "ValidationException", _WRONG_MODEL),
        "error": aws_error(
            500, "InternalServerException", "The system encountered an unexpected error during processing. Try again."
        ),
        "unavailable": aws_error(503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
        "malformed": BROKEN,
    }

    def __init__(self, account: Account) -> None:
        self._account = account

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """Signature, then permission, then model, then body, as the service does."""
        route = _ROUTE.fullmatch(request.path)
        if route is None or request.method != "POST":
            return aws_error(404, "UnknownOperationException", "")
        region, model = host["region"], unquote(route["model"])
        caller = signer(self._account, request, "bedrock", region)
        if isinstance(caller, Answer):
            return caller
        base = _base(model, region)
        if base is None:
            return aws_error(400, "ValidationException", _WRONG_MODEL)
        for resource in _resources(model, base, region):
            if refused := refusal(self._account, caller, _ACTION, resource, region):
                return refused
        if model in _PROFILES.values():
            return aws_error(
                400,
                "ValidationException",
                f"Invocation of model ID {model} with on-demand throughput isn\u2019t supported. Retry your request "
                "with the ID or ARN of an inference profile that contains this model.",
            )
        body = read_object(request)
        if body is None:
            return _malformed("")
        if route["call"] == "converse":
            return _converse(base, body)
        return _FORMS.get(base.partition(".")[0], _generate)(base, body)


def _base(model: str, region: str) -> str | None:
    """The model behind an id or ARN (of a foundation model, a profile, an imported one); None when there is none."""
    if _IMPORTED.fullmatch(model):
        return model
    name = model
    if match := re.fullmatch(rf"arn:{PARTITION}:bedrock:([a-z0-9-]+):(?:|{ACCOUNT}):(?:[a-z-]+)/(.+)", model):
        if match[1] != region:
            return None
        name = match[2]
    if name in _PROFILES:
        return _PROFILES[name] if region in _PROFILE_REGIONS else None
    return name if name in _SIZES or name in _PROFILES.values() else None


def _resources(model: str, base: str, region: str) -> Iterator[str]:
    """What one has to be allowed to invoke: a profile counts for itself and for the model behind it.

    https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
    """
    if _IMPORTED.fullmatch(model):
        yield model
        return
    name = model.rpartition("/")[2]
    if name in _PROFILES:
        yield f"arn:{PARTITION}:bedrock:{region}:{ACCOUNT}:inference-profile/{name}"
    yield f"arn:{PARTITION}:bedrock:{region}::foundation-model/{base}"


def _generate(_model: str, body: Body) -> Answer:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        return _malformed(": #: required key [prompt] not found")
    said = echo(prompt)
    return json_answer(
        200,
        {
            "generation": said,
            "prompt_token_count": tokens(prompt),
            "generation_token_count": tokens(said),
            "stop_reason": "stop",
        },
    )


def _titan(model: str, body: Body) -> Answer:
    text = body.get("inputText")
    if not isinstance(text, str):
        return _malformed(": #: required key [inputText] not found")
    size = body.get("dimensions", _SIZES[model])
    if size != _SIZES[model] and size not in _TITAN_SIZES:
        return _malformed(f": {size} is not a valid enum value")
    assert isinstance(size, int)
    return json_answer(200, {"embedding": list(embed(text, size)), "inputTextTokenCount": tokens(text)})


def _cohere(model: str, body: Body) -> Answer:
    given = texts(body.get("texts"))
    for name in ("texts", "input_type"):
        if name not in body or (name == "texts" and given is None):
            return _malformed(f": #: required key [{name}] not found")
    assert given is not None
    vectors: list[Json] = [list(embed(text, _SIZES[model])) for text in given]
    return json_answer(
        200, {"id": "sandbox", "texts": list(given), "embeddings": vectors, "response_type": "embeddings_floats"}
    )


_FORMS: Mapping[str, Callable[[str, Body], Answer]] = {"amazon": _titan, "cohere": _cohere}


def _converse(model: str, body: Body) -> Answer:
    if model in _SIZES:
        return aws_error(
            400,
            "ValidationException",
            "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
        )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return aws_error(
            400, "ValidationException", "A conversation must start with a user message. Try again with a conversation."
        )
    turns = [message for message in messages if isinstance(message, Mapping)]
    if turns[:1] and turns[0].get("role") != "user":
        return aws_error(
            400,
            "ValidationException",
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message.",
        )
    system = body.get("system")
    parts = [part for holder in ({"content": system}, *turns) for part in _texts_of(holder.get("content"))]
    said = echo("\n".join(parts))
    asked, answered = sum(map(tokens, parts)), tokens(said)
    return json_answer(
        200,
        {
            "output": {"message": {"role": "assistant", "content": [{"text": said}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": asked, "outputTokens": answered, "totalTokens": asked + answered},
            "metrics": {"latencyMs": 1},
        },
    )


def _texts_of(content: Json) -> list[str]:
    blocks = content if isinstance(content, list) else []
    return [str(block["text"]) for block in blocks if isinstance(block, Mapping) and "text" in block]


def _malformed(how: str) -> Answer:
    message = f"Malformed input request{how}, please reformat your input and try again."
    return aws_error(400, "ValidationException", message)
