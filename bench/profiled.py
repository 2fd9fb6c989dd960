"""A command under a profiler in every thread of it: where its processor time goes.

    python -m bench.profiled FILE plan manifest.yaml ...

writes one file for `pstats`. Times are processor seconds of the threads, so that waiting does not count.
"""

import cProfile
import pstats
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.client import environment
from bench.command import run

_SHOWN = 30
_profiles: list[cProfile.Profile] = []
_run = threading.Thread.run


def _profiled(act: Callable[..., Any], *given: Any) -> Any:
    profile = cProfile.Profile(time.thread_time)
    _profiles.append(profile)
    profile.enable()
    try:
        return act(*given)
    finally:
        profile.disable()


def _command(arguments: Sequence[str]) -> int:
    from reconciler.cli.run import run as command

    return command(arguments)


def _thread(self: threading.Thread) -> None:
    _profiled(_run, self)


def main() -> int:
    """Run the reconciler with these arguments."""
    target, *arguments = sys.argv[1:]
    threading.Thread.run = _thread  # type: ignore[method-assign]

    code = _profiled(_command, arguments)
    together = pstats.Stats(_profiles[0])
    for profile in _profiles[1:]:
        together.add(pstats.Stats(profile))
    together.dump_stats(target)
    return int(code)


def show(tree: Path, folder: Path, arguments: Sequence[str], target: Path) -> None:
    """Run the reconciler under the profiler and print where the time went."""
    ran = run(tree, folder, ["-m", "bench.profiled", str(target), *arguments], environment())
    print(f"ended with {ran.code}: wall {ran.wall:.1f} s, processor {ran.cpu:.1f} s, both with the profiler's own")
    found = pstats.Stats(str(target))
    found.strip_dirs().sort_stats("tottime").print_stats(_SHOWN)
    found.sort_stats("cumulative").print_stats(2 * _SHOWN)


if __name__ == "__main__":
    sys.exit(main())
