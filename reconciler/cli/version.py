"""The version, with nothing loaded for it."""

import json
import sys

VERSION = "0.1.0"


def print_version(as_json: bool) -> None:
    """Print the version as text or as JSON."""
    sys.stdout.write(json.dumps({"version": VERSION}) + "\n" if as_json else f"reconciler {VERSION}\n")
