"""Objects that were declared at another address before: the section `moved`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from reconciler.errors import Position, Problem


@dataclass(frozen=True, slots=True)
class Moved:
    """What was declared at `old` is declared at `new` now; both are `kind.name`.

    `path` and the positions are those of the entry in its file, for messages.
    """

    old: str
    new: str
    path: str = field(default="moved", compare=False)
    old_position: Position | None = field(default=None, compare=False, repr=False)
    new_position: Position | None = field(default=None, compare=False, repr=False)


def problems(moved: Sequence[Moved], declared: Mapping[str, Position], kinds: Sequence[str]) -> Iterator[Problem]:
    """Everything wrong with the entries; `declared` are the objects there are, by address."""
    onward: dict[str, Moved] = {}
    arrived: dict[str, Moved] = {}
    for one in moved:
        if strange := list(_kind_problems(one, kinds)):
            yield from strange
            continue
        if one.old in declared:
            hint = "remove it there, or remove this entry"
            yield _at_old(one, f"{one.old} is still declared at {declared[one.old]}", hint)
        if one.old in onward:
            yield _at_old(one, f"{one.old} is moved already", f"the first is at {onward[one.old].old_position}")
        if one.new in arrived:
            hint = f"the first is at {arrived[one.new].new_position}"
            yield _at_new(one, f"something else is moved to {one.new} already", hint)
        onward.setdefault(one.old, one)
        arrived.setdefault(one.new, one)
    circling: set[str] = set()
    for one in onward.values():
        if one.old in circling:
            continue
        if circle := _circle(one, onward):
            circling.update(circle)
            yield _at_old(one, f"these move in a circle: {' -> '.join(circle)}", "break the circle")
        elif one.new not in declared and one.new not in onward:
            near = get_close_matches(one.new, declared, 1)
            hint = f"did you mean {near[0]}?" if near else "declare it, or remove this entry"
            yield _at_new(one, f"no object {one.new}", hint)


def ends(moved: Sequence[Moved]) -> dict[str, str]:
    """For every address that was left, where its object is now, over all entries.

    Addresses come nearest first: of two that were left one after the other, the later one.
    """
    onward = {one.old: one for one in moved}
    found: dict[str, tuple[int, str]] = {}
    for one in moved:
        passed, new = {one.old}, one.new
        while new in onward and new not in passed:
            passed.add(new)
            new = onward[new].new
        found[one.old] = len(passed), new
    return {old: new for old, (_, new) in sorted(found.items(), key=lambda item: item[1][0])}


def _kind_problems(one: Moved, kinds: Sequence[str]) -> Iterator[Problem]:
    before, after = one.old.partition(".")[0], one.new.partition(".")[0]
    for kind, at in ((before, _at_old), (after, _at_new)):
        if kind not in kinds:
            near = get_close_matches(kind, kinds, 1)
            yield at(one, f"no kind {kind}", f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}")
    if before in kinds and after in kinds and before != after:
        yield _at_new(one, f"{one.old} can not become one of {after}", "an object stays of its kind")


def _circle(first: Moved, onward: Mapping[str, Moved]) -> list[str]:
    """The addresses from `first` back to itself; nothing where its way ends elsewhere."""
    passed, one = [first.old], first
    while one.new in onward and one.new not in passed:
        one = onward[one.new]
        passed.append(one.old)
    return [*passed, first.old] if one.new == first.old else []


def _at_old(one: Moved, message: str, hint: str) -> Problem:
    return Problem("bad-move", message, one.old_position, f"{one.path}.from", hint)


def _at_new(one: Moved, message: str, hint: str) -> Problem:
    return Problem("bad-move", message, one.new_position, f"{one.path}.to", hint)
