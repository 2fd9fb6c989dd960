"""The model API: register, get, update, delete, search, deploy, undeploy."""

import asyncio
import time

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import (
    Refusal,
    answer,
    failure,
    illegal_argument,
    status_error,
)
from reconciler.sandbox.mlcommons.connector import check_protocol, check_urls, find_action, merged
from reconciler.sandbox.mlcommons.connectors import Connectors, require_remote
from reconciler.sandbox.mlcommons.counters import Counters
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing, Stored
from reconciler.sandbox.mlcommons.model import (
    DEPLOYED,
    IN_USE,
    check_registration,
    parse_model_update,
    parse_registration,
    shown,
)
from reconciler.sandbox.mlcommons.model_groups import ModelGroups
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.search import Search
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.tasks import Tasks
from reconciler.sandbox.mlcommons.usage import Usage
from reconciler.sandbox.mlcommons.values import Document, document, parse_body, string, string_map, strings
from reconciler.sandbox.mlcommons.vault import Vault
from reconciler.sandbox.protocol import MlResponse

_NO_PRIVILEGE = "User doesn't have privilege to perform this operation on this model"


class Models:
    """Remote models in the real node."""

    def __init__(
        self,
        documents: Documents,
        search: Search,
        settings: LiveSettings,
        vault: Vault,
        connectors: Connectors,
        groups: ModelGroups,
        tasks: Tasks,
        deployments: Deployments,
        counters: Counters,
        usage: Usage,
        flavour: str,
    ) -> None:
        self._documents = documents
        self._search = search
        self._settings = settings
        self._vault = vault
        self._connectors = connectors
        self._groups = groups
        self._tasks = tasks
        self._deployments = deployments
        self._counters = counters
        self._usage = usage
        self._flavour = flavour
        self._background: set[asyncio.Task[None]] = set()

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/models/{model_id}"
        return (
            Route("POST", "/models/_register", f"{ACTION}register_model", self.register),
            Route("GET", "/models/_search", f"{ACTION}models/search", self.search),
            Route("POST", "/models/_search", f"{ACTION}models/search", self.search),
            Route("POST", "/models/_undeploy", f"{ACTION}undeploy_models", self.undeploy_listed),
            Route("GET", one, f"{ACTION}models/get", self.get),
            Route("PUT", one, f"{ACTION}models/update", self.update),
            Route("DELETE", one, f"{ACTION}models/delete", self.delete),
            Route("POST", f"{one}/_deploy", f"{ACTION}deploy_model", self.deploy),
            Route("POST", f"{one}/_undeploy", f"{ACTION}undeploy_models", self.undeploy),
        )

    async def register(self, call: Call) -> MlResponse:
        """POST models/_register."""
        if not call.request.body:
            raise failure("parse_exception", "request body is required", 400)
        model = parse_registration(parse_body(call.request.body))
        check_registration(model)
        remote = model["function_name"] == "REMOTE"
        if remote:
            require_remote(self._settings)
        caller = await call.permit()
        if model.get("url") and not self._settings.flag("allow_registering_model_via_url"):
            raise illegal_argument(
                "To upload custom model user needs to enable allow_registering_model_via_url settings. "
                "Otherwise please use OpenSearch pre-trained models."
            )
        group_id = string(model.get("model_group_id"))
        # without a group the plugin forgets who is calling: neither group nor connector access is asked
        checked_as = caller if group_id else None
        if checked_as is not None and not await self._groups.may_use(checked_as, group_id):
            raise illegal_argument("You don't have permissions to perform this operation on this model.")
        if remote:
            await self._check_connector(model, checked_as)
        if not group_id:
            group_id = await self._group_named_as(model)
        task_id = await self._tasks.start("REGISTER_MODEL", asynchronous=not remote)
        if not remote:
            self._fail_later(task_id)
            return answer({"task_id": task_id, "status": "CREATED"})
        with self._tasks.under_way(task_id, "REGISTER_MODEL"):
            model_id, source = await self._store(model, group_id, task_id)
        if call.request.query.get("deploy") == "true":
            self._deployments.deploy_in_background(model_id, source)
        return answer({"task_id": task_id, "status": "CREATED", "model_id": model_id})

    async def get(self, call: Call) -> MlResponse:
        """GET models/{id}."""
        caller = await call.permit()
        model_id = call.argument("model_id")
        try:
            stored = await self._documents.get(indices.MODELS, model_id)
        except IndexMissing:
            raise status_error(404, "Fail to find model") from None
        if stored is None:
            raise status_error(404, f"Failed to find model with the provided model id: {model_id}")
        await self._require_group(caller, stored.source, status_error(403, _NO_PRIVILEGE))
        return answer(shown(stored.source))

    async def update(self, call: Call) -> MlResponse:
        """PUT models/{id}."""
        if not call.request.body:
            raise failure("parse_exception", "Update model request has empty body", 400)
        changes = parse_model_update(parse_body(call.request.body))
        caller = await call.permit()
        model_id = call.argument("model_id")
        try:
            stored = await self._documents.get(indices.MODELS, model_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise status_error(404, f"Failed to find model to update with the provided model id: {model_id}")
        model = stored.source
        if model.get("model_state") == "DEPLOYING":
            raise status_error(
                409, f"Model is deploying. Please wait for the model to complete deployment. model ID {model_id}"
            )
        await self._require_group(caller, model, status_error(403, f"{_NO_PRIVILEGE}, model ID {model_id}"))
        partial = await self._update_document(model_id, model, changes)
        await self._move(caller, model, changes, partial)
        result = await self._documents.update(indices.MODELS, model_id, partial)
        if model.get("model_state") in DEPLOYED and _changes_prediction(model, changes):
            await self._deployments.refresh(model_id, {**model, **partial})
        return answer(result)

    async def delete(self, call: Call) -> MlResponse:
        """DELETE models/{id}."""
        caller = await call.permit()
        model_id = call.argument("model_id")
        try:
            stored = await self._documents.get(indices.MODELS, model_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise status_error(404, "Failed to find model")
        await self._require_group(caller, stored.source, status_error(403, _NO_PRIVILEGE))
        if stored.source.get("model_state") in IN_USE:
            raise status_error(
                400, "Model cannot be deleted in deploying or deployed state. Try undeploy model first then delete"
            )
        if self._settings.flag("safe_delete_model"):
            await self._usage.refuse_if_used(model_id)
        return answer(await self._documents.delete(indices.MODELS, model_id))

    async def search(self, call: Call) -> MlResponse:
        """GET and POST models/_search."""
        raw, body = self._search.parse(call)
        caller = await call.permit()
        not_hidden: Json = {
            "bool": {
                "should": [
                    {"term": {"is_hidden": False}},
                    {"bool": {"must_not": [{"exists": {"field": "is_hidden"}}]}},
                ],
                "minimum_should_match": 1,
            }
        }
        must = [body["query"]] if body.get("query") is not None else []
        if self._settings.flag("model_access_control_enabled") and not caller.is_admin:
            groups = await self._groups.visible(caller)
            ungrouped: Json = {"bool": {"must_not": [{"exists": {"field": "model_group_id"}}]}}
            must.append({"bool": {"should": [{"terms": {"model_group_id": groups}}, ungrouped]}})
        body["query"] = {"bool": {"must": must, "filter": [not_hidden]}}
        return await self._search.run(indices.MODELS, raw, body, hide=["connector.credential"])

    async def deploy(self, call: Call) -> MlResponse:
        """POST models/{id}/_deploy."""
        caller = await call.permit()
        model_id = call.argument("model_id")
        model = await self._read(model_id)
        if model.get("algorithm") == "REMOTE":
            require_remote(self._settings)
        await self._require_group(caller, model, status_error(403, _NO_PRIVILEGE))
        task_id = await self._deployments.deploy(model_id, model)
        return answer({"task_id": task_id, "task_type": "DEPLOY_MODEL", "status": "COMPLETED"})

    async def undeploy(self, call: Call) -> MlResponse:
        """POST models/{id}/_undeploy."""
        caller = await call.permit()
        return await self._undeploy_one(caller, call.argument("model_id"))

    async def undeploy_listed(self, call: Call) -> MlResponse:
        """POST models/_undeploy with `model_ids`."""
        ids: list[str] = []
        if call.request.body:
            body = parse_body(call.request.body)
            ids = strings(document(body.value).get("model_ids"))
        caller = await call.permit()
        if not ids:
            raise illegal_argument("Must set specific model ids to undeploy")
        if len(ids) == 1:
            return await self._undeploy_one(caller, ids[0])
        if self._settings.flag("model_access_control_enabled"):
            raise illegal_argument("only support undeploy one model")
        return answer(await self._deployments.undeploy(ids))

    async def _undeploy_one(self, caller: Caller, model_id: str) -> MlResponse:
        model = await self._read(model_id)
        await self._require_group(caller, model, illegal_argument(f"No permission to undeploy model {model_id}"))
        return answer(await self._deployments.undeploy([model_id]))

    async def _read(self, model_id: str) -> Document:
        stored = await self._documents.get(indices.MODELS, model_id)
        if stored is None:
            raise status_error(404, "Failed to find model")
        return stored.source

    async def _require_group(self, caller: Caller, model: Document, refusal: Refusal) -> None:
        if not await self._groups.may_use(caller, string(model.get("model_group_id"))):
            raise refusal

    async def _check_connector(self, model: Document, caller: Caller | None) -> None:
        connector_id = string(model.get("connector_id"))
        if connector_id.strip():
            connector = await self._connectors.read(connector_id)
            if caller is not None and not self._connectors.may_use(caller, connector):
                raise illegal_argument(
                    f"You don't have permission to use the connector provided, connector id: {connector_id}"
                )
            return
        if not model.get("connector"):
            raise illegal_argument(
                "You must provide connector content when creating a remote model without connector id!"
            )
        connector = document(model["connector"])
        check_protocol(connector, self._flavour)
        if find_action(connector, "PREDICT") is None:
            raise illegal_argument("Connector endpoint is required when creating a remote model without connector id!")
        check_urls(connector, self._settings.texts("trusted_connector_endpoints_regex"))

    async def _group_named_as(self, model: Document) -> str:
        name = string(model["name"])
        existing = await self._groups.named(name)
        if existing is not None:
            return existing
        described = {"description": model["description"]} if "description" in model else {}
        return await self._groups.add({"name": name, **described, "access": "public"})

    async def _store(self, model: Document, group_id: str, task_id: str) -> tuple[str, Document]:
        self._counters.request("register")
        try:
            version = await self._next_version(group_id)
        except Refusal as refusal:
            self._counters.failure("register")
            missing = refusal.cause.type == "m_l_resource_not_found_exception"
            await self._tasks.note(task_id, "FAILED", error="Model group not found" if missing else str(refusal))
            raise
        now = int(time.time() * 1000)
        source: Document = {
            "name": model["name"],
            "model_group_id": group_id,
            "algorithm": "REMOTE",
            "model_version": str(version),
            "model_state": "REGISTERED",
            "created_time": now,
            "last_updated_time": now,
            "is_hidden": False,
        }
        for key in (
            "description",
            "connector_id",
            "is_enabled",
            "rate_limiter",
            "guardrails",
            "interface",
            "deploy_setting",
        ):
            if key in model:
                source[key] = model[key]
        if "connector" in model:
            connector = document(model["connector"])
            credential = await self._vault.encrypt(string_map(connector.get("credential")))
            source["connector"] = {**connector, "credential": dict(credential)}
        model_id = await self._documents.create(indices.MODELS, source)
        await self._tasks.note(task_id, "COMPLETED", model_id=model_id)
        return model_id, source

    async def _next_version(self, group_id: str) -> int:
        stored = await self._groups.stored(group_id)
        if stored is None:
            raise failure("m_l_resource_not_found_exception", f"Model Group Response is empty for {group_id}")
        return await self._count_version(stored)

    async def _count_version(self, group: Stored) -> int:
        latest = group.source.get("latest_version")
        version = (latest if isinstance(latest, int) else 0) + 1
        changes: Document = {"latest_version": version, "last_updated_time": int(time.time() * 1000)}
        await self._documents.update(indices.MODEL_GROUPS, group.id, {**group.source, **changes}, at=group)
        return version

    async def _update_document(self, model_id: str, model: Document, changes: Document) -> Document:
        partial: Document = {"model_id": model_id, "last_updated_time": int(time.time() * 1000)}
        for key in ("name", "description", "is_enabled", "guardrails", "interface", "deploy_setting"):
            if key in changes:
                partial[key] = changes[key]
        if "rate_limiter" in changes:
            partial["rate_limiter"] = {**document(model.get("rate_limiter")), **document(changes["rate_limiter"])}
        if changes.get("connector_id"):
            if not model.get("connector_id"):
                raise status_error(
                    400, "This remote does not have a connector_id field, maybe it uses an internal connector."
                )
            partial["connector_id"] = changes["connector_id"]
        elif "connector" in changes:
            own = document(model.get("connector"))
            if not own:
                raise failure(
                    "null_pointer_exception",
                    'Cannot invoke "org.opensearch.ml.common.connector.Connector.update('
                    "org.opensearch.ml.common.transport.connector.MLCreateConnectorInput, "
                    'java.util.function.BiFunction)" because "<local12>" is null',
                )
            wanted = document(changes["connector"])
            wanted["credential"] = dict(await self._vault.encrypt(string_map(wanted.get("credential"))))
            connector = merged(own, wanted)
            check_urls(connector, self._settings.texts("trusted_connector_endpoints_regex"))
            partial["connector"] = connector
        return partial

    async def _move(self, caller: Caller, model: Document, changes: Document, partial: Document) -> None:
        group_id = string(changes.get("model_group_id"))
        if not group_id or group_id == model.get("model_group_id"):
            return
        if not await self._groups.may_use(caller, group_id):
            raise status_error(
                403,
                "User Doesn't have privilege to re-link this model to the target model group due to no access to the "
                f"target model group with model group ID {group_id}",
            )
        stored = await self._groups.stored(group_id)
        if stored is None:
            raise status_error(
                404,
                "Failed to find the model group with the provided model group id in the update model input, "
                f"MODEL_GROUP_ID: {group_id}",
            )
        partial["model_group_id"] = group_id
        partial["model_version"] = str(await self._count_version(stored))

    def _fail_later(self, task_id: str) -> None:
        async def run() -> None:
            await self._tasks.note(task_id, "FAILED", error="Local models can not be run in the sandbox")

        task = asyncio.get_running_loop().create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _changes_prediction(model: Document, changes: Document) -> bool:
    if changes.keys() & {"connector", "connector_id", "guardrails", "interface"}:
        return True
    if changes.get("is_enabled") != model.get("is_enabled"):
        return True
    limits = {**document(model.get("rate_limiter")), **document(changes.get("rate_limiter"))}
    return "rate_limiter" in changes and {"limit", "unit"} <= limits.keys() and limits != model.get("rate_limiter")
