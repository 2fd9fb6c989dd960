"""The services as a process of their own, and how to steer them."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.workload import Where

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Services:
    """Running services: where they are, and who looks on."""

    where: Where
    control: str

    def reset(self, **stage: object) -> None:
        """Begin anew, with what `bench.services.Stage` names."""
        self._ask("/reset", stage)

    def pace(self, *, latency: float, limits: bool) -> None:
        """Go on with what there is, at another pace."""
        self._ask("/pace", {"latency": latency, "limits": limits})

    def drift(self, role: str) -> None:
        """Change a role behind everybody's back; called again, change it back."""
        self._ask("/drift", {"role": role})

    def settle(self) -> None:
        """Wait until searches show everything that was written so far."""
        self._ask("/settle", {})

    def tally(self) -> Mapping[str, Any]:
        """What was asked since the last call."""
        return self._ask("/tally", {})

    def state(self) -> Mapping[str, int]:
        """How many objects there are by kind, how many models are deployed, and how many changed."""
        return self._ask("/state", {})

    def _ask(self, path: str, about: Mapping[str, object]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.control).netloc, timeout=120)
        try:
            connection.request("POST", path, json.dumps(about))
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
            return found
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Services]:
    """Services that run until the block ends."""
    command = [sys.executable, "-m", "bench.services"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield Services(Where(told["aws"], told["domain"], told["account"]), told["control"])
        finally:
            process.kill()


def environment() -> dict[str, str]:
    """The environment of a command that is measured: somebody's keys, and nothing of who measures."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "AKIA0000000000000000",
        "AWS_SECRET_ACCESS_KEY": "0" * 40,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_COLOR": "1",
    }
