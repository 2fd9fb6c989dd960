"""The model group API: register, get, update, delete, search."""

import time

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.access import (
    check_group_change,
    may_use,
    refuse_access_fields,
    restrict_group,
    visible_to,
)
from reconciler.sandbox.mlcommons.answers import answer, failure, illegal_argument, status_error
from reconciler.sandbox.mlcommons.connector import ACCESS_MODES
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing, Stored
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.search import Search, narrowed
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, Part, parse_body, string
from reconciler.sandbox.protocol import MlResponse


def parse_group(part: Part) -> Document:
    """A register or update body: known fields only."""
    group: Document = {}
    for key, member in part.members():
        match key:
            case "name" | "description":
                group[key] = member.text()
            case "backend_roles":
                group[key] = list(member.texts())
            case "access_mode":
                mode = member.text().lower()
                if mode in ACCESS_MODES:
                    group["access"] = mode
            case "add_all_backend_roles":
                group[key] = member.flag()
    return group


class ModelGroups:
    """Model groups in the real node."""

    def __init__(self, documents: Documents, search: Search, settings: LiveSettings) -> None:
        self._documents = documents
        self._search = search
        self._settings = settings

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/model_groups/{model_group_id}"
        return (
            Route("POST", "/model_groups/_register", f"{ACTION}register_model_group", self.register),
            Route("GET", "/model_groups/_search", f"{ACTION}model_groups/search", self.search),
            Route("POST", "/model_groups/_search", f"{ACTION}model_groups/search", self.search),
            Route("GET", one, f"{ACTION}model_groups/get", self.get),
            Route("PUT", one, f"{ACTION}update_model_group", self.update),
            Route("DELETE", one, f"{ACTION}model_groups/delete", self.delete),
        )

    async def named(self, name: str) -> str | None:
        """The id of a group of that name, as a search shows it now; None when there is none."""
        hits = await self._documents.hits(
            indices.MODEL_GROUPS, {"bool": {"filter": [{"term": {"name.keyword": name}}]}}
        )
        return string(hits[0].get("_id")) if hits else None

    async def may_use(self, caller: Caller, group_id: str) -> bool:
        """Whether model access control lets the caller use the models of a group; 500 when there is no such group."""
        if not group_id or caller.is_admin or not self._settings.flag("model_access_control_enabled"):
            return True
        stored = await self.stored(group_id)
        if stored is None:
            raise failure("m_l_resource_not_found_exception", "Fail to find model group")
        return may_use(caller, stored.source)

    async def stored(self, group_id: str) -> Stored | None:
        """A group's document; None when there is none."""
        try:
            return await self._documents.get(indices.MODEL_GROUPS, group_id)
        except IndexMissing:
            return None

    async def add(self, group: Document) -> str:
        """Store a new group whose access is settled; returns its id."""
        now = int(time.time() * 1000)
        source = {**group, "latest_version": 0, "created_time": now, "last_updated_time": now}
        return await self._documents.create(indices.MODEL_GROUPS, source)

    async def register(self, call: Call) -> MlResponse:
        """POST model_groups/_register."""
        if not call.request.body:
            raise failure("i_o_exception", "Model group request has empty body")
        group = parse_group(parse_body(call.request.body))
        if "name" not in group:
            raise failure("null_pointer_exception", "model group name must not be null")
        caller = await call.permit()
        taken = await self.named(string(group["name"]))
        if taken is not None:
            raise illegal_argument(f"The name you provided is already being used by a model group with ID: {taken}.")
        if self._settings.flag("model_access_control_enabled"):
            group = restrict_group(group, caller)
        else:
            refuse_access_fields(group, "model")
            group["access"] = "public"
        return answer({"model_group_id": await self.add(group), "status": "CREATED"})

    async def get(self, call: Call) -> MlResponse:
        """GET model_groups/{id}."""
        caller = await call.permit()
        group = await self._read(call.argument("model_group_id"), "Failed to find model group index")
        controlled = self._settings.flag("model_access_control_enabled")
        if controlled and not may_use(caller, group):
            raise status_error(403, "User doesn't have privilege to perform this operation on this model group")
        return answer(group)

    async def update(self, call: Call) -> MlResponse:
        """PUT model_groups/{id}."""
        if not call.request.body:
            raise failure("i_o_exception", "Model group request has empty body")
        changes = parse_group(parse_body(call.request.body))
        caller = await call.permit()
        group_id = call.argument("model_group_id")
        group = await self._read(group_id, "Failed to find model group")
        if self._settings.flag("model_access_control_enabled"):
            check_group_change(changes, caller, group)
        else:
            refuse_access_fields(changes, "model")
        name = string(changes.get("name"))
        if name.strip() and name != group.get("name"):
            taken = await self.named(name)
            if taken is not None:
                raise illegal_argument(
                    f"The name you provided is already being used by another model with ID: {taken}. "
                    "Please provide a different name"
                )
        await self._documents.update(indices.MODEL_GROUPS, group_id, _changed(group, changes, caller))
        return answer({"status": "Updated"})

    async def delete(self, call: Call) -> MlResponse:
        """DELETE model_groups/{id}. Access control is not asked, as in ML Commons 2.19."""
        await call.permit()
        group_id = call.argument("model_group_id")
        if await self._documents.hits(indices.MODELS, {"bool": {"filter": [{"term": {"model_group_id": group_id}}]}}):
            raise status_error(409, "Cannot delete the model group when it has associated model versions")
        return answer(await self._documents.delete(indices.MODEL_GROUPS, group_id))

    async def search(self, call: Call) -> MlResponse:
        """GET and POST model_groups/_search."""
        raw, body = self._search.parse(call)
        caller = await call.permit()
        if self._settings.flag("model_access_control_enabled") and not caller.is_admin:
            body["query"] = narrowed(body.get("query"), visible_to(caller))
        return await self._search.run(indices.MODEL_GROUPS, raw, body)

    async def visible(self, caller: Caller) -> list[Json]:
        """The ids of the groups whose models the caller may see."""
        hits = await self._documents.hits(indices.MODEL_GROUPS, visible_to(caller), size=10_000)
        return [hit.get("_id") for hit in hits]

    async def _read(self, group_id: str, without_index: str) -> Document:
        try:
            stored = await self._documents.get(indices.MODEL_GROUPS, group_id)
        except IndexMissing:
            raise status_error(404, without_index) from None
        if stored is None:
            raise status_error(404, f"Failed to find model group with the provided model group id: {group_id}")
        return stored.source


def _changed(group: Document, changes: Document, caller: Caller) -> Document:
    updated = dict(group)
    add_all = changes.get("add_all_backend_roles") is True
    if "access" in changes:
        updated["access"] = changes["access"]
        if changes["access"] != "restricted":
            updated["backend_roles"] = []
    elif "backend_roles" in changes or add_all:
        updated["access"] = "restricted"
    if "backend_roles" in changes:
        updated["backend_roles"] = changes["backend_roles"]
    if add_all:
        updated["backend_roles"] = list(caller.backend_roles)
    for key in ("description", "name"):
        if string(changes.get(key)).strip():
            updated[key] = changes[key]
    return updated
