"""The commands that ask nobody: `validate` of a long manifest, `version`, `--help`."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import environment
from bench.command import Ran, run
from bench.scenarios import Tool, Unexpected
from bench.workload import objects

OBJECTS = 3_000
_SDKS = ("boto3", "botocore", "opensearchpy", "urllib3", "requests")


@dataclass(frozen=True, slots=True)
class Offline:
    """One command and its runs; `about` says what it was given."""

    name: str
    about: Mapping[str, int]
    runs: Sequence[Ran]
    loaded: Sequence[str]

    def json(self) -> dict[str, Any]:
        """The command as the figures have it."""
        return {
            "name": self.name,
            **self.about,
            "wall": round(statistics.median(one.wall for one in self.runs), 3),
            "cpu": round(statistics.median(one.cpu for one in self.runs), 3),
            "peak": round(max(one.peak for one in self.runs), 1),
            "sdks_loaded": list(self.loaded),
        }


def offline(tool: Tool, repeat: int) -> list[Offline]:
    """All of them."""
    chains = math.ceil(OBJECTS / objects(1, tool.kinds))
    path = tool.write(chains)
    about = {"lines": path.read_text("utf-8").count("\n"), "objects": objects(chains, tool.kinds)}
    return [
        _measured(tool, "validate", ["validate", str(path)], about, repeat),
        _measured(tool, "version", ["version"], {}, 2 * repeat),
        _measured(tool, "--help", ["--help"], {}, 2 * repeat),
    ]


def _measured(tool: Tool, name: str, arguments: Sequence[str], about: Mapping[str, int], repeat: int) -> Offline:
    runs = [tool.run(*arguments) for _ in range(repeat)]
    if failed := next((one for one in runs if one.code), None):
        raise Unexpected(f"`{name}` ended with {failed.code}:\n{failed.out}\n{failed.err}")
    return Offline(name, about, runs, loaded(tool.tree, tool.folder, arguments))


def loaded(tree: Path, folder: Path, arguments: Sequence[str]) -> list[str]:
    """The SDKs that a command imports."""
    timed = run(tree, folder, ["-X", "importtime", "-m", "reconciler", *arguments], environment())
    modules = {line.rpartition("|")[2].strip() for line in timed.err.splitlines() if line.startswith("import time:")}
    return [name for name in _SDKS if name in modules]
