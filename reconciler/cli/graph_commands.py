"""The command that draws the chain."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.cli import session as sessions
from reconciler.cli.commands import made_plan, opened
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.redaction import Redaction
from reconciler.render.drawing import Hide, dot, mermaid, svg
from reconciler.render.picture import Picture, of_manifest, of_plan

_FORMATS: Mapping[str, Callable[[Picture, Hide], str]] = {"svg": svg, "mermaid": mermaid, "dot": dot}


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw, and where to: the format as given, the file (None for standard output), whether to make a plan."""

    format: str
    out: Path | None = None
    planned: bool = False


def graph(load: Load, common: Common, wanted: Drawing) -> None:
    """Draw the objects of a manifest and what needs what, marked with what a plan would do where that is asked for."""
    draw = _FORMATS.get(wanted.format)
    if draw is None:
        hint = f"there are {', '.join(_FORMATS)}"
        raise ReconcilerError([Problem("usage", f"no drawing is called {wanted.format!r}", hint=hint)])
    known = sessions.kinds()
    subject = sessions.subject(load, known)
    if not wanted.planned:
        drawn, redaction = of_manifest(subject.manifest.name, subject.desired, known), Redaction()
    else:
        output = Output(common)
        with opened(subject, common, output) as session:
            made = made_plan(session, subject, known)
            output.problems(made.problems)
            drawn, redaction = of_plan(made), session.secrets.redaction
    text = draw(drawn, redaction.text)
    if wanted.out is None:
        sys.stdout.write(text)
        return
    try:
        wanted.out.write_text(text, "utf-8")
    except OSError as error:
        message = f"the drawing can not be written to {wanted.out}: {error.strerror}"
        raise ReconcilerError([Problem("usage", message, hint="check the path")]) from error
