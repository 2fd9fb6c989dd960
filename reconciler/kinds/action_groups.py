"""Action groups of OpenSearch Security: names for sets of actions, to be used in security roles.

https://docs.opensearch.org/latest/security/access-control/api/#action-groups
"""

from collections.abc import Iterable

from reconciler.kinds._security import SecurityKind
from reconciler.model.kind import Siblings
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired


class ActionGroups(SecurityKind):
    """A group is known by its name. It may hold other groups."""

    collection = "actiongroups"
    noun = "an action group"

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The groups it holds."""
        for action in entries(desired.fields.get("allowed_actions")):
            yield Address(self.name, action)


KIND = ActionGroups
