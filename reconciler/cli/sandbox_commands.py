"""The sandbox's commands."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from reconciler.canonical.json import Json
from reconciler.cli.options import Common
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import Options

_FLAVOURS = ("aws", "self-managed")
_FAULTS = ("latency", "throttle", "error", "drop", "propagation", "stale", "deploy", "model", "restart", "off")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What `sandbox fault` is asked for: the options of the command, None in `times` for always."""

    kind: str
    on: str
    match: str
    times: int | None
    seconds: float
    share: float
    status: int
    answer: str


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


def list_all(common: Common) -> None:
    """Name the sandboxes, with flavour and address of those that run."""
    output = Output(common)
    found = {name: lifecycle.status(name) for name in lifecycle.names()}
    running = {name: info for name, info in found.items() if info is not None}
    if output.is_json:
        described: list[Json] = [
            {"name": name, "flavour": info.settings.options.flavour, "endpoint": info.endpoints.domain}
            for name, info in running.items()
        ]
        output.data({"sandboxes": described})
    for name, info in running.items() if not output.is_json else ():
        output.line(f"{name}  {info.settings.options.flavour}  {info.endpoints.domain}")
    if not running and not output.is_json:
        output.line("No sandbox is running.")


def reset(name: str, common: Common) -> None:
    """Bring a sandbox back to its beginning."""
    output = Output(common)
    lifecycle.reset(name)
    if output.is_json:
        output.data({"name": name, "reset": True})
    else:
        output.line(f"Sandbox {name} is as it was when it started.")


def log(name: str, last: int, common: Common, *, refused_only: bool) -> None:
    """Show the last requests, the oldest first."""
    output = Output(common)
    entries = [one for one in lifecycle.log(name, last) if not refused_only or one["decision"] != "answered"]
    if output.is_json:
        output.data({"name": name, "entries": [dict(entry) for entry in entries]})
    for entry in entries if not output.is_json else ():
        output.line(_line(entry))


def fault(name: str, trouble: Trouble, common: Common) -> None:
    """Make something go wrong, or, with `off`, nothing any more."""
    output = Output(common)
    if trouble.kind not in _FAULTS:
        hint = f"write {', '.join(_FAULTS[:-1])} or {_FAULTS[-1]}"
        raise ReconcilerError([Problem("usage", f"no fault is called {trouble.kind}", hint=hint)])
    said = _make(name, trouble)
    if output.is_json:
        output.data({"name": name, "fault": trouble.kind, "done": said})
    else:
        output.line(f"Sandbox {name}: {said}.")


def _make(name: str, trouble: Trouble) -> str:
    """Do what is asked for; returns what is the case now."""
    often = "until `sandbox fault off`" if trouble.times is None else f"so often: {trouble.times}"
    match trouble.kind:
        case "off":
            lifecycle.mend(name)
            return "nothing goes wrong any more"
        case "restart":
            lifecycle.restart_node(name)
            return "the node was restarted"
        case "propagation":
            lifecycle.switch(name, {"propagation_delay_s": trouble.seconds})
            return f"changes in IAM count after {trouble.seconds:g} s"
        case "stale":
            lifecycle.switch(name, {"stale_search_s": trouble.seconds})
            return f"searches of ML Commons show updates after {trouble.seconds:g} s"
        case "deploy":
            lifecycle.switch(name, {"deploys": {"answer": trouble.answer, "times": trouble.times}})
            return f"deployments are {trouble.answer}, {often}"
        case "model":
            lifecycle.steer(name, trouble.on, trouble.answer, times=trouble.times, seconds=trouble.seconds)
            return f"answers of {trouble.on} are {trouble.answer}, {often}"
    wanted: dict[str, Json] = {"kind": trouble.kind, "on": trouble.on, "match": trouble.match, "times": trouble.times}
    numbers: dict[str, Json] = {"seconds": trouble.seconds, "share": trouble.share, "status": trouble.status}
    lifecycle.add_fault(name, {**wanted, **numbers})
    where = f" at {trouble.on}" if trouble.on else ""
    return f"{trouble.kind}{where}, {often}"


def _line(entry: Mapping[str, Json]) -> str:
    """One request: when, where, what, who, the decision, and why."""
    time = str(entry["at"])[11:23]
    decided = f"{entry['status'] or '---'} {entry['decision']} by {entry['layer']}"
    if entry["rule"]:
        decided += f" ({entry['rule']})"
    line = f"{time} {entry['server']:<6} {entry['request']}  {entry['who']}  {decided} in {entry['milliseconds']} ms"
    if entry["fault"]:
        line += f" [{entry['fault']}]"
    return f"{line}: {entry['reason']}" if entry["reason"] else line
