"""An OpenSearch domain in memory: settings, the Security plugin, ML Commons, as the real one answers.

https://docs.opensearch.org/latest/ml-commons-plugin/api/index/
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support import searching
from tests.support.agents import Agents
from tests.support.cluster import Cluster
from tests.support.collection import Collection, Delays
from tests.support.indices import Indices
from tests.support.refusal import Doc, Refused
from tests.support.security import ADMIN, Security

PREFIX = "plugins.ml_commons."
TRUSTED = f"{PREFIX}trusted_connector_endpoints_regex"
DEFAULTS: Mapping[str, Any] = {
    TRUSTED: [r"^https://bedrock-runtime\..*[a-z0-9-]\.amazonaws\.com/.*$", r"^https://api\.openai\.com/.*$"],
    f"{PREFIX}only_run_on_ml_node": "true",
    f"{PREFIX}model_access_control_enabled": "false",
    f"{PREFIX}connector_access_control_enabled": "false",
    f"{PREFIX}connector.private_ip_enabled": "false",
    f"{PREFIX}model_auto_deploy.enable": "true",
    f"{PREFIX}rag_pipeline_feature_enabled": "true",
    f"{PREFIX}memory_feature_enabled": "true",
    f"{PREFIX}native_memory_threshold": "90",
    f"{PREFIX}jvm_heap_memory_threshold": "85",
}
_CLIENT_CONFIG: Mapping[str, Any] = {
    "max_connection": 30,
    "connection_timeout": 30000,
    "read_timeout": 30000,
    "retry_backoff_millis": 200,
    "retry_timeout_seconds": 30,
    "max_retry_times": 0,
    "retry_backoff_policy": "constant",
}
_TASKS = 10
_DEPLOYED = ("DEPLOYED", "PARTIALLY_DEPLOYED")
_PARAMETER = re.compile(r"\$\{parameters\.([^}]+)\}")


class Domain:
    """One domain. `has_role` says whether an IAM role exists, for requests signed as one."""

    def __init__(self, has_role: Callable[[str], bool], delays: Delays) -> None:
        self.delays = delays
        self.persistent: dict[str, Any] = {}
        self.security = Security()
        self.cluster = Cluster()
        self.indices = Indices()
        self.roles, self.mappings = self.security.roles, self.security.mappings
        self.connectors = Collection("connector-", delays)
        self.groups = Collection("group-", delays)
        self.models = Collection("model-", delays)
        self.agents = Agents(Collection("agent-", delays))
        self.version = "2.19.4"
        self.failing_deploys = 0
        self.stuck_deploys = 0
        self.caller = ADMIN
        self.caller_roles = ["all_access"]
        self._asking = ADMIN
        self._has_role = has_role
        self._due: list[tuple[float, str, str]] = []

    def answer(
        self, method: str, path: str, query: Mapping[str, str], body: Any, identity: str | None, now: float
    ) -> Doc:
        """The answer to one request, sent by the caller or as the role `identity`."""
        self._settle(now)
        self._asking = identity or self.caller
        parts = path.strip("/").split("/")
        if path == "/":
            version = {"distribution": "opensearch", "number": self.version}
            return {"cluster_name": "test", "cluster_uuid": "cluster-1", "version": version}
        if path == "/_plugins/_security/authinfo":
            return {"user_name": self.caller, "roles": self.caller_roles, "backend_roles": [self.caller]}
        if path == "/_cluster/settings":
            return self._settings(method, query, body)
        if collection := self.cluster.collection(path):
            return self.cluster.answer(collection, method, path, body)
        if parts[:3] == ["_plugins", "_security", "api"]:
            return self.security.answer(parts[3], method, parts[4:], body)
        if parts[:2] == ["_plugins", "_ml"]:
            self._admit(identity, method, parts)
            return self._ml(method, parts[2:], query, body, now)
        if self.indices.answers(path):
            return self.indices.answer(method, path, body, now)
        raise Refused(400, f"no handler found for uri [{path}] and method [{method}]")

    # cluster settings

    def _settings(self, method: str, query: Mapping[str, str], body: Any) -> Doc:
        if method == "PUT":
            changes = body.get("persistent") or {}
            if not changes:
                raise Refused(400, "Validation Failed: 1: no settings to update;")
            for key, value in changes.items():
                if key not in DEFAULTS:
                    raise Refused(400, f"persistent setting [{key}], not recognized")
                if DEFAULTS[key] in ("true", "false") and value is not None and _text(value) not in ("true", "false"):
                    raise Refused(400, f"Failed to parse value [{value}] as only [true] or [false] are allowed.")
            for key, value in changes.items():
                if value is None:
                    self.persistent.pop(key, None)
                else:
                    self.persistent[key] = value if isinstance(value, list) else _text(value)
            return {"acknowledged": True, "persistent": changes, "transient": {}}
        found: Doc = {"persistent": self.persistent, "transient": {}}
        if query.get("include_defaults") == "true":
            # What is set does not stand among the defaults.
            found["defaults"] = {key: value for key, value in DEFAULTS.items() if key not in self.persistent}
        return found

    def setting(self, key: str) -> Any:
        """The value in effect."""
        return self.persistent.get(key, DEFAULTS[key])

    def _admit(self, identity: str | None, method: str, parts: Sequence[str]) -> None:
        """Refuse who is mapped to no role of ML Commons."""
        if identity is None:
            return
        if not self._has_role(identity):
            raise Refused(403, "The security token included in the request is invalid.")
        mapped = [self.mappings.get(name, {}).get("backend_roles", []) for name in ("ml_full_access", "all_access")]
        if not any(identity in members for members in mapped):
            action = f"cluster:admin/opensearch/ml/{method.lower()}/{parts[-1]}"
            user = f"User [name={identity}, backend_roles=[{identity}], requestedTenant=null]"
            raise Refused(403, f"no permissions for [{action}] and {user}")

    # ML Commons

    def _ml(self, method: str, rest: Sequence[str], query: Mapping[str, str], body: Any, now: float) -> Doc:
        family, one = rest[0], rest[1]
        if family == "agents":
            return self.agents.answer(method, one, body, self._number, now)
        if self._number >= (3, 1) and method in ("POST", "PUT") and isinstance(body, dict):
            _refuse_signs(body)
        collection = {"connectors": self.connectors, "model_groups": self.groups, "models": self.models}[family]
        if one == "_search":
            shown = {key: found for key, found in collection.searched(now).items() if self._shows(family, found)}
            return _found(shown, body)
        if method == "POST" and one == "_create":
            return {"connector_id": self._create_connector(body)}
        if method == "POST" and one == "_register":
            if family == "model_groups":
                return {"model_group_id": self._register_group(body), "status": "CREATED"}
            return self._register_model(body, deploy=query.get("deploy") == "true", now=now)
        if method == "DELETE" and family != "models" and not collection.used:
            raise Refused(500, f"no such index [.plugins-ml-{family}]")
        if one not in collection.documents:
            if method == "DELETE" and family != "models":
                return {"result": "not_found"}
            raise Refused(404, f"Failed to find {family.removesuffix('s')} with the provided id: {one}")
        if not self._shows(family, collection.documents[one]):
            # A connector that is not shown is refused in other words to whoever changes or deletes it.
            status = {"PUT": 400, "DELETE": 500}.get(method, 403) if family == "connectors" else 403
            raise Refused(status, f"You don't have permission to access this {family.removesuffix('s')}")
        if len(rest) > 2:
            verb = {"_deploy": self._deploy, "_undeploy": self._undeploy, "_predict": self._predict}[rest[2]]
            return verb(one, now)
        if method == "GET":
            return _public(collection.documents[one])
        act = {"PUT": self._update, "DELETE": self._delete}[method]
        return act(family, one, body, now)

    def _chosen(self, body: Doc, key: str) -> str | None:
        """The id that who makes an object wants it to have; older domains do not look at it."""
        return body.get(key) if self._number >= (3, 9) else None

    @property
    def _number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    def _shows(self, family: str, document: Doc) -> bool:
        """Whether access control lets who asks see an object: he made it, it is public or nobody's, or he sees all."""
        if self._asking == self.caller and "all_access" in self.caller_roles:
            return True
        on = self.setting(f"{PREFIX}{'connector' if family == 'connectors' else 'model'}_access_control_enabled")
        guarding = self.groups.documents.get(document["model_group_id"], {}) if family == "models" else document
        mine = guarding.get("owner", self._asking) == self._asking
        return on == "false" or mine or guarding.get("access") == "public"

    def _owned(self, kind: str) -> Doc:
        """What access control notes of an object that is made."""
        on = self.setting(f"{PREFIX}{kind}_access_control_enabled") == "true"
        return {"owner": self._asking, "access": "private"} if on else {}

    def _update(self, family: str, one: str, body: Any, now: float) -> Doc:
        {"connectors": self._update_connector, "model_groups": self._update_group, "models": self._update_model}[
            family
        ](one, body, now)
        return {"_id": one, "result": "updated"}

    def _delete(self, family: str, one: str, body: Any, now: float) -> Doc:
        if family == "connectors":
            users = [model for model, doc in self.models.searched(now).items() if doc.get("connector_id") == one]
            if users:
                listed = f"{len(users)} models are still using this connector"
                raise Refused(409, f"{listed}, please delete or update the models first: [{', '.join(users)}]")
            del self.connectors.documents[one]
        elif family == "model_groups":
            if any(doc.get("model_group_id") == one for doc in self.models.searched(now).values()):
                raise Refused(409, "Cannot delete the model group when it has associated model versions")
            del self.groups.documents[one]
        else:
            if self.models.documents[one]["model_state"] in (*_DEPLOYED, "DEPLOYING"):
                hint = "Try undeploy model first then delete"
                raise Refused(400, f"Model cannot be deleted in deploying or deployed state. {hint}")
            del self.models.documents[one]
        return {"_id": one, "result": "deleted"}

    def _create_connector(self, body: Doc) -> str:
        for required in ("name", "version", "protocol"):
            if required not in body:
                raise Refused(400, f"Connector {required} is null")
        if not body.get("credential"):
            raise Refused(400, "Connector credential is null or empty list")
        connector = {"parameters": {}, **self._owned("connector"), **_connector(body)}
        self._check(connector)
        return self.connectors.add(connector, self._chosen(body, "connector_id"))

    def _update_connector(self, one: str, body: Doc, now: float) -> None:
        before, changes = self.connectors.documents[one], _connector(body)
        for merged in ("parameters", "credential"):
            changes[merged] = {**before[merged], **changes.get(merged, {})}
        self._check({**before, **changes})
        users = [
            model
            for model, doc in self.models.searched(now).items()
            if doc.get("connector_id") == one and self.models.documents[model]["model_state"] in _DEPLOYED
        ]
        if users:
            listed = f"{len(users)} models are still using this connector"
            raise Refused(400, f"{listed}, please undeploy the models first: [{', '.join(users)}]")
        self.connectors.update(one, changes, now)

    def _check(self, connector: Doc) -> None:
        for action in connector["actions"]:
            parameters = connector["parameters"]
            url = action["url"]
            for name in _PARAMETER.findall(url):
                url = url.replace(f"${{parameters.{name}}}", str(parameters.get(name, "")))
            if not any(re.fullmatch(expression, url) for expression in self.setting(TRUSTED)):
                reason = "Connector URL is not matching the trusted connector endpoint regex, URL is: "
                raise Refused(400, reason + url)

    def _register_group(self, body: Doc) -> str:
        self._unused_name(body["name"], "")
        group = {"access": "public", **self._owned("model"), **_group(body)}
        return self.groups.add(group, self._chosen(body, "model_group_id"))

    def _update_group(self, one: str, body: Doc, now: float) -> None:
        if "name" in body:
            self._unused_name(body["name"], one)
        described = {"description"} if not str(body.get("description") or "").strip() else set()
        self.groups.update(one, {key: value for key, value in _group(body).items() if key not in described}, now)

    def _unused_name(self, name: str, besides: str) -> None:
        for one in self.groups.named(name):
            if one != besides:
                raise Refused(400, f"The name you provided is already being used by a model group with ID: {one}.")

    def _register_model(self, body: Doc, *, deploy: bool, now: float) -> Doc:
        self._take_task()
        if body.get("connector_id") not in self.connectors.documents:
            raise Refused(404, "Failed to find connector")
        group = body.get("model_group_id")
        if group is None:
            named = self.groups.named(body["name"])
            group = named[0] if named else self.groups.add({"name": body["name"], "access": "public"})
        elif group not in self.groups.documents:
            raise Refused(500, f"Model Group Response is empty for {group}")
        kept: Doc = {key: body[key] for key in ("name", "description", "connector_id", "is_enabled") if key in body}
        model = {**kept, "model_group_id": group, "algorithm": "REMOTE", "model_state": "REGISTERED"}
        one = self.models.add(model, self._chosen(body, "model_id"))
        if deploy:
            self._start(one, now)
        return {"task_id": f"task-{one}", "status": "CREATED", "model_id": one}

    def _update_model(self, one: str, body: Doc, now: float) -> None:
        model = self.models.documents[one]
        if model["model_state"] == "DEPLOYING":
            raise Refused(409, f"Model is deploying. Please wait for the model to complete deployment. model ID {one}")
        changes: Doc = {key: body[key] for key in ("name", "description", "connector_id", "is_enabled") if key in body}
        if "rate_limiter" in body:
            limiter = {**model.get("rate_limiter", {}), **body["rate_limiter"]}
            changes["rate_limiter"] = {**limiter, "limit": str(limiter["limit"])}
        self.models.update(one, changes, now)

    def _deploy(self, one: str, now: float) -> Doc:
        self._take_task()
        state = self.models.documents[one]["model_state"]
        if state == "DEPLOYING":
            raise Refused(409, f"[{one}]: version conflict, required seqNo [1], primary term [1]")
        if state != "DEPLOYED":
            self._start(one, now)
        return {"task_id": f"task-{one}", "task_type": "DEPLOY_MODEL", "status": "COMPLETED"}

    def _undeploy(self, one: str, now: float) -> Doc:
        self._due = [due for due in self._due if due[1] != one]
        self.models.documents[one]["model_state"] = "UNDEPLOYED"
        return {"node": {"stats": {one: "undeployed"}}}

    def _predict(self, one: str, now: float) -> Doc:
        model = self.models.documents[one]
        if model["model_state"] in _DEPLOYED and model.get("is_enabled") is False:
            raise Refused(403, f"{one} is disabled.")
        if model["model_state"] not in _DEPLOYED:
            if self.setting(f"{PREFIX}model_auto_deploy.enable") == "false":
                raise Refused(400, "Model not ready yet. Please deploy the model first.")
            self.models.documents[one]["model_state"] = "DEPLOYED"
        connector = self.connectors.documents.get(model["connector_id"], {})
        if connector.get("parameters", {}).get("answers") == "no":
            raise Refused(401, 'Error from remote service: {"error":"invalid api key"}')
        output = {"name": "response", "dataAsMap": {"completion": f"{one} by {model['connector_id']}"}}
        return {"inference_results": [{"output": [output], "status_code": 200}]}

    def _take_task(self) -> None:
        if len({one for _, one, _ in self._due}) >= _TASKS:
            raise Refused(500, "exceed max running task limit")

    def _start(self, one: str, now: float) -> None:
        """Begin a deployment: it is REGISTERED for a moment, then DEPLOYING, then, unless stuck, what came of it."""
        well = self.failing_deploys == 0 and self.models.documents[one]["connector_id"] in self.connectors.documents
        self.failing_deploys = max(0, self.failing_deploys - 1)
        self._due.append((now + self.delays.deploy * 0.2, one, "DEPLOYING"))
        if self.stuck_deploys == 0:
            self._due.append((now + self.delays.deploy, one, "DEPLOYED" if well else "DEPLOY_FAILED"))
        self.stuck_deploys = max(0, self.stuck_deploys - 1)
        self._settle(now)

    def _settle(self, now: float) -> None:
        for due in sorted(self._due, key=lambda one: one[0]):
            if due[0] <= now:
                self._due.remove(due)
                if due[1] in self.models.documents:
                    self.models.documents[due[1]]["model_state"] = due[2]


