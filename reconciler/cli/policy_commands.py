"""The commands about policy documents."""

import json
from pathlib import Path

import typer

from reconciler.canonical import policy
from reconciler.canonical.json import Json
from reconciler.cli.options import Common
from reconciler.cli.output import Output
from reconciler.diff import dotted
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.events import parse
from reconciler.manifest.source import read_source
from reconciler.render.values import shown


def policy_diff(a: Path, b: Path, common: Common) -> None:
    """Compare two policy documents and print the differences by statement."""
    output = Output(common)
    before, after = _document(a), _document(b)
    faults = [
        Problem(
            "bad-policy",
            fault.message,
            address=f"{path}{'.' if fault.path else ''}{dotted(fault.path)}",
            hint=fault.hint,
        )
        for path, document in ((a, before), (b, after))
        for fault in policy.check(document, _flavour(document))
    ]
    if faults:
        raise ReconcilerError(faults)
    found = policy.compare(before, after)
    if output.is_json:
        output.data(
            {
                "equal": found.equal,
                "widens": found.widens,
                "changes": [
                    {
                        "action": change.action,
                        "statement": change.label,
                        "widens": change.widens,
                        "differences": [
                            {"path": one.path, "before": one.before, "after": one.after} for one in change.differences
                        ],
                    }
                    for change in found.changes
                ],
            }
        )
    elif found.equal:
        output.line("The documents mean the same.")
    else:
        for change in found.changes:
            sign = {"added": "+", "removed": "-", "changed": "~"}[change.action]
            output.line(f"{sign} {change.label}" + ("     widens privileges" if change.widens else ""))
            for one in change.differences if change.action == "changed" else ():
                if one.removed or one.added:
                    entries = [*(f"- {entry}" for entry in one.removed), *(f"+ {entry}" for entry in one.added)]
                    output.line(f"    {one.path}: {'  '.join(entries)}")
                    continue
                parts = [f"- {shown(one.before)}"] if one.before is not None else []
                parts += [f"+ {shown(one.after)}"] if one.after is not None else []
                output.line(f"    {one.path}: {'  '.join(parts)}")
    if not found.equal:
        raise typer.Exit(2)


def _document(path: Path) -> Json:
    document = parse(read_source(path, str(path)))
    if document.problems:
        raise ReconcilerError(document.problems)
    return document.value


def _flavour(document: Json) -> policy.Flavour:
    return "trust" if '"Principal"' in json.dumps(document) or '"NotPrincipal"' in json.dumps(document) else "identity"
