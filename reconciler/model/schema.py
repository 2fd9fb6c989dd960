"""A kind's schema as the engine reads it: which fields there are and how each behaves.

The words are CloudFormation's (`readOnlyProperties`, `writeOnlyProperties`, `createOnlyProperties`,
`primaryIdentifier`, `insertionOrder`) and a few of our own, all declared in `schemas/meta.schema.json`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeGuard

from reconciler.canonical import policy
from reconciler.canonical.json import Json, canonical_text
from reconciler.manifest.templates import Template, Value, holds_template
from reconciler.model import forms

_NOTHING: Mapping[str, Json] = {}


@dataclass(frozen=True)
class Rule:
    """How one field, at any depth, compares and behaves.

    `compare` is "policy", "string", "casefold", "settings", "mappings" or "" (as JSON); `ordered` is false for
    sets; `default` is what absence means where `has_default`; `exclusive` fields are compared even when the manifest
    is silent; `merge` marks maps whose keys the service can not remove; `additive` lists and maps belong to several
    owners; `local` fields are the reconciler's own and never sent; `resends` names the write-only field that is sent
    again when this one changes; `widens` is "added" or "removed" where what comes or goes lets somebody do more;
    `only` is "managed", "self-managed" or "start" where it can be set there alone;
    `settling` are values that the service leaves by itself; `names` is how the keys of a map compare.
    """

    schema: Mapping[str, Json]

    @cached_property
    def compare(self) -> str:
        return str(self.schema.get("compare", ""))

    @cached_property
    def ordered(self) -> bool:
        return self.schema.get("insertionOrder", True) is True

    @cached_property
    def has_default(self) -> bool:
        return "default" in self.schema

    @cached_property
    def default(self) -> Json:
        return self.schema.get("default")

    @cached_property
    def exclusive(self) -> bool:
        return self.schema.get("exclusive") is True

    @cached_property
    def merge(self) -> bool:
        return self.schema.get("merge") is True

    @cached_property
    def additive(self) -> bool:
        return self.schema.get("additive") is True

    @cached_property
    def local(self) -> bool:
        return self.schema.get("local") is True

    @cached_property
    def resends(self) -> str:
        return str(self.schema.get("resends", ""))

    @cached_property
    def widens(self) -> str:
        return str(self.schema.get("widens", ""))

    @cached_property
    def only(self) -> str:
        return str(self.schema.get("only", ""))

    @cached_property
    def settling(self) -> frozenset[str]:
        listed = self.schema.get("settling", ())
        return frozenset(str(one) for one in listed) if isinstance(listed, Sequence) else frozenset()

    @cached_property
    def members(self) -> Mapping[str, "Rule"]:
        properties = self.schema.get("properties")
        return {key: Rule(_mapping(value)) for key, value in _mapping(properties).items()}

    @cached_property
    def other_members(self) -> "Rule":
        return Rule(_mapping(self.schema.get("additionalProperties")))

    @cached_property
    def names(self) -> "Rule":
        return Rule(_mapping(self.schema.get("propertyNames")))

    @cached_property
    def items(self) -> "Rule":
        return Rule(_mapping(self.schema.get("items")))

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], "Rule"], ...]:
        patterns = _mapping(self.schema.get("patternProperties"))
        return tuple((re.compile(pattern), Rule(_mapping(value))) for pattern, value in patterns.items())

    @cached_property
    def formats(self) -> frozenset[str]:
        """The formats that the field and what is inside it may have."""
        if not self.schema:
            return frozenset()
        inside = (*self.members.values(), *(rule for _, rule in self.patterns), self.other_members, self.items)
        own = frozenset({str(self.schema["format"])}) if "format" in self.schema else frozenset()
        return own.union(*(rule.formats for rule in inside))

    def member(self, key: str) -> "Rule":
        """The rule of one key of a map."""
        if key in self.members:
            return self.members[key]
        return next((rule for pattern, rule in self.patterns if pattern.search(key)), self.other_members)

    def at(self, path: Sequence[str | int]) -> "Rule":
        """The rule of what stands at a path."""
        rule = self
        for part in path:
            rule = rule.items if isinstance(part, int) else rule.member(part)
        return rule

    def canonical(self, value: Value) -> Value:
        """The canonical form of `value`: equal forms mean the same to the service. Templates stay as they are."""
        if isinstance(value, Template):
            return value
        if self.compare == "policy":
            return policy.canonical(value) if is_known(value) else value
        if self.compare == "string":
            return forms.text(value)
        if self.compare == "settings" and isinstance(value, Mapping):
            return forms.settings(value)
        if self.compare == "mappings" and isinstance(value, Mapping):
            return forms.mappings(value)
        if self.compare == "casefold" and isinstance(value, str):
            return value.casefold()
        if isinstance(value, Mapping):
            members = {key: self.member(key).canonical(one) for key, one in value.items()}
            return {key: form for key, form in members.items() if not self.member(key).is_default(form)}
        if isinstance(value, Sequence) and not isinstance(value, str):
            listed = [self.items.canonical(member) for member in value]
            return listed if self.ordered else _as_set(listed)
        return value

    def whole(self, form: Value) -> Value:
        """A canonical form with what it means by silence, where that is more than nothing."""
        return forms.whole(form) if self.compare == "mappings" and isinstance(form, Mapping) else form

    def is_default(self, form: Value) -> bool:
        """Whether the canonical form `form` says what saying nothing does."""
        return self.has_default and form == self.canonical(self.default)


@dataclass(frozen=True)
class Schema:
    """The schema of one kind, with its fields' rules. `document` is the JSON Schema itself."""

    kind: str
    document: Mapping[str, Json] = field(repr=False)

    @cached_property
    def rule(self) -> Rule:
        """The rule of the object as a whole; its members are the fields' rules."""
        return Rule(self.document)

    @cached_property
    def read_only(self) -> frozenset[str]:
        return frozenset(path[0] for path in self.made_by_service if len(path) == 1)

    @cached_property
    def made_by_service(self) -> frozenset[tuple[str, ...]]:
        """The paths of what the service makes itself and nobody states: fields, and members of fields."""
        pointers = self.document.get("readOnlyProperties", ())
        assert isinstance(pointers, Sequence)
        return frozenset(tuple(str(one).split("/")[2:]) for one in pointers)

    @cached_property
    def write_only(self) -> frozenset[str]:
        return self._names("writeOnlyProperties")

    @cached_property
    def create_only(self) -> frozenset[str]:
        return self._names("createOnlyProperties")

    @cached_property
    def not_compared(self) -> frozenset[str]:
        """The fields that say nothing of what should be live."""
        return self.read_only | {name for name, rule in self.rule.members.items() if rule.local}

    @cached_property
    def exclusive(self) -> frozenset[str]:
        """The fields that are ours as a whole, stated or not."""
        return frozenset(name for name, rule in self.rule.members.items() if rule.exclusive)

    @cached_property
    def order(self) -> Mapping[str, int]:
        """The fields' places in the schema."""
        return {name: index for index, name in enumerate(self.rule.members)}

    @cached_property
    def name_field(self) -> str:
        """The field that holds the service's name of an object, or "" where that is the address's name."""
        names = self._names("primaryIdentifier") - self.read_only or self._names("additionalIdentifiers")
        return next(iter(names), "")

    @cached_property
    def server_made_ids(self) -> bool:
        """Whether objects are known by an id the service makes, so that names may repeat."""
        return bool(self._names("primaryIdentifier") & self.read_only)

    @cached_property
    def versions(self) -> Mapping[str, tuple[str, ...]]:
        """By write-only field, the fields that make it be sent again when they change."""
        members = self.rule.members.items()
        return {field: tuple(name for name, rule in members if rule.resends == field) for field in self.write_only}

    @cached_property
    def shared(self) -> bool:
        """Whether an object that exists already may be added to without owning it."""
        return self.document.get("shared") is True

    @cached_property
    def replaced_in_use(self) -> bool:
        """Whether any change of an object that others use means making a new one."""
        return self.document.get("replaceWhen") == "in-use"

    def edited_in_use(self, fields: Mapping[str, Value]) -> bool:
        """Whether the manifest wants an object edited although others use it."""
        return self.replaced_in_use and fields.get("update_strategy") == "in_place"

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The names a reference may ask for besides fields."""
        names = self.document.get("attributes", ())
        return tuple(str(name) for name in names) if isinstance(names, Sequence) else ()

    def service_name(self, name: str, fields: Mapping[str, Value]) -> str:
        """The service's name of the object called `name` in the manifest."""
        stated = fields.get(self.name_field) if self.name_field else None
        return stated if isinstance(stated, str) else name

    def _names(self, keyword: str) -> frozenset[str]:
        pointers = self.document.get(keyword, ())
        assert isinstance(pointers, Sequence)
        flat = [one for entry in pointers for one in (entry if isinstance(entry, list) else [entry])]
        return frozenset(str(pointer).rpartition("/")[2] for pointer in flat)


def is_known(value: Value) -> TypeGuard[Json]:
    """Whether `value` is plain JSON: no template stands anywhere inside it."""
    return not holds_template(value)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else _NOTHING


def _as_set(members: list[Value]) -> list[Value]:
    texts = {canonical_text(member) if is_known(member) else repr(member): member for member in members}
    return [texts[key] for key in sorted(texts)]
