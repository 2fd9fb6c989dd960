"""What is wrong with a manifest's objects that schemas can not say: policy documents, and the kinds' own checks."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from reconciler.canonical import policy
from reconciler.errors import Position, Problem
from reconciler.manifest.templates import Value, replaced
from reconciler.model.change import Path
from reconciler.model.kind import Fault, Kind, Place
from reconciler.model.objects import Address, Desired
from reconciler.model.schema import Rule

Locate: TypeAlias = Callable[[Address, Path], Position | None]
"""Where the value at a path of an object stands."""

_FLAVOURS: Mapping[str, policy.Flavour] = {"iam-trust-policy": "trust", "iam-policy": "identity"}
_LITERAL = ("a credential stands in the manifest as it is", "declare it under `secrets` and write ${secret.name}")
_ONLY: Mapping[str, tuple[str, str]] = {
    "managed": (
        "only Amazon OpenSearch Service has it",
        "remove it; where this is a domain of the service, state target.opensearch.domain",
    ),
    "self-managed": ("Amazon OpenSearch Service does not let it be set", "remove it"),
    "start": ("nodes take it from opensearch.yml when they start, and from nobody later", "remove it"),
}
_TRUST = (4096, "a trust policy may have 4,096 characters at the most, 2,048 unless the quota was raised")


def problems(
    desired: Mapping[Address, Desired], kinds: Mapping[str, Kind], place: Place, locate: Locate
) -> list[Problem]:
    """Everything wrong with the objects at a place, as far as the target tells it. `locate` says where values stand."""
    found = []
    for address, one in desired.items():
        kind = kinds[address.kind]
        written = (Fault("literal-secret", path, *_LITERAL) for path in _literals(kind, one.fields))
        misplaced = _misplaced(kind.schema.rule, one.fields, place)
        faults = [
            *_policies(kind.schema.rule, one.fields, ()), *written, *misplaced, *kind.check(one.fields, place)
        ]  # fmt: skip
        found += [
            Problem(fault.code, fault.message, locate(address, fault.path), _named(address, fault.path), fault.hint)
            for fault in faults
        ]
    return found


def _policies(rule: Rule, value: Value, path: Path) -> Iterator[Fault]:
    """The faults of every policy document inside a value."""
    if rule.formats.isdisjoint(_FLAVOURS):
        return
    form = str(rule.schema.get("format", ""))
    if form in _FLAVOURS:
        document = replaced(value, str)  # references as the text they are written in
        for fault in policy.check(document, _FLAVOURS[form]):
            yield Fault("bad-policy", (*path, *fault.path), fault.message, fault.hint)
        if form == "iam-trust-policy" and policy.size(document) > _TRUST[0]:
            yield Fault("iam-limit", path, f"the document has {policy.size(document):,} characters", _TRUST[1])
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _policies(rule.member(key), member, (*path, key))


def _misplaced(rule: Rule, fields: Mapping[str, Value], place: Place) -> Iterator[Fault]:
    """Fields that can not be set in this place, as far as it is known."""
    no = {"managed": place.self_managed, "self-managed": place.managed, "start": True}
    for name in fields:
        if no.get(only := rule.member(name).only):
            yield Fault("wrong-value", (name,), *_ONLY[only])


def _literals(kind: Kind, fields: Mapping[str, Value]) -> Iterator[Path]:
    """Text in write-only fields that is neither a reference nor an ARN: what may be a secret."""
    for name in kind.schema.write_only & fields.keys():
        value = fields[name]
        parts = [((name, key), one) for key, one in value.items()] if isinstance(value, Mapping) else [((name,), value)]
        for path, one in parts:
            if isinstance(one, str) and not one.startswith("arn:"):
                yield path


def _named(address: Address, path: Path) -> str:
    return f"{address}.{path[0]}" if path else str(address)
