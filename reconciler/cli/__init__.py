"""The command line: options in, text or JSON out, exit codes. It wires the layers and decides nothing."""

import gc
import os
import sys
from contextlib import suppress

_INTERRUPTED = 130
_BETWEEN_COLLECTIONS = (50_000, 20, 100)  # of a large manifest nearly all objects stay: to look for garbage is in vain


def main() -> None:
    """The console script. Exit codes: 0 done or nothing to do, 1 error, 2 differences, 130 and 143 for signals."""
    gc.set_threshold(*_BETWEEN_COLLECTIONS)
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"], ["version", "--json"]):
        from reconciler.cli.version import print_version

        print_version("--json" in arguments)
        return
    try:
        from reconciler.cli.run import run
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    code = run(arguments)
    with suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    # Reads may be under way whose answers nobody waits for, and freeing many objects one by one takes its time.
    os._exit(code)
