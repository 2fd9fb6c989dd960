"""The command that starts a manifest from one of the examples."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.start import Example, examples, started
from reconciler.manifest.templates import written

_UNSET = "unset-environment"


@dataclass(frozen=True, slots=True)
class Start:
    """How a manifest is to begin, as given: the file, the example, the name, values of variables."""

    out: Path | None = None
    example: str | None = None
    name: str | None = None
    var: Sequence[str] = ()
    var_file: Sequence[Path] = ()


def list_examples(common: Common) -> None:
    """Print the examples and what they are about."""
    output, found = Output(common), list(examples(sessions.examples_folder()))
    if output.is_json:
        output.data([{"name": one.name, "about": one.about, "variables": list(one.variables)} for one in found])
        return
    width = max(len(one.name) for one in found)
    for one in found:
        output.line(f"{one.name:<{width}}  {one.about}")


def init(start: Start, common: Common) -> None:
    """Write a manifest from an example, and validate it."""
    output = Output(common)
    asks = sys.stdin.isatty() and not output.is_json
    example = _example(start.example, asks)
    name = start.name or (typer.prompt("Name of the manifest", default=example.manifest) if asks else example.manifest)
    out = start.out or Path(f"{name}.yaml")
    if out.exists():
        raise _usage(f"{out} is there already", "name another file")
    text = started(example, name, _values(example, start, asks))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    except OSError as error:
        raise _usage(f"{out} can not be written: {error.strerror}", "check the path") from error
    _tell(out, _unset(out), output)


def _example(name: str | None, asks: bool) -> Example:
    found = {one.name: one for one in examples(sessions.examples_folder())}
    if name is None and asks:
        for one in found.values():
            typer.echo(f"  {one.name}: {one.about}")
        name = typer.prompt("Which of them", default=next(iter(found)))
    if name not in found:
        said = f"no example is called {name}" if name else "no example to begin with"
        raise _usage(said, f"give --from and one of {', '.join(found)}")
    return found[name]


def _values(example: Example, start: Start, asks: bool) -> Mapping[str, Json]:
    """Values for the variables that have none, as given or asked for, and for others as given."""
    values = sessions.given(Load((), start.var, start.var_file))
    if unknown := sorted(values.keys() - example.variables.keys()):
        raise _usage(f"{example.name} has no variable {unknown[0]}", f"it has {', '.join(example.variables)}")
    open_ones = [one for one in example.variables.values() if one.default is None and one.name not in values]
    if open_ones and not asks:
        hints = {one.name: f"give --var {one.name}=...; {example.meaning(one.name)}" for one in open_ones}
        problems = [Problem("usage", f"nobody says what {name} is", hint=hint) for name, hint in hints.items()]
        raise ReconcilerError(problems)
    for one in open_ones:
        values[one.name] = typer.prompt(f"{example.meaning(one.name) or one.name} ({one.name})")
    attributes = {kind: known.schema.attributes for kind, known in sessions.kinds().items()}
    return {key: written(value, attributes) if isinstance(value, str) else value for key, value in values.items()}


def _unset(out: Path) -> Sequence[Problem]:
    """What of the environment the manifest needs and has not. ReconcilerError with whatever else is wrong with it."""
    try:
        sessions.subject(Load([str(out)]), sessions.kinds())
    except ReconcilerError as error:
        if any(problem.code != _UNSET for problem in error.problems):
            raise
        return error.problems
    return ()


def _tell(out: Path, unset: Sequence[Problem], output: Output) -> None:
    if output.is_json:
        output.data({"file": str(out), "to_set": [problem.message for problem in unset]})
        return
    output.line(f"Wrote {out}.")
    for problem in unset:
        output.line(f"See to it before the first plan: {problem.message}.")
    output.line(f"Next: `reconciler plan {out}` shows what it would make.")


def _usage(message: str, hint: str) -> ReconcilerError:
    return ReconcilerError([Problem("usage", message, hint=hint)])
