"""The connector API: create, get, update, delete, search."""

import time

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.access import may_use, refuse_access_fields, restrict_connector, visible_to
from reconciler.sandbox.mlcommons.answers import answer, failure, illegal_argument, status_error
from reconciler.sandbox.mlcommons.connector import (
    check_protocol,
    check_urls,
    merged,
    parse_connector,
    parse_new_connector,
    shown,
)
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.search import Search, narrowed
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, parse_body, string, string_map
from reconciler.sandbox.mlcommons.vault import Vault
from reconciler.sandbox.protocol import MlResponse

REMOTE_DISABLED = (
    "Remote Inference is currently disabled. To enable it, update the setting "
    '"plugins.ml_commons.remote_inference_enabled" to true.'
)


def require_remote(settings: LiveSettings) -> None:
    """Refuse while remote inference is switched off."""
    if not settings.flag("remote_inference.enabled"):
        raise failure("illegal_state_exception", REMOTE_DISABLED)


class Connectors:
    """Connectors in the real node, their credentials encrypted and never shown."""

    def __init__(
        self,
        documents: Documents,
        search: Search,
        settings: LiveSettings,
        vault: Vault,
        deployments: Deployments,
        flavour: str,
    ) -> None:
        self._documents = documents
        self._search = search
        self._settings = settings
        self._vault = vault
        self._deployments = deployments
        self._flavour = flavour

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/connectors/{connector_id}"
        return (
            Route("POST", "/connectors/_create", f"{ACTION}create_connector", self.create),
            Route("GET", "/connectors/_search", f"{ACTION}connectors/search", self.search),
            Route("POST", "/connectors/_search", f"{ACTION}connectors/search", self.search),
            Route("GET", one, f"{ACTION}connectors/get", self.get),
            Route("PUT", one, f"{ACTION}connectors/update", self.update),
            Route("DELETE", one, f"{ACTION}connectors/delete", self.delete),
        )

    async def read(self, connector_id: str) -> Document:
        """A stored connector with its encrypted credential; 404 when there is none."""
        try:
            stored = await self._documents.get(indices.CONNECTORS, connector_id)
        except IndexMissing:
            raise status_error(404, "Failed to find connector") from None
        if stored is None:
            raise status_error(404, f"Failed to find connector with the provided connector id: {connector_id}")
        check_protocol(stored.source, self._flavour)
        return stored.source

    def may_use(self, caller: Caller, connector: Document) -> bool:
        """Whether connector access control lets the caller use a connector."""
        return not self._settings.flag("connector_access_control_enabled") or may_use(caller, connector)

    async def create(self, call: Call) -> MlResponse:
        """POST connectors/_create."""
        require_remote(self._settings)
        if not call.request.body:
            raise failure("i_o_exception", "Create Connector request has empty body")
        connector = parse_new_connector(parse_body(call.request.body))
        caller = await call.permit()
        check_protocol(connector, self._flavour)
        check_urls(connector, self._settings.texts("trusted_connector_endpoints_regex"))
        if self._settings.flag("connector_access_control_enabled"):
            connector = restrict_connector(connector, caller)
        else:
            refuse_access_fields(connector, "connector")
        credential = await self._vault.encrypt(string_map(connector["credential"]))
        now = int(time.time() * 1000)
        source = {**connector, "credential": dict(credential), "created_time": now, "last_updated_time": now}
        return answer({"connector_id": await self._documents.create(indices.CONNECTORS, source)})

    async def get(self, call: Call) -> MlResponse:
        """GET connectors/{id}."""
        caller = await call.permit()
        connector = await self.read(call.argument("connector_id"))
        if not self.may_use(caller, connector):
            raise status_error(403, "You don't have permission to access this connector")
        return answer(shown(connector))

    async def update(self, call: Call) -> MlResponse:
        """PUT connectors/{id}."""
        require_remote(self._settings)
        if not call.request.body:
            raise failure("parse_exception", "Failed to update connector: Request body is empty", 400)
        changes = parse_connector(parse_body(call.request.body))
        changes.pop("add_all_backend_roles", None)
        caller = await call.permit()
        connector_id = call.argument("connector_id")
        connector = await self.read(connector_id)
        if not self.may_use(caller, connector):
            raise illegal_argument(f"You don't have permission to update the connector, connector id: {connector_id}")
        changes["credential"] = dict(await self._vault.encrypt(string_map(changes.get("credential"))))
        updated = merged(connector, changes)
        check_urls(updated, self._settings.texts("trusted_connector_endpoints_regex"))
        users = await self._documents.hits(
            indices.MODELS,
            {"bool": {"must": [_uses(connector_id), {"ids": {"values": list(self._deployments.ids())}}]}},
        )
        if users:
            raise status_error(400, _in_use(users, "undeploy"))
        updated["last_updated_time"] = int(time.time() * 1000)
        return answer(await self._documents.update(indices.CONNECTORS, connector_id, updated))

    async def delete(self, call: Call) -> MlResponse:
        """DELETE connectors/{id}."""
        caller = await call.permit()
        connector_id = call.argument("connector_id")
        checked = self._settings.flag("connector_access_control_enabled") and not caller.is_admin
        if checked and not self.may_use(caller, await self.read(connector_id)):
            raise failure("m_l_validation_exception", "You are not allowed to delete this connector")
        users = await self._documents.hits(indices.MODELS, _uses(connector_id))
        if users:
            raise status_error(409, _in_use(users, "delete or update"))
        return answer(await self._documents.delete(indices.CONNECTORS, connector_id))

    async def search(self, call: Call) -> MlResponse:
        """GET and POST connectors/_search."""
        raw, body = self._search.parse(call)
        caller = await call.permit()
        if self._settings.flag("connector_access_control_enabled") and not caller.is_admin:
            body["query"] = narrowed(body.get("query"), visible_to(caller))
        return await self._search.run(indices.CONNECTORS, raw, body, hide=["credential"])


def _uses(connector_id: str) -> Document:
    # the plugin asks by `match`, which also finds ids that share a part between dashes
    return {"term": {"connector_id.keyword": connector_id}}


def _in_use(models: list[Document], remedy: str) -> str:
    ids = ", ".join(string(model.get("_id")) for model in models)
    return f"{len(models)} models are still using this connector, please {remedy} the models first: [{ids}]"
