"""The cluster settings `plugins.ml_commons.*` of ML Commons 2.19: which there are, and their values now.

The real node does not know these settings. They are kept in its cluster state all the same, as user-defined
metadata (`cluster.metadata.*`), so that scopes, resets, atomicity, permissions and survival of a restart are the
node's own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import Refusal, illegal_argument, node_refusal
from reconciler.sandbox.mlcommons.values import document, string, strings
from reconciler.sandbox.protocol import NodeClient

PREFIX = "plugins.ml_commons."
KEPT_PREFIX = "cluster.metadata." + PREFIX

_TRUSTED_ENDPOINTS = (
    "^https://runtime\\.sagemaker\\..*[a-z0-9-]\\.amazonaws\\.com/.*$",
    "^https://api\\.sagemaker\\..*[a-z0-9-]\\.amazonaws\\.com/.*$",
    "^https://api\\.openai\\.com/.*$",
    "^https://api\\.cohere\\.ai/.*$",
    "^https://api\\.deepseek\\.com/.*$",
    "^https://bedrock-runtime\\..*[a-z0-9-]\\.amazonaws\\.com/.*$",
    "^https://bedrock-agent-runtime\\..*[a-z0-9-]\\.amazonaws\\.com/.*$",
    "^https://bedrock\\..*[a-z0-9-]\\.amazonaws\\.com/.*$",
    "^https://textract\\..*[a-z0-9-]\\.amazonaws\\.com$",
    "^https://comprehend\\..*[a-z0-9-]\\.amazonaws\\.com$",
    "^https://rekognition(-fips)?\\..*[a-z0-9-]\\.amazonaws\\.com$",
)


@dataclass(frozen=True, slots=True)
class Definition:
    """One setting: its default as the node prints it, the check of a new value, and whether it may change."""

    default: str | tuple[str, ...]
    check: Callable[[str, str], None]
    dynamic: bool = True


def _any(_key: str, _value: str) -> None:
    return


def _flag(_key: str, value: str) -> None:
    if value not in ("true", "false"):
        raise illegal_argument(f"Failed to parse value [{value}] as only [true] or [false] are allowed.")


def _number(low: float, high: float, whole: bool = True) -> Callable[[str, str], None]:
    def check(key: str, value: str) -> None:
        name = f"{PREFIX}{key}"
        try:
            number = int(value) if whole else float(value)
        except ValueError:
            raise illegal_argument(f"Failed to parse value [{value}] for setting [{name}]") from None
        if number < low:
            raise illegal_argument(f"Failed to parse value [{value}] for setting [{name}] must be >= {low:g}")
        if number > high:
            raise illegal_argument(f"Failed to parse value [{value}] for setting [{name}] must be <= {high:g}")

    return check


_STATUS = "remote_job.status_regex."
DEFINITIONS: Mapping[str, Definition] = {
    "agent_framework_enabled": Definition("true", _flag),
    "allow_custom_deployment_plan": Definition("false", _flag),
    "allow_registering_model_via_local_file": Definition("false", _flag),
    "allow_registering_model_via_url": Definition("false", _flag),
    "batch_ingestion_bulk_size": Definition("500", _number(100, 100_000)),
    "connector.private_ip_enabled": Definition("false", _flag),
    "connector_access_control_enabled": Definition("false", _flag),
    "controller_enabled": Definition("true", _flag),
    "disk_free_space_threshold": Definition("5368709120b", _any),
    "enable_inhouse_python_model": Definition("false", _flag),
    "exclude_nodes._name": Definition("", _any),
    "jvm_heap_memory_threshold": Definition("85", _number(0, 100)),
    "local_model.enabled": Definition("true", _flag),
    "max_batch_inference_tasks": Definition("10", _number(0, 500)),
    "max_batch_ingestion_tasks": Definition("10", _number(0, 500)),
    "max_deploy_model_tasks_per_node": Definition("10", _number(0, 10)),
    "max_ml_task_per_node": Definition("10", _number(0, 10_000)),
    "max_model_on_node": Definition("10", _number(0, 10_000)),
    "max_register_model_tasks_per_node": Definition("10", _number(0, 10)),
    "memory_feature_enabled": Definition("true", _flag),
    "ml_task_timeout_in_seconds": Definition("600", _number(1, 86_400)),
    "model_access_control_enabled": Definition("false", _flag),
    "model_auto_deploy.enable": Definition("true", _flag),
    "model_auto_redeploy.enable": Definition("true", _flag),
    "model_auto_redeploy.lifetime_retry_times": Definition("3", _number(-math.inf, math.inf)),
    "model_auto_redeploy_success_ratio": Definition("0.8", _number(0, 1, whole=False)),
    "monitoring_request_count": Definition("100", _number(0, 10_000_000)),
    "multi_tenancy_enabled": Definition("false", _flag, dynamic=False),
    "native_memory_threshold": Definition("90", _number(0, 100)),
    "offline_batch_inference_enabled": Definition("true", _flag),
    "offline_batch_ingestion_enabled": Definition("true", _flag),
    "only_run_on_ml_node": Definition("true", _flag),
    "rag_pipeline_feature_enabled": Definition("true", _flag),
    "remote_inference.enabled": Definition("true", _flag),
    "remote_job.status_field": Definition(("status", "Status", "TransformJobStatus"), _any),
    f"{_STATUS}cancelled": Definition("(stopped|cancelled)", _any),
    f"{_STATUS}cancelling": Definition("(stopping|cancelling)", _any),
    f"{_STATUS}completed": Definition("(complete|completed|partiallyCompleted)", _any),
    f"{_STATUS}expired": Definition("(expired|timeout)", _any),
    f"{_STATUS}failed": Definition("(failed)", _any),
    "remote_metadata_endpoint": Definition("", _any, dynamic=False),
    "remote_metadata_region": Definition("", _any, dynamic=False),
    "remote_metadata_service_name": Definition("", _any, dynamic=False),
    "remote_metadata_type": Definition("", _any, dynamic=False),
    "safe_delete_model": Definition("false", _flag),
    "sync_up_job_interval_in_seconds": Definition("10", _number(0, 86_400)),
    "task_dispatch_policy": Definition("round_robin", _any),
    "task_dispatcher.eligible_node_role.local_model": Definition(("data", "ml"), _any),
    "task_dispatcher.eligible_node_role.remote_model": Definition(("data", "ml"), _any),
    "trusted_connector_endpoints_regex": Definition(_TRUSTED_ENDPOINTS, _any),
    "trusted_url_regex": Definition("^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]", _any),
}


def check(scope: str, key: str, value: Json) -> Refusal | None:
    """Why `key` (without the prefix) can not be set to `value` in `scope` (`persistent`, `transient`), if so."""
    name = f"{scope} setting [{PREFIX}{key}]"
    if value is None and "*" in key:
        return None
    definition = DEFINITIONS.get(key)
    if definition is None:
        return illegal_argument(f"{name}, not recognized")
    if not definition.dynamic:
        return illegal_argument(f"{name}, not dynamically updateable")
    if value is not None and not isinstance(value, list):
        text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        try:
            definition.check(key, text)
        except Refusal as refusal:
            return refusal
    return None


class LiveSettings:
    """The values in force, read from the node when needed and again after a change."""

    def __init__(self, node: NodeClient) -> None:
        self._node = node
        self._values: dict[str, Json] | None = None

    def forget(self) -> None:
        """Read the values again before the next use."""
        self._values = None

    async def load(self) -> None:
        """Make sure that the values are those of the node."""
        if self._values is not None:
            return
        status, body = await self._node.request("GET", "/_cluster/settings?flat_settings=true")
        if status != 200:
            raise node_refusal(status, body)
        answer = document(body)
        scopes = {**document(answer.get("persistent")), **document(answer.get("transient"))}
        self._values = {
            key.removeprefix(KEPT_PREFIX): value for key, value in scopes.items() if key.startswith(KEPT_PREFIX)
        }

    def flag(self, key: str) -> bool:
        """A boolean setting; `key` without the prefix."""
        return self.text(key) == "true"

    def number(self, key: str) -> int:
        """A whole number; `key` without the prefix."""
        return int(self.text(key))

    def text(self, key: str) -> str:
        """A setting as text; `key` without the prefix."""
        return string(self._value(key))

    def texts(self, key: str) -> list[str]:
        """A list setting; `key` without the prefix. A text is a list by commas."""
        value = self._value(key)
        if isinstance(value, str):
            return [entry.strip() for entry in value.split(",")]
        return strings(value)

    def _value(self, key: str) -> Json:
        default = DEFINITIONS[key].default
        return (self._values or {}).get(key, default if isinstance(default, str) else list(default))
