"""Drift as lines of styled text and as JSON: the same facts in the same order."""

from collections.abc import Iterator, Mapping

from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.drift.baseline import told
from reconciler.drift.report import Class, Coverage, Finding, Report
from reconciler.model.change import FieldChange
from reconciler.render.plan_json import known
from reconciler.render.values import dotted, guarded, plain, shown

_STYLES: Mapping[Class, str] = {
    Class.MISSING: "bold red",
    Class.REPLACED: "bold red",
    Class.CHANGED: "yellow",
    Class.EXTRA: "yellow",
    Class.ORPHANED: "magenta",
    Class.UNDEPLOYED: "bold red",
    Class.UNKNOWN: "cyan",
    Class.PENDING: "blue",
    Class.UNMANAGED: "bright_black",
}
_SIGNS = ("+ ", "- ", "~ ")
_NAMED = 5


def lines(report: Report) -> Iterator[Text]:
    """Every finding with its class, its place in the manifest and what differs; then what could not be looked into."""
    width = max((len(str(one.address)) for one in report.findings), default=0)
    for one in report.findings:
        yield from _finding(one, width)
    yield from remarks(report)


def remarks(report: Report) -> Iterator[Text]:
    """What could not be looked into, and how much of what there is manifests own."""
    for note in report.notes:
        yield Text(f"  ({note})", "dim")
    yield from _invisible(report)
    yield from (_covered(one) for one in report.coverage if one.total or one.untold or one.hidden)


def reading(report: Report, requests: int, seconds: float) -> Text:
    """What the look cost."""
    objects, sent = ("object" if report.objects == 1 else "objects"), ("request" if requests == 1 else "requests")
    return Text(f"looked after {report.objects:,} {objects} in {requests:,} {sent}, {seconds:.1f} s", "dim")


def summary(report: Report) -> Text:
    """The last line: how many objects there are of each."""
    counts = report.counts
    drifted, unknown = counts["drifted"], counts[Class.UNKNOWN]
    style = "bold red" if drifted else "bold yellow" if unknown else "bold green"
    parts = [f"{drifted:,} drifted", f"{counts[Class.PENDING]:,} not applied yet", f"{counts['in_sync']:,} in sync"]
    parts += [f"{unknown:,} unknown"]
    parts += [f"{counts['accepted']:,} accepted"] if counts["accepted"] else []
    parts += [f"{counts[Class.UNMANAGED]:,} unmanaged"] if report.coverage else []
    when = f"last applied {report.last_applied[:16].replace('T', ' ')}" if report.last_applied else "never applied"
    line = Text.assemble((", ".join(parts), style), (f" ({when}).", "dim"))
    widening = sum(one.widens for one in report.drifted)
    if widening:
        line.append(f" {widening:,} {'widens' if widening == 1 else 'widen'} privileges.", "bold yellow")
    return line


def drift_json(report: Report, timestamp: str, exit_code: int) -> dict[str, Json]:
    """The report as JSON. What services never show is in none of it."""
    context = report.context
    return {
        "format_version": "1.0",
        "timestamp": timestamp,
        "manifest": context.manifest.name,
        "target": {
            "account_id": context.place.account_id,
            "region": context.place.region,
            "domain": context.place.domain,
            "endpoint": context.place.endpoint,
            "version": context.cluster.version,
        },
        "last_applied": report.last_applied or None,
        "findings": [finding_json(one) for one in report.findings],
        "invisible": [
            {"address": str(one.address), "field": one.field, "reason": "the service never shows it"}
            for one in report.invisible
        ],
        "coverage": [
            {"kind": one.kind, "owned": one.owned, "total": one.total, "untold": one.untold, "hidden": one.hidden}
            for one in report.coverage
        ],
        "notes": list(report.notes),
        "counts": dict(report.counts),
        "exit_code": exit_code,
    }


def _finding(one: Finding, width: int) -> Iterator[Text]:
    details = [*([Text(one.reason)] if one.reason else []), *(detail(change) for change in one.fields)]
    word = "accepted" if one.accepted else str(one.kind)
    head = Text.assemble(
        "  ", (f"{word:<11} ", "dim" if one.accepted else _STYLES[one.kind]), (f"{one.address}", "bold")
    )
    head.pad_right(max(0, width - len(str(one.address))))
    place = Text(f"   {one.position.file}:{one.position.line}", "dim") if one.position else Text("")
    first = details[0] if details else Text("")
    yield Text.assemble(head, "   ", first, place)
    indent = " " * (14 + width + 3)
    yield from (Text.assemble(indent, line) for line in details[1:])
    if one.accepted is not None:
        yield Text(f"{indent}{one.kind}, accepted until {one.accepted.until}: {one.accepted.reason}", "dim")


def detail(change: FieldChange) -> Text:
    """A difference in one line, from what was applied to what is live."""
    before, after, path = change.before, change.after, dotted(change.path)
    if change.write_only:
        before, after = guarded(before), guarded(after)
    if change.text.startswith(_SIGNS) or (change.text and before == after):
        line = Text(f"{path}: {change.text}")
    elif before is None:
        line = Text(f"{path}: + {plain(after)}")
    elif after is None:
        line = Text(f"{path}: - {plain(before)}")
    else:
        line = Text(f"{path} {shown(before)} -> {shown(after)}")
    if change.widens:
        line.append("   widens privileges", "bold yellow")
    return line


def _invisible(report: Report) -> Iterator[Text]:
    fields: dict[str, list[str]] = {}
    for one in report.invisible:
        fields.setdefault(one.field, []).append(str(one.address))
    for field, addresses in fields.items():
        named = ", ".join(addresses[:_NAMED]) + (
            f" and {len(addresses) - _NAMED:,} more" if len(addresses) > _NAMED else ""
        )
        yield Text(f"  (not visible: {field} of {named}; the service never shows it)", "dim")


def _covered(one: Coverage) -> Text:
    if one.untold:
        return Text(f"  {one.kind}: what there is can not be told: {one.untold}", "dim")
    share = f" ({100 * one.owned / one.total:.0f} %)" if one.total else ""
    hidden = f"; others may be there, unseen: {one.hidden}" if one.hidden else ""
    return Text(f"  {one.kind}: {one.owned:,} of {one.total:,} managed{share}{hidden}", "dim")


def finding_json(one: Finding) -> Json:
    """A finding as JSON."""
    accepted = one.accepted
    return {
        "class": str(one.kind),
        "address": str(one.address),
        "file": one.position.file if one.position else None,
        "line": one.position.line if one.position else None,
        "column": one.position.column if one.position else None,
        "reason": one.reason,
        "differences": [_difference_json(change) for change in one.fields],
        "widens": one.widens,
        "accepted": {"reason": accepted.reason, "until": str(accepted.until)} if accepted else None,
    }


def _difference_json(change: FieldChange) -> Json:
    before, after = change.before, change.after
    if change.write_only:
        before, after = guarded(before), guarded(after)
    return {
        "path": dotted(change.path),
        "before": known(before),
        "after": known(after),
        "text": change.text,
        "told": "" if change.write_only else told(change),
        "widens": change.widens,
        "write_only": change.write_only,
    }
