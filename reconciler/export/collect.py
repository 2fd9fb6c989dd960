"""From what was found to what a manifest states: objects by address, the secrets to fill in, what is left out."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler import lint
from reconciler.canonical.json import Json, canonical_text
from reconciler.diff import dotted
from reconciler.errors import Problem, Severity
from reconciler.export.gather import Found
from reconciler.export.inverse import stated
from reconciler.export.links import Links
from reconciler.export.naming import addressed, secret_name
from reconciler.manifest.check import misfits
from reconciler.manifest.scalars import shortened
from reconciler.manifest.schema import Schemas
from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.change import Path
from reconciler.model.kind import Kind, Place
from reconciler.model.objects import Address, Desired, Live
from reconciler.model.schema import is_known
from reconciler.plan.plan import Context

_LISTED = 3
_HINT = "it stays as it is; a plan of the manifest neither changes nor removes it"


@dataclass(frozen=True, slots=True)
class Withheld:
    """A secret that has to be filled in: what it is called, where it is looked for, what it stands for."""

    name: str
    variable: str
    address: Address
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """What a manifest states of what was found.

    `warnings` are about what is left out, and about what a plan of the manifest will not take over.
    """

    context: Context
    objects: Mapping[Address, Mapping[str, Value]]
    secrets: Sequence[Withheld]
    warnings: Sequence[Problem]
    kept: int

    @property
    def counts(self) -> Mapping[str, int]:
        """How many objects there are of each kind."""
        return Counter(address.kind for address in self.objects)


def exported(found: Found, schemas: Schemas) -> Export:
    """What was found as a manifest states it: the next plan of who takes it over has nothing to change."""
    context = found.context
    warnings: list[Problem] = []
    lives: dict[Address, Live] = {}
    for name, seen in found.lives.items():
        for address, live in addressed(context.kinds[name], seen):
            if address is None:
                message = f"{live.name!r} can not be the name of an object of a manifest"
                warnings.append(_warning("left-out", message, name, _HINT))
            else:
                lives[address] = live
    secrets: list[Withheld] = []
    taken: set[str] = set()
    fields: dict[Address, dict[str, Value]] = {}
    for address, live in sorted(lives.items()):
        kind = context.kinds[address.kind]
        hidden = list(_withheld(kind, address, live, context.place, taken))
        secrets += hidden
        whole = {**_stated(kind, address, live), **_placeholders(hidden)}
        fields[address] = dict(sorted(whole.items(), key=lambda one: kind.schema.order.get(one[0], len(whole))))
    warnings += _fitted(fields, schemas, context.kinds)
    warnings += _sound(fields, context.kinds, context.place)
    objects = Links(context.kinds, context.place, {one: lives[one] for one in fields}).linked(fields)
    warnings += _contested(context, {one: lives[one] for one in objects})
    warnings += [
        _warning("hidden", f"others may be there, unseen ({why})", name, "export as somebody with all_access")
        for name, why in found.hidden.items()
    ]
    return Export(context, objects, [one for one in secrets if one.address in objects], warnings, found.kept)


def _stated(kind: Kind, address: Address, live: Live) -> dict[str, Json]:
    """What the manifest states of an object; its name where that is not the address's."""
    unsaid = {kind.schema.name_field, *kind.automatic(live)}
    fields = {name: one for name, one in stated(kind.schema, live.fields).items() if name not in unsaid}
    return fields if live.name == address.name else {kind.schema.name_field: live.name, **fields}


def _withheld(kind: Kind, address: Address, live: Live, place: Place, taken: set[str]) -> Iterator[Withheld]:
    for name, keys in kind.withheld(live, place).items():
        paths: list[tuple[str, ...]] = [(name, key) for key in keys]
        for path in paths or [(name,)]:
            secret = secret_name(address, path, taken)
            yield Withheld(secret, secret.upper(), address, path)


def _placeholders(secrets: Iterable[Withheld]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for one in secrets:
        place = Template((Reference("secret", one.name),))
        name, *keys = one.path
        inside = found.get(name)
        found[name] = {**(inside if isinstance(inside, Mapping) else {}), keys[0]: place} if keys else place
    return found


def _fitted(objects: dict[Address, dict[str, Value]], schemas: Schemas, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    """Take away what the schemas do not let be stated: a field that may be left out, else the object."""
    for address, path, keyword in _misfits(objects, schemas):
        fields, schema = objects[address], kinds[address.kind].schema
        required = schema.document.get("required", ())
        assert isinstance(required, Sequence)
        if path and path[0] in fields and path[0] not in (*required, schema.name_field):
            value = fields.pop(str(path[0]))
            told = shortened(canonical_text(value)) if is_known(value) else "a secret"
            message = f"{dotted(path)} can not be stated as it is ({keyword}): {told}"
            yield _warning("left-out", message, f"{address}.{path[0]}", "the next plan tells what that changes")
    for address, path, keyword in _misfits(objects, schemas):
        if objects.pop(address, None) is not None:
            message = f"{dotted(path) or 'it'} can not be stated as it is ({keyword})"
            yield _warning("left-out", message, str(address), _HINT)


def _misfits(objects: Mapping[Address, Mapping[str, Value]], schemas: Schemas) -> Sequence[tuple[Address, Path, str]]:
    sections: dict[str, dict[str, Value]] = defaultdict(dict)
    for address, fields in objects.items():
        sections[address.kind][address.name] = fields
    found = misfits(dict(sections), schemas)
    return [(Address(str(path[0]), str(path[1])), path[2:], keyword) for path, keyword in found]


def _sound(objects: dict[Address, dict[str, Value]], kinds: Mapping[str, Kind], place: Place) -> Iterator[Problem]:
    """Take away the objects in which `validate` would find something wrong, though the services have them so."""
    for address, fields in [*objects.items()]:
        problems = lint.problems({address: Desired(address, fields)}, kinds, place, lambda *_: None)
        for problem in problems:
            yield _warning("left-out", f"it can not be stated: {problem.message}", problem.address, _HINT)
        if problems:
            del objects[address]


def _contested(context: Context, lives: Mapping[Address, Live]) -> Iterator[Problem]:
    """What a plan will not take over: objects of one name, which it can not tell apart, and other manifests'."""
    named = Counter((address.kind, live.name) for address, live in lives.items())
    for (kind, name), number in named.items():
        if number > 1:
            message = f"{number} objects are called {name!r}, and a plan can not tell which is whose"
            yield _warning("ambiguous", message, kind, "rename all but one")
    rows = {(row.address.kind, row.id or row.name): row.manifest for row in context.ledger.others}
    owned: dict[str, list[str]] = defaultdict(list)
    for address, live in lives.items():
        owner = live.mark.partition("/")[0] or rows.get((address.kind, live.id or live.name), "")
        if owner and owner != context.manifest.name and not context.kinds[address.kind].schema.shared:
            owned[owner].append(str(address))
    for owner, theirs in owned.items():
        listed = ", ".join(theirs[:_LISTED]) + (f" and {len(theirs) - _LISTED:,} more" if theirs[_LISTED:] else "")
        hint = "a plan refuses to take over what is another manifest's"
        yield _warning("owned-by-other", f"these belong to the manifest {owner}: {listed}", "", hint)


def _warning(code: str, message: str, address: str, hint: str) -> Problem:
    return Problem(code, message, address=address, hint=hint, severity=Severity.WARNING)
