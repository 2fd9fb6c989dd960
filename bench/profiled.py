"""A command under a profiler in every thread of it: where its processor time goes.

    python -m bench.profiled FILE plan manifest.yaml ...

writes one file for `pstats`. Times are processor seconds of the threads, so that waiting does not count.
"""

import cProfile
import pstats
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

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


def _thread(self: threading.Thread) -> None:
    _profiled(_run, self)


def main() -> int:
    """Run the reconciler with these arguments."""
    target, *arguments = sys.argv[1:]
    threading.Thread.run = _thread  # type: ignore[method-assign]

    def act() -> int:
        from reconciler.cli import main as command

        sys.argv = ["reconciler", *arguments]
        return command()

    try:
        code = _profiled(act)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    together = pstats.Stats(_profiles[0])
    for profile in _profiles[1:]:
        together.add(pstats.Stats(profile))
    together.dump_stats(target)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
