"""What changes from one policy document to another, statement by statement, and whether it widens privileges."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from reconciler.canonical.json import Json, canonical_text
from reconciler.canonical.policy.document import (
    DEFAULT_VERSION,
    Leaf,
    Path,
    ShapeError,
    Statement,
    branches,
    canonical_statement,
    decode,
    equal_in,
    leaves,
    partitions,
    statements,
)
from reconciler.canonical.policy.reach import reaches_within

_SIMILAR = 0.25
_SHOWN = 3
_ABSENT = Leaf((), None, {})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs.

    `path` is its place as written in the later document, or in the earlier one where the later has none
    (`Statement[0].Principal.Service`). `before` and `after` are the values as written, None where there is none.
    `removed` and `added` are the entries of a set that only one side has, as written.
    """

    path: str
    before: Json
    after: Json
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatementChange:
    """What happens to one statement.

    `label` says what it is about (`allow s3:GetObject on arn:...`), or `policy document` for what stands outside
    the statements. `widens` tells that somebody may do afterwards what he could not do before.
    """

    action: Literal["added", "removed", "changed"]
    label: str
    differences: tuple[Difference, ...]
    widens: bool


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """The changes between two documents, in the order of the later one, removals last. None if they are equal."""

    equal: bool
    changes: tuple[StatementChange, ...]

    @property
    def widens(self) -> bool:
        """Whether any of the changes widens privileges."""
        return any(change.widens for change in self.changes)


def compare(a: Json, b: Json) -> PolicyDiff:
    """How the meaning of a policy changes from `a` to `b`; None stands for no policy at all.

    A document without the shape of a policy can not be judged: any difference from it is one change that widens.
    """
    before, after = decode(a), decode(b)
    candidates = partitions(before, after)
    if any(equal_in(partition, before, after) for partition in candidates):
        return PolicyDiff(equal=True, changes=())
    try:
        changes = tuple(_changes(before, after, candidates[-1]))
    except ShapeError:
        return PolicyDiff(equal=False, changes=(_whole(before, after, widens=True),))
    return PolicyDiff(equal=False, changes=changes or (_whole(before, after, widens=False),))


def _whole(before: Json, after: Json, *, widens: bool) -> StatementChange:
    return StatementChange("changed", "policy document", (Difference("", before, after),), widens)


@dataclass(frozen=True)
class _Placed:
    """A statement and where it stands in its document."""

    path: Path
    written: Json
    leaves: Statement

    @cached_property
    def form(self) -> str:
        return canonical_text(canonical_statement(self.leaves))

    @cached_property
    def atoms(self) -> frozenset[tuple[Path, str]]:
        return frozenset((path, entry) for path, leaf in self.leaves.items() for entry in _entries(leaf))

    def allows(self) -> bool:
        return self.text("Effect") == "Allow"

    def denies(self) -> bool:
        return self.text("Effect") == "Deny"

    def text(self, element: str) -> str:
        leaf = self.leaves.get((element,))
        return leaf.value if leaf is not None and isinstance(leaf.value, str) else ""


def _changes(before: Json, after: Json, partition: str) -> Iterator[StatementChange]:
    old, new = _placed(before, partition), _placed(after, partition)
    if before is not None and after is not None:
        yield from _outside(before, after)
    pairs = _paired(old, new)
    for statement in new:
        former = pairs.get(statement.form)
        if former is None:
            difference = Difference(_text(statement.path), None, statement.written)
            yield StatementChange("added", _label(statement), (difference,), _grants(statement, old))
        elif former.form != statement.form:
            widens = _grants(statement, old) or _frees(former, new)
            yield StatementChange("changed", _label(statement), tuple(_differences(former, statement)), widens)
    kept = {former.form for former in pairs.values()}
    for statement in old:
        if statement.form not in kept:
            difference = Difference(_text(statement.path), statement.written, None)
            yield StatementChange("removed", _label(statement), (difference,), _frees(statement, new))


def _placed(policy: Json, partition: str) -> list[_Placed]:
    if policy is None:
        return []
    found = [_Placed(path, written, leaves(written, partition)) for path, written in statements(policy)]
    return list({statement.form: statement for statement in reversed(found)}.values())[::-1]


