"""Starting, finding, stopping sandboxes, and what is left when they are killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import Options, new_settings, write_settings
from tests.sandbox.bed import Bed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for sandboxes, stopped at the end."""
    monkeypatch.setenv("RECONCILER_SANDBOX_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for name in lifecycle.names():
        lifecycle.down(name)


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes whose arguments name `folder`."""
    lines = [_command(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [line for line in lines if str(folder) in line]


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def until(condition: object, seconds: float = 10) -> bool:
    """Whether `condition()` becomes true in time."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
    return False


def test_found_running_with_the_same_options_and_refused_with_others(aws_sandbox: Bed) -> None:
    again = lifecycle.up(aws_sandbox.name, Options("aws"), lambda _line: pytest.fail("started again"))
    assert again == aws_sandbox.info == lifecycle.status(aws_sandbox.name)
    assert aws_sandbox.name in lifecycle.names()
    with pytest.raises(ReconcilerError) as raised:
        lifecycle.up(aws_sandbox.name, Options("self-managed"))
    assert raised.value.problems[0].code == "sandbox-other-options"


def test_two_side_by_side(aws_sandbox: Bed, self_managed_sandbox: Bed) -> None:
    both = [bed.ask("GET", "/", by=bed.master).json()["cluster_uuid"] for bed in (aws_sandbox, self_managed_sandbox)]
    assert len(set(both)) == 2


def test_secrets_are_the_owners_only(aws_sandbox: Bed) -> None:
    settings = aws_sandbox.info.settings
    secret = [
        *settings.passwords.values(),
        settings.secret_access_key,
        settings.model_api_key,
        settings.control_token,
    ]
    folders = (aws_sandbox.info.folder, settings.node_folder)
    commands = [line for folder in folders for line in processes_in(folder)]
    assert len(commands) >= 2
    assert not any(value in line for value in secret for line in commands)
    environment = Path(f"/proc/{aws_sandbox.info.pid}/environ").read_text(errors="replace")
    assert not any(value in environment for value in secret)
    assert aws_sandbox.info.folder.stat().st_mode & 0o077 == 0
    assert (aws_sandbox.info.folder / "settings.json").stat().st_mode & 0o077 == 0
    assert not any(value in aws_sandbox.info.log.read_text() for value in secret)


def test_the_node_does_not_run_as_root(aws_sandbox: Bed) -> None:
    (node,) = [
        entry
        for entry in Path("/proc").iterdir()
        if f"path.home={aws_sandbox.info.settings.node_folder}" in _command(entry)
    ]
    assert node.stat().st_uid != 0


def test_killed_and_started_again(home: Path) -> None:
    said: list[str] = []
    info = lifecycle.up("doomed", Options("aws"), said.append)
    assert any("OpenSearch" in line for line in said)
    node = info.settings.node_folder
    assert processes_in(node)
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    assert until(lambda: not processes_in(node)), "the node outlives its daemon"
    assert lifecycle.status("doomed") is None
    with pytest.raises(ReconcilerError) as raised:
        lifecycle.env("doomed")
    assert raised.value.problems[0].code == "sandbox-not-running"

    again = lifecycle.up("doomed", Options("self-managed"))
    assert again.settings.node_folder != node
    assert not node.exists()
    assert lifecycle.down("doomed") is True
    assert not processes_in(again.folder)
    assert not processes_in(again.settings.node_folder)
    assert not again.settings.node_folder.exists()
    assert list(home.iterdir()) == []


def test_down_cleans_what_a_killed_daemon_left(home: Path, tmp_path: Path) -> None:
    left = home / "stale"
    left.mkdir(parents=True)
    node = tmp_path / "node"
    node.mkdir()
    write_settings(new_settings("stale", Options(), node), left / "settings.json")
    (left / "lock").write_text(str(os.getpid()))
    assert lifecycle.names() == ("stale",)
    assert lifecycle.status("stale") is None
    assert lifecycle.down("stale") is False
    assert not node.exists()
    assert list(home.iterdir()) == []


def test_a_node_that_can_not_start(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mvn", "setpriv"):
        (tools / name).write_text("#!/bin/sh\nexit 7\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(ReconcilerError) as raised:
        lifecycle.up("broken")
    (problem,) = raised.value.problems
    assert problem.code == "sandbox-not-started"
    assert "status 7" in problem.message
    assert lifecycle.status("broken") is None
    assert list((home / "broken").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 64, "a b"])
def test_names_that_are_none(home: Path, name: str) -> None:
    for action in (lifecycle.up, lifecycle.down, lifecycle.status, lifecycle.env, lifecycle.reset):
        with pytest.raises(ReconcilerError) as raised:
            action(name)
        assert raised.value.problems[0].code == "sandbox-name"
    assert not home.exists()
