"""Plans and results as lines of styled text. `plain` of a line is what a terminal without colour shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from textwrap import wrap

from rich.text import Text

from reconciler.canonical import policy
from reconciler.errors import Severity
from reconciler.execute import Report, Result, Status
from reconciler.manifest.templates import Template, Value
from reconciler.model.change import Action, Change, FieldChange, count
from reconciler.model.objects import Address
from reconciler.model.schema import Rule, Schema, is_known
from reconciler.plan.plan import Context, Plan
from reconciler.render import embedded
from reconciler.render.values import dotted, guarded, plain, shown
from reconciler.verify import Verdict


class Detail(StrEnum):
    """How much is shown of a plan: a line for each change; what differs; and what is the same, too."""

    SUMMARY = "summary"
    CONCISE = "concise"
    FULL = "full"


SIGNS: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REPLACE: ("-/+", "magenta"),
    Action.DELETE: ("-", "red"),
    Action.ADOPT: ("<", "cyan"),
    Action.FORGET: ("x", "bright_black"),
    Action.NO_OP: (" ", ""),
}
"""For each action, its sign and colour. The sign alone says it: colour may be off."""

VERBS: Mapping[Action, str] = {
    Action.CREATE: "create",
    Action.UPDATE: "change",
    Action.REPLACE: "replace",
    Action.DELETE: "delete",
    Action.ADOPT: "adopt",
    Action.FORGET: "forget",
    Action.NO_OP: "record",
}
"""For each action, the verb of progress lines."""

MOVED = ("->", "cyan")
"""The sign and colour of what only has another address."""

DONE: Mapping[Action, str] = {
    Action.CREATE: "created",
    Action.UPDATE: "changed",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
}
"""For each action that does something, the word of what was done."""

COLUMN = 48
"""Where what is said about an address begins."""

WIDTH = 80
"""The width that lines are made for."""

_SIGNS = ("+ ", "- ", "~ ")
_UNDER = " " * 10
_NAMES = 44  # longer names of queries push what stands behind them


def heading(plan: Plan) -> Text:
    """Which manifest, account, and domain a plan is about."""
    return Text.assemble((plan.context.manifest.name, "bold"), " -> ", place_of(plan.context))


def place_of(context: Context) -> str:
    """Which account and domain a manifest is for."""
    parts: list[str] = []
    if context.place.account_id:
        region = f" ({context.place.region})" if context.place.region else ""
        parts.append(f"account {context.place.account_id}{region}")
    if context.place.endpoint:
        name = f"domain {context.place.domain}" if context.place.domain else context.place.endpoint
        flavour = "Amazon OpenSearch Service" if context.place.managed else "self-managed"
        version = f"OpenSearch {context.cluster.version}, " if context.cluster.version else ""
        parts.append(f"{name} ({version}{flavour})")
    return ", ".join(parts) or "nothing"


def reading(plan: Plan, requests: int, seconds: float) -> Text:
    """What a plan cost to make."""
    objects = f"{plan.objects:,} {_plural(plan.objects, 'object')}"
    return Text(f"read {objects} in {requests:,} {_plural(requests, 'request')}, {seconds:.1f} s", "dim")


def changes(plan: Plan, detail: Detail = Detail.CONCISE) -> Iterator[Text]:
    """Every change that is shown, in order, with as much of it as is wanted."""
    for change in plan.changes if detail is Detail.FULL else plan.shown:
        if detail is Detail.SUMMARY:
            yield _in_short(change)
        elif change.action is Action.NO_OP and not change.moved_from:
            yield from _unchanged(plan, change)
        else:
            yield from one_change(plan, change, detail)


def one_change(plan: Plan, change: Change, detail: Detail = Detail.CONCISE) -> Iterator[Text]:
    """The lines of one change: its address and place, why, and field by field what differs."""
    yield _headline(change)
    if change.reason:
        yield Text(f"      {change.reason}", "italic")
    if change.disruption:
        yield Text.assemble(f"      {change.disruption}", ("     disruptive", "bold magenta"))
    kind = plan.context.kinds.get(change.address.kind)
    if kind is not None and change.action is Action.CREATE:
        for field in change.fields:
            yield from _whole(kind.schema.rule.member(field.field), field, field.after, "+", detail)
    elif change.action is not Action.FORGET:
        yield from differing(change.fields)
    if detail is Detail.FULL and kind is not None and change.action in (Action.UPDATE, Action.REPLACE, Action.ADOPT):
        yield from _same(kind.schema, change)
    signer = change.desired.fields.get("sign_as") if change.desired else None
    if signer is not None and change.action in (Action.CREATE, Action.REPLACE):
        yield Text(f"      created as {plain(signer)}", "dim")
    for note in change.notes:
        yield Text(f"      ({note})", "dim")


def _headline(change: Change) -> Text:
    """The sign, the address and the place of a change."""
    sign, colour = MOVED if change.action is Action.NO_OP and change.moved_from else SIGNS[change.action]
    line = Text.assemble(f"{sign:>3} ", (str(change.address), "bold"), style=colour)
    if change.position is not None:
        place = f"{change.position.file}:{change.position.line}"
        column = min(COLUMN, WIDTH - len(place))
        line.pad_right(max(2, column - len(line.plain)))
        line.append(place, "dim")
    return line


def _in_short(change: Change) -> Text:
    """A change in one line, with its marks."""
    line = _marked(_headline(change), change.widens)
    return line.append("     disruptive", "bold magenta") if change.disruption else line


def _unchanged(plan: Plan, change: Change) -> Iterator[Text]:
    """An object that is as it should be, in full."""
    yield _headline(change)
    kind = plan.context.kinds.get(change.address.kind)
    if kind is not None:
        yield from _same(kind.schema, change)


def _same(schema: Schema, change: Change) -> Iterator[Text]:
    """The stated fields in which nothing differs."""
    for name, value in (change.desired.fields if change.desired else {}).items():
        if name not in change.changed_fields:
            field = FieldChange((name,), None, value, write_only=name in schema.write_only)
            yield from _whole(schema.rule.member(name), field, value, " ", Detail.FULL)


def summary(plan: Plan, requests: int, seconds: float) -> Text:
    """The last line of a plan."""
    unchanged = plan.counts.get(Action.NO_OP, 0)
    if plan.errored:
        errors = sum(problem.severity is Severity.ERROR for problem in plan.problems)
        return Text(f"{errors:,} {_plural(errors, 'error')}: nothing can be applied.", "bold red")
    if not plan.pending:
        if not plan.changes:
            return Text("No changes: the manifest has no objects.", "bold")
        objects = f"{unchanged:,} {_plural(unchanged, 'object matches', 'objects match')}"
        moved = f", {plan.moved:,} of them at another address than before" if plan.moved else ""
        text = f"No changes: {objects}{moved} ({requests:,} requests, {seconds:.1f} s)."
        return Text(text, "bold green")
    line = Text.assemble(("Plan: ", "bold"), count(plan.counts), f"; {unchanged:,} unchanged.")
    if plan.widening:
        line.append(f" {plan.widening:,} {'widens' if plan.widening == 1 else 'widen'} privileges.", "bold yellow")
    if plan.disrupting:
        line.append(f" {plan.disrupting:,} disruptive.", "bold magenta")
    return line


def progress(change: Change, state: str, style: str, detail: str = "") -> Text:
    """One line of an apply: the verb, the address, how far it is."""
    line = Text.assemble("  ", f"{VERBS[change.action]:<7} ", (str(change.address), "bold"))
    line.pad_right(max(2, COLUMN + 4 - len(line.plain)))
    line.append(state, style)
    if detail:
        line.append(f"   {detail}", "dim")
    return line


def ended(result: Result) -> Text:
    """The line of a change that is done, failed or was not started."""
    if result.status is Status.DONE:
        return progress(result.change, "done", "green", f"{result.seconds:.1f} s")
    if result.status is Status.FAILED:
        return progress(result.change, "failed", "bold red", f"{result.seconds:.1f} s")
    after = ", ".join(str(address) for address in result.waits_for)
    return progress(result.change, "not started", "yellow", f"after {after}" if after else "")


def applied(report: Report, seconds: float, verdicts: Sequence[Verdict]) -> Text:
    """The last line of an apply."""
    done = [result for result in report.results if result.status is Status.DONE and result.change.action in DONE]
    counts = {action: sum(result.change.action is action for result in done) for action in DONE}
    told = [f"{number:,} {DONE[action]}" for action, number in counts.items() if number]
    moved = sum(result.status is Status.DONE and result.change.moved_from is not None for result in report.results)
    text = ", ".join([*told, *([f"{moved:,} moved"] if moved else [])]) or "nothing to do"
    line = Text.assemble(("Applied: ", "bold"), f"{text} in {seconds:.1f} s.")
    if report.succeeded and done:
        checked = sum(result.change.action is not Action.FORGET for result in done)
        line.append(f" Verified: {checked:,} {_plural(checked, 'object')} as planned")
        line.append(f", {queries_passed(verdicts)}." if verdicts else ".")
    elif not report.succeeded:
        failed = sum(result.status is Status.FAILED for result in report.results)
        waiting = sum(result.status is Status.NOT_STARTED for result in report.results)
        line.append(
            f" {failed:,} failed, {waiting:,} not started, {len(report.differing):,} not as planned.", "bold red"
        )
    return line


def queries_passed(verdicts: Sequence[Verdict]) -> str:
    """How many of the queries passed."""
    passed = sum(verdict.passed for verdict in verdicts)
    return f"{passed:,} of {len(verdicts):,} {_plural(len(verdicts), 'query', 'queries')} passed"


def verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[Text]:
    """A line for each query, one below the other, and under it why it failed and what was answered."""
    names = max((len(verdict.query.name) for verdict in verdicts), default=0)
    column = min(names, _NAMES) + 2
    for verdict in verdicts:
        mark, style = ("passed", "green") if verdict.passed else ("failed", "bold red")
        line = Text.assemble("  ", (mark, style), "  ", (verdict.query.name, "bold"))
        line.pad_right(max(2, column - len(verdict.query.name)))
        took = f"{verdict.milliseconds:,.0f} ms" if verdict.status else "-"
        line.append(f"{verdict.query.kind:<7}  {verdict.status or '-':>3}  {took:>9}", "dim")
        yield line
        for text, colour in ((verdict.reason, "red"), (verdict.answer, "")):
            yield from (Text(f"{_UNDER}{part}", colour) for part in wrap(text, WIDTH - len(_UNDER)))


def live_lines(
    address: Address, fields: Mapping[str, Value], attributes: Mapping[str, str], rule: Rule
) -> Iterator[Text]:
    """One live object as `show` prints it."""
    yield Text(str(address), "bold")
    for name, text in attributes.items():
        yield Text(f"      {name}: {text}", "dim")
    for name, value in fields.items():
        change = FieldChange((name,), None, value)
        yield from _whole(rule.member(name), change, value, " ")


def _whole(rule: Rule, field: FieldChange, value: Value, sign: str, detail: Detail = Detail.CONCISE) -> Iterator[Text]:
    """A field that is made or removed as a whole."""
    head = f"      {dotted(field.path)}"
    value = guarded(value) if field.write_only else value
    if value in ({}, [], None, ""):
        return
    if rule.compare == "policy" and is_known(value):
        yield Text(head)
        yield from (Text(f"        {sign} {one.label}") for one in policy.compare(None, value).changes)
        return
    if isinstance(value, Mapping):
        for key, inside in value.items():
            inner = FieldChange((*field.path, key), None, inside, write_only=field.write_only)
            yield from _whole(rule.member(key), inner, inside, sign, detail)
        return
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(member, Mapping) for member in value):
            for index, item in enumerate(value):
                inner = FieldChange((*field.path, index), None, item, write_only=field.write_only)
                yield from _whole(rule.items, inner, item, sign, detail)
            return
        yield Text(head)
        yield from (Text(f"        {sign} {plain(member)}") for member in value)
        return
    if detail is Detail.FULL and not field.write_only and (held := _embedded(value)) is not None:
        yield Text(f"{head}: JSON")
        yield from (Text(f"        {sign} {part}") for part in held)
        return
    line = Text(f"{head}: {shown(value)}")
    if field.write_only:
        line.append("   (write-only)", "dim")
    yield line


def differing(fields: Iterable[FieldChange]) -> Iterator[Text]:
    """Field by field what differs; what happens inside one policy statement stands together under it."""
    for (text, head), group in groupby(fields, key=lambda field: (field.text, field.path[:-1])):
        found = list(group)
        if text and not text.startswith(_SIGNS) and found[0].before != found[0].after:
            line = Text.assemble(f"      {dotted(head)}: ", (f"~ {text}", "yellow"))
            yield _marked(line, any(field.widens for field in found))
            for field in found:
                yield _difference(field, f"        {field.path[-1]}: ")
        else:
            for field in found:
                yield from _changed(field)


def _changed(field: FieldChange) -> Iterator[Text]:
    before, after = _embedded(field.before), _embedded(field.after)
    if before is None or after is None or before == after or field.text or field.write_only:
        yield _marked(_difference(field, f"      {dotted(field.path)}: "), field.widens)
        return
    yield _marked(Text(f"      {dotted(field.path)}: JSON"), field.widens)
    for line in embedded.compared(before, after):
        yield Text(f"        {line}", _sign_style(line) if line[0] in "+-" else "dim")


def _embedded(value: Value) -> Sequence[str] | None:
    """The lines of JSON that a string holds, references to what is not known yet as they are written."""
    return embedded.lines(str(value)) if isinstance(value, str | Template) else None


def _difference(field: FieldChange, head: str) -> Text:
    before, after = field.before, field.after
    if field.write_only:
        before, after = guarded(before), guarded(after)
    if field.text.startswith(_SIGNS):
        line = Text.assemble(head, (field.text, _sign_style(field.text)))
    elif field.text and before == after:
        line = Text.assemble(head, (f"~ {field.text}", "yellow"))
    elif before is None:
        line = Text.assemble(head, (f"+ {plain(after)}", "green"))
    elif after is None:
        line = Text.assemble(head, (f"- {plain(before)}", "red"))
    else:
        line = Text.assemble(head, (f"- {shown(before)}", "red"), "  ", (f"+ {shown(after)}", "green"))
    if field.write_only:
        line.append("   (write-only)", "dim")
    return line


def _marked(line: Text, widens: bool) -> Text:
    if widens:
        line.append("     widens privileges", "bold yellow")
    return line


def _sign_style(text: str) -> str:
    return {"+": "green", "-": "red"}.get(text[0], "yellow")


def _plural(number: int, one: str, many: str = "") -> str:
    return one if number == 1 else many or f"{one}s"
