"""The command line: options in, text or JSON out, exit codes. It wires the layers and decides nothing."""

import sys


def main() -> None:
    """The console script. Exit codes: 0 done or nothing to do, 1 error, 2 differences."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"], ["version", "--json"]):
        from reconciler.cli.version import print_version

        print_version("--json" in arguments)
        return
    from reconciler.cli.run import run

    sys.exit(run(arguments))
