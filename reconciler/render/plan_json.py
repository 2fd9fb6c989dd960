"""A plan as JSON, in the shape of `terraform show -json`, so that policies and tools for that read it too.

https://developer.hashicorp.com/terraform/internals/json-format
"""

from collections.abc import Iterator, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Template, Value, references
from reconciler.model.change import Action, Change
from reconciler.model.schema import Schema
from reconciler.plan.plan import Plan
from reconciler.render.problems import problem_json
from reconciler.render.values import dotted, guarded

FORMAT_VERSION = "1.2"

_ACTIONS: Mapping[Action, tuple[str, ...]] = {
    Action.NO_OP: ("no-op",),
    Action.CREATE: ("create",),
    Action.UPDATE: ("update",),
    Action.REPLACE: ("create", "delete"),
    Action.DELETE: ("delete",),
    Action.ADOPT: ("update",),
    Action.FORGET: ("forget",),
}


def plan_json(plan: Plan, timestamp: str) -> dict[str, Json]:
    """The plan as JSON. No secret stands in it: they are references, and write-only fields are marked sensitive."""
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": timestamp,
        "manifest": plan.context.manifest.name,
        "target": {
            "account_id": plan.context.place.account_id,
            "region": plan.context.place.region,
            "domain": plan.context.place.domain,
            "endpoint": plan.context.place.endpoint,
            "version": plan.context.cluster.version,
        },
        "resource_changes": list(changes_json(plan)),
        "problems": [problem_json(problem) for problem in plan.problems],
        "applyable": bool(plan.work) and not plan.errored,
        "complete": not plan.errored,
        "errored": plan.errored,
    }


def changes_json(plan: Plan) -> Iterator[dict[str, Json]]:
    """Every change of a plan, no-ops included, in its order."""
    return (_change(plan, change) for change in plan.changes)


def change_actions(change: Change) -> list[Json]:
    """The actions of a change in Terraform's vocabulary. Replacing a name-keyed object deletes it first."""
    return list(_ACTIONS[change.action])


def _change(plan: Plan, change: Change) -> dict[str, Json]:
    kind = plan.context.kinds.get(change.address.kind)
    schema = kind.schema if kind is not None else None
    actions = change_actions(change)
    if change.action is Action.REPLACE and schema is not None and not schema.server_made_ids:
        actions.reverse()
    desired = change.desired.fields if change.desired is not None else None
    before = dict(change.live.fields) if change.live is not None else None
    position = change.position
    return {
        "address": str(change.address),
        **({"previous_address": str(change.moved_from)} if change.moved_from else {}),
        "type": change.address.kind,
        "name": change.address.name,
        "position": str(position) if position else None,
        "change": {
            "actions": actions,
            "before": before,
            "after": _shown(desired, schema) if desired is not None else None,
            "after_unknown": _marks(desired) if desired is not None else False,
            "before_sensitive": _sensitive(before, schema),
            "after_sensitive": _sensitive(desired, schema),
            "differences": [
                {
                    "path": dotted(field.path),
                    "before": known(guarded(field.before) if field.write_only else field.before),
                    "after": known(guarded(field.after) if field.write_only else field.after),
                    "text": field.text,
                    "widens": field.widens,
                    "write_only": field.write_only,
                }
                for field in change.fields
            ],
        },
        "adopts": change.action is Action.ADOPT,
        "action_reason": change.reason or None,
        "notes": list(change.notes),
        "disruption": change.disruption or None,
    }


def _shown(fields: Mapping[str, Value], schema: Schema | None) -> Json:
    hidden = schema.write_only if schema is not None else frozenset()
    return {name: known(guarded(value) if name in hidden else value) for name, value in fields.items()}


def known(value: Value) -> Json:
    """A value as JSON: null where it is not known before the apply, secrets by name."""
    if isinstance(value, Template):
        unknown = any(reference.namespace != "secret" for reference in value.references)
        return None if unknown else str(value)
    if isinstance(value, Mapping):
        return {key: known(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [known(member) for member in value]
    return value


def _marks(value: Value) -> Json:
    """The same shape with `true` where the value is not known yet, and nothing elsewhere."""
    if isinstance(value, Template):
        return any(reference.namespace != "secret" for _, reference in references(value))
    if isinstance(value, Mapping):
        marked = {key: _marks(member) for key, member in value.items()}
        return {key: mark for key, mark in marked.items() if mark not in (False, {}, [])}
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = [_marks(member) for member in value]
        return listed if any(mark not in (False, {}, []) for mark in listed) else []
    return False


def _sensitive(fields: Mapping[str, Value] | None, schema: Schema | None) -> Json:
    if fields is None or schema is None:
        return False
    return {name: True for name in fields if name in schema.write_only}
