"""Runs the reconciler against a running sandbox as its user would, and looks at what there is afterwards."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sandbox.bed import Bed
from tests.sandbox.elsewhere import Domain

MANIFESTS = Path(__file__).parents[2] / "manifests"
TRUSTED = "plugins.ml_commons.trusted_connector_endpoints_regex"


@dataclass(frozen=True)
class Ran:
    """A command that ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Started:
    """A command under way. What it says is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._out: list[str] = []
        self._err: list[str] = []
        self._heard: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for reader in self._readers:
            reader.start()

    def hears(self, text: str) -> str:
        """The next line of its standard error with this in it; waits for it."""
        return self._line(self._heard, text)

    def printed(self, text: str) -> str:
        """The next line of its standard output with this in it; waits for it."""
        return self._line(self._seen, text)

    def _line(self, lines: queue.SimpleQueue[str | None], text: str) -> str:
        try:
            while (line := lines.get(timeout=60)) is not None:
                if text in line:
                    return line
        except queue.Empty:
            self._process.kill()
        raise AssertionError(f"never said: {text}\n{self.end().all}")

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self._process.send_signal(number)

    def end(self) -> Ran:
        """Wait for its end."""
        code = self._process.wait(timeout=180)
        for reader in self._readers:
            reader.join()
        out, err = "".join(self._out), "".join(self._err)
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    def _read_out(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._out.append(line)
                    self._seen.put(line)
        self._seen.put(None)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._err.append(line)
                self._heard.put(line)
        self._heard.put(None)


def start(
    bed: Domain, *arguments: str | Path, env: Mapping[str, str] | None = None, terminal: int | None = None
) -> Started:
    """Start the reconciler as a user of the sandbox would, on a terminal if one is given, and SIGINT not ignored."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OPENSEARCH_"))}
    return Started(
        subprocess.Popen(
            ["env", "--default-signal=INT", sys.executable, "-m", "reconciler", *map(str, arguments)],
            env={**inherited, **bed.env, **(env or {})},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def run(bed: Domain, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run the reconciler as a user of the sandbox would."""
    return start(bed, *arguments, env=env).end()


def caller(bed: Bed) -> Any:
    """Whoever may read everything on the sandbox's domain."""
    return bed.automation if bed.info.settings.options.flavour == "aws" else bed.master


def searched(bed: Bed, path: str) -> list[dict[str, Any]]:
    """What a search shows of a collection."""
    answer = bed.ask("GET", f"{path}/_search", by=caller(bed), content={"query": {"match_all": {}}, "size": 100})
    return list(answer.json()["hits"]["hits"]) if answer.status_code == 200 else []


def until_searches_show_all(bed: Bed) -> None:
    """Wait until searches, which lag behind for a moment, say of every object of ML Commons what a GET says of it."""
    deadline = time.monotonic() + 10
    kinds = [f"/_plugins/_ml/{kind}" for kind in ("connectors", "models", "model_groups")]
    while any(
        hit["_source"]["last_updated_time"]
        != bed.ask("GET", f"{kind}/{hit['_id']}", by=caller(bed)).json().get("last_updated_time")
        for kind in kinds
        for hit in searched(bed, kind)
    ):
        assert time.monotonic() < deadline


def hits(bed: Bed, path: str) -> list[dict[str, Any]]:
    """What there is in a collection. ML Commons' objects are as they are now, which a search does not show at once."""
    found = searched(bed, path)
    if not path.startswith("/_plugins/_ml"):
        return found
    now = [(hit["_id"], bed.ask("GET", f"{path}/{hit['_id']}", by=caller(bed))) for hit in found]
    return [{"_id": one, "_source": shown.json()} for one, shown in now if shown.status_code == 200]


def left_overs(bed: Bed) -> list[str]:
    """What there is of anybody's connectors, groups and models, and of our rows in the ledger."""
    found = [
        hit["_id"] for kind in ("connectors", "models", "model_groups") for hit in hits(bed, f"/_plugins/_ml/{kind}")
    ]
    rows = [hit["_id"] for hit in hits(bed, "/reconciler-ledger") if hit["_source"]["type"] == "row"]
    return found + rows


def settings(bed: Bed) -> Any:
    answer = bed.ask("GET", "/_cluster/settings?flat_settings=true", by=caller(bed))
    return answer.json()["persistent"]


def mapping(bed: Bed, role: str = "ml_full_access") -> Any:
    answer = bed.ask("GET", f"/_plugins/_security/api/rolesmapping/{role}", by=caller(bed))
    return answer.json().get(role)


def stats(path: Path) -> Any:
    return json.loads(path.read_text())
