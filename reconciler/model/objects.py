"""Objects in their three versions: desired (the manifest), live (the service), applied (the ledger)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.canonical.json import Json
from reconciler.errors import Position
from reconciler.manifest.load import Lifecycle
from reconciler.manifest.templates import Reference, Value, references


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """`kind.name`: what an object is called in manifests, messages, flags and the ledger."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address written as `kind.name`; ValueError when it is not of that form."""
        kind, dot, name = text.partition(".")
        if not (kind and dot and name):
            raise ValueError(f"{text!r} is not of the form kind.name")
        return cls(kind, name)


@dataclass(frozen=True)
class Desired:
    """An object as the manifest states it. Values not known yet are templates."""

    address: Address
    fields: Mapping[str, Value]
    depends_on: frozenset[Address] = frozenset()
    adopt: bool = False
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    position: Position | None = None

    @cached_property
    def references(self) -> tuple[tuple[tuple[str | int, ...], Reference], ...]:
        """The references in its fields, each with the path of the string it stands in."""
        return tuple(references(self.fields))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets in its fields."""
        return tuple(sorted({one.name for _, one in self.references if one.namespace == "secret"}))


@dataclass(frozen=True, slots=True)
class Live:
    """An object as read from its service, in the manifest's words.

    `name` is the service's name for it and `id` what tells it from an earlier one of that name (a server-made
    id, IAM's RoleId, or "" where names are all there is). `attributes` are what references may ask for.
    `mark` is the ownership mark the object itself carries (`<manifest>/<ledger id>`), where its kind has one.
    `guarded` says why the service would refuse to change it (reserved, static, service-linked), or "".
    `detail` is for the kind itself.
    """

    name: str
    id: str
    fields: Mapping[str, Json]
    attributes: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""
    guarded: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger knows of one owned object.

        `applied` are the fields as last applied (secrets as references); `prior` are, for shared objects, the
        values found there before the first apply, or None when the object did not exist; `fingerprints` maps a
        secret's name to its salted hash; `lifecycle` is what the manifest said of its end; `intent` is what was
        about to be done when nothing was heard since; its `sends` names the write-only fields that were to be sent.
    `moved_from` is the address under which the ledger still has it where the manifest moved it; `outdated` says that
    the ledger has it otherwise, so that it has to be written.
    """

    address: Address
    manifest: str
    id: str = ""
    name: str = ""
    applied: Mapping[str, Json] = field(default_factory=dict)
    prior: Mapping[str, Json] | None = None
    adopted: bool = False
    depends_on: tuple[str, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    intent: Mapping[str, Json] | None = None
    applied_at: str = ""
    moved_from: Address | None = None
    outdated: bool = False

    @property
    def meant(self) -> Mapping[str, Json]:
        """The fields of a write that was never heard of again."""
        fields = self.intent.get("fields") if self.intent is not None else None
        return fields if isinstance(fields, Mapping) else {}

    @property
    def meant_fingerprints(self) -> Mapping[str, str]:
        """The fingerprints of the secrets that such a write was to send, where it was to make the object."""
        found = self.intent.get("fingerprints") if self.intent is not None else None
        return {name: str(one) for name, one in found.items()} if isinstance(found, Mapping) else {}

    @property
    def names(self) -> tuple[str, ...]:
        """The service's names it may go by: as recorded, and as a write that was never heard of again called it."""
        meant = self.intent.get("name") if self.intent is not None else None
        return tuple(dict.fromkeys(name for name in (self.name, meant) if isinstance(name, str) and name))


@dataclass(frozen=True, slots=True)
class Sought:
    """An object to look for: by the ledger's id where there is one, else by the service's name for it.

    `fields` are the manifest's and the ledger's fields of it, for kinds that read only what is asked. `signers` are
    the ARNs of roles that may be shown it where the caller is not.
    """

    name: str
    id: str = ""
    fields: frozenset[str] = frozenset()
    signers: tuple[str, ...] = ()
