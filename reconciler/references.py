"""References between objects: which there are, what they are worth, and the order they ask for."""

import graphlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from operator import is_
from typing import TypeAlias

from reconciler.errors import Position, Problem
from reconciler.manifest.templates import Reference, Template, Value, references, replaced
from reconciler.model.kind import Kind, Place, Siblings
from reconciler.model.objects import Address, Desired

Lookup: TypeAlias = Callable[[Reference], str | None]
"""The value of a reference, or None while it is not known."""

Locate: TypeAlias = Callable[[Address, tuple[str | int, ...], Reference], Position | None]
"""Where a reference stands: the object, the field, the reference."""

Graph: TypeAlias = Mapping[Address, frozenset[Address]]
"""For each address, the addresses that have to be there before it."""


def resolve(value: Value, lookup: Lookup) -> Value:
    """`value` with every known reference replaced by its value. What is not known stays as it is."""
    return replaced(value, lambda template: _filled(template, lookup))


def _filled(template: Template, lookup: Lookup) -> str | Template:
    parts = [part if isinstance(part, str) else _known(part, lookup) for part in template.parts]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "".join(texts)
    return template if all(map(is_, parts, template.parts)) else Template(tuple(parts))


def resolved(desired: Desired, lookup: Lookup) -> Desired:
    """The object with every known reference replaced by its value."""
    if not desired.references:
        return desired
    return replace(desired, fields={name: resolve(value, lookup) for name, value in desired.fields.items()})


def _known(reference: Reference, lookup: Lookup) -> str | Reference:
    found = lookup(reference)
    return reference if found is None else found


def place_value(reference: Reference, place: Place) -> str | None:
    """The value of a `${target.x}` reference, or None where the target does not have it."""
    values = {
        "region": place.region,
        "account_id": place.account_id,
        "partition": place.partition,
        "domain_arn": place.domain_arn,
        "endpoint": place.endpoint,
    }
    return values.get(reference.name) or None


def graph(desired: Mapping[Address, Desired], kinds: Mapping[str, Kind], lookup: Lookup | None = None) -> Graph:
    """What each object needs first: by its references, its `depends_on`, and its kind's own rules.

    The rules compare values: `lookup` gives those that are known already.
    """
    known = {address: resolved(one, lookup) for address, one in desired.items()} if lookup else desired
    everything = Siblings(known.values())
    edges: dict[Address, frozenset[Address]] = {}
    for address, one in desired.items():
        named = {Address(r.namespace, r.name) for _, r in one.references if r.namespace in kinds}
        ruled = set(kinds[address.kind].depends_on(known[address], everything))
        needed = named | ruled | one.depends_on
        edges[address] = frozenset(other for other in needed if other in desired and other != address)
    return edges


def ordered(edges: Graph) -> list[Address]:
    """The addresses in dependency order, and by name where there is no other reason: the same on every run."""
    sorter = graphlib.TopologicalSorter(edges)
    sorter.prepare()
    order: list[Address] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order


def without_circles(edges: Graph) -> Graph:
    """The edges without those that close a circle."""
    left = {address: set(before) for address, before in edges.items()}
    while True:
        try:
            graphlib.TopologicalSorter(left).prepare()
        except graphlib.CycleError as error:
            first, second = error.args[1][:2]
            left[second].discard(first)
        else:
            return {address: frozenset(before) for address, before in left.items()}


def problems(desired: Mapping[Address, Desired], kinds: Mapping[str, Kind], locate: Locate) -> list[Problem]:
    """What is wrong between the objects of a manifest: unknown names and attributes, circles, two for one.

    `locate` gives the position of a reference inside an object.
    """
    found: list[Problem] = []
    for address, one in desired.items():
        for path, reference in one.references:
            unknown = _unknown(reference, desired, kinds) if reference.namespace in kinds else None
            if unknown is not None:
                message, hint = unknown
                where = locate(address, path, reference)
                found.append(Problem("unknown-reference", message, where, f"{address}.{path[0]}", hint))
        found += [
            Problem(
                "unknown-reference", f"depends_on names {needed}, which is not declared", one.position, str(address)
            )
            for needed in sorted(other for other in one.depends_on if other not in desired)
        ]
    return [*found, *_repeated(desired, kinds)] or _cycles(desired, kinds)


def unknown(value: Value, desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]) -> list[tuple[str, str]]:
    """What is wrong with references in a value that is no object's, each with what to do."""
    found = (_unknown(one, desired, kinds) for _, one in references(value) if one.namespace in kinds)
    return [one for one in found if one is not None]


def _repeated(desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    """Two addresses for one object of the service, or for one value that all objects of the kind share."""
    names: dict[tuple[str, str], Address] = {}
    values: dict[tuple[str, str], Address] = {}
    for address, one in desired.items():
        kind = kinds[address.kind]
        schema = kind.schema
        name = one.fields.get(schema.name_field, address.name)
        first = names.setdefault((address.kind, kind.key(name)), address) if isinstance(name, str) else address
        if first != address:
            message = f"{first} is called {name!r} already"
            yield Problem("repeated-object", message, one.position, str(address), "keep one of them")
        scalars = [field for field in one.fields if kind.one_at_a_time and not schema.rule.member(field).additive]
        for field in scalars:
            first = values.setdefault((address.kind, field), address)
            if first != address:
                message = f"{first} states it already"
                yield Problem("repeated-object", message, one.position, f"{address}.{field}", "keep one of them")


def _unknown(
    reference: Reference, desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]
) -> tuple[str, str] | None:
    """What is wrong with a reference to an object, and what to do; None where it is known."""
    target = Address(reference.namespace, reference.name)
    if target not in desired:
        names = [other.name for other in desired if other.kind == target.kind]
        return f"no object {target}", _near(reference.name, names)
    schema, fields = kinds[target.kind].schema, desired[target].fields
    if reference.attribute in fields or reference.attribute in schema.attributes:
        return None
    hint = _near(reference.attribute, [*schema.attributes, *fields]) or f"it has {', '.join(schema.attributes)}"
    return f"{target} has no attribute {reference.attribute!r}", hint


def _near(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _cycles(desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]) -> list[Problem]:
    try:
        graphlib.TopologicalSorter(graph(desired, kinds)).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
        text = " -> ".join(str(address) for address in reversed(circle))
        return [
            Problem(
                "reference-cycle", f"these refer to each other: {text}", desired[circle[0]].position, str(circle[0])
            )
        ]
    return []
