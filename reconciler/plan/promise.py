"""What a plan promises: to do what was shown and nothing else. What moved since is found by address and field."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from reconciler.canonical.json import Json, digest
from reconciler.diff import dotted
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.change import Action, Change, FieldChange, Path
from reconciler.model.kind import Kind
from reconciler.plan.plan import Context, Plan

_OURS = frozenset({"$template", "$literal"})
_VERBS: Mapping[str, str] = {
    Action.NO_OP: "left as it is",
    Action.CREATE: "created",
    Action.UPDATE: "changed",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
}
_PLACES = ("account_id", "region", "partition", "domain", "endpoint", "cluster", "ledger")


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference that a change shows.

    `digest` is that of both its values; `settling` says that the live one is one that passes by itself.
    """

    path: Path
    digest: str
    settling: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """What a change promises: its action, which object it is done to, each difference, the names that are removed."""

    action: str
    id: str = ""
    fields: tuple[Difference, ...] = ()
    removes: tuple[str, ...] = ()


def promises(plan: Plan) -> dict[str, Promise]:
    """What a plan promises, by address; that an object stays as it is included."""
    kinds = plan.context.kinds
    return {str(change.address): _promise(change, kinds.get(change.address.kind)) for change in plan.changes}


def place(context: Context) -> dict[str, str]:
    """Where a plan is made for: the account, the domain, the cluster, and the ledger by its own id."""
    found = {key: value for key, value in asdict(context.place).items() if key in _PLACES}
    return {**found, "cluster": context.cluster.uuid, "ledger": context.ledger.id}


def elsewhere(then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[str]:
    """What of the place is not what it was. A ledger that was not there yet may have been made meanwhile."""
    for key in _PLACES:
        before, after = then.get(key, ""), now.get(key, "")
        if before != after and (before or key != "ledger"):
            yield f"the plan is for the {key.removesuffix('_id')} {before or '(none)'}, and this is {after or '(none)'}"


def broken(then: Promise | None, now: Promise | None) -> str:
    """Why what would be done now is not what was shown, or "" where it is."""
    if then is None:
        return "it was not there when the plan was made"
    if now is None:
        return "it is gone since the plan was made"
    passing = {one.path for one in (*then.fields, *now.fields) if one.settling}
    then, now = _without(then, passing), _without(now, passing)
    if then.action == Action.CREATE and now.action != Action.CREATE:
        return "it is there by now"
    if then.id != now.id:
        return f"it is another object since the plan was made ({now.id or 'none'}, was {then.id or 'none'})"
    moved = [dotted(one.path) for one in (*then.fields, *now.fields) if (one in then.fields) != (one in now.fields)]
    if moved:
        return f"{', '.join(dict.fromkeys(moved))} changed since the plan was made"
    if gone := sorted(set(then.removes) ^ set(now.removes)):
        return f"{', '.join(gone)}, which it was, came or went since the plan was made"
    if then.action != now.action:
        return f"it would be {_VERBS.get(now.action, now.action)}, and was to be {_VERBS.get(then.action, then.action)}"
    return ""


def encode(value: Value) -> Json:
    """A value with its templates spelled out, so that text that looks like one is not taken for one."""
    if isinstance(value, Template):
        parts: list[Json] = [
            part if isinstance(part, str) else {"of": [part.namespace, part.name, part.attribute]}
            for part in value.parts
        ]
        return {"$template": parts}
    if isinstance(value, Mapping):
        members: Json = {key: encode(member) for key, member in value.items()}
        return {"$literal": members} if value.keys() & _OURS else members
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encode(member) for member in value]
    return value


def decode(value: Json) -> Value:
    """The inverse of `encode`."""
    if isinstance(value, Mapping):
        literal, parts = value.get("$literal"), value.get("$template")
        if isinstance(literal, Mapping):
            return {key: decode(member) for key, member in literal.items()}
        if isinstance(parts, list):
            return Template(tuple(part if isinstance(part, str) else Reference(*part["of"]) for part in parts))
        return {key: decode(member) for key, member in value.items()}
    if isinstance(value, list):
        return [decode(member) for member in value]
    return value


def _promise(change: Change, kind: Kind | None) -> Promise:
    action = change.action
    fields = change.fields
    if kind is not None and kind.schema.shared and action is Action.CREATE:
        # Whether others made it first is theirs to choose: what is promised are our entries.
        action = Action.UPDATE
        fields = tuple(entry for field in fields for entry in _entries(field, kind))
    return Promise(
        str(action),
        change.live.id if change.live else "",
        tuple(_difference(field, kind) for field in fields),
        tuple(stray.name for stray in change.strays),
    )


def _entries(field: FieldChange, kind: Kind) -> Iterable[FieldChange]:
    listed = field.after
    if not kind.schema.rule.member(field.field).additive or not isinstance(listed, list | tuple):
        return [field]
    return [FieldChange(field.path, None, entry) for entry in listed]


def _difference(field: FieldChange, kind: Kind | None) -> Difference:
    passing = kind.schema.rule.at(field.path).settling if kind is not None else frozenset()
    settling = isinstance(field.before, str) and field.before in passing
    return Difference(field.path, digest([encode(field.before), encode(field.after)]), settling)


def _without(promise: Promise, passing: Iterable[Path]) -> Promise:
    """The promise without the differences at these paths; nothing is left to do where they were all there was."""
    left = tuple(one for one in promise.fields if one.path not in passing)
    idle = promise.action == Action.UPDATE and promise.fields and not left and not promise.removes
    return Promise(str(Action.NO_OP) if idle else promise.action, promise.id, left, promise.removes)
