"""Calling a connector's endpoint for a prediction."""

import asyncio
import ipaddress
import json
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from reconciler.sandbox.mlcommons.answers import Cause, Refusal, illegal_argument, status_error
from reconciler.sandbox.mlcommons.connector import find_action
from reconciler.sandbox.mlcommons.deployment import Predictor
from reconciler.sandbox.mlcommons.processing import (
    BEDROCK_EMBEDDING,
    DEFAULT_EMBEDDING,
    PRE_PROCESS,
    Input,
    MalformedAnswer,
    Painless,
    post_process,
    pre_process,
    with_parameters,
)
from reconciler.sandbox.mlcommons.secrets import Secrets
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.templates import substitute, unfilled
from reconciler.sandbox.mlcommons.values import Document, compact, document, is_container, string, string_map
from reconciler.sandbox.mlcommons.vault import Vault
from reconciler.sandbox.protocol import ModelEndpoints

_ACTION = "PREDICT"
_THROTTLED = (  # by AWS, which says so in a header; only then are calls repeated
    "The request was denied due to remote server throttling. "
    "To change the retry policy and behavior, please update the connector client_config."
)


class Remote:
    """Makes the call of a connector's predict action."""

    def __init__(self, endpoints: ModelEndpoints, vault: Vault, settings: LiveSettings, painless: Painless) -> None:
        self._endpoints = endpoints
        self._vault = vault
        self._settings = settings
        self._painless = painless
        self._secrets = Secrets(endpoints)

    async def predict(self, predictor: Predictor, given: Input, user: str) -> list[Document]:
        """The `inference_results` of a prediction for `user` (who may have a rate limit of his own)."""
        action = find_action(predictor.connector, _ACTION)
        if action is None:
            raise illegal_argument(f"no {_ACTION} action found")
        if given.parameters is not None or given.query_text is not None:
            return [await self._one(predictor, action, given, user)]
        step = self._texts_per_call(predictor.connector, action, len(given.texts))
        parts = [Input(texts=given.texts[at : at + step]) for at in range(0, len(given.texts), step)]
        results = await asyncio.gather(*(self._one(predictor, action, part, user) for part in parts))
        output = [tensor for result in results for tensor in _tensors(result)]
        return [{"output": list(output), "status_code": results[0]["status_code"]}] if results else []

    def _texts_per_call(self, connector: Document, action: Document, count: int) -> int:
        wanted = string_map(connector.get("parameters")).get("input_docs_processed_step_size")
        if wanted is not None:
            if not wanted.isdigit() or int(wanted) == 0:
                raise illegal_argument(
                    "Invalid parameter: input_docs_processed_step_size. It must be positive integer."
                )
            return int(wanted)
        function = action.get("pre_process_function")
        if function is not None and (function == BEDROCK_EMBEDDING or function not in PRE_PROCESS):
            return 1
        return max(count, 1)

    async def _one(self, predictor: Predictor, action: Document, given: Input, user: str) -> Document:
        connector = predictor.connector
        parameters = string_map(connector.get("parameters"))
        own = _escaped(given.parameters or {})
        parameters.update(own)
        parameters.update(_escaped(await self._prepared(action, given, parameters)))
        parameters.update(own)
        payload = _payload(action, parameters)
        _throttle(predictor, user)
        _guard(predictor, payload)
        return await self._call(connector, action, parameters, payload)

    async def _prepared(self, action: Document, given: Input, parameters: Mapping[str, str]) -> dict[str, str]:
        function = action.get("pre_process_function")
        if given.parameters is not None:
            return {}
        if function is None:
            if given.query_text is not None:
                raise illegal_argument("pre_process_function not defined in connector")
            function = DEFAULT_EMBEDDING
        convert = parameters.get("pre_process_function.convert_input_to_json_string") == "true"
        return await pre_process(with_parameters(string(function), parameters), given, self._painless, convert)

    async def _call(
        self, connector: Document, action: Document, parameters: Mapping[str, str], payload: str | None
    ) -> Document:
        method = string(action.get("method")).upper()
        url = substitute(string(action.get("url")), "parameters", parameters)
        self._refuse_private(url)
        if method not in ("POST", "GET"):
            raise illegal_argument("unsupported http method")
        if method == "POST" and not payload:
            raise illegal_argument("Content length is 0. Aborting request to remote model")
        credential = await self._vault.decrypt(string_map(connector.get("credential")))
        signed = connector.get("protocol") == "aws_sigv4"
        given = {**string_map(connector.get("parameters")), **credential}
        if signed and "roleArn" not in credential:
            raise status_error(
                400, "The sandbox signs model calls with roles only; use a roleArn credential or the http protocol."
            )
        sent = await self._headers(connector, action, credential)
        tries = 1 + _number(connector, "max_retry_times", 0)  # with -1 until the time is over
        deadline = time.monotonic() + _number(connector, "retry_timeout_seconds", 30)
        while True:
            try:
                status, headers, content = await self._endpoints.send(
                    method,
                    url,
                    sent,
                    (payload or "").encode() if method == "POST" else b"",
                    sign_with_role=credential["roleArn"] if signed else None,
                    service=given.get("service_name") if signed else None,
                    region=given.get("region") if signed else None,
                )
            except (ConnectionError, TimeoutError) as error:
                raise status_error(500, f"Error communicating with remote model: {error}") from None
            if not headers.get("x-amzn-errortype", "").startswith("ThrottlingException"):
                return await self._result(action, parameters, status, content.decode("utf-8", "replace"))
            tries -= 1
            if tries == 0 or time.monotonic() > deadline:
                raise status_error(status, f"Error from remote service: {_THROTTLED}")
            await asyncio.sleep(_number(connector, "retry_backoff_millis", 200) / 1000)

    async def _result(self, action: Document, parameters: Mapping[str, str], status: int, text: str) -> Document:
        if not text.strip():
            raise status_error(400, "No response from model")
        if not 200 <= status <= 300:
            raise status_error(status, f"Error from remote service: {text}")
        function = action.get("post_process_function")
        filled = with_parameters(function, parameters) if isinstance(function, str) else None
        message = f"Fail to execute {_ACTION} in aws connector"
        try:
            tensors = await post_process(filled, parameters.get("response_filter"), text, self._painless)
        except MalformedAnswer as malformed:
            raise Refusal(500, Cause("m_l_exception", message, caused_by=malformed.cause)) from None
        except Refusal as refusal:
            raise Refusal(500, Cause("m_l_exception", message, caused_by=refusal.cause)) from None
        return {"output": list(tensors), "status_code": status}

    async def _headers(self, connector: Document, action: Document, credential: Mapping[str, str]) -> dict[str, str]:
        values = dict(credential)
        if "secretArn" in credential and "roleArn" in credential:
            secret = await self._secrets.read(credential["secretArn"], credential["roleArn"])
            values.update({f"secretArn.{key}": value for key, value in secret.items()})
        headers = {
            key: substitute(
                substitute(value, "credential", values), "parameters", string_map(connector.get("parameters"))
            )
            for key, value in string_map(action.get("headers")).items()
        }
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return headers

    def _refuse_private(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        if not self._settings.flag("connector.private_ip_enabled") and _is_private(host):
            raise illegal_argument(f"Remote inference host name has private ip address: {host}")


def _number(connector: Document, name: str, default: int) -> int:
    """A number of the connector's `client_config`."""
    value = document(connector.get("client_config")).get(name)
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"-?\d+", str(value)) else default


