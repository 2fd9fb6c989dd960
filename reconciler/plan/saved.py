"""A plan in a file: all that is needed to carry it out later, and to see that nothing moved meanwhile.

The file's form is published as `schemas/formats/saved-plan.schema.json`, and what is read is checked against it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

from reconciler.canonical.json import Json
from reconciler.diff import dotted
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.load import (
    AwsTarget,
    BasicAuth,
    Documents,
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
from reconciler.manifest.moves import Moved
from reconciler.model.change import Path
from reconciler.model.objects import Address, Desired
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Plan
from reconciler.plan.promise import Difference, Promise, broken, decode, elsewhere, encode, place, promises

VERSION = 1
KEY = "reconciler"
"""Under this key a saved plan has what `load` needs; the rest of the file is for people and other tools."""

_AGAIN = "make the plan again"
_MOST = 20
_Locate = Callable[[Path], Position | None]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds: the manifest without its objects, the objects, what was allowed, what was shown, and where.

    `ledger` is the file of the ledger, None where it is on the domain.
    """

    manifest: Manifest
    desired: Mapping[Address, Desired]
    permissions: Permissions
    ledger: FilePath | None
    place: Mapping[str, str]
    expected: Mapping[str, Promise]


def dump(
    plan: Plan, desired: Mapping[Address, Desired], permissions: Permissions, ledger: FilePath | None = None
) -> Json:
    """The plan as JSON for `load`. `desired` are the objects before anything live was filled in."""
    manifest = plan.context.manifest
    return {
        "version": VERSION,
        "manifest": manifest.name,
        "place": place(plan.context),
        "ledger": str(ledger.absolute()) if ledger is not None else None,
        "target": _target(manifest.target),
        "secrets": {name: _source(source) for name, source in manifest.secrets.items()},
        "secret_positions": {name: asdict(position) for name, position in manifest.secret_positions.items()},
        "queries": [
            {"name": one.name, "kind": one.kind, "body": encode(one.body), "position": asdict(one.position)}
            for one in manifest.verify
        ],
        "documents": [
            {"name": one.name, "stated": encode(one.stated), "position": asdict(one.position)}
            for one in manifest.documents
        ],
        "moved": [{"from": one.old, "to": one.new} for one in manifest.moved],
        "objects": [_object(one) for one in desired.values()],
        "permissions": {
            "adopt": sorted(str(address) for address in permissions.adopt),
            "adopt_all": permissions.adopt_all,
            "include_adopted": permissions.include_adopted,
            "max_deletes": permissions.max_deletes,
            "allow_lockout": permissions.allow_lockout,
            "only": None if permissions.only is None else sorted(str(address) for address in permissions.only),
        },
        "expected": {address: _promise(one) for address, one in promises(plan).items()},
    }


def load(document: Json, file: str, schema: Mapping[str, Json], locate: _Locate = lambda path: None) -> Saved:
    """The saved plan in a decoded JSON file. ReconcilerError when it is none, broken, or of a newer version.

    `schema` is that of saved plans; `locate` gives the place of a value in the file.
    """
    inner = document.get(KEY) if isinstance(document, Mapping) else None
    version = inner.get("version") if isinstance(inner, Mapping) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ReconcilerError([Problem("bad-plan", f"{file} is not a saved plan", hint="make one with plan --out")])
    if version > VERSION:
        message = f"{file} has format {version}; this version reads up to {VERSION}"
        hint = "use the version that made it, or make the plan again"
        raise ReconcilerError([Problem("bad-plan", message, locate((KEY, "version")), hint=hint)])
    faults = list(islice(_faults(document, schema), _MOST))
    if faults:
        raise ReconcilerError(_problem(path, what, file, locate) for path, what in faults)
    return _load(inner)


def stale(saved: Saved, plan: Plan) -> list[Problem]:
    """What a plan made now would do otherwise than the saved one: by address and field."""
    now = promises(plan)
    found = [("", why) for why in elsewhere(saved.place, place(plan.context))]
    found += [
        (address, broken(saved.expected.get(address), now.get(address)))
        for address in dict.fromkeys((*saved.expected, *now))
    ]
    return [Problem("stale-plan", why, address=address, hint=_AGAIN) for address, why in found if why]


def _faults(document: Json, schema: Mapping[str, Json]) -> Iterator[tuple[Path, str]]:
    """Where the document is not of the published form, and why."""
    from jsonschema import Draft202012Validator

    try:
        for error in Draft202012Validator(schema).iter_errors(document):
            yield tuple(error.absolute_path), _wrong(error)
    except RecursionError:
        yield (), "nested too deeply"


def _wrong(error: Any) -> str:
    """What a jsonschema.ValidationError says, in words that show no value."""
    rule, expected, value = error.validator, error.validator_value, error.instance
    if rule == "required":
        return f"there is no {', '.join(name for name in expected if name not in value)}"
    if rule == "type":
        return f"not of type {expected if isinstance(expected, str) else ' or '.join(expected)}"
    if rule == "additionalProperties":
        known = error.schema.get("properties", {})
        return f"unknown keys: {', '.join(sorted(value.keys() - known.keys()))}"
    return f"not as the schema of saved plans has it ({rule})"


