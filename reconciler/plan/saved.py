"""A plan in a file: all that is needed to carry it out later, and to see that nothing moved meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from reconciler.canonical.json import Json, canonical_text
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.load import (
    AwsTarget,
    BasicAuth,
    EnvironmentSecret,
    FileSecret,
    Lifecycle,
    ManagedSecret,
    Manifest,
    OpenSearchTarget,
    Query,
    SecretSource,
    SigV4Auth,
    Target,
)
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.change import Change
from reconciler.model.objects import Address, Desired
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Plan

VERSION = 1
KEY = "reconciler"
"""Under this key a saved plan has what `load` needs; the rest of the file is for people and other tools."""

_OURS = frozenset({"$template", "$literal"})


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds: the manifest without its objects, the objects, what was allowed, what was shown."""

    manifest: Manifest
    desired: Mapping[Address, Desired]
    permissions: Permissions
    expected: Mapping[str, Json]


def dump(plan: Plan, desired: Mapping[Address, Desired], permissions: Permissions) -> Json:
    """The plan as JSON for `load`. `desired` are the objects before anything live was filled in."""
    manifest = plan.context.manifest
    return {
        "version": VERSION,
        "manifest": manifest.name,
        "target": _target(manifest.target),
        "secrets": {name: {type(source).__name__: asdict(source)} for name, source in manifest.secrets.items()},
        "queries": [
            {"name": one.name, "kind": one.kind, "body": encode(one.body), "position": asdict(one.position)}
            for one in manifest.verify
        ],
        "objects": [_object(one) for one in desired.values()],
        "permissions": {
            "adopt": sorted(str(address) for address in permissions.adopt),
            "adopt_all": permissions.adopt_all,
            "include_adopted": permissions.include_adopted,
            "max_deletes": permissions.max_deletes,
            "allow_lockout": permissions.allow_lockout,
            "only": None if permissions.only is None else sorted(str(address) for address in permissions.only),
        },
        "expected": {str(change.address): signature(change) for change in plan.work},
    }


def load(text: Json, file: str) -> Saved:
    """The saved plan in a decoded JSON file. ReconcilerError when it is none, or of a newer version."""
    inner = text.get(KEY) if isinstance(text, Mapping) else None
    version = inner.get("version") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(version, int):
        raise ReconcilerError([Problem("bad-plan", f"{file} is not a saved plan", hint="make one with plan --out")])
    if version > VERSION:
        message = f"{file} has format {version}; this version reads up to {VERSION}"
        raise ReconcilerError(
            [Problem("bad-plan", message, hint="use the version that made it, or make the plan again")]
        )
    try:
        return _load(inner)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        message = f"{file} is damaged: {type(error).__name__}"
        raise ReconcilerError([Problem("bad-plan", message, hint="make the plan again")]) from error


def stale(saved: Saved, plan: Plan) -> list[Problem]:
    """What a plan made now would do otherwise than the saved one: by address and field."""
    now: Mapping[str, Json] = {str(change.address): signature(change) for change in plan.work}
    problems = []
    for address in dict.fromkeys((*saved.expected, *now)):
        then, current = saved.expected.get(address), now.get(address)
        if canonical_text(then) != canonical_text(current):
            what = _moved(then, current)
            message = (
                f"{what} changed since the plan was made" if current is not None else "it has been changed already"
            )
            problems.append(Problem("stale-plan", message, address=address, hint="make the plan again"))
    return problems


def signature(change: Change) -> Json:
    """What a change promises: its action, and each difference with both its values."""
    fields: list[Json] = [
        {"path": list(field.path), "before": encode(field.before), "after": encode(field.after)}
        for field in change.fields
    ]
    return {"action": str(change.action), "fields": fields}


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


def _moved(then: Json, now: Json) -> str:
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        return "the object"
    before = {canonical_text(one) for one in _fields(then)}
    after = {canonical_text(one) for one in _fields(now)}
    paths = [
        one["path"]
        for one in (*_fields(then), *_fields(now))
        if (canonical_text(one) in before) != (canonical_text(one) in after)
    ]
    return ", ".join(dict.fromkeys(".".join(str(part) for part in path) for path in paths)) or "the action"