def _paired(old: Sequence[_Placed], new: Sequence[_Placed]) -> dict[str, _Placed]:
    """The former statement of each new one, by the new one's form."""
    forms = {statement.form for statement in new}
    pairs = {statement.form: statement for statement in old if statement.form in forms}
    left = [statement for statement in old if statement.form not in pairs]
    sought = [statement for statement in new if statement.form not in pairs]
    ranked = sorted((-_likeness(was, now), i, j) for i, was in enumerate(left) for j, now in enumerate(sought))
    taken: set[int] = set()
    for likeness, i, j in ranked:
        if -likeness >= _SIMILAR and i not in taken and sought[j].form not in pairs:
            taken.add(i)
            pairs[sought[j].form] = left[i]
    return pairs


def _likeness(a: _Placed, b: _Placed) -> float:
    """2 for one Sid, else the share of entries that both have, from 0 to 1."""
    if a.text("Sid") and a.text("Sid") == b.text("Sid"):
        return 2
    return len(a.atoms & b.atoms) / (len(a.atoms | b.atoms) or 1)


def _grants(statement: _Placed, old: Iterable[_Placed]) -> bool:
    """Whether a statement now allows what none did."""
    return statement.allows() and not reaches_within(statement.leaves, [was.leaves for was in old if was.allows()])


def _frees(statement: _Placed, new: Iterable[_Placed]) -> bool:
    """Whether a former statement denied what none does now."""
    return statement.denies() and not reaches_within(statement.leaves, [now.leaves for now in new if now.denies()])


def _outside(before: Json, after: Json) -> Iterator[StatementChange]:
    old, new = ({"Version": DEFAULT_VERSION, **branches(policy)} for policy in (before, after))
    differences = tuple(
        Difference(element, old.get(element), new.get(element))
        for element in dict.fromkeys((*new, *old))
        if element != "Statement" and canonical_text(old.get(element)) != canonical_text(new.get(element))
    )
    if differences:
        # Only 2012-10-17 reads `${...}` as a variable, so its texts come to mean other things.
        reread = old["Version"] != new["Version"] and "${" in canonical_text([before, after])
        yield StatementChange("changed", "policy document", differences, widens=reread)


def _differences(old: _Placed, new: _Placed) -> Iterator[Difference]:
    for path in dict.fromkeys((*new.leaves, *old.leaves)):
        was, now = old.leaves.get(path, _ABSENT), new.leaves.get(path, _ABSENT)
        before, after = _entries(was), _entries(now)
        if before.keys() != after.keys() or (path in old.leaves) != (path in new.leaves):
            yield Difference(
                _text((*old.path, *was.written) if now is _ABSENT else (*new.path, *now.written)),
                was.value,
                now.value,
                tuple(text for entry, text in before.items() if entry not in after),
                tuple(text for entry, text in after.items() if entry not in before),
            )


def _entries(leaf: Leaf) -> Mapping[str, str]:
    if leaf.entries is not None:
        return leaf.entries
    text = canonical_text(leaf.value)
    return {text: leaf.value if isinstance(leaf.value, str) else text}


def _label(statement: _Placed) -> str:
    words = [statement.text("Effect").lower() or "statement"]
    words.append(_names(statement, "Action") or "nothing")
    for preposition, element in (("on", "Resource"), ("for", "Principal")):
        if names := _names(statement, element):
            words += [preposition, names]
    keys = [leaf.written[2] for path, leaf in statement.leaves.items() if path[0] == "Condition"]
    if keys:
        words += ["if", _listing(list(dict.fromkeys(keys)))]
    return " ".join(words)


def _names(statement: _Placed, element: str) -> str:
    if named := _named(statement, element):
        return _listing(named)
    excluded = _named(statement, f"Not{element}")
    return f"all but {_listing(excluded)}" if excluded else ""


def _named(statement: _Placed, element: str) -> list[str]:
    return [text for path, leaf in statement.leaves.items() if path[0] == element for text in _entries(leaf).values()]


def _listing(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _text(path: Path) -> str:
    return ".".join(path)
