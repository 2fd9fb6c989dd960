"""Where text and JSON go: results to standard output, problems and progress to standard error."""

import json
import linecache
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import cached_property

from rich.console import Console
from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.cli.options import Common
from reconciler.errors import Problem, Severity
from reconciler.redaction import Redaction


def _read_line(file: str, number: int) -> str:
    return linecache.getline(file, number).rstrip("\r\n")


class Output:
    """The output of one command. Secrets that `redaction` knows are in nothing of it."""

    def __init__(self, common: Common) -> None:
        self.redaction = Redaction()
        self._common = common

    @property
    def is_json(self) -> bool:
        """Whether results are printed as JSON."""
        return self._common.json or self._common.form == "json"

    @property
    def for_people(self) -> bool:
        """Whether somebody reads along, who is asked, too: not where standard output is for a program."""
        return not self._common.json and self._common.form in ("", "text", "github")

    @cached_property
    def out(self) -> Console:
        """Standard output."""
        return self._console(sys.stdout.isatty(), stderr=False)

    @cached_property
    def err(self) -> Console:
        """Standard error."""
        return self._console(sys.stderr.isatty(), stderr=True)

    def line(self, text: Text | str = "") -> None:
        """Print one line of a result. A terminal wraps it; nothing is cut off."""
        self._print(self.out, text)

    def lines(self, texts: Iterable[Text]) -> None:
        """Print several lines."""
        for text in texts:
            self.line(text)

    def note(self, text: Text | str) -> None:
        """Print one line about how things go on; not where standard output is for a program."""
        if self.for_people:
            self._print(self.err, text)

    def data(self, value: Json) -> None:
        """Print the result as JSON."""
        sys.stdout.write(json.dumps(self.redaction.json(value), indent=2, ensure_ascii=False) + "\n")

    def hidden(self, text: Text | str) -> Text | str:
        """The text without secrets; without its styles, too, where it had any of them."""
        plain = text.plain if isinstance(text, Text) else text
        freed = self.redaction.text(plain)
        return text if freed == plain else freed

    def problems(self, problems: Sequence[Problem], error: BaseException | None = None) -> None:
        """Print what is wrong, as text or as JSON; with a traceback when asked for."""
        from reconciler.manifest.excerpt import format_problem
        from reconciler.render.problems import problem_json

        if self.is_json:
            errored = any(problem.severity is Severity.ERROR for problem in problems)
            self.data({"errored": errored, "problems": [problem_json(problem) for problem in problems]})
        for problem in problems if not self.is_json else ():
            colour = "bold red" if problem.severity is Severity.ERROR else "bold yellow"
            text = Text(self.redaction.text(format_problem(self.redaction.problem(problem), _read_line)))
            text.highlight_words([f"{problem.severity}[{problem.code}]"], colour)
            self._print(self.err, text)
        if error is not None:
            frames = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
            ]
            self._print(self.err, "\n".join(frames))

    def _print(self, console: Console, text: Text | str) -> None:
        hidden = self.hidden(text)
        if console.is_terminal:
            console.print(hidden, soft_wrap=True, markup=False, highlight=False)
        else:  # many times as fast, which plans of thousands of objects are in need of
            console.file.write(f"{hidden}\n")
            console.file.flush()

    def _console(self, terminal: bool, *, stderr: bool) -> Console:
        no_color = self._common.no_color or None
        # no emoji: `:secret:` is a part of ARNs
        return Console(stderr=stderr, no_color=no_color, highlight=False, emoji=False, force_terminal=terminal)
