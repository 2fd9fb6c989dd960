"""The models under their public host names: Bedrock, SageMaker and the DeepSeek API. Emulated.

They answer in the services' shapes, check what the services check (signature, permission, key, form of the request),
and say back what they were asked, so that an answer proves that the question arrived.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.iam_rules import context_of, unauthorised
from reconciler.sandbox.gateway.policies import Question
from reconciler.sandbox.gateway.signature import Fault, verify
from reconciler.sandbox.settings import ACCOUNT, PARTITION

DEEPSEEK_MODELS = ("deepseek-chat", "deepseek-reasoner")
BEDROCK_MODELS = ("deepseek.r1-v1:0", "us.deepseek.r1-v1:0")
SAGEMAKER_PREFIX = "deepseek"  # endpoints of such names exist

_BEDROCK = re.compile(r"bedrock-runtime\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_SAGEMAKER = re.compile(r"runtime\.sagemaker\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_DEEPSEEK = re.compile(r"api\.deepseek\.com")
_TEMPLATE_TOKEN = re.compile(r"<[\uff5c|][^<>]*[\uff5c|]>")
_AREAS = ("us", "eu", "apac", "global")  # of inference profiles
_CREATED = 1_700_000_000


class Models:
    """Answers all requests to the models' hosts."""

    def __init__(self, account: Account, api_key: str) -> None:
        self._account = account
        self._api_key = api_key
        self._hosts: Sequence[tuple[re.Pattern[str], Callable[[Incoming, re.Match[str]], Answer]]] = (
            (_BEDROCK, self._bedrock),
            (_SAGEMAKER, self._sagemaker),
            (_DEEPSEEK, self._deepseek),
        )

    def has_host(self, host: str) -> bool:
        """Whether `host` is a name that a model is served under."""
        return any(pattern.fullmatch(host) for pattern, _ in self._hosts)

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request by its `host` header."""
        host = request.headers.get("host", "").partition(":")[0]
        for pattern, answer in self._hosts:
            if match := pattern.fullmatch(host):
                return answer(request, match)
        return json_answer(404, {"message": f"no model is served at {host}"})

    def _bedrock(self, request: Incoming, host: re.Match[str]) -> Answer:
        """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html."""
        route = re.fullmatch(r"/model/(?P<model>.+)/invoke", request.path)
        if route is None or request.method != "POST":
            return _aws_error(404, "UnknownOperationException", "")
        caller = self._caller(request, "bedrock", host["region"])
        if isinstance(caller, Answer):
            return caller
        model = route["model"]
        known = model in BEDROCK_MODELS or re.fullmatch(
            rf"arn:{PARTITION}:bedrock:[^:]+:{ACCOUNT}:imported-model/.+", model
        )
        if not known:
            return _aws_error(400, "ValidationException", "The provided model identifier is invalid.")
        for resource in _bedrock_resources(model, host["region"]):
            if refused := self._unauthorised(caller, "bedrock:InvokeModel", resource, host["region"]):
                return refused
        body = _object(request)
        if body is None:
            return _malformed("")
        prompt = body.get("prompt")
        if not isinstance(prompt, str):
            return _malformed(": #: required key [prompt] not found")
        said = _echo(prompt)
        return json_answer(
            200,
            {
                "generation": said,
                "prompt_token_count": len(prompt.split()),
                "generation_token_count": len(said.split()),
                "stop_reason": "stop",
            },
        )

    def _sagemaker(self, request: Incoming, host: re.Match[str]) -> Answer:
        """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html."""
        route = re.fullmatch(r"/endpoints/(?P<name>[^/]+)/invocations", request.path)
        if route is None or request.method != "POST":
            return _aws_error(404, "UnknownOperationException", "")
        caller = self._caller(request, "sagemaker", host["region"])
        if isinstance(caller, Answer):
            return caller
        resource = f"arn:{PARTITION}:sagemaker:{host['region']}:{ACCOUNT}:endpoint/{route['name']}"
        if refused := self._unauthorised(caller, "sagemaker:InvokeEndpoint", resource, host["region"]):
            return refused
        if not route["name"].lower().startswith(SAGEMAKER_PREFIX):
            return _aws_error(400, "ValidationError", f"Endpoint {route['name']} of account {ACCOUNT} not found.")
        body = _object(request)
        inputs = body.get("inputs") if body else None
        if not isinstance(inputs, str):
            return _aws_error(
                424, "ModelError", 'Received client error (400) from primary with message "inputs is missing".'
            )
        return json_answer(200, [{"generated_text": _echo(inputs)}])

    def _deepseek(self, request: Incoming, _host: re.Match[str]) -> Answer:
        """https://api-docs.deepseek.com/api/create-chat-completion and /quick_start/error_codes."""
        if request.path not in ("/v1/chat/completions", "/chat/completions") or request.method != "POST":
            return json_answer(404, {"error_msg": "Not Found. Please check the configuration."})
        given = request.headers.get("authorization", "")
        if given != f"Bearer {self._api_key}":
            shown = f"****{given.removeprefix('Bearer ')[-4:]}"
            return _openai_error(401, "authentication_error", f"Authentication Fails, Your api key: {shown} is invalid")
        body = _object(request)
        if body is None:
            return _openai_error(400, "invalid_request_error", "Failed to parse the request body as JSON")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return _openai_error(
                422,
                "invalid_request_error",
                "Failed to deserialize the JSON body into the target type: missing field `messages`",
            )
        if body.get("model") not in DEEPSEEK_MODELS:
            return _openai_error(400, "invalid_request_error", "Model Not Exist")
        contents = [str(message.get("content", "")) for message in messages if isinstance(message, Mapping)]
        said = _echo("\n".join(contents))
        tokens = sum(len(content.split()) for content in contents), len(said.split())
        return json_answer(
            200,
            {
                "id": "chatcmpl-sandbox",
                "object": "chat.completion",
                "created": _CREATED,
                "model": body.get("model"),
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": said},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
            },
        )

    def _caller(self, request: Incoming, service: str, region: str) -> Caller | Answer:
        caller = verify(request, self._account.key, services=(service,), region=region)
        if not isinstance(caller, Fault):
            return caller
        unknown = caller in (Fault.UNKNOWN_KEY, Fault.MISSING)
        code = "UnrecognizedClientException" if unknown else "InvalidSignatureException"
        return _aws_error(403, "ExpiredTokenException" if caller is Fault.EXPIRED else code, caller.value)

    def _unauthorised(self, caller: Caller, action: str, resource: str, region: str) -> Answer | None:
        message = unauthorised(self._account, caller, Question(action, resource, context_of(caller, region)))
        return _aws_error(403, "AccessDeniedException", message) if message else None


