"""What exported objects and their secrets are called in the manifest."""

import re
from collections.abc import Iterable, Iterator, Sequence

from reconciler.manifest.templates import is_name
from reconciler.model.kind import Kind
from reconciler.model.objects import Address, Live

_PLAIN = re.compile(r"[\w.@=+,-]+")
_OTHER = re.compile(r"[^a-z0-9]+")
_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")


def addressed(kind: Kind, lives: Iterable[Live]) -> Iterator[tuple[Address | None, Live]]:
    """Each object with its address, None where its name can not stand in a manifest, by name.

    Where a field states the name, an address is the name as far as that reads well in references; elsewhere it is the
    name, which is all there is to call the object by.
    """
    ordered = sorted(lives, key=lambda live: (live.name, live.id))
    if not kind.schema.name_field:
        for live in ordered:
            yield Address(kind.name, live.name) if is_name(live.name) else None, live
        return
    taken: set[str] = set()
    rest: list[Live] = []
    for live in ordered:
        if _reads_well(live.name) and live.name not in taken:
            taken.add(live.name)
            yield Address(kind.name, live.name), live
        else:
            rest.append(live)
    for live in rest:
        name = live.name if _reads_well(live.name) else _OTHER.sub("-", live.name.casefold()).strip("-")
        yield Address(kind.name, unused(name or kind.name, taken, "-")), live


def secret_name(address: Address, path: Sequence[str], taken: set[str]) -> str:
    """The name of a secret for one place of an object, which none of `taken` is; it is among them afterwards."""
    words = [part for one in (address.name, *(path[1:] or path)) for part in _NO_IDENTIFIER.split(one) if part]
    name = "_".join(words).casefold()
    return unused(name if name[:1].isalpha() else f"{address.kind}_{name}".rstrip("_"), taken, "_")


def unused(name: str, taken: set[str], joint: str) -> str:
    """The name, with a number behind it where it is taken; it is taken afterwards."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}{joint}{number}"
    taken.add(found)
    return found


def _reads_well(name: str) -> bool:
    return is_name(name) and _PLAIN.fullmatch(name) is not None
