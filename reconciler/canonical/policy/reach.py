"""What a statement reaches, and whether one reach lies within another: the question behind "does this widen?".

Answers are safe ones: `within` is only true where it is provable from the texts, so a change may be called
widening that is not, never the reverse.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from reconciler.canonical.policy.document import Leaf, Statement

_SIGN = re.compile(r"\$\{[^}]*\}|.", re.DOTALL)
_ARN_PARTS = 6


@dataclass(frozen=True, slots=True)
class Reach:
    """A set of names: those that match one of `patterns`, or, as a complement, all the others."""

    patterns: tuple[str, ...]
    complement: bool = False

    def parts(self) -> tuple["Reach", ...]:
        """Reaches that together make this one; a complement can not be taken apart."""
        return (self,) if self.complement else tuple(Reach((pattern,)) for pattern in self.patterns)

    def within(self, other: "Reach") -> bool:
        """Whether every name in this reach is surely in `other`."""
        match self.complement, other.complement:
            case False, False:
                return _each_covered(self.patterns, other.patterns)
            case True, True:
                return _each_covered(other.patterns, self.patterns)
            case False, True:
                return not any(meets(mine, theirs) for mine in self.patterns for theirs in other.patterns)
            case _:
                return any(covers(theirs, "*") for theirs in other.patterns)


EVERYTHING = Reach((), complement=True)


def reaches_within(statement: Statement, others: Iterable[Statement]) -> bool:
    """Whether all that `statement` speaks of is spoken of, under no stricter conditions, by `others` together.

    Effects are not looked at: give statements of one effect.
    """
    wanted = [dimension.parts() for dimension in _dimensions(statement)]
    boxes = []
    for other in others:
        if _stricter(statement, other):
            box = [
                {part for part in parts if part.within(reach)}
                for parts, reach in zip(wanted, _dimensions(other), strict=True)
            ]
            if all(len(found) == len(set(parts)) for found, parts in zip(box, wanted, strict=True)):
                return True
            boxes.append(box)
    return all(
        any(all(part in found for part, found in zip(point, box, strict=True)) for box in boxes)
        for point in product(*wanted)
    )


def covers(wide: str, narrow: str) -> bool:
    """Whether every text that the wildcard pattern `narrow` matches is surely matched by `wide`.

    `*` stands for any characters and `?` for one; a policy variable `${...}` is covered by itself and by `*`.
    """
    w, n = _signs(wide), _signs(narrow)
    i = j = 0
    star, resume = -1, 0
    while j < len(n):
        if i < len(w) and w[i] == "*":
            star, resume = i, j
            i += 1
        elif i < len(w) and (w[i] == n[j] or (w[i] == "?" and len(n[j]) == 1 and n[j] != "*")):
            i += 1
            j += 1
        elif star >= 0:
            resume += 1
            i, j = star + 1, resume
        else:
            return False
    return all(sign == "*" for sign in w[i:])


def meets(a: str, b: str) -> bool:
    """Whether some text may match both wildcard patterns; a policy variable may become any text."""
    left, right = _signs(a), _signs(b)
    row = [all(_any(sign) for sign in right[:length]) for length in range(len(right) + 1)]
    for mine in left:
        above, row = row, [row[0] and _any(mine)]
        for column, theirs in enumerate(right, start=1):
            if _any(mine) or _any(theirs):
                row.append(above[column] or row[-1])
            else:
                row.append(above[column - 1] and (mine == theirs or "?" in (mine, theirs)))
    return row[-1]


def _dimensions(statement: Statement) -> tuple[Reach, ...]:
    return (_element(statement, "Action"), _element(statement, "Resource"), _principals(statement))


def _element(statement: Statement, element: str) -> Reach:
    if (leaf := statement.get((element,))) is not None:
        return Reach(tuple(leaf.entries or ()))
    if (leaf := statement.get((f"Not{element}",))) is not None:
        return Reach(tuple(leaf.entries or ()), complement=True)
    return EVERYTHING


def _principals(statement: Statement) -> Reach:
    named = _named(statement, "Principal")
    return Reach(named) if named else Reach(_named(statement, "NotPrincipal"), complement=True)


def _named(statement: Statement, element: str) -> tuple[str, ...]:
    return tuple(
        f"{path[1]}:{entry}" for path, leaf in statement.items() if path[0] == element for entry in leaf.entries or ()
    )


def _stricter(statement: Statement, other: Statement) -> bool:
    """Whether the conditions of `statement` surely hold only where those of `other` do."""
    return all(
        any(
            _test_within(operator, tuple(mine.entries or ()), tuple(leaf.entries or ()))
            for stricter in (operator, operator.removesuffix("IfExists"))
            if (mine := statement.get(("Condition", stricter, key))) is not None
        )
        for (operator, key), leaf in _tests(other)
    )


def _tests(statement: Statement) -> list[tuple[tuple[str, str], Leaf]]:
    return [((path[1], path[2]), leaf) for path, leaf in statement.items() if path[0] == "Condition"]


def _test_within(operator: str, mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether a test for `mine` surely passes only where one for `theirs` does; a negated test excludes its values."""
    test = operator.rpartition(":")[2].removesuffix("IfExists")
    narrow, wide = (theirs, mine) if "Not" in test else (mine, theirs)
    return all(any(_value_within(test, value, other) for other in wide) for value in narrow)


def _value_within(test: str, narrow: str, wide: str) -> bool:
    if test.startswith("Arn"):
        mine, theirs = narrow.split(":", _ARN_PARTS - 1), wide.split(":", _ARN_PARTS - 1)
        return len(mine) == len(theirs) and all(map(covers, theirs, mine))
    if test.endswith("Like"):
        return covers(wide, narrow)
    if test.endswith("IgnoreCase"):
        return narrow.lower() == wide.lower()
    return narrow == wide


def _each_covered(narrow: Sequence[str], wide: Sequence[str]) -> bool:
    return all(any(covers(pattern, name) for pattern in wide) for name in narrow)


@lru_cache(maxsize=4096)
def _signs(pattern: str) -> tuple[str, ...]:
    return tuple(_SIGN.findall(pattern))


def _any(sign: str) -> bool:
    return sign == "*" or len(sign) > 1
