"""Who proves that a new object works before others are pointed at it, and by which question."""

from collections.abc import Mapping

from reconciler.manifest.templates import Value, references
from reconciler.model.change import Action, Change
from reconciler.plan.known import Attributes
from reconciler.plan.plan import Plan
from reconciler.references import resolve

PROOF = "reconciler-proof-"
"""What the names of objects begin with that are made for a proof."""


def prover(plan: Plan, change: Change) -> Change | None:
    """Somebody who is pointed at what replaces `change`'s object, and can prove that it works."""
    for user in plan.pending:
        used = plan.context.kinds[user.address.kind].proves and change.address in plan.graph.get(user.address, ())
        changes = user.live is not None and user.action in (Action.UPDATE, Action.ADOPT)
        if used and changes and (change.action is Action.REPLACE or not _points(user, change)):
            return user
    return None


def question(plan: Plan, user: Change, attributes: Attributes) -> Value:
    """The body of the manifest's first query to `user` that is to succeed, None where there is none."""
    for query in plan.context.manifest.verify:
        asked = [reference for _, reference in references({"model": query.body.get("model")})]
        expect = query.body.get("expect")
        fails = isinstance(expect, Mapping) and expect.get("status", 200) != 200
        if not fails and any((one.namespace, one.name) == (user.address.kind, user.address.name) for one in asked):
            body = resolve(query.body.get("body"), attributes.lookup)
            return None if any(one.namespace != "secret" for _, one in references({"body": body})) else body
    return None


def _points(user: Change, change: Change) -> bool:
    """Whether a live object refers to the one at work already."""
    return user.live is not None and change.live is not None and change.live.id in user.live.fields.values()
