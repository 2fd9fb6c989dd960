"""References in place of literals: ARNs and ids of what is exported too, the account, the region, the domain."""

import graphlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from reconciler.manifest.templates import Reference, Template, Value
from reconciler.model.kind import Kind, Place
from reconciler.model.objects import Address, Desired, Live
from reconciler.references import graph

_ARN = re.compile(r"(?<![\w:/.${-])arn:[a-z-]+:[\w:/+=,.@-]+")
_PATTERN = ("*", "?", "$")
_WORD = re.compile(r"(?<![$\w-])[A-Za-z0-9_-]+")
_LEAST = 8
"""Characters of an attribute that is looked for: a shorter one may stand for something else."""

_TRUST = "iam-trust-policy"
_PROSE = frozenset({"description"})
_Parts: TypeAlias = list[str | Reference]


class Links:
    """What literals are worth a reference. `objects` are those that are exported, as they are live."""

    def __init__(self, kinds: Mapping[str, Kind], place: Place, objects: Mapping[Address, Live]) -> None:
        self._kinds = kinds
        self._place = place
        self._known = {
            value: Reference(address.kind, address.name, attribute)
            for address, live in objects.items()
            for attribute, value in live.attributes.items()
            if len(value) >= _LEAST
        }
        target = {"account_id": place.account_id, "region": place.region}
        self._target = {value: Reference("target", name) for name, value in target.items() if value}

    def linked(self, objects: Mapping[Address, Mapping[str, Value]]) -> dict[Address, dict[str, Value]]:
        """The objects with references in place of literals, as many as there can be without a circle."""
        found = {address: self._fields(address, fields, frozenset()) for address, fields in objects.items()}
        ruled = graph({address: Desired(address, fields) for address, fields in objects.items()}, self._kinds)
        denied = self._denied(ruled, {address: self._references(address, fields) for address, fields in found.items()})
        for address, targets in denied.items():
            found[address] = self._fields(address, objects[address], frozenset(targets))
        return found

    def _denied(
        self,
        ruled: Mapping[Address, frozenset[Address]],
        referred: Mapping[Address, Sequence[tuple[bool, Reference]]],
    ) -> dict[Address, set[Address]]:
        """By object, the others it may not refer to, lest there be a circle.

        A literal ARN that is known beforehand does as well elsewhere as a reference; an id does not.
        """
        edges = {address: set(needed) for address, needed in ruled.items()}
        costs: dict[tuple[Address, Address], int] = {}
        for address, references in referred.items():
            for trusts, reference in references:
                target = Address(reference.namespace, reference.name)
                known = self._kinds[target.kind].attributes(target.name, {}, self._place)
                cost = int(trusts) if reference.attribute in known else 2
                costs[address, target] = max(cost, costs.get((address, target), 0))
                edges[address].add(target)
        denied: dict[Address, set[Address]] = {}
        while circle := _circle(edges):
            breakable = [pair for pair in circle if pair in costs and pair[1] not in ruled[pair[0]]]
            if not breakable:
                break
            source, target = min(breakable, key=lambda pair: (costs[pair], pair))
            edges[source].discard(target)
            denied.setdefault(source, set()).add(target)
        return denied

    def _references(self, address: Address, fields: Mapping[str, Value]) -> list[tuple[bool, Reference]]:
        """The references to objects, each with whether it stands in a trust policy."""
        rule = self._kinds[address.kind].schema.rule
        return [
            (_TRUST in rule.at(path[:1]).formats, reference)
            for path, reference in Desired(address, fields).references
            if reference.namespace in self._kinds
        ]

    def _fields(self, address: Address, fields: Mapping[str, Value], denied: frozenset[Address]) -> dict[str, Value]:
        schema = self._kinds[address.kind].schema
        plain = _PROSE | {schema.name_field}
        refused = denied | {address}
        return {name: one if name in plain else self._value(one, refused) for name, one in fields.items()}

    def _value(self, value: Value, refused: frozenset[Address]) -> Value:
        if isinstance(value, str):
            return self._text(value, refused)
        if isinstance(value, Mapping):
            return {key: self._value(one, refused) for key, one in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, Template):
            return [self._value(one, refused) for one in value]
        return value

    def _text(self, text: str, refused: frozenset[Address]) -> str | Template:
        parts: _Parts = []
        at = 0
        for match in _ARN.finditer(text):
            parts += self._words(text[at : match.start()], refused)
            # What a wildcard follows is the beginning of ARNs, and not the one it looks like.
            whole = not text.startswith(_PATTERN, match.end())
            parts += self._arn(match[0], refused) if whole else self._begun(match[0], refused)
            at = match.end()
        parts += self._words(text[at:], refused)
        if not any(isinstance(part, Reference) for part in parts):
            return text
        return Template(tuple(_joined(parts)))

    def _arn(self, arn: str, refused: frozenset[Address]) -> Iterator[str | Reference]:
        reference = self._known.get(arn)
        if reference is not None and Address(reference.namespace, reference.name) not in refused:
            yield reference
        elif arn == self._place.domain_arn:
            yield Reference("target", "domain_arn")
        else:
            yield from self._begun(arn, refused)

    def _begun(self, arn: str, refused: frozenset[Address]) -> Iterator[str | Reference]:
        domain = self._place.domain_arn
        if domain and arn.startswith(f"{domain}/"):
            yield Reference("target", "domain_arn")
            arn = arn.removeprefix(domain)
        yield from self._words(arn, refused)

    def _words(self, text: str, refused: frozenset[Address]) -> Iterator[str | Reference]:
        at = 0
        for match in _WORD.finditer(text):
            reference = self._known.get(match[0]) or self._target.get(match[0])
            if reference is not None and Address(reference.namespace, reference.name) not in refused:
                yield text[at : match.start()]
                yield reference
                at = match.end()
        yield text[at:]


def _joined(parts: Iterable[str | Reference]) -> _Parts:
    """Literal text and references in turn."""
    found: _Parts = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return found


def _circle(edges: Mapping[Address, Iterable[Address]]) -> list[tuple[Address, Address]]:
    """The edges of a circle, each who needs and what is needed; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        nodes: list[Address] = error.args[1]
        return [(after, before) for before, after in pairwise(nodes)]
    return []
