"""The command line: options in, text or JSON out, exit codes. It wires the layers and decides nothing."""

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """The console script. Exit codes: 0 done or nothing to do, 1 error, 2 differences, 130 and 143 for signals."""
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
    if code < _INTERRUPTED:
        sys.exit(code)
    sys.stdout.flush()
    os._exit(code)  # reads may be under way whose answers nobody waits for