def _problem(path: Path, what: str, file: str, locate: _Locate) -> Problem:
    position = locate(path)
    message = f"{file} is not a plan that can be applied: {what}" if position is None else what
    return Problem("bad-plan", message, position, dotted(path), _AGAIN)


def _target(target: Target) -> Json:
    opensearch = target.opensearch
    return {
        "aws": asdict(target.aws) if target.aws else None,
        "opensearch": {
            "endpoint": opensearch.endpoint,
            "domain": opensearch.domain,
            "auth": _auth(opensearch.auth),
            "ca_file": opensearch.ca_file,
            "verify_certs": opensearch.verify_certs,
            "timeout": opensearch.timeout,
        }
        if opensearch
        else None,
    }


def _auth(auth: SigV4Auth | BasicAuth | None) -> Json:
    if isinstance(auth, BasicAuth):
        return {"username": auth.username, "password": _source(auth.password) if auth.password else None}
    return "sigv4" if auth else None


def _source(source: SecretSource) -> Json:
    """Where a secret is kept, as manifests say it."""
    match source:
        case EnvironmentSecret(variable):
            return {"env": variable}
        case FileSecret(path):
            return {"file": path}
        case ManagedSecret(secret_id, key):
            return {"secretsmanager": {"secret_id": secret_id, **({"key": key} if key else {})}}


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


def _promise(one: Promise) -> Json:
    fields: list[Json] = [
        {"path": list(field.path), "digest": field.digest, "settling": field.settling} for field in one.fields
    ]
    return {"action": one.action, "id": one.id, "fields": fields, "removes": list(one.removes)}


def _load(inner: Any) -> Saved:
    """What a document says that keeps to the schema."""
    allowed, aws, ledger = inner["permissions"], inner["target"]["aws"], inner["ledger"]
    manifest = Manifest(
        name=inner["manifest"],
        target=Target(AwsTarget(**aws) if aws else None, _loaded_opensearch(inner["target"]["opensearch"])),
        objects=(),
        secrets={name: _loaded_source(source) for name, source in inner["secrets"].items()},
        verify=tuple(
            Query(one["name"], one["kind"], _mapping(one["body"]), Position(**one["position"]))
            for one in inner["queries"]
        ),
        files=(),
        moved=tuple(Moved(one["from"], one["to"]) for one in inner["moved"]),
        secret_positions={name: Position(**position) for name, position in inner["secret_positions"].items()},
        documents=tuple(
            Documents(one["name"], _mapping(one["stated"]), Position(**one["position"]))
            for one in inner.get("documents", ())
        ),
    )
    permissions = Permissions(
        _addresses(allowed["adopt"]),
        allowed["adopt_all"],
        allowed["include_adopted"],
        allowed["max_deletes"],
        allowed["allow_lockout"],
        None if allowed["only"] is None else _addresses(allowed["only"]),
    )
    return Saved(
        manifest,
        {one.address: one for one in map(_loaded_object, inner["objects"])},
        permissions,
        FilePath(ledger) if ledger is not None else None,
        inner["place"],
        {address: _loaded_promise(one) for address, one in inner["expected"].items()},
    )


def _loaded_object(one: Any) -> Desired:
    lifecycle = one["lifecycle"]
    return Desired(
        Address.parse(one["address"]),
        _mapping(one["fields"]),
        _addresses(one["depends_on"]),
        one["adopt"],
        Lifecycle(lifecycle["on_remove"], lifecycle["prevent_destroy"], tuple(lifecycle["ignore"])),
        Position(**one["position"]) if one["position"] else None,
    )


def _loaded_promise(one: Any) -> Promise:
    fields = [Difference(tuple(field["path"]), field["digest"], field["settling"]) for field in one["fields"]]
    return Promise(one["action"], one["id"], tuple(fields), tuple(one["removes"]))


def _loaded_opensearch(target: Any) -> OpenSearchTarget | None:
    if target is None:
        return None
    auth = target["auth"]
    if isinstance(auth, Mapping):
        source = auth["password"]
        auth = BasicAuth(auth["username"], _loaded_source(source) if source else None)
    return OpenSearchTarget(**{**target, "auth": SigV4Auth() if auth == "sigv4" else auth})


def _loaded_source(source: Any) -> SecretSource:
    if "env" in source:
        return EnvironmentSecret(source["env"])
    return FileSecret(source["file"]) if "file" in source else ManagedSecret(**source["secretsmanager"])


def _mapping(encoded: Json) -> Mapping[str, Any]:
    decoded = decode(encoded)
    return decoded if isinstance(decoded, Mapping) else {}


def _addresses(texts: Sequence[str]) -> frozenset[Address]:
    return frozenset(map(Address.parse, texts))