def _refuse_signs(body: Doc) -> None:
    for name in ("name", "description"):
        if not re.fullmatch(r"""[\w\s.,!?():@\-'/"]*""", body.get(name) or ""):
            reason = f"Validation Failed: 1: {name} can only contain letters, numbers, spaces, and basic punctuation;"
            raise Refused(400, reason)


def _connector(body: Doc) -> Doc:
    connector: Doc = {
        key: str(body[key]) if key == "version" else body[key]
        for key in ("name", "description", "version", "protocol", "credential")
        if key in body
    }
    if "parameters" in body:
        connector["parameters"] = {key: _text(value) for key, value in body["parameters"].items()}
    if "actions" in body:
        connector["actions"] = [{**action, "action_type": action["action_type"].upper()} for action in body["actions"]]
    if "client_config" in body:
        connector["client_config"] = {**_CLIENT_CONFIG, **body["client_config"]}
    return connector


def _group(body: Doc) -> Doc:
    group: Doc = {key: body[key] for key in ("name", "description", "backend_roles") if key in body}
    return {**group, "access": body["access_mode"]} if "access_mode" in body else group


def _public(document: Doc) -> Doc:
    return {key: value for key, value in document.items() if key != "credential"}


def _found(documents: Mapping[str, Doc], body: Any) -> Doc:
    found = searching.found(documents, body)
    for hit in found["hits"]["hits"]:
        hit["_source"] = _public(hit["_source"])
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    return "null" if value is None else str(value)