def _fields(signed: Mapping[str, Json]) -> list[dict[str, list[str]]]:
    fields = signed.get("fields")
    return [one for one in fields if isinstance(one, dict)] if isinstance(fields, list) else []


def _target(target: Target) -> Json:
    opensearch = target.opensearch
    auth = opensearch.auth if opensearch else None
    return {
        "aws": asdict(target.aws) if target.aws else None,
        "opensearch": {
            "endpoint": opensearch.endpoint,
            "domain": opensearch.domain,
            "ca_file": opensearch.ca_file,
            "verify_certs": opensearch.verify_certs,
            "timeout": opensearch.timeout,
            "auth": "sigv4" if isinstance(auth, SigV4Auth) else "basic" if isinstance(auth, BasicAuth) else None,
            "username": auth.username if isinstance(auth, BasicAuth) else None,
            "password": {type(auth.password).__name__: asdict(auth.password)}
            if isinstance(auth, BasicAuth) and auth.password
            else None,
        }
        if opensearch
        else None,
    }


def _object(one: Desired) -> Json:
    return {
        "address": str(one.address),
        "fields": encode(one.fields),
        "depends_on": sorted(str(address) for address in one.depends_on),
        "adopt": one.adopt,
        "lifecycle": {
            "on_remove": one.lifecycle.on_remove,
            "prevent_destroy": one.lifecycle.prevent_destroy,
            "ignore": list(one.lifecycle.ignore),
        },
        "position": asdict(one.position) if one.position else None,
    }


def _load(inner: Mapping[str, Json]) -> Saved:
    objects, queries, target = inner["objects"], inner["queries"], inner["target"]
    permissions, secrets, expected = inner["permissions"], inner["secrets"], inner["expected"]
    assert isinstance(objects, list)
    assert isinstance(queries, list)
    assert isinstance(target, dict)
    assert isinstance(permissions, dict)
    assert isinstance(secrets, dict)
    assert isinstance(expected, dict)
    manifest = Manifest(
        name=str(inner["manifest"]),
        target=Target(AwsTarget(**target["aws"]) if target["aws"] else None, _opensearch(target["opensearch"])),
        objects=(),
        secrets={name: _source(source) for name, source in secrets.items()},
        verify=tuple(_query(one) for one in queries),
        files=(),
    )
    desired = {one.address: one for one in map(_desired, objects)}
    allowed = Permissions(
        frozenset(Address.parse(text) for text in permissions["adopt"]),
        permissions["adopt_all"] is True,
        permissions["include_adopted"] is True,
        permissions["max_deletes"],
        permissions["allow_lockout"] is True,
        None if permissions["only"] is None else frozenset(Address.parse(text) for text in permissions["only"]),
    )
    return Saved(manifest, desired, allowed, expected)


def _desired(one: Json) -> Desired:
    assert isinstance(one, dict)
    fields = decode(one["fields"])
    assert isinstance(fields, Mapping)
    lifecycle = one["lifecycle"]
    return Desired(
        Address.parse(one["address"]),
        fields,
        frozenset(Address.parse(text) for text in one["depends_on"]),
        one["adopt"] is True,
        Lifecycle(lifecycle["on_remove"], lifecycle["prevent_destroy"], tuple(lifecycle["ignore"])),
        Position(**one["position"]) if one["position"] else None,
    )


def _query(one: Json) -> Query:
    assert isinstance(one, dict)
    body = decode(one["body"])
    assert isinstance(body, Mapping)
    return Query(one["name"], one["kind"], body, Position(**one["position"]))


def _opensearch(target: Json) -> OpenSearchTarget | None:
    if not isinstance(target, dict):
        return None
    password = _source(target["password"]) if target["password"] else None
    known: Mapping[str, SigV4Auth | BasicAuth] = {
        "sigv4": SigV4Auth(),
        "basic": BasicAuth(target["username"], password),
    }
    auth = known.get(str(target["auth"]))
    return OpenSearchTarget(
        target["endpoint"], target["domain"], auth, target["ca_file"], target["verify_certs"], target["timeout"]
    )


def _source(source: Json) -> SecretSource:
    assert isinstance(source, dict)
    ((name, values),) = source.items()
    kinds: Mapping[str, type[SecretSource]] = {
        kind.__name__: kind for kind in (EnvironmentSecret, FileSecret, ManagedSecret)
    }
    return kinds[name](**values)
