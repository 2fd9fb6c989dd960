"""Saved plans as files: reading one, and seeing that what it states could stand in a manifest."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from reconciler import lint
from reconciler.cli.options import Load
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.check import misfits
from reconciler.manifest.document import Document, DocumentBuilder
from reconciler.manifest.json_scanner import JsonScanner
from reconciler.manifest.schema import Schemas
from reconciler.manifest.source import Source
from reconciler.manifest.templates import Value, references
from reconciler.manifest.variables import address_of
from reconciler.model.kind import Kind
from reconciler.plan import saved as saved_plans
from reconciler.plan.saved import Saved
from reconciler.plan.survey import stated_place
from reconciler.references import problems as reference_problems

_AGAIN = "make the plan again"


def read(load: Load, schema: Path) -> Saved | None:
    """The saved plan that the options name; None where they name manifests. `schema` is the file of its schema.

    ReconcilerError when it is broken, or when there are options beside it.
    """
    path = Path(load.paths[0])
    if len(load.paths) != 1 or not path.is_file():
        return None
    try:
        text = path.read_text("utf-8")
        document = json.loads(text, parse_constant=_no_number) if text.lstrip().startswith("{") else None
    except (OSError, ValueError, RecursionError):
        return None  # the manifest's loader says what is wrong with it
    if not isinstance(document, dict) or saved_plans.KEY not in document:
        return None
    beside = (load.var, load.var_file, load.adopt, load.adopt_all, load.target, load.ledger)
    if any(beside) or load.max_deletes is not None or load.allow_lockout or load.include_adopted:
        hint = "a saved plan has its own; give options when it is made"
        raise ReconcilerError(
            [Problem("usage", f"{path} is a saved plan, and options beside it would not count", hint=hint)]
        )

    @cache
    def scanned() -> Document | None:
        builder = DocumentBuilder(Source(str(path), text))
        with suppress(ReconcilerError):
            JsonScanner(builder).scan()
            return builder.document()
        return None

    def locate(inside: tuple[str | int, ...]) -> Position | None:
        found = scanned()
        return found.position(inside) if found is not None else None

    return saved_plans.load(document, str(path), json.loads(schema.read_text("utf-8")), locate)


def check(saved: Saved, known: Mapping[str, Kind], schemas: Schemas, others: Sequence[Problem]) -> None:
    """Raise what a manifest would be refused for, of a plan that was edited or made by another version.

    `others` are problems of its target.
    """
    strange = sorted(str(address) for address in saved.desired if address.kind not in known)
    if strange:
        raise ReconcilerError(Problem("bad-plan", "no such kind", address=one, hint=_AGAIN) for one in strange)
    sections: dict[str, dict[str, Value]] = {}
    for address, one in saved.desired.items():
        name_field = known[address.kind].schema.name_field
        own = {key: value for key, value in one.fields.items() if (key, value) != (name_field, address.name)}
        sections.setdefault(address.kind, {})[address.name] = own
    verify: dict[str, Value] = {
        "queries": {one.name: {one.kind: one.body} for one in saved.manifest.verify},
        "documents": {one.name: one.stated for one in saved.manifest.documents},
    }
    found = [
        Problem("bad-plan", f"not as the schema has it ({keyword})", address=address_of(path))
        for path, keyword in misfits({**sections, "verify": verify}, schemas)
    ]
    found += [
        Problem("bad-plan", "no secret may stand here, or none of this name is declared", address=address_of(path))
        for path, reference in references(sections)
        if reference.namespace == "secret"
        and (reference.name not in saved.manifest.secrets or not schemas.is_write_only(path))
    ]
    if saved.ledger is None and saved.manifest.target.opensearch is None:
        found.append(Problem("bad-plan", "no domain is there to hold the ledger", address="reconciler.ledger"))
    found = found or [
        *reference_problems(saved.desired, known, lambda *_: None),
        *lint.problems(saved.desired, known, stated_place(saved.manifest.target), lambda *_: None),
        *others,
    ]
    if found:
        raise ReconcilerError(replace(one, code="bad-plan", position=None, hint=_AGAIN) for one in found)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
