"""Users of OpenSearch Security's own database: who may sign in with a name and a password.

https://docs.opensearch.org/latest/security/access-control/api/#internal-users
"""

from collections.abc import Iterable

from reconciler.kinds._security import SecurityKind
from reconciler.model.change import Action, Change
from reconciler.model.kind import Caller, Siblings
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired

_ROLES = "opendistro_security_roles"


class InternalUsers(SecurityKind):
    """A user is known by the name he signs in with. His password's hash is shown as nothing, and never compared."""

    collection = "internalusers"
    noun = "a user"

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The roles he is given by name, which the service wants to be there."""
        for role in entries(desired.fields.get(_ROLES)):
            yield Address("security_roles", role)

    def shuts_out(self, change: Change, caller: Caller) -> str:
        if change.live is None or change.live.name != caller.user:
            return ""
        if change.action is Action.DELETE:
            return f"{caller.user} is the user you are"
        if "password" in change.changed_fields:
            return f"{caller.user} is the user you are, and would have another password in the middle of the apply"
        for one in change.fields:
            if one.field in ("backend_roles", _ROLES) and one.before is not None:
                return f"{caller.user}, which is you, would lose {one.before}"
        return ""


KIND = InternalUsers
