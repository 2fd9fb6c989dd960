"""Starts, stops, describes and resets sandboxes, each a daemon with a state folder of its own.

A daemon holds a lock on its folder while it lives, so a folder without a lock holder is what a killed one left. Its
node dies with it.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.sandbox.settings import (
    ACCOUNT,
    AUTOMATION_ARN,
    DOMAIN,
    REGION,
    SAGEMAKER_ENDPOINT,
    SECRET_ARN,
    Endpoints,
    Options,
    Settings,
    new_settings,
    read_endpoints,
    read_settings,
    write_settings,
)

START_DEADLINE = 900.0  # seconds; the first start downloads the node's parts
STOP_DEADLINE = 30.0
CONTROL_DEADLINE = 30.0
RESTART_DEADLINE = 180.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A running sandbox: what it was started with, where it serves, and its daemon's process id."""

    settings: Settings
    endpoints: Endpoints
    folder: Path
    pid: int

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.folder / "daemon.log"


def sandbox_home() -> Path:
    """The folder of all sandboxes' state folders: `RECONCILER_SANDBOX_HOME`, else in the user's state folder."""
    if given := os.environ.get("RECONCILER_SANDBOX_HOME"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "reconciler" / "sandbox"


def up(
    name: str = "default",
    options: Options | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> SandboxInfo:
    """Start the sandbox, or find it running with the same options; returns when it is ready.

    Calls `progress` with a line for each step. Raises ReconcilerError when something it needs is missing, when it does
    not get ready, or when a sandbox of that name runs with other options.
    """
    chosen = options or Options()
    folder = _folder(name)
    with _turn(folder):
        running = _found(folder)
        if running is not None and running.settings.options == chosen:
            return running
        if running is not None:
            raise ReconcilerError(
                [
                    Problem(
                        "sandbox-other-options",
                        f"sandbox {name} runs already, as {running.settings.options}",
                        hint=f"stop it by `reconciler sandbox down --name {name}`, or use another name",
                    )
                ]
            )
        _clean(folder)
        settings = new_settings(name, chosen, _node_folder(folder))
        write_settings(settings, folder / "settings.json")
        try:
            return _start(settings, folder, progress)
        except BaseException:
            _clean(folder)
            raise


def down(name: str = "default") -> bool:
    """Stop the sandbox and remove its state; returns whether it was running."""
    folder = _folder(name)
    if not folder.is_dir():
        return False
    with _turn(folder):
        pid = _holder(folder)
        if pid is not None:
            _end(pid, folder)
        _clean(folder)
        folder.rmdir()
    return pid is not None


def status(name: str = "default") -> SandboxInfo | None:
    """The running sandbox of that name, if it is ready; what a killed daemon left behind is removed."""
    folder = _folder(name)
    found = _found(folder)
    if found is None:
        _remove_leftovers(folder)
    return found


def _found(folder: Path) -> SandboxInfo | None:
    pid = _holder(folder)
    if pid is None:
        return None
    try:
        return SandboxInfo(
            read_settings(folder / "settings.json"), read_endpoints(folder / "endpoints.json"), folder, pid
        )
    except FileNotFoundError:
        return None


def names() -> tuple[str, ...]:
    """The names of the sandboxes that have a state folder, running or not."""
    home = sandbox_home()
    return tuple(sorted(path.name for path in home.iterdir() if path.is_dir())) if home.is_dir() else ()


def env(name: str = "default") -> Mapping[str, str]:
    """The variables that point `aws`, `curl` and the reconciler at the sandbox; ReconcilerError when it is down."""
    info = _running(name)
    settings, endpoints = info.settings, info.endpoints
    variables = {
        "opensearch_endpoint": endpoints.domain,
        "account_id": ACCOUNT,
        "region": REGION,
        "domain": DOMAIN,
        "automation_arn": AUTOMATION_ARN,
        "endpoint_name": SAGEMAKER_ENDPOINT,
        "secret_arn": SECRET_ARN,
    }
    return {
        "AWS_ENDPOINT_URL": endpoints.aws,
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "CURL_CA_BUNDLE": str(endpoints.authority),
        "OPENSEARCH_CA_FILE": str(endpoints.authority),
        "OPENSEARCH_URL": endpoints.domain,
        "OPENSEARCH_USERNAME": "master",
        "OPENSEARCH_PASSWORD": settings.passwords["master"],
        "DEEPSEEK_API_KEY": settings.model_api_key,
        **{f"RECONCILER_VAR_{key}": value for key, value in variables.items()},
    }


def reset(name: str = "default") -> None:
    """Bring a running sandbox back to what it was when it started; its addresses and secrets stay the same."""
    _control(name, "/reset")


def restart_node(name: str = "default") -> None:
    """Stop the node of a running sandbox and start it again, its data kept; requests meanwhile are answered 503."""
    _control(name, "/restart", deadline=RESTART_DEADLINE)


def log(name: str = "default", last: int = 100) -> Sequence[Mapping[str, Json]]:
    """The last requests at a running sandbox's servers, the oldest first; see `reconciler.sandbox.journal.Entry`."""
    entries = _control(name, "/log", {"last": last})["entries"]
    assert isinstance(entries, list)
    return [entry for entry in entries if isinstance(entry, Mapping)]


def add_fault(name: str, fault: Mapping[str, Json]) -> None:
    """Let a fault hold from now on, given by the fields of `reconciler.sandbox.faults.Fault`."""
    _control(name, "/network", fault)


def switch(name: str, switches: Mapping[str, Json]) -> None:
    """Turn switches: `stale_search_s`, the fields of `reconciler.sandbox.gateway.switches.Switches`, and `deploys`,
    an object that `reconciler.sandbox.mlcommons.deployment.DeployTrouble` takes."""
    _control(name, "/faults", switches)


def steer(name: str, host: str, answer: str, *, times: int | None = 1, seconds: float = 0.0) -> None:
    """Choose the next `times` answers of a model's host, None for all; see `reconciler.sandbox.endpoints.Models`."""
    _control(name, "/models", {"host": host, "answer": answer, "times": times, "seconds": seconds})


def mend(name: str = "default") -> None:
    """Let nothing go wrong any more: no faults, no switches, no chosen answers."""
    _control(name, "/mend")


def _control(
    name: str, path: str, body: Mapping[str, Json] | None = None, *, deadline: float = CONTROL_DEADLINE
) -> Mapping[str, Json]:
    """Ask the running sandbox itself; ReconcilerError with what it says of a request that it refuses."""
    import httpx

    info = _running(name)
    answer = httpx.post(
        f"{info.endpoints.control}{path}",
        headers={"authorization": f"Bearer {info.settings.control_token}"},
        json=dict(body or {}),
        timeout=deadline,
        trust_env=False,
    )
    if answer.status_code == httpx.codes.BAD_REQUEST:
        raise ReconcilerError([Problem("usage", answer.json()["message"])])
    answer.raise_for_status()
    said: Mapping[str, Json] = answer.json()
    return said


def _running(name: str) -> SandboxInfo:
    info = status(name)
    if info is None:
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-not-running",
                    f"sandbox {name} is not running",
                    hint=f"start it by `reconciler sandbox up --name {name}`",
                )
            ]
        )
    return info


