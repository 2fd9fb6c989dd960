"""DeepSeek's own API: chat completions.

https://api-docs.deepseek.com/api/create-chat-completion and /quick_start/error_codes
"""

import hmac
import json
import re
from collections.abc import Mapping

from reconciler.sandbox.endpoints.chat import bearer, completion, error
from reconciler.sandbox.endpoints.provider import BROKEN
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer

_MODELS = ("deepseek-chat", "deepseek-reasoner")
_ROLES = ("system", "user", "assistant", "tool")
_PATHS = ("/v1/chat/completions", "/chat/completions")
_INVALID = "invalid_request_error"


def _unauthorised(key: str | None) -> Answer:
    if key is None:
        message = "Authentication Fails (auth header format should be Bearer sk-...)"
    else:
        message = f"Authentication Fails, Your api key: ****{key[-4:]} is invalid"
    return error(401, message, "authentication_error", _INVALID)


def _deserialize(what: str, column: int) -> Answer:
    message = f"Failed to deserialize the JSON body into the target type: {what} at line 1 column {column}"
    return error(422, message, _INVALID, _INVALID)


class DeepSeek:
    """Serves `api.deepseek.com` to callers with the key."""

    hosts = re.compile(r"api\.deepseek\.com")
    troubles: Mapping[str, Answer] = {
        "throttled": error(429, "Rate limit reached, please slow down your requests.", "rate_limit_error", _INVALID),
        "unauthorised": _unauthorised("0000"),
        "wrong-model": error(400, "Model Not Exist", _INVALID, _INVALID),
        "balance": error(402, "Insufficient Balance", "unknown_error", _INVALID),
        "error": error(500, "Internal server error", "server_error", "internal_error"),
        "unavailable": error(
            503, "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            "service_unavailable_error", _INVALID,
        ),
        "malformed": BROKEN,
    }  # fmt: skip

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """Path, then key, then body, then model."""
        if request.path not in _PATHS or request.method != "POST":
            return json_answer(404, {"error_msg": "Not Found. Please check the configuration."})
        key = bearer(request.headers.get("authorization", ""))
        if key is None or not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return _unauthorised(key)
        try:
            body = json.loads(request.content)
        except json.JSONDecodeError as fault:
            message = (
                f"Failed to parse the request body as JSON: {fault.msg} at line {fault.lineno} column {fault.colno}"
            )
            return error(400, message, _INVALID, _INVALID)
        if not isinstance(body, Mapping):
            return _deserialize("invalid type, expected struct ChatCompletionRequest", 0)
        end = len(request.content)
        for field in ("messages", "model"):
            if field not in body:
                return _deserialize(f"missing field `{field}`", end)
        messages = body["messages"]
        if not isinstance(messages, list):
            return _deserialize("messages: invalid type, expected a sequence", end)
        for number, message in enumerate(messages):
            if not isinstance(message, Mapping) or "role" not in message:
                return _deserialize(f"messages[{number}]: missing field `role`", end)
            if message["role"] not in _ROLES:
                wanted = ", ".join(f"`{role}`" for role in _ROLES)
                what = f"messages[{number}].role: unknown variant `{message['role']}`, expected one of {wanted}"
                return _deserialize(what, end)
        if not messages:
            return error(400, "Empty input messages", _INVALID, _INVALID)
        if body["model"] not in _MODELS:
            return error(400, "Model Not Exist", _INVALID, _INVALID)
        return completion(body["model"], messages)
