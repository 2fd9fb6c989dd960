"""What a change of a policy means, in sentences: which statement, action, principal or resource comes or goes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reconciler.canonical.policy.reach import covers
from reconciler.model.change import FieldChange
from reconciler.render.values import plain

_SIGNS: Mapping[str, str] = {"+ ": "added", "- ": "removed", "~ ": "changed"}
_ELEMENTS: Mapping[str, str] = {
    "Action": "action",
    "NotAction": "excluded action",
    "Resource": "resource",
    "NotResource": "excluded resource",
    "Principal": "principal",
    "NotPrincipal": "excluded principal",
    "Condition": "condition",
    "Effect": "effect",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that a change means. `sign` is `+`, `-` or `~`; `parts` are what it consists of."""

    sign: str
    text: str
    widens: bool = False
    parts: tuple["Sentence", ...] = ()


def sentences(fields: Sequence[FieldChange]) -> Iterator[Sentence]:
    """What the differences inside one policy document mean, statement by statement."""
    for label, group in groupby(fields, key=lambda field: field.text):
        found = list(group)
        widens = any(field.widens for field in found)
        word = _SIGNS.get(label[:2])
        if word:
            yield Sentence(label[0], f"statement {word}: {label[2:]}", widens)
        else:
            by_path = groupby(found, key=lambda field: field.path)
            parts = tuple(part for path, ones in by_path for part in _parts(str(path[-1]), list(ones)))
            yield Sentence("~", f"statement changed: {label}" if label else "policy changed", widens, parts)


def _parts(path: str, fields: Sequence[FieldChange]) -> Iterator[Sentence]:
    """What happens to one element. An entry that covers one that goes widens it, and one that is covered narrows it."""
    words = [word for word in path.split(".") if not word.startswith("Statement")]
    element = words[0] if words else "document"
    what = " ".join([_ELEMENTS.get(element, element), *(words[1:] if element == "Condition" else ())])
    gone = [plain(field.before) for field in fields if field.after is None]
    new = [plain(field.after) for field in fields if field.before is None]
    wider, narrower = ("narrowed", "widened") if element.startswith("Not") else ("widened", "narrowed")
    if element != "Condition":
        for entry in list(new):
            covered = [old for old in gone if covers(entry, old) or covers(old, entry)]
            if covered:
                word = wider if all(covers(entry, old) for old in covered) else narrower
                yield Sentence("~", f"{what} {word}: {', '.join(covered)} \u2192 {entry}")
                new.remove(entry)
                gone = [old for old in gone if old not in covered]
    yield from (Sentence("-", f"{what} removed: {entry}") for entry in gone)
    yield from (Sentence("+", f"{what} added: {entry}") for entry in new)
    for field in fields:
        if field.before is not None and field.after is not None:
            yield Sentence("~", f"{what} changed: {plain(field.before)} \u2192 {plain(field.after)}")