def _bedrock_resources(model: str, region: str) -> Iterator[str]:
    """What one has to be allowed to invoke: a profile counts for itself and for the model behind it.

    https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
    """
    if model.startswith("arn:"):
        yield model
        return
    area, _, base = model.partition(".")
    if area in _AREAS:
        yield f"arn:{PARTITION}:bedrock:{region}:{ACCOUNT}:inference-profile/{model}"
        model = base
    yield f"arn:{PARTITION}:bedrock:{region}::foundation-model/{model}"


def _echo(prompt: str) -> str:
    """The answer to a prompt: its words without the tokens of a chat template."""
    return f"You asked: {' '.join(_TEMPLATE_TOKEN.sub(' ', prompt).split())}"


def _object(request: Incoming) -> Mapping[str, Json] | None:
    try:
        body = json.loads(request.content)
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None


def _aws_error(status: int, code: str, message: str) -> Answer:
    answer = json_answer(status, {"message": message})
    return Answer(answer.status, {**answer.headers, "x-amzn-errortype": code}, answer.body)


def _malformed(how: str) -> Answer:
    message = f"Malformed input request{how}, please reformat your input and try again."
    return _aws_error(400, "ValidationException", message)


def _openai_error(status: int, kind: str, message: str) -> Answer:
    return json_answer(
        status, {"error": {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}}
    )