def _folder(name: str) -> Path:
    if _NAME.fullmatch(name) is None:
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-name",
                    f"{name!r} is no name for a sandbox",
                    hint="use letters, digits, dot, dash and underscore, beginning with a letter or digit",
                )
            ]
        )
    return sandbox_home() / name


def _node_folder(folder: Path) -> Path:
    """A new folder for the node. Root's node runs as another user, who could not enter most state folders."""
    if os.geteuid() != 0:
        made = folder / "node"
        made.mkdir()
        return made
    made = Path(tempfile.mkdtemp(prefix="reconciler-node-"))
    made.chmod(0o755)
    return made


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One `up` or `down` of a sandbox at a time; the folder exists, and is its owner's only, when the turn begins."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if folder.exists() and os.path.samestat(os.fstat(opened), folder.stat()):
                folder.chmod(0o700)
                yield
                return
        finally:
            os.close(opened)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed daemon left, unless somebody is at work on the folder or it holds nothing."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.exists() and any(folder.iterdir()) and _holder(folder) is None:
            _clean(folder)
            folder.rmdir()
    except BlockingIOError:
        pass
    finally:
        os.close(opened)


def _holder(folder: Path) -> int | None:
    """The process id of the daemon that holds the folder's lock; None when nobody does."""
    try:
        with (folder / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except FileNotFoundError:
        pass
    return None


def _start(settings: Settings, folder: Path, progress: Callable[[str], None]) -> SandboxInfo:
    with (folder / "daemon.log").open("wb") as log, (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        heard, told = os.pipe()
        try:
            pid = _spawn(folder, lock.fileno(), told, log.fileno())
        finally:
            os.close(told)
        lock.write(str(pid))
    try:
        _await_ready(heard, progress, folder)
    except BaseException:
        _end(pid, folder)
        raise
    finally:
        os.close(heard)
    return SandboxInfo(settings, read_endpoints(folder / "endpoints.json"), folder, pid)


def _spawn(folder: Path, lock: int, output: int, log: int) -> int:
    """Start the daemon, apart from this process; its standard input is the lock, which it so holds while it lives."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "reconciler.sandbox.daemon", str(folder)],
        {**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        file_actions=[(os.POSIX_SPAWN_DUP2, given, standard) for standard, given in enumerate((lock, output, log))],
        setsid=True,
    )


def _import_path() -> Iterator[str]:
    """Where the daemon's Python must look to find this very package, installed or not."""
    yield str(Path(__file__).resolve().parents[2])
    if given := os.environ.get("PYTHONPATH"):
        yield given


def _await_ready(output: int, progress: Callable[[str], None], folder: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    for line in _lines(output, deadline):
        said = json.loads(line)
        if "progress" in said:
            progress(said["progress"])
        elif "problem" in said:
            raise ReconcilerError([_problem(**said["problem"])])
        else:
            return
    tail = (folder / "daemon.log").read_text(errors="replace").strip().splitlines()
    raise ReconcilerError(
        [
            Problem(
                "sandbox-not-started",
                "the sandbox's daemon ended, or did not get ready in time",
                facts=(("log", tail[-1] if tail else "empty"),),
            )
        ]
    )


def _problem(code: str, message: str, hint: str, facts: list[list[str]]) -> Problem:
    return Problem(code, message, hint=hint, facts=tuple((label, text) for label, text in facts))


def _lines(output: int, deadline: float) -> Iterator[bytes]:
    """The lines of a pipe until it is closed or the deadline has passed."""
    pending = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
        read = os.read(output, 65536)
        if not read:
            return
        *whole, pending = (pending + read).split(b"\n")
        yield from whole


def _end(pid: int, folder: Path) -> None:
    """End a daemon, by force if it takes too long; returns when it has let go of its lock."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_DEADLINE
        while time.monotonic() < deadline:
            _reap(pid)
            if _holder(folder) is None:
                return
            time.sleep(_POLL)


def _reap(pid: int) -> None:
    """Collect the daemon's exit status where it is a child of this process."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _clean(folder: Path) -> None:
    """Remove what is in a state folder nobody holds, and the node's folder where that is elsewhere."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        shutil.rmtree(read_settings(folder / "settings.json").node_folder, ignore_errors=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