def _tensors(result: Document) -> list[Document]:
    output = result.get("output")
    return [document(tensor) for tensor in output] if isinstance(output, list) else []


def _is_private(host: str) -> bool:
    """Whether a host is this machine or in a private network; all other names are public in the sandbox's world."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private or address.is_loopback or address.is_unspecified


def _escaped(parameters: Mapping[str, str]) -> dict[str, str]:
    """Parameters ready to stand in a JSON template: what is no JSON itself is escaped."""
    return {key: value if is_container(value) else compact(value)[1:-1] for key, value in parameters.items()}


def _payload(action: Document, parameters: dict[str, str]) -> str | None:
    template = action.get("request_body")
    if not isinstance(template, str):
        return parameters.get("http_body")
    for name in re.findall(r'"\$\{parameters\.(\w+):-null\}"', template):
        if name not in parameters:
            template = template.replace(f'"${{parameters.{name}:-null}}"', "null")
    values = dict(parameters)
    for name in re.findall(r"\$\{parameters\.(\w+)\.toString\(\)\}", template):
        if name in values:
            values[f"{name}.toString()"] = compact(values[name])[1:-1]
    payload = substitute(template, "parameters", values)
    try:
        json.loads(payload)
    except ValueError:
        raise illegal_argument(f"Invalid payload: {payload}") from None
    missing = unfilled(payload)
    if missing and parameters.get("skip_validating_missing_parameters") != "true":
        raise illegal_argument(f"Some parameter placeholder not filled in payload: {', '.join(missing)}")
    return payload


def _throttle(predictor: Predictor, user: str) -> None:
    if predictor.limiter is not None and not predictor.limiter.take():
        raise status_error(429, "Request is throttled at model level.")
    limiter = predictor.user_limiters.get(user)
    if limiter is not None and not limiter.take():
        raise status_error(
            429,
            "Request is throttled at user level. If you think there's an issue, please contact your cluster admin.",
        )


def _guard(predictor: Predictor, payload: str | None) -> None:
    rules = document(predictor.guardrails.get("input_guardrail")).get("regex")
    expressions = [rule for rule in rules if isinstance(rule, str)] if isinstance(rules, list) else []
    if payload and any(re.fullmatch(expression, payload) for expression in expressions):
        raise illegal_argument("guardrails triggered for user input")
