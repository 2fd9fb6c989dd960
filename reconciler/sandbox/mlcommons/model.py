"""What a model is: the register and update bodies, and the stored document."""

from collections.abc import Callable

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import illegal_argument
from reconciler.sandbox.mlcommons.connector import parse_connector, parse_new_connector
from reconciler.sandbox.mlcommons.rate_limit import parse_rate_limiter
from reconciler.sandbox.mlcommons.values import Document, Part, document, parameter_map

IN_USE = ("DEPLOYED", "DEPLOYING", "PARTIALLY_DEPLOYED")
DEPLOYED = ("DEPLOYED", "PARTIALLY_DEPLOYED")

_FUNCTIONS = frozenset(
    (
        "LINEAR_REGRESSION",
        "KMEANS",
        "AD_LIBSVM",
        "SAMPLE_ALGO",
        "LOCAL_SAMPLE_CALCULATOR",
        "FIT_RCF",
        "BATCH_RCF",
        "ANOMALY_LOCALIZATION",
        "RCF_SUMMARIZE",
        "LOGISTIC_REGRESSION",
        "TEXT_EMBEDDING",
        "METRICS_CORRELATION",
        "REMOTE",
        "SPARSE_ENCODING",
        "SPARSE_TOKENIZE",
        "TEXT_SIMILARITY",
        "QUESTION_ANSWERING",
        "AGENT",
        "CONNECTOR",
    )
)
_TEXTS = ("name", "description", "version", "url", "model_group_id", "connector_id")


def function_name(text: str) -> str:
    """A function name in capitals; 400 for an unknown one."""
    name = text.upper()
    if name not in _FUNCTIONS:
        raise illegal_argument("Wrong function name")
    return name


def parse_registration(part: Part) -> Document:
    """A register body: known fields only. A `connector` is parsed as a new one."""
    model = _parse(part, parse_new_connector)
    model.setdefault("function_name", "TEXT_EMBEDDING")
    return model


def check_registration(model: Document) -> None:
    """Refuse a registration that lacks a required field."""
    if "name" not in model:
        raise illegal_argument("model name is null")
    if model["function_name"] != "REMOTE" and "model_format" not in model:
        raise illegal_argument("model format is null")


def parse_model_update(part: Part) -> Document:
    """An update body: known fields only. A `connector` holds the connector's changes."""
    return _parse(part, parse_connector)


def _parse(part: Part, connector: Callable[[Part], Document]) -> Document:
    model: Document = {}
    for key, member in part.members():
        match key:
            case "function_name":
                model[key] = function_name(member.text())
            case "model_format":
                model[key] = member.text().upper()
            case "is_enabled":
                model[key] = member.flag()
            case "rate_limiter":
                model[key] = parse_rate_limiter(member)
            case "guardrails":
                model[key] = without_empty(member.value)
            case "interface":
                model[key] = dict(parameter_map(member.value))
            case "deploy_setting":
                model[key] = document(member.value)
            case "connector":
                model[key] = connector(member)
            case _ if key in _TEXTS:
                model[key] = member.text()
    return model


def without_empty(value: Json) -> Json:
    """A guardrail without its empty lists and objects, as the plugin stores it."""
    if not isinstance(value, dict):
        return value
    kept = {key: without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item not in (None, [], {})}


def shown(model: Document) -> Document:
    """A stored model as the API shows it."""
    result = {key: value for key, value in model.items() if not (key == "planning_worker_nodes" and not value)}
    connector = document(model.get("connector"))
    if connector:
        result["connector"] = {key: value for key, value in connector.items() if key != "credential"}
    return result
