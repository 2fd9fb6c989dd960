"""Saved plans, moved addresses and the history, against the real node."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.sandbox.bed import Bed
from tests.sandbox.command import hits, run

TARGET = """\
manifest: moving
target:
  opensearch:
    endpoint: ${env.OPENSEARCH_URL}
    auth: { username: "${env.OPENSEARCH_USERNAME}", password: "${env.OPENSEARCH_PASSWORD}" }
"""
SCHEMA = Path(__file__).parents[2] / "schemas" / "formats" / "saved-plan.schema.json"
GROUPS = "/_plugins/_ml/model_groups"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "m.yaml"


def stated(manifest: Path, text: str) -> None:
    manifest.write_text(TARGET + text)


def looked_at(bed: Bed, group: str) -> Any:
    """A group by its id: a search may show it as it was a moment ago."""
    return bed.ask("GET", f"{GROUPS}/{group}", by=bed.master).json()


def rows(bed: Bed) -> dict[str, str]:
    """The ids in the ledger, by address."""
    found = [hit["_source"] for hit in hits(bed, "/reconciler-ledger")]
    return {one["address"]: one["id"] for one in found if one["type"] == "row"}


def test_a_moved_object_stays_and_its_row_follows(self_managed: Bed, manifest: Path) -> None:
    stated(manifest, "model_groups: { old: { name: Group, description: one } }\n")
    assert run(self_managed, "apply", manifest, "--yes").code == 0
    (group,) = hits(self_managed, GROUPS)
    stated(
        manifest,
        "model_groups: { new: { name: Group, description: one } }\n"
        "moved: [{ from: model_groups.old, to: model_groups.new }]\n",
    )
    planned = run(self_managed, "plan", manifest, "--detailed-exitcode")
    assert planned.code == 2
    assert "(moved from model_groups.old)" in planned.out
    moved = run(self_managed, "apply", manifest, "--yes")
    assert moved.code == 0, moved.all
    assert "Applied: 1 moved" in moved.out
    assert rows(self_managed) == {"model_groups.new": group["_id"]}
    assert [hit["_id"] for hit in hits(self_managed, GROUPS)] == [group["_id"]]
    assert run(self_managed, "plan", manifest, "--detailed-exitcode").code == 0

    # Where the name follows the address, it is changed in place.
    stated(
        manifest,
        "model_groups: { last: { description: one } }\nmoved: [{ from: model_groups.new, to: model_groups.last }]\n",
    )
    renamed = run(self_managed, "apply", manifest, "--yes")
    assert renamed.code == 0, renamed.all
    assert looked_at(self_managed, group["_id"])["name"] == "last"
    assert [hit["_id"] for hit in hits(self_managed, GROUPS)] == [group["_id"]]
    assert rows(self_managed) == {"model_groups.last": group["_id"]}

    listed = run(self_managed, "history", manifest)
    assert [line.split("  ")[-1] for line in listed.out.splitlines() if "by" not in line] == [
        "1 changed, 1 moved",
        "1 moved",
        "1 created",
    ]
    shown = run(self_managed, "history", "show", "1", manifest)
    assert 'name: - "Group"  + "last"' in shown.out
    assert "(moved from model_groups.new)" in shown.out
    assert run(self_managed, "history", "show", "4", manifest).code == 1
    assert run(self_managed, "destroy", manifest, "--yes").code == 0
    assert rows(self_managed) == {}


def test_a_saved_plan_knows_one_object_from_another_of_its_name(
    self_managed: Bed, manifest: Path, tmp_path: Path
) -> None:
    saved, ledger = tmp_path / "plan.json", tmp_path / "ledger.json"
    stated(manifest, "model_groups: { g: { description: one, adopt: true } }\n")
    assert run(self_managed, "apply", manifest, "--yes", "--ledger", ledger).code == 0
    stated(manifest, "model_groups: { g: { description: two, adopt: true } }\n")
    assert run(self_managed, "plan", manifest, "--ledger", ledger, "--out", saved).code == 0
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(saved.read_text()))
    (group,) = hits(self_managed, GROUPS)
    gone = self_managed.ask("DELETE", f"{GROUPS}/{group['_id']}", by=self_managed.master)
    assert gone.status_code == 200
    made = self_managed.ask(
        "POST", f"{GROUPS}/_register", by=self_managed.master, content={"name": "g", "description": "one"}
    )
    another = made.json()["model_group_id"]
    refused = run(self_managed, "apply", saved, "--yes")
    assert refused.code == 1
    assert "error[stale-plan] model_groups.g" in refused.err
    assert f"it is another object since the plan was made ({another}, was {group['_id']})" in refused.err

    assert run(self_managed, "plan", manifest, "--ledger", ledger, "--out", saved).code == 0
    applied = run(self_managed, "apply", saved, "--yes")
    assert applied.code == 0, applied.all
    assert looked_at(self_managed, another)["description"] == "two"
    documents = json.loads(ledger.read_text())["documents"]
    assert documents["row:moving:model_groups.g"]["id"] == another
    assert rows(self_managed) == {}
