"""Roles of OpenSearch Security: what those who are mapped to them may do.

https://docs.opensearch.org/latest/security/access-control/api/#roles
"""

import json
from collections.abc import Iterable, Mapping

from reconciler.kinds._security import SecurityKind
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change
from reconciler.model.kind import Caller, Fault, Place, Siblings
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired


class SecurityRoles(SecurityKind):
    """A role is known by its name, which is its id too."""

    collection = "roles"
    noun = "a role"

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """Queries that the service takes and fails with whenever somebody searches."""
        for index, entry in enumerate(_maps(fields.get("index_permissions"))):
            query = entry.get("dls")
            # What the service fills in (`${user.roles}`) need not be JSON yet.
            if isinstance(query, str) and query and "${" not in query and not _is_object(query):
                path = ("index_permissions", index, "dls")
                yield Fault("wrong-value", path, "not a query as JSON text", 'such as {"term": {"public": true}}')

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The action groups and tenants it names."""
        fields = desired.fields
        allowed = [entry.get("allowed_actions") for entry in _maps(fields.get("index_permissions"))]
        for action in _named(fields.get("cluster_permissions"), *allowed):
            yield Address("action_groups", action)
        for tenant in _named(*(entry.get("tenant_patterns") for entry in _maps(fields.get("tenant_permissions")))):
            yield Address("tenants", tenant)

    def shuts_out(self, change: Change, caller: Caller) -> str:
        lost = change.action is Action.DELETE and change.address.name in caller.roles
        if not lost or "all_access" in caller.roles:
            return ""
        return f"{caller.user}, which is you, would lose what it allows"


def _maps(value: Value) -> list[Mapping[str, Value]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def _named(*lists: Value) -> Iterable[str]:
    return dict.fromkeys(entry for one in lists for entry in entries(one))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


KIND = SecurityRoles
