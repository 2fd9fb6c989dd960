"""What a kind is told of one change, and the steps it answers with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from reconciler.diff import kept
from reconciler.manifest.templates import Value, references
from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Made, Work
from reconciler.model.request import Request, ServiceFailure, writes
from reconciler.model.steps import Call, Failed, Steps, Stopped
from reconciler.plan.decide import Sharing
from reconciler.plan.known import Attributes
from reconciler.plan.plan import Plan
from reconciler.references import resolved

T = TypeVar("T")

FAIL_FAST = 5.0
"""Seconds that a role may take to become assumable where none was made just before."""


def known_attributes(plan: Plan) -> Attributes:
    """What references to the plan's objects are worth before anything is done."""
    context = plan.context
    desired = {change.address: change.desired for change in plan.changes if change.desired is not None}
    attributes = Attributes(context.kinds, context.place, desired)
    for change in plan.changes:
        if change.live is not None and change.action is not Action.REPLACE:
            attributes.learn(change.address, change.live.attributes)
    return attributes


def filled(change: Change, attributes: Attributes) -> Mapping[str, Value]:
    assert change.desired is not None
    return resolved(change.desired, attributes.lookup).fields


def sharing(plan: Plan) -> Sharing:
    desired = [change.desired for change in plan.changes if change.desired is not None]
    return Sharing(plan.context, desired, [change.address for change in plan.changes if change.desired is None])


def told(
    plan: Plan,
    change: Change,
    attributes: Attributes,
    shared: Sharing,
    patience: float = FAIL_FAST,
    grace: float = 0.0,
) -> Work:
    """What the change's kind is told. Failed when a value is needed that is not known."""
    context = plan.context
    kind = context.kinds[change.address.kind]
    fields = filled(change, attributes) if change.desired else (change.row.applied if change.row else {})
    unknown = [reference for _, reference in references(fields) if reference.namespace != "secret"]
    if unknown:
        raise Failed("unknown-reference", f"{change.address} needs {unknown[0]}, which is not known")
    if change.desired is not None:
        name = kind.schema.service_name(change.address.name, fields)
        fields = kept(kind.schema, fields, change.live.fields if change.live else {}, change.desired.lifecycle.ignore)
    else:
        name, fields = (change.live.name if change.live else ""), {}
    return Work(
        change.address,
        name,
        context.place,
        fields,
        change.changed_fields,
        change.live,
        change.row,
        context.mark,
        shared.entries(change.address),
        _users(plan, change) if kind.schema.edited_in_use(fields) else frozenset(),
        patience,
        grace,
    )


def _users(plan: Plan, used: Change) -> frozenset[str]:
    """The ids of the manifest's objects that need one."""
    users = (one for one in plan.changes if used.address in plan.graph.get(one.address, ()))
    return frozenset(one.live.id for one in users if one.live is not None)


def write(kind: Kind, change: Change, work: Work) -> Steps[Made]:
    """The requests of one change, the ledger's apart."""
    if change.action is Action.DELETE:
        yield from kind.delete(work)
        return Made()
    if change.action is Action.REPLACE:
        if not beside(kind, change, work):
            assert change.live is not None
            yield from kind.delete(replace(work, name=change.live.name))
        return (yield from kind.create(work))
    if change.action is Action.CREATE:
        return (yield from kind.create(work))
    return (yield from kind.update(work))


def beside(kind: Kind, change: Change, work: Work) -> bool:
    """Whether a new object can be made while the old one is there: the service makes ids, or their names differ."""
    return kind.schema.server_made_ids or change.live is None or kind.key(change.live.name) != kind.key(work.name)


def noted(steps: Steps[T], written: list[Request]) -> Steps[T]:
    """Steps, with the writes noted that were carried out or may have been."""
    try:
        step = next(steps)
        while True:
            asked = [request for request in step.requests if writes(request)] if isinstance(step, Call) else []
            try:
                reply = yield step
            except Exception as error:
                written += [request for request in asked if not _refused(request, error)]
                step = steps.throw(error)
            else:
                answered = zip(step.requests, reply.answers, strict=True) if isinstance(step, Call) else ()
                written += [request for request, answer in answered if writes(request) and answer.ok]
                step = steps.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


def _refused(request: Request, error: Exception) -> bool:
    if isinstance(error, Stopped):
        return True
    return isinstance(error, ServiceFailure) and error.request is request and not error.may_have_happened
