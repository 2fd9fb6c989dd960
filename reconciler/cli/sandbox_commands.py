"""The sandbox's commands."""

import shlex

import typer

from reconciler.cli.options import Common
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import Options

_FLAVOURS = ("aws", "self-managed")


def up(name: str, flavour: str, common: Common) -> None:
    """Start a sandbox and say where it is."""
    output = Output(common)
    if flavour not in _FLAVOURS:
        raise ReconcilerError([Problem("usage", f"no flavour is called {flavour}", hint="write aws or self-managed")])
    lifecycle.up(name, Options(flavour=flavour), output.note)
    status(name, common)


def down(name: str, common: Common) -> None:
    """Stop a sandbox."""
    output = Output(common)
    stopped = lifecycle.down(name)
    if output.is_json:
        output.data({"name": name, "stopped": stopped})
    else:
        output.line(f"Sandbox {name} is stopped." if stopped else f"Sandbox {name} was not running.")


def status(name: str, common: Common) -> None:
    """Say whether a sandbox runs. Exits with 1 when it does not."""
    output = Output(common)
    info = lifecycle.status(name)
    if output.is_json:
        running = (
            {"flavour": info.settings.options.flavour, "endpoint": info.endpoints.domain, "aws": info.endpoints.aws}
            if info
            else {}
        )
        output.data({"name": name, "running": info is not None, **running})
    elif info is None:
        output.line(f"Sandbox {name} is not running.")
    else:
        where = f"OpenSearch at {info.endpoints.domain}, AWS at {info.endpoints.aws}"
        output.line(f"Sandbox {name} ({info.settings.options.flavour}): {where}")
        which = "" if name == "default" else f" --name {name}"
        output.line(f'Run `eval "$(reconciler sandbox env{which})"` to point aws, curl and the reconciler at it.')
    if info is None:
        raise typer.Exit(1)


def env(name: str, common: Common) -> None:
    """Print the variables as exports, or as JSON."""
    output = Output(common)
    variables = lifecycle.env(name)
    if output.is_json:
        output.data(dict(variables))
    else:
        for key, value in variables.items():
            output.line(f"export {key}={shlex.quote(value)}")
