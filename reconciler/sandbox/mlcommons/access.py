"""Access control of single objects: who may see and change a connector or a model group."""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import failure, illegal_argument
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.values import Document, document, string, strings


def is_owner(caller: Caller, resource: Mapping[str, Json]) -> bool:
    """Whether the caller made the object."""
    return string(document(resource.get("owner")).get("name")) == caller.name


def shares_role(caller: Caller, resource: Mapping[str, Json]) -> bool:
    """Whether the caller has one of the object's backend roles."""
    return not set(caller.backend_roles).isdisjoint(strings(resource.get("backend_roles")))


def may_use(caller: Caller, resource: Mapping[str, Json]) -> bool:
    """Whether the access mode of a connector or group lets the caller use it. An ownerless one is everybody's."""
    if caller.is_admin or not resource.get("owner"):
        return True
    match resource.get("access"):
        case "private":
            return is_owner(caller, resource)
        case "restricted":
            return shares_role(caller, resource)
        case _:
            return True


def visible_to(caller: Caller) -> Json:
    """The query for the objects that `may_use` allows, as ML Commons writes it."""
    mine: Json = {
        "nested": {"path": "owner", "query": {"term": {"owner.name.keyword": caller.name}}, "score_mode": "none"}
    }
    return {
        "bool": {
            "should": [
                {"term": {"access": "public"}},
                {"terms": {"backend_roles.keyword": list(caller.backend_roles)}},
                {"bool": {"must": [mine, {"term": {"access": "private"}}]}},
            ]
        }
    }


def restrict_connector(connector: Document, caller: Caller) -> Document:
    """A new connector with its access mode, backend roles and owner settled; refuses contradictions."""
    add_all = connector.get("add_all_backend_roles") is True
    roles = strings(connector.get("backend_roles"))
    if caller.is_admin and add_all:
        raise illegal_argument("Admin can't add all backend roles")
    mode = connector.get("access") or ("restricted" if roles or add_all else "private")
    if mode != "restricted" and (roles or add_all):
        raise illegal_argument("You can specify backend roles only for a connector with the restricted access mode.")
    if mode == "restricted" and add_all:
        if roles:
            raise illegal_argument("You can't specify backend roles and add all backend roles to true at same time.")
        if not caller.backend_roles:
            raise illegal_argument("You must have at least one backend role to create a connector.")
        roles = list(caller.backend_roles)
    elif mode == "restricted":
        if not roles:
            raise illegal_argument(
                "You must specify at least one backend role or make the connector public/private for registering it."
            )
        if not caller.is_admin and not set(roles) <= set(caller.backend_roles):
            raise illegal_argument("You don't have the backend roles specified.")
    settled = {key: value for key, value in connector.items() if key not in ("add_all_backend_roles", "backend_roles")}
    return {**settled, **({"backend_roles": list(roles)} if roles else {}), "access": mode, "owner": caller.owner()}


def refuse_access_fields(resource: Document, kind: str) -> None:
    """Refuse access control fields while the access control for `kind` (`connector`, `model`) is off."""
    if resource.get("access") or "add_all_backend_roles" in resource or resource.get("backend_roles"):
        raise illegal_argument(
            f"You cannot specify {kind} access control parameters because the Security plugin or {kind} access control "
            "is disabled on your cluster."
        )


def restrict_group(group: Document, caller: Caller) -> Document:
    """A new model group with its access mode, backend roles and owner settled; refuses contradictions."""
    add_all = group.get("add_all_backend_roles") is True
    roles = strings(group.get("backend_roles"))
    both = "You cannot specify backend roles and add all backend roles at the same time."
    mode = group.get("access")
    if mode is None:
        if roles and add_all:
            raise illegal_argument(both)
        mode = "restricted" if roles or add_all else "private"
    if mode != "restricted" and (roles or add_all):
        raise illegal_argument("You can specify backend roles only for a model group with the restricted access mode.")
    if mode == "restricted":
        _check_group_roles(caller, roles, add_all)
        if add_all:
            roles = list(caller.backend_roles)
    settled = {key: value for key, value in group.items() if key not in ("add_all_backend_roles", "backend_roles")}
    return {**settled, **({"backend_roles": list(roles)} if roles else {}), "access": mode, "owner": caller.owner()}


def _check_group_roles(caller: Caller, roles: list[str], add_all: bool) -> None:
    if caller.is_admin and add_all:
        raise illegal_argument("Admin users cannot add all backend roles to a model group.")
    if not caller.is_admin and not caller.backend_roles:
        raise illegal_argument("You must have at least one backend role to register a restricted model group.")
    if not roles and not add_all:
        raise illegal_argument(
            "You must specify one or more backend roles or add all backend roles to register a restricted model group."
        )
    if roles and add_all:
        raise illegal_argument("You cannot specify backend roles and add all backend roles at the same time.")
    if not caller.is_admin and not add_all and not set(roles) <= set(caller.backend_roles):
        raise illegal_argument("You don't have the backend roles specified.")


def check_group_change(changes: Document, caller: Caller, group: Document) -> None:
    """Refuse an update of a model group that the caller may not make."""
    owns = is_owner(caller, group)
    mode = changes.get("access")
    roles = strings(changes.get("backend_roles"))
    add_all = changes.get("add_all_backend_roles")
    if changes.keys() & {"access", "add_all_backend_roles", "backend_roles"} and not (owns or caller.is_admin):
        raise illegal_argument("Only owner or admin can update access control data.")
    if not caller.is_admin and not owns and not _is_open_to(caller, group):
        raise illegal_argument("You don't have permission to update this model group.")
    if owns and not caller.is_admin and not _still_open_to_owner(caller, group):
        raise illegal_argument(
            "You don't have the specified backend role to update this model group. "
            "For more information, contact your administrator."
        )
    if mode in ("public", "private"):
        if roles or add_all is True:
            raise illegal_argument(
                "You can specify backend roles only for a model group with the restricted access mode."
            )
        return
    if caller.is_admin and add_all is True:
        raise illegal_argument("Admin users cannot add all backend roles to a model group.")
    if add_all is True and not caller.backend_roles:
        raise illegal_argument("You don't have any backend roles.")
    if not roles and add_all is False:
        raise illegal_argument("You have to specify backend roles when add all backend roles is set to false.")
    if roles and add_all is True:
        raise illegal_argument("You cannot specify backend roles and add all backend roles at the same time.")
    if mode == "restricted" and not roles and add_all is not True:
        raise illegal_argument(
            "You must specify one or more backend roles or add all backend roles to register a restricted model group."
        )
    if not caller.is_admin and not set(roles) <= set(caller.backend_roles):
        raise illegal_argument("You don't have the backend roles specified.")


def _is_open_to(caller: Caller, group: Document) -> bool:
    match group.get("access"):
        case "public":
            return True
        case "private":
            return False
        case _:
            return shares_role(caller, group)


def _still_open_to_owner(caller: Caller, group: Document) -> bool:
    if group.get("access") != "restricted":
        return True
    if not strings(group.get("backend_roles")):
        raise failure("illegal_state_exception", "Backend roles should not be null")
    return shares_role(caller, group)
