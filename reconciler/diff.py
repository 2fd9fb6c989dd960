"""The one comparison: what differs between an object's desired, applied and live versions.

`plan`, `apply`'s last look, `drift`, `export` and `destroy` all ask here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from reconciler.canonical import policy
from reconciler.canonical.json import Json, canonical_text
from reconciler.manifest.templates import Template, Value
from reconciler.model.change import FieldChange, Path
from reconciler.model.membership import Membership, complete, entries, membership
from reconciler.model.schema import Rule, Schema, is_known

_NOTHING: Mapping[str, Json] = {}
_ANY = Rule({})


@dataclass(frozen=True, slots=True)
class Versions:
    """What is compared: the desired fields (references filled in as far as known), the live ones, the ledger's.

    `applied` is None without a row. `prior` and `others` are, by field, the entries of shared lists that were there
    before us and that others count on (a field they state without entries is there too). `rotated` names secrets whose
    value is not the one last sent.
    """

    desired: Mapping[str, Value]
    live: Mapping[str, Json]
    applied: Mapping[str, Json] | None = None
    prior: Mapping[str, Json] = field(default_factory=dict)
    others: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rotated: frozenset[str] = frozenset()


def differences(schema: Schema, versions: Versions, ignore: Sequence[str] = ()) -> tuple[FieldChange, ...]:
    """The differences between what is live and what is desired, field by field in the schema's order.

    A field the manifest is silent about is not compared, unless it was applied before (then it is to be what
    absence means) or the schema calls it exclusive. `ignore` are patterns of paths to leave alone
    (`tags.*`, `inline_policies.other-*`).
    """
    found: list[FieldChange] = []
    for name in _names(schema, versions):
        found += _field(schema, name, versions)
    return tuple(change for change in found if not _ignored(change.path, ignore))


def replacement(schema: Schema, changes: Sequence[FieldChange], desired: Mapping[str, Value]) -> str:
    """Why the changes need a new object rather than an update, or ""."""
    for change in changes:
        name, rule = change.field, schema.rule.member(change.field)
        if name in schema.create_only:
            return f"{name} can not be changed"
        merging = [end for end in range(1, len(change.path)) if schema.rule.at(change.path[:end]).merge]
        if merging and change.after is None:
            return f"the service can not remove keys from {dotted(change.path[: merging[0]])}"
        unset = change.after is None and len(change.path) == 1 and name not in desired
        if unset and not (rule.has_default or rule.additive or schema.shared):
            return f"{name} can not be unset"
    return ""


def mirrored(
    schema: Schema, changes: Sequence[FieldChange], applied: Mapping[str, Json], live: Mapping[str, Json]
) -> tuple[FieldChange, ...]:
    """Differences the other way round: what became of what was applied. `changes` lead from `live` to `applied`."""
    found: list[FieldChange] = []
    policies: set[Path] = set()
    for change in changes:
        root = policy_path(schema, change.path)
        if not root:
            found.append(_changed(change.path, schema.rule.at(change.path), change.after, change.before))
        elif root not in policies:
            policies.add(root)
            found += _policy(root, at(applied, root), at(live, root))
    return tuple(found)


def policy_path(schema: Schema, path: Path) -> Path:
    """The path of the policy document that a path is, or leads into; () where it is none."""
    return next((path[:end] for end in range(1, len(path) + 1) if schema.rule.at(path[:end]).compare == "policy"), ())


def at(fields: Mapping[str, Json], path: Path) -> Json:
    """The value at a path; None where there is none."""
    value: Json = fields
    for part in path:
        value = value.get(str(part)) if isinstance(value, Mapping) else None
    return value


def kept(
    schema: Schema, fields: Mapping[str, Value], live: Mapping[str, Json], ignore: Sequence[str]
) -> Mapping[str, Value]:
    """The fields to send: as desired, and as they are live where the manifest ignores what they are.

    What the service never shows is sent as desired. What is compared in a form of its own, by whose words the manifest
    ignores it, is sent in that form.
    """
    if not ignore:
        return fields
    never_shown = {name: fields[name] for name in schema.write_only if name in fields}
    wanted, present = (_formed(schema, one) for one in (fields, live))
    return {**_kept((), wanted, present, ignore), **never_shown}


def _formed(schema: Schema, fields: Mapping[str, Value]) -> Mapping[str, Value]:
    members = schema.rule.members
    formed = {name for name in fields if name in members and members[name].additive and members[name].compare}
    return {name: members[name].canonical(one) if name in formed else one for name, one in fields.items()}


def _kept(
    path: Path, wanted: Mapping[str, Value], live: Mapping[str, Value], ignore: Sequence[str]
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in dict.fromkeys((*wanted, *live)):
        here = (*path, name)
        if _ignored(here, ignore):
            found |= {name: live[name]} if name in live else {}
        elif name in wanted:
            found[name] = _kept_inside(here, wanted[name], live.get(name), ignore)
        elif isinstance(inner := live[name], Mapping) and (left := _kept(here, {}, inner, ignore)):
            found[name] = left
    return found


def _kept_inside(path: Path, wanted: Value, live: Value, ignore: Sequence[str]) -> Value:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return _kept(path, wanted, live, ignore)
    if isinstance(wanted, list) and isinstance(live, list):
        pairs = enumerate(zip(wanted, live, strict=False))
        inner = [
            present if _ignored((*path, index), ignore) else _kept_inside((*path, index), one, present, ignore)
            for index, (one, present) in pairs
        ]
        return [*inner, *wanted[len(inner) :]]
    return wanted


def dotted(path: Path) -> str:
    """A path as people write it: `actions[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _names(schema: Schema, versions: Versions) -> list[str]:
    members = schema.rule.members
    names = {*versions.desired, *(versions.applied or _NOTHING), *schema.exclusive} - schema.not_compared
    return sorted(names, key=lambda name: (schema.order.get(name, len(members)), name))


def _field(schema: Schema, name: str, versions: Versions) -> Iterator[FieldChange]:
    rule = schema.rule.member(name)
    applied = versions.applied or _NOTHING
    if name in schema.write_only:
        yield from list(_write_only(rule, name, versions)) or _resent(schema, name, versions)
        return
    live = versions.live.get(name)
    wanted = versions.desired.get(name, rule.default)
    if rule.additive and not isinstance(wanted, Mapping) and not isinstance(live, Mapping):
        yield from _list(name, rule, versions)
    elif rule.additive and rule.compare:
        there, stated, before = (_map(rule.canonical(_map(one))) for one in (live, wanted, applied.get(name)))
        yield from _stated((name,), _map(rule.whole(there)), stated, _map(rule.whole(stated)), before)
    elif rule.additive:
        yield from _entries((name,), rule, _map(live), _map(wanted), _map(applied.get(name)))
    elif name not in versions.desired and schema.shared:
        # Whoever changed it after us meant it, and others may state it too: only what is still as we left it, and
        # ours alone, goes back to what it was.
        if name not in versions.others and rule.canonical(live) == rule.canonical(applied.get(name)):
            yield from _value((name,), rule, live, versions.prior.get(name), _NOTHING)
    else:
        yield from _value((name,), rule, live, wanted, applied.get(name))


def _value(path: Path, rule: Rule, live: Value, wanted: Value, applied: Value) -> Iterator[FieldChange]:
    """Differences of one value. Templates in `wanted` are not known yet, and therefore different."""
    if live is None and rule.has_default:
        live = rule.default
    if wanted is None and rule.has_default:
        wanted = rule.default
    if live == wanted and repr(live) == repr(wanted):  # to Python 1 is True
        return
    if not is_known(wanted) and not isinstance(wanted, Mapping):
        yield FieldChange(path, live, wanted)
    elif rule.compare == "policy":
        yield from _policy(path, live, wanted)
    elif rule.compare == "settings":
        yield from _map_members(path, _ANY, *(_map(rule.canonical(_map(one))) for one in (live, wanted, applied)))
    elif isinstance(wanted, Mapping) and isinstance(live, Mapping):
        yield from _map_members(path, rule, live, wanted, _map(applied))
    elif isinstance(wanted, Sequence) and isinstance(live, Sequence) and not isinstance(wanted, str | Template):
        yield from _members(path, rule, live, wanted)
    elif rule.canonical(live) != rule.canonical(wanted):
        yield _changed(path, rule, live, wanted)


def _changed(path: Path, rule: Rule, before: Value, after: Value) -> FieldChange:
    """A difference, marked where the schema says that what comes or goes lets somebody do more."""
    widens = (rule.widens == "added" and after is not None) or (rule.widens == "removed" and before is not None)
    return FieldChange(path, before, after, widens=widens)


def _map_members(
    path: Path, rule: Rule, live: Mapping[str, Value], wanted: Mapping[str, Value], applied: Mapping[str, Value]
) -> Iterator[FieldChange]:
    # Of a structure with named members what is stated counts, or exclusive; a free map is meant as a whole.
    exclusive = [name for name, member in rule.members.items() if member.exclusive]
    names = dict.fromkeys((*wanted, *(applied if rule.members else live), *exclusive))
    for name in names:
        member = rule.member(name)
        if name in live or name in wanted:
            yield from _value((*path, name), member, live.get(name), wanted.get(name), applied.get(name))


def _members(path: Path, rule: Rule, live: Sequence[Value], wanted: Sequence[Value]) -> Iterator[FieldChange]:
    before, after = rule.canonical(live), rule.canonical(wanted)
    if before == after:
        return
    if not rule.ordered:
        missing, present = _by_text(rule, wanted), _by_text(rule, live)
        for text, value in present.items():
            if text not in missing:
                yield _changed(path, rule, value, None)
        for text, value in missing.items():
            if text not in present:
                yield _changed(path, rule, None, value)
        return
    from deepdiff import DeepDiff
    from deepdiff.helper import notpresent

    found = DeepDiff(before, after, view="tree", verbose_level=2)
    for one in sorted((leaf for leaves in found.values() for leaf in leaves), key=lambda leaf: str(leaf.path())):
        inner = tuple(one.path(output_format="list"))
        pair = (None if one.t1 is notpresent else one.t1, None if one.t2 is notpresent else one.t2)
        yield FieldChange((*path, *inner), *pair)


def _policy(path: Path, live: Value, wanted: Value) -> Iterator[FieldChange]:
    if not is_known(wanted) or not is_known(live):
        yield FieldChange(path, live, wanted)
        return
    for change in policy.compare(live, wanted).changes:
        if change.action == "changed" and change.differences:
            for one in change.differences:
                # Of a set only the entries that come or go are shown.
                pairs: list[tuple[Json, Json]] = [(gone, None) for gone in one.removed]
                pairs += [(None, new) for new in one.added]
                for before, after in pairs or [(one.before, one.after)]:
                    yield FieldChange((*path, one.path), before, after, text=change.label, widens=change.widens)
        else:
            sign = {"added": "+", "removed": "-", "changed": "~"}[change.action]
            before = change.label if change.action != "added" else None
            after = change.label if change.action != "removed" else None
            yield FieldChange(path, before, after, text=f"{sign} {change.label}", widens=change.widens)


def _list(name: str, rule: Rule, versions: Versions) -> Iterator[FieldChange]:
    desired = versions.desired.get(name)
    unknown = [one for one in desired if not is_known(one)] if isinstance(desired, Sequence) else []
    known = [one for one in desired if is_known(one)] if isinstance(desired, Sequence) else []
    present = entries(versions.live.get(name))
    change: Membership
    if versions.desired.get("membership") == "exclusive":
        change = complete(present, entries(known))
    else:
        applied = entries((versions.applied or _NOTHING).get(name))
        prior, others = entries(versions.prior.get(name)), versions.others.get(name, frozenset())
        change = membership(present, entries(known), applied, prior, others)
    for entry in sorted(change.remove):
        yield _changed((name,), rule, entry, None)
    for new in (*change.add, *unknown):
        yield _changed((name,), rule, None, new)


def _entries(
    path: Path, rule: Rule, live: Mapping[str, Value], wanted: Mapping[str, Value], applied: Mapping[str, Value]
) -> Iterator[FieldChange]:
    """A map of which only the stated keys are ours, each with all of its value."""
    present = {rule.names.canonical(key): value for key, value in live.items()}
    stated = {rule.names.canonical(key) for key in wanted}
    for key, value in wanted.items():
        before = present.get(rule.names.canonical(key))
        if rule.member(key).canonical(before) != rule.member(key).canonical(value):
            yield FieldChange((*path, key), before, value)
    for key in applied:
        if (name := rule.names.canonical(key)) not in stated and name in present:
            yield FieldChange((*path, key), present[name], None)


def _stated(
    path: Path,
    live: Mapping[str, Value],
    wanted: Mapping[str, Value],
    meant: Mapping[str, Value],
    applied: Mapping[str, Value],
) -> Iterator[FieldChange]:
    """Canonical maps of which only what is stated is ours, at any depth. `meant` is what `wanted` means as a whole."""
    for key in dict.fromkeys((*wanted, *applied)):
        before, after = live.get(key), wanted[key] if key in wanted else meant.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping) and key in wanted:
            yield from _stated((*path, key), before, after, _map(meant.get(key)), _map(applied.get(key)))
        elif before != after:
            yield FieldChange((*path, key), before, after)


def _write_only(rule: Rule, name: str, versions: Versions) -> Iterator[FieldChange]:
    """What the service never shows is compared with what was sent last."""
    wanted = _named(versions.desired.get(name))
    if versions.applied is None:
        if wanted is not None:
            yield FieldChange((name,), None, wanted, write_only=True)
        return
    for path, before, after in _parts(versions.applied.get(name), wanted):
        inner = rule.at(path)
        if inner.canonical(before) != inner.canonical(after):
            yield FieldChange((name, *path), before, after, write_only=True)
        elif isinstance(after, str) and any(f"${{secret.{secret}}}" in after for secret in versions.rotated):
            yield FieldChange((name, *path), before, after, text="the secret has another value", write_only=True)


def _parts(before: Value, after: Value) -> Iterator[tuple[Path, Value, Value]]:
    """What two values have of each member; of what has no members, the values themselves."""
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        old, new = _map(before), _map(after)
        for key in dict.fromkeys((*new, *old)):
            yield (key,), old.get(key), new.get(key)
    else:
        yield (), before, after


def _resent(schema: Schema, name: str, versions: Versions) -> Iterator[FieldChange]:
    """What is the same as was sent last, as far as can be told, and is to be sent again all the same."""
    sent = versions.desired.get(name)
    if versions.applied is None or sent is None:
        return
    for version in schema.versions[name]:
        rule = schema.rule.member(version)
        before, after = (rule.canonical(one.get(version)) for one in (versions.applied, versions.desired))
        if before != after:
            text = f"sent again: {version} is {_told(after)}, was {_told(before)}"
            yield FieldChange((name,), _named(sent), _named(sent), text=text, write_only=True)
            return


def _told(value: Value) -> str:
    return "not stated" if value is None else str(value)


def _named(value: Value) -> Value:
    """`value` with its secrets by name, as the ledger has them."""
    if isinstance(value, Template):
        only_secrets = all(reference.namespace == "secret" for reference in value.references)
        return str(value) if only_secrets else value
    if isinstance(value, Mapping):
        return {key: _named(member) for key, member in value.items()}
    return value


def _by_text(rule: Rule, values: Sequence[Value]) -> Mapping[str, Value]:
    canonical = [(rule.items.canonical(value), value) for value in values]
    return {canonical_text(form) if is_known(form) else repr(form): value for form, value in canonical}


def _ignored(path: Path, patterns: Sequence[str]) -> bool:
    text = dotted(path)
    heads = [".".join(str(part) for part in path[: length + 1]) for length in range(len(path))]
    return any(fnmatchcase(one, pattern) for pattern in patterns for one in (text, *heads))


def _map(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}
