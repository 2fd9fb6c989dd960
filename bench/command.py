"""Running a command as a process of its own, and what it took."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 0.25
_WORK = [{f"key {index}": [index, str(index)] for index in range(100)} for _ in range(100)]


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that ended: exit code, seconds of wall and processor time, peak memory in MiB, and what it printed.

    Time and memory are those of all its processes together.
    """

    code: int
    wall: float
    cpu: float
    peak: float
    out: str = field(repr=False)
    err: str = field(repr=False)


def run(tree: Path, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Run Python with these arguments from a checkout; its output goes through files in `folder`."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as standard, err.open("wb") as error:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tree, env=dict(environment), stdin=subprocess.DEVNULL, stdout=standard, stderr=error,
        )  # fmt: skip
        watch = _Watch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = max(usage.ru_maxrss / 1_024, watch.end())
    return Ran(process.returncode, wall, usage.ru_utime + usage.ru_stime, peak, _text(out), _text(err))


def yardstick() -> float:
    """The processor seconds that always the same work takes just now: more when the machine's cores are shared."""
    began = time.process_time()
    for _ in range(6):
        json.loads(json.dumps(_WORK, sort_keys=True))
    return time.process_time() - began


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


@contextmanager
def first_in_line(pid: int) -> Iterator[None]:
    """Let a process's session go before all others of a machine that is shared, so that what those do does not count.

    It takes the right to raise priorities. https://man7.org/linux/man-pages/man7/sched.7.html, autogrouping
    """
    prefer(pid)
    try:
        yield
    finally:
        prefer(pid, 0)


def prefer(pid: int, nice: int = -20) -> None:
    """Set how much the session of a process goes before others: from -20, first, to 19."""
    Path(f"/proc/{pid}/autogroup").write_text(str(nice))


class _Watch:
    """Looks now and then how much memory a process and its descendants take together, where there are any."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """The most that was seen, in MiB."""
        self._ending.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while not self._ending.wait(_EVERY):
            pids = family(self._pid)
            if len(pids) > 1:
                self._peak = max(self._peak, sum(_resident(pid) for pid in pids))


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        try:
            children = "".join(path.read_text() for path in Path(f"/proc/{one}/task").glob("*/children"))
        except OSError:
            continue
        found += [int(child) for child in children.split()]
    return found


def _resident(pid: int) -> float:
    """The MiB a process has for itself, what it shares with others counted in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_024
