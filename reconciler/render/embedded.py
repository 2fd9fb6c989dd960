"""JSON that stands in strings, such as the bodies that connectors send, compared line by line."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence

from reconciler.canonical.json import Json

_CONTEXT = 2
"""Lines that are shown around a difference; more of them that are the same are folded."""

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\$\{[^{}"]*\}')
_MARK = "\ue000"
_MARKED = re.compile(rf'"{_MARK}([^"]*)"')


def lines(text: str) -> Sequence[str] | None:
    """The lines of an object or list that a string holds as JSON; None where it holds none.

    ML Commons' `${...}`, which stand where values will, are taken for values.
    """
    if not text.lstrip().startswith(("{", "[")):
        return None
    marked = _TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else f'"{_MARK}{found[0]}"', text)
    try:
        value: Json = json.loads(marked)
    except (ValueError, RecursionError):
        return None
    return _MARKED.sub(r"\1", json.dumps(value, indent=2, ensure_ascii=False)).splitlines()


def compared(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """The lines with `-`, `+` or a space in front; of those that are the same only the ones beside a difference."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    codes = matcher.get_opcodes()
    for number, (tag, start, end, other, until) in enumerate(codes):
        if tag != "equal":
            yield from (f"- {line}" for line in before[start:end])
            yield from (f"+ {line}" for line in after[other:until])
            continue
        head = 0 if number == 0 else _CONTEXT
        tail = 0 if number == len(codes) - 1 else _CONTEXT
        same = before[start:end]
        folded = len(same) - head - tail
        if folded <= 1:
            yield from (f"  {line}" for line in same)
            continue
        yield from (f"  {line}" for line in same[:head])
        yield f"  ... {folded:,} lines unchanged"
        yield from (f"  {line}" for line in same[len(same) - tail :])
