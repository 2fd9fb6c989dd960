"""The command that keeps looking after drift, for those without CI. Each look is one of `drift`, and can not write."""

import json
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.drift_commands import Scope, look
from reconciler.cli.interrupts import Interrupted
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.cli.reports import Reports
from reconciler.cli.version import VERSION
from reconciler.drift.watching import Look, Standing, Status, after, turn
from reconciler.errors import Problem, ReconcilerError
from reconciler.render import events
from reconciler.render import watched as rendered
from reconciler.render.formats import Format
from reconciler.transports.pages import Page, served

_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_PORT = 65535


@dataclass(frozen=True, slots=True)
class Watch:
    """How often to look, in seconds, and where metrics are shown: host and port, None for nowhere."""

    every: float
    address: tuple[str, int] | None = None


def wanted(every: str | None, listen: str | None, accepting: object) -> Watch:
    """The options as given: `5m`, and `PORT` or `HOST:PORT`. ReconcilerError with all that is wrong with them.

    `accepting` is what else was asked for that does not go with it, if anything was.
    """
    problems = []
    if accepting:
        problems.append(Problem("usage", "--watch accepts nothing", hint="run `drift --accept` by itself"))
    duration = _DURATION.fullmatch(every or "")
    if every is None:
        problems.append(Problem("usage", "--listen goes with --watch", hint="say how often to look, as --watch 5m"))
    elif duration is None:
        problems.append(Problem("usage", f"--watch {every} is no duration", hint="write 30s, 5m or 1h"))
    address = _address(listen) if listen is not None else None
    if listen is not None and address is None:
        problems.append(Problem("usage", f"--listen {listen} is no port", hint="write 9464, or 0.0.0.0:9464"))
    if problems or duration is None:
        raise ReconcilerError(problems)
    return Watch(float(duration[1]) * _UNITS[duration[2]], address)


def watch(load: Load, common: Common, scope: Scope, how: Watch) -> None:
    """Look again and again until a signal comes, and print a line for each change of state."""
    output = Output(common)
    form = Reports("drift", load, common, output).form
    if form not in (Format.TEXT, Format.JSON, Format.NDJSON) or common.reports or scope.html or common.stats:
        message = "--watch goes with the formats text, json and ndjson, and writes no file"
        raise ReconcilerError([Problem("usage", message, hint="see `reconciler drift` without --watch for those")])
    board = _Board(sessions.subject(load, sessions.kinds()).manifest.name)
    try:
        if how.address is None:
            _keep_looking(load, common, scope, how.every, board, output)
        else:
            host, port = how.address
            with served(host, port, {"/metrics": board.metrics, "/health": board.health}) as listening:
                output.note(f"metrics at http://{host}:{listening}/metrics, health at /health")
                _keep_looking(load, common, scope, how.every, board, output)
    except Interrupted as interrupted:
        output.note(f"{interrupted}; the watch ended, and nothing was changed")


class _Board:
    """What is known, for whoever asks from another thread."""

    def __init__(self, manifest: str) -> None:
        self.manifest = manifest
        self.standing: Standing | None = None

    def metrics(self) -> Page:
        """The page for Prometheus."""
        return Page(rendered.metrics(self.manifest, VERSION, self.standing), "text/plain; version=0.0.4; charset=utf-8")

    def health(self) -> Page:
        """The page for health checks: 503 before the first look, and while looks are stopped by errors."""
        standing = self.standing
        told: Mapping[str, Json] = rendered.standing_json(standing) if standing else {"status": "starting"}
        well = standing is not None and standing.status is not Status.ERROR
        text = json.dumps({"manifest": self.manifest, **told}, indent=2, ensure_ascii=False) + "\n"
        return Page(text, "application/json", 200 if well else 503)


def _keep_looking(load: Load, common: Common, scope: Scope, every: float, board: _Board, output: Output) -> None:
    pause = threading.Event()
    while True:
        due = time.monotonic() + every
        before, board.standing = board.standing, after(board.standing, _looked(load, common, scope, output))
        if (changed := turn(before, board.standing)) is not None:
            if output.for_people:
                output.line(rendered.line(changed))
            else:
                told = output.redaction.json(rendered.turn_json(changed))
                assert isinstance(told, Mapping)
                sys.stdout.write(events.line(events.event("state", told, sessions.timestamp())))
                sys.stdout.flush()
        pause.wait(max(0.0, due - time.monotonic()))


def _looked(load: Load, common: Common, scope: Scope, output: Output) -> Look:
    """One look. What stops it is a part of it: the next one may succeed."""
    began, started = time.time(), time.monotonic()
    quiet = Output(replace(common, json=False, form=Format.NDJSON))  # progress would be many lines in a log
    try:
        seen = look(load, common, scope, quiet)
    except ReconcilerError as error:
        return Look(began, time.monotonic() - started, 0, None, error.problems)
    finally:
        output.redaction = quiet.redaction
    return Look(began, time.monotonic() - started, seen.requests, seen.report, seen.warnings)


def _address(listen: str) -> tuple[str, int] | None:
    host, _, port = listen.rpartition(":")
    return (host or "127.0.0.1", int(port)) if port.isascii() and port.isdigit() and int(port) <= _PORT else None
