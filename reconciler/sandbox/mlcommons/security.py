"""Who is calling and what he may do, as the real Security plugin says."""

import fnmatch
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import failure, node_refusal
from reconciler.sandbox.mlcommons.values import Document, document, string, strings
from reconciler.sandbox.protocol import NodeClient

_GRANTS = re.compile(r"/_(?:plugins|opendistro)/_security/api/(?!rolesmapping|internalusers|tenants)")
"""Where what a role grants may be changed. Who has which roles is asked of the node for every request."""
_KEPT_SECONDS = 60.0
_UNSETTLED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user. `text` is how the Security plugin writes him in its messages."""

    name: str
    backend_roles: tuple[str, ...]
    roles: tuple[str, ...]
    tenant: str | None
    text: str

    @property
    def is_admin(self) -> bool:
        """Whether ML Commons lets him pass every access control: he has the role named `all_access`."""
        return "all_access" in self.roles

    def owner(self) -> Document:
        """How ML Commons notes him as the owner of an object."""
        return {
            "name": self.name,
            "backend_roles": list(self.backend_roles),
            "roles": list(self.roles),
            "custom_attribute_names": [],
            "user_requested_tenant": self.tenant or "null",
        }


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> re.Pattern[str]:
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        return re.compile(pattern[1:-1])
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


class Security:
    """Identity and cluster permissions. Roles and action groups are kept until one is about to change."""

    def __init__(self, node: NodeClient) -> None:
        self._node = node
        self._kept: dict[str, tuple[float, Document]] = {}
        self._unsettled_until = 0.0

    def expect_change(self, path: str) -> None:
        """A request that writes comes: where it may change roles, read them anew and keep none for a while."""
        if not _GRANTS.match(path):
            return
        self._kept.clear()
        self._unsettled_until = time.monotonic() + _UNSETTLED_SECONDS

    async def caller(self, auth_headers: Mapping[str, str]) -> Caller:
        """The user behind `auth_headers`; refuses with the node's own answer (401) when it does not know him."""
        status, body = await self._node.request("GET", "/_plugins/_security/authinfo", headers=auth_headers)
        if status != 200:
            raise node_refusal(status, body)
        info = document(body)
        tenant = info.get("user_requested_tenant")
        return Caller(
            string(info.get("user_name")),
            tuple(strings(info.get("backend_roles"))),
            tuple(strings(info.get("roles"))),
            tenant if isinstance(tenant, str) else None,
            string(info.get("user")),
        )

    async def require(self, caller: Caller, action: str) -> None:
        """Refuse with 403 unless one of the caller's roles grants the cluster permission `action`."""
        if not await self.permits(caller, action):
            raise failure("security_exception", denial(caller, action), 403)

    async def permits(self, caller: Caller, action: str) -> bool:
        """Whether one of the caller's roles grants the cluster permission `action`."""
        for role in caller.roles:
            granted = strings((await self._read("roles", role)).get("cluster_permissions"))
            if await self._grants(granted, action, frozenset()):
                return True
        return False

    async def permits_on_all_indices(self, caller: Caller, action: str) -> bool:
        """Whether one of the caller's roles grants the index permission `action` on every index."""
        for role in caller.roles:
            for permission in _objects((await self._read("roles", role)).get("index_permissions")):
                if "*" in strings(permission.get("index_patterns")) and await self._grants(
                    strings(permission.get("allowed_actions")), action, frozenset()
                ):
                    return True
        return False

    async def _grants(self, granted: list[str], action: str, seen: frozenset[str]) -> bool:
        for entry in granted:
            if _matcher(entry).fullmatch(action):
                return True
            if ":" not in entry and "*" not in entry and entry not in seen:
                group = strings((await self._read("actiongroups", entry)).get("allowed_actions"))
                if await self._grants(group, action, seen | {entry}):
                    return True
        return False

    async def _read(self, kind: str, name: str) -> Document:
        path = f"/_plugins/_security/api/{kind}/{quote(name, safe='')}"
        kept = self._kept.get(path)
        if kept and time.monotonic() - kept[0] < _KEPT_SECONDS:
            return kept[1]
        status, body = await self._node.request("GET", path)
        found = document(document(body).get(name)) if status == 200 else {}
        if time.monotonic() > self._unsettled_until:
            self._kept[path] = (time.monotonic(), found)
        return found


def denial(caller: Caller, action: str) -> str:
    """The Security plugin's reason for refusing `action`."""
    return f"no permissions for [{action}] and {caller.text}"


def _objects(value: Json) -> list[Document]:
    return [document(item) for item in value] if isinstance(value, list) else []
