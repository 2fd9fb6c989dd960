"""What a connector is: the create and update bodies, the stored document, the checks on it."""

import re
from collections.abc import Sequence

from reconciler.sandbox.mlcommons.answers import failure, illegal_argument
from reconciler.sandbox.mlcommons.templates import substitute
from reconciler.sandbox.mlcommons.values import (
    Document,
    Part,
    document,
    listed,
    parameter_map,
    string,
    string_map,
)

ACCESS_MODES = ("public", "private", "restricted")
PROTOCOLS = ("aws_sigv4", "http")
_ACTION_TYPES = ("PREDICT", "EXECUTE", "BATCH_PREDICT", "CANCEL_BATCH_PREDICT", "BATCH_PREDICT_STATUS")
_ACTION_TEXTS = ("method", "url", "request_body", "pre_process_function", "post_process_function")
_CLIENT_NUMBERS = {
    "max_connection": 30,
    "connection_timeout": 30_000,
    "read_timeout": 30_000,
    "retry_backoff_millis": 200,
    "retry_timeout_seconds": 30,
    "max_retry_times": 0,
}
_BACKOFF_POLICIES = ("constant", "exponential_equal_jitter", "exponential_full_jitter")


def parse_connector(part: Part) -> Document:
    """A create or update body as a document: known fields only, in the types they are stored in.

    Besides the stored fields it may hold `add_all_backend_roles`.
    """
    connector: Document = {}
    for key, member in part.members():
        match key:
            case "name" | "description" | "version" | "protocol":
                connector[key] = member.text()
            case "parameters":
                connector[key] = dict(parameter_map(member.value))
            case "credential":
                connector[key] = dict(member.text_map())
            case "actions":
                connector[key] = [_parse_action(element) for element in member.elements()]
            case "backend_roles":
                connector[key] = list(member.texts())
            case "add_all_backend_roles":
                connector[key] = member.flag()
            case "access_mode":
                mode = member.text()
                if mode in ACCESS_MODES:
                    connector["access"] = mode
            case "client_config":
                connector[key] = _parse_client_config(member)
    return connector


def parse_new_connector(part: Part) -> Document:
    """A create body; refuses what lacks a required field."""
    connector = parse_connector(part)
    for required in ("name", "version", "protocol"):
        if required not in connector:
            raise illegal_argument(f"Connector {required} is null")
    if not connector.get("credential"):
        raise illegal_argument("Connector credential is null or empty list")
    connector.setdefault("parameters", {})
    return connector


def _parse_action(part: Part) -> Document:
    action: Document = {}
    for key, member in part.members():
        if key == "action_type":
            kind = member.text().upper()
            if kind not in _ACTION_TYPES:
                raise illegal_argument(
                    f"No enum constant org.opensearch.ml.common.connector.ConnectorAction.ActionType.{kind}"
                )
            action[key] = kind
        elif key == "headers":
            action[key] = dict(member.text_map())
        elif key in _ACTION_TEXTS:
            action[key] = member.text()
    for required, name in (("action_type", "action type"), ("url", "url"), ("method", "method")):
        if required not in action:
            raise illegal_argument(f"{name} can't be null")
    return action


def _parse_client_config(part: Part) -> Document:
    config: Document = {**_CLIENT_NUMBERS, "retry_backoff_policy": "constant"}
    for key, member in part.members():
        if key in _CLIENT_NUMBERS:
            config[key] = member.number()
        elif key == "retry_backoff_policy":
            policy = member.text().lower()
            if policy not in _BACKOFF_POLICIES:
                raise illegal_argument("Unsupported retry backoff policy")
            config[key] = policy
    return config


def check_protocol(connector: Document, flavour: str) -> None:
    """Refuse a connector that its protocol's class would not accept; asked whenever one is read or written.

    `flavour` is `aws` (credentials are `roleArn` and, for a secret, `secretArn`) or `self-managed` (keys).
    """
    protocol = string(connector.get("protocol"))
    if protocol not in PROTOCOLS:
        raise illegal_argument(f"Can't find class for type {protocol}")
    credential = document(connector.get("credential"))
    if flavour == "aws":
        if not credential.get("roleArn") or credential.keys() & {"access_key", "secret_key", "session_token"}:
            raise illegal_argument("Invalid Arguments empty Role ARN")
    elif protocol == "aws_sigv4" and not {"access_key", "secret_key"} <= credential.keys():
        raise illegal_argument("Missing credential")
    if protocol == "aws_sigv4":
        given = credential.keys() | document(connector.get("parameters")).keys()
        for key, name in (("service_name", "service name"), ("region", "region")):
            if key not in given:
                raise illegal_argument(f"Missing {name}")


def check_urls(connector: Document, trusted: Sequence[str]) -> None:
    """Refuse actions whose URL matches none of the trusted endpoint expressions as a whole."""
    if connector.get("actions") is None:
        raise illegal_argument("No actions configured for this connector")
    for action in listed(connector.get("actions")):
        url = substitute(string(document(action).get("url")), "parameters", string_map(connector.get("parameters")))
        if not any(_trusts(expression, url) for expression in trusted):
            raise illegal_argument(f"Connector URL is not matching the trusted connector endpoint regex, URL is: {url}")


def _trusts(expression: str, url: str) -> bool:
    try:
        return re.fullmatch(expression, url) is not None
    except re.error as error:
        reason = f"{error.msg[:1].upper()}{error.msg[1:]} near index {error.pos}\n{expression}"
        raise failure("pattern_syntax_exception", reason, 400) from None


def merged(connector: Document, changes: Document) -> Document:
    """A stored connector after an update: parameters merge, everything else given is replaced."""
    result = {**connector, **{key: value for key, value in changes.items() if key != "credential"}}
    result["parameters"] = {**document(connector.get("parameters")), **document(changes.get("parameters"))}
    result["credential"] = {**document(connector.get("credential")), **document(changes.get("credential"))}
    return result


def shown(connector: Document) -> Document:
    """A connector as the API shows it, without its credential."""
    return {key: value for key, value in connector.items() if key != "credential"}


def find_action(connector: Document, kind: str) -> Document | None:
    """The first action of a type (`PREDICT`, ...)."""
    for action in listed(connector.get("actions")):
        if document(action).get("action_type") == kind.upper():
            return document(action)
    return None
