"""The Security plugin's objects in memory: roles, mappings, users, action groups, tenants, as the real one answers.

https://docs.opensearch.org/latest/security/access-control/api/
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tests.support.refusal import Doc, Refused

ADMIN = "admin"
ROLES = ("all_access", "ml_full_access", "ml_read_access", "readall", "kibana_server")
"""The roles that are there from the beginning."""
PERMISSIONS = ("cluster_permissions", "index_permissions", "tenant_permissions")
LISTS = ("hosts", "users", "backend_roles", "and_backend_roles")
Patched: TypeAlias = Callable[[str, Doc, Sequence[str], Doc], Doc]
"""An object after one operation of a JSON Patch: its name, what it was, the rest of the path, the operation."""


class Security:
    """All objects by name. Those of a collection share one document, which one PATCH changes as a whole."""

    def __init__(self) -> None:
        self.roles: dict[str, Doc] = {name: {**_role(name, {}), "reserved": True} for name in ROLES}
        self.mappings: dict[str, Doc] = {"all_access": mapping({"backend_roles": [ADMIN]})}
        self.action_groups: dict[str, Doc] = {
            "read": {**self._action_group("read", {"allowed_actions": ["indices:data/read*"]}), "static": True}
        }
        self.tenants: dict[str, Doc] = {
            "global_tenant": {**_about({"description": "Global tenant"}), "static": True, "reserved": True}
        }
        self.users: dict[str, Doc] = {ADMIN: {**self._user(ADMIN, {"backend_roles": [ADMIN]}), "reserved": True}}

    def answer(self, collection: str, method: str, rest: Sequence[str], body: Any) -> Doc:
        """The answer to one request about a collection."""
        collections: Mapping[str, tuple[dict[str, Doc], Patched]] = {
            "roles": (self.roles, _whole(_role)),
            "rolesmapping": (self.mappings, self._patched_mapping),
            "actiongroups": (self.action_groups, _whole(self._action_group)),
            "tenants": (self.tenants, _whole(lambda name, body: _about(body))),
            "internalusers": (self.users, _whole(self._user)),
        }
        objects, change = collections[collection]
        if rest or method not in ("GET", "PATCH"):
            raise Refused(405, f"Incorrect HTTP method for uri [/{collection}] and method [{method}]")
        if method == "GET":
            return {name: _shown(one) for name, one in objects.items()}
        # All operations or none of them. Removing what is not there is nothing.
        after = dict(objects)
        for one in body:
            name, *rest = [part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]]
            guards = [word for word in ("static", "reserved") if after.get(name, {}).get(word)]
            if guards:
                raise Refused(403, f"Resource '{name}' is {guards[0]}.")
            if rest and name not in after:
                raise Refused(400, f'Missing field "{name}"')
            if one["op"] == "remove" and not rest:
                after.pop(name, None)
            else:
                after[name] = change(name, after.get(name, {}), rest, one)
        if after == objects:
            return {"status": "OK", "message": "No updates required"}
        objects.clear()
        objects.update(after)
        return {"status": "OK", "message": "Resource updated."}

    def _patched_mapping(self, name: str, before: Doc, rest: Sequence[str], one: Doc) -> Doc:
        if name not in self.roles:
            raise Refused(404, f"role '{name}' not found.")
        if rest:
            return _patched(before, [{**one, "path": "/" + "/".join(rest)}])
        if not one["value"]:
            raise Refused(400, "Request body required for this action.")
        return mapping(one["value"])

    def _action_group(self, name: str, body: Doc) -> Doc:
        if "allowed_actions" not in body:
            raise Refused(400, "Invalid configuration")
        if name in self.roles:
            reason = f"{name} is an existing role. A action group cannot be named with an existing role name."
            raise Refused(400, reason)
        if name in body["allowed_actions"]:
            raise Refused(400, f"{name} cannot be an allowed_action of itself")
        if body.get("type", "index") not in ("cluster", "index"):
            reason = f"Invalid action group type: {body['type']}. Supported types are: cluster, index."
            raise Refused(400, reason)
        kept: Doc = {key: body[key] for key in ("allowed_actions", "type") if key in body}
        return {**_about(body, "allowed_actions", "type"), **kept}

    def _user(self, name: str, body: Doc) -> Doc:
        """A user with his password, which is never shown. Empty text is not kept."""
        if ":" in name:
            raise Refused(400, "A restricted character(s) was detected in the account name. Please remove: ':'")
        for role in body.get("opendistro_security_roles", ()):
            if role not in self.roles:
                raise Refused(404, f"role '{role}' not found.")
        attributes = {key: str(value) for key, value in body.get("attributes", {}).items() if value != ""}
        lists = {key: list(body.get(key, [])) for key in ("backend_roles", "opendistro_security_roles")}
        own = ("password", *lists, "attributes")
        return {
            "hash": "",
            "password": body.get("password", ""),
            **_about(body, *own),
            **lists,
            "attributes": attributes,
        }


def mapping(body: Doc) -> Doc:
    """A mapping as it is shown."""
    described = {"description": body["description"]} if "description" in body else {}
    return {**{name: list(body.get(name, [])) for name in LISTS}, "reserved": False, "hidden": False, **described}


def _shown(one: Doc) -> Doc:
    return {key: value for key, value in one.items() if key != "password"}


def _whole(made: Callable[[str, Doc], Doc]) -> Patched:
    """How objects change that are written whole or by their fields."""

    def patched(name: str, before: Doc, rest: Sequence[str], one: Doc) -> Doc:
        if len(rest) > 1 or one["op"] not in ("add", "remove"):
            raise Refused(400, f"Unsupported operation {one['op']} {one['path']}")
        if one["op"] == "remove":
            return made(name, {key: value for key, value in before.items() if key != rest[0]})
        if not rest and not one["value"]:
            raise Refused(400, "Request body required for this action.")
        return made(name, {**before, rest[0]: one["value"]} if rest else one["value"])

    return patched


def _about(body: Doc, *own: str) -> Doc:
    """What all objects say, and those that are not the service's; `own` are an object's further fields."""
    if body.keys() - {*own, "hash", "description", "reserved", "hidden", "static"}:
        raise Refused(400, "Invalid configuration")
    described = {"description": body["description"]} if body.get("description") else {}
    return {"reserved": False, "hidden": False, **described, "static": False}


def _role(_name: str, body: Doc) -> Doc:
    lists: Doc = {name: list(body.get(name, [])) for name in PERMISSIONS}
    lists["index_permissions"] = [{"fls": [], "masked_fields": [], **entry} for entry in lists["index_permissions"]]
    return {**_about(body, *PERMISSIONS), **lists}


def _patched(before: Doc, operations: Sequence[Doc]) -> Doc:
    after = {key: list(value) if isinstance(value, list) else value for key, value in before.items()}
    for one in operations:
        field, _, index = one["path"].lstrip("/").partition("/")
        if one["op"] not in ("add", "replace", "remove"):
            raise Refused(400, f"Unsupported operation {one['op']}")
        if index == "-" and one["op"] == "add":
            if not after.get(field):
                raise Refused(400, f'Missing field "{field}"')  # empty lists are not kept
            after[field].append(one["value"])
        elif index:
            raise Refused(400, f"no such index in target array: {index}")
        elif one["op"] == "remove":
            after.pop(field, None)
        elif (field in LISTS) != isinstance(one["value"], list):
            raise Refused(400, "Wrong datatype")
        else:
            after[field] = one["value"]
    return {**{name: [] for name in LISTS}, **after}
