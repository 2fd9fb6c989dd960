"""The reports of plan, apply and drift: on standard output in one format, in files in as many as are wanted."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.excerpt import format_problem
from reconciler.render import digest as digests
from reconciler.render import events
from reconciler.render.formats import Account, Format, rendered
from reconciler.render.problems import problem_json


@dataclass(frozen=True, slots=True)
class _File:
    """A report to write."""

    form: Format
    path: Path


class Reports:
    """The reports of one run of a command. Each is written once: when it has a result, or when it came to none."""

    def __init__(self, command: str, load: Load, common: Common, output: Output) -> None:
        """ReconcilerError with all that is wrong with the options."""
        problems: list[Problem] = []
        if common.json and common.form not in ("", Format.JSON):
            problems.append(Problem("usage", "--json and --format contradict each other", hint="give one of them"))
        forms = [_form(common.form or (Format.JSON if common.json else Format.TEXT), problems)]
        self._command, self._load, self._output = command, load, output
        self._files = tuple(_file(text, problems) for text in common.reports)
        if problems:
            raise ReconcilerError(problems)
        (self.form,) = forms
        self._written = False

    @contextmanager
    def written(self) -> Iterator[None]:
        """Whatever stops the command is in its reports, too. As text and JSON it is told where it ends."""
        try:
            yield
        except ReconcilerError as error:
            if not self._written:
                self._tell(_failure(self._command, self._load, error.problems), (Format.TEXT, Format.JSON))
            raise

    def tell(self, account: Account) -> None:
        """Write the files, and what goes to standard output but for text, which the command prints by itself."""
        self._tell(account, (Format.TEXT,))

    def event(self, kind: str, data: Mapping[str, Json]) -> None:
        """Print how things go on, where standard output is for events."""
        self.events(kind, [data])

    def events(self, kind: str, several: Iterable[Mapping[str, Json]]) -> None:
        """Print several events, which are not made where nobody reads them."""
        for data in several if self.form is Format.NDJSON else ():
            found = self._output.redaction.json(events.event(kind, data, sessions.timestamp()))
            assert isinstance(found, Mapping)
            sys.stdout.write(events.line(found))
            sys.stdout.flush()

    def _tell(self, account: Account, but: Sequence[Format]) -> None:
        self._written = True
        rest = _rest(self._files)
        if self.form not in but:
            sys.stdout.write(rendered(self.form, account, self._output.redaction, rest))
        problems = []
        for one in self._files:
            try:
                one.path.write_text(rendered(one.form, account, self._output.redaction, rest), "utf-8")
            except OSError as error:
                message = f"the report can not be written to {one.path}: {error.strerror}"
                problems.append(Problem("usage", message, hint="check the path"))
        if problems:
            raise ReconcilerError(problems)


def _form(text: str, problems: list[Problem]) -> Format:
    try:
        return Format(text)
    except ValueError:
        problems.append(Problem("usage", f"there is no format {text}", hint=f"there are {', '.join(Format)}"))
        return Format.TEXT


def _file(text: str, problems: list[Problem]) -> _File:
    form, sign, path = text.partition("=")
    if not sign or not path:
        hint = "write FORMAT=FILE, as sarif=plan.sarif"
        problems.append(Problem("usage", f"--report {text} names no file", hint=hint))
    return _File(_form(form, problems), Path(path))


def _rest(files: Sequence[_File]) -> str:
    """Where everything is told that a report has no room for."""
    whole = [str(one.path) for one in files if one.form in (Format.TEXT, Format.JSON, Format.NDJSON)]
    server, repository, run = (os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    log = f"{server}/{repository}/actions/runs/{run}" if server and repository and run else "what the command printed"
    return " or ".join([log, *whole])


def _failure(command: str, load: Load, problems: Sequence[Problem]) -> Account:
    file = next((path for path in load.paths if Path(path).is_file()), "")
    return Account(
        lambda: (format_problem(one, lambda *_: "") for one in problems),
        lambda: {"errored": True, "problems": [problem_json(one) for one in problems]},
        lambda: digests.of_problems(command, file, sessions.timestamp(), problems),
    )
