"""What earlier applies did, as lines of styled text."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.execute import Status
from reconciler.model.change import Action
from reconciler.plan.history import differences
from reconciler.render.text import COLUMN, DONE, MOVED, SIGNS, WIDTH, differing

_STYLES: Mapping[str, str] = {Status.DONE: "green", Status.FAILED: "bold red", Status.NOT_STARTED: "yellow"}
_INDENT = "      "


def listed(number: int, document: Mapping[str, Json]) -> Iterator[Text]:
    """One apply in two lines: its number, when it was and what it did; who did it."""
    yield Text.assemble(f"{number:>4}  ", (_when(document), "bold"), f"  {summary(document)}")
    yield Text(f"{_INDENT}by {document.get('by') or 'somebody unknown'}", "dim")


def in_full(number: int, document: Mapping[str, Json]) -> Iterator[Text]:
    """One apply: when, by whom, and every change with what differed, what failed and what was not as planned."""
    body = _map(document.get("body"))
    unplanned = _map(body.get("not_as_planned"))
    yield Text.assemble((f"{document.get('manifest')}, {_ordinal(number)}: {_when(document)}", "bold"))
    yield Text(f"by {document.get('by') or 'somebody unknown'}")
    yield Text(summary(document))
    yield Text()
    for change in _changes(document):
        yield from _change(change, str(unplanned.get(str(change.get("address")), "")))
    if body.get("stopped") is True:
        yield Text("It was stopped before its end.", "yellow")


def summary(document: Mapping[str, Json]) -> str:
    """What an apply did, in numbers: `3 created, 1 failed, 1 not as planned`."""
    changes = _changes(document)
    done = Counter(str(change.get("action")) for change in changes if change.get("status") == Status.DONE)
    others = Counter(str(change.get("status")) for change in changes if change.get("status") != Status.DONE)
    moved = sum("moved_from" in change for change in changes if change.get("status") == Status.DONE)
    unplanned = len(_map(_map(document.get("body")).get("not_as_planned")))
    parts = [f"{done[action]:,} {word}" for action, word in DONE.items() if done[action]]
    parts += [f"{moved:,} moved"] if moved else []
    parts += [f"{others[status]:,} {status}" for status in (Status.FAILED, Status.NOT_STARTED) if others[status]]
    parts += [f"{unplanned:,} not as planned"] if unplanned else []
    return ", ".join(parts) or "nothing"


def _change(change: Mapping[str, Json], unplanned: str) -> Iterator[Text]:
    action, status = str(change.get("action")), str(change.get("status"))
    known = next((one for one in Action if one == action), Action.NO_OP)
    sign, colour = MOVED if known is Action.NO_OP else SIGNS[known]
    line = Text.assemble(f"{sign:>3} ", (str(change.get("address")), "bold"), style=colour)
    line.pad_right(max(2, COLUMN - len(line.plain)))
    line.append(status, _STYLES.get(status, ""))
    seconds, waits_for = change.get("seconds"), change.get("waits_for")
    if isinstance(seconds, int | float) and status != Status.NOT_STARTED:
        line.append(f"   {seconds:.1f} s", "dim")
    yield line
    if isinstance(waits_for, list) and waits_for:
        yield from _wrapped(f"after {', '.join(map(str, waits_for))}", "dim")
    if change.get("reason"):
        yield from _wrapped(str(change["reason"]), "italic")
    if change.get("moved_from"):
        yield Text(f"{_INDENT}(moved from {change['moved_from']})", "dim")
    yield from differing(differences(change.get("fields")))
    if change.get("fields_left_out"):
        yield Text(f"{_INDENT}and {change['fields_left_out']} more", "dim")
    if change.get("error"):
        yield from _wrapped(str(change["error"]), "red")
    if unplanned:
        yield from _wrapped(f"not as planned when it was read again: {unplanned}", "bold red")


def _wrapped(text: str, style: str) -> Iterator[Text]:
    for line in textwrap.wrap(text, WIDTH - len(_INDENT), break_on_hyphens=False):
        yield Text(f"{_INDENT}{line}", style)


def _when(document: Mapping[str, Json]) -> str:
    """The time to the second, in UTC."""
    at = str(document.get("at"))
    return f"{at[:19]}Z" if len(at) > 19 else at


def _ordinal(number: int) -> str:
    return "the last apply" if number == 1 else f"apply {number} from the last"


def _changes(document: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
    changes = _map(document.get("body")).get("changes")
    return [one for one in changes if isinstance(one, Mapping)] if isinstance(changes, list) else []


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
