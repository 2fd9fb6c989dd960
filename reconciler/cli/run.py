"""Running a command: whatever happens ends in a message and an exit code."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import typer

from reconciler.cli.app import app
from reconciler.cli.interrupts import Interrupted, Interrupts
from reconciler.cli.options import Common
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError

_GROUPS = (["policy"], ["history"], ["ledger"], ["sandbox"])


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word with what an option of it is: with the word behind it, where it has no value of its own."""
    for word, after in zip_longest(words, words[1:], fillvalue=""):
        yield word, word if "=" in word else f"{word} {after}"


def run(arguments: Sequence[str]) -> int:
    """Run the command the arguments name and return its exit code."""
    given = list(arguments)
    as_json = any(one == "--json" or pair in ("--format json", "--format=json") for one, pair in _pairs(given))
    common = Common(as_json, "--no-color" in given, "--debug" in given)
    if not given or given in _GROUPS:
        given.append("--help")
    try:
        with Interrupts().listening():
            result = typer.main.get_command(app).main(args=given, prog_name="reconciler", standalone_mode=False)
    except typer.TyperException as error:
        command = " ".join(["reconciler", *[word for word in given[:2] if word.isalpha()]])
        Output(common).problems([Problem("usage", error.format_message(), hint=f"see `{command} --help`")])
        return 1
    except Interrupted as interrupted:
        if interrupted.state:
            Output(common).problems([Problem("interrupted", str(interrupted), hint=interrupted.state)])
        return interrupted.code
    except typer.Abort:
        Output(common).problems([Problem("not-confirmed", "nobody answered", hint="nothing was changed")])
        return 1
    except ReconcilerError as error:
        Output(common).problems(error.problems, error if common.debug else None)
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:  # the last resort: a user never sees a traceback he did not ask for
        problem = Problem("internal", f"{type(error).__name__}: {error}", hint="run again with --debug and report it")
        Output(common).problems([problem], error if common.debug else None)
        return 1
    return result if isinstance(result, int) else 0
