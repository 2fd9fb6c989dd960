"""Runs the reconciler against a running sandbox as its user would, and looks at what there is afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sandbox.bed import Bed

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


def run(bed: Bed, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run the reconciler as a user of the sandbox would."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OPENSEARCH_"))}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *map(str, arguments)],
        env={**inherited, **bed.env, **(env or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return Ran(done.returncode, done.stdout, done.stderr)


def caller(bed: Bed) -> Any:
    """Whoever may read everything on the sandbox's domain."""
    return bed.automation if bed.info.settings.options.flavour == "aws" else bed.master


def hits(bed: Bed, path: str) -> list[dict[str, Any]]:
    answer = bed.ask("GET", f"{path}/_search", by=caller(bed), content={"query": {"match_all": {}}, "size": 100})
    return list(answer.json()["hits"]["hits"]) if answer.status_code == 200 else []


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
