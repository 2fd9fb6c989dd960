"""Chat completions in OpenAI's shape, which others have taken over.

https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.sandbox.endpoints.provider import echo, tokens
from reconciler.sandbox.gateway.http import Answer, json_answer

_CREATED = 1_700_000_000  # answers to equal requests are equal


def completion(model: str, messages: Sequence[Json]) -> Answer:
    """The answer that says the messages back."""
    contents = [_text(message.get("content", "")) for message in messages if isinstance(message, Mapping)]
    said = echo("\n".join(contents))
    asked, answered = sum(map(tokens, contents)), tokens(said)
    return json_answer(
        200,
        {
            "id": "chatcmpl-sandbox",
            "object": "chat.completion",
            "created": _CREATED,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": said},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
        },
    )


def _text(content: Json) -> str:
    """What a message says, whether its content is a text or a list of parts."""
    if not isinstance(content, list):
        return str(content)
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def error(status: int, message: str, kind: str, code: str | None, param: str | None = None) -> Answer:
    """An error in OpenAI's shape."""
    return json_answer(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def bearer(authorization: str) -> str | None:
    """The key of a bearer authorization; None where there is none."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
