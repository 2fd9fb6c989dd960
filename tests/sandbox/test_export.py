"""Export on the sandbox: a domain built by hand is taken over, and made anew where there is nothing."""

from pathlib import Path
from typing import Any

import pytest

from reconciler.kinds import load_kinds
from reconciler.manifest.schema import load_schemas
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT
from tests.sandbox import by_hand, small
from tests.sandbox.bed import Bed
from tests.sandbox.command import Ran, run
from tests.sandbox.test_drift import reads, requests
from tests.support.compare import same
from tests.support.exports import shuffled

KINDS = load_kinds(load_schemas(Path(__file__).parents[2] / "schemas"))
MANY = 50


def export(bed: Bed, out: Path, *more: str) -> Ran:
    url = bed.env["OPENSEARCH_URL"]
    where = ("--endpoint", url, "--domain", "search-demo", "--region", "us-east-1")
    return run(bed, "export", "--out", out, *where, "--json", *more)


def filled(found: Any) -> dict[str, str]:
    """Values for what is to be filled in."""
    given = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/invoke-0", "secretArn": by_hand.SECRET}
    return {one["environment"]: given.get(one["field"].rpartition(".")[2], "Aa1-nobody-guesses-this") for one in found}


def pending(ran: Ran) -> dict[str, Any]:
    """What a plan would do."""
    assert ran.code == 0, ran.all
    changes = {one["address"]: one["change"]["actions"] for one in ran.data["resource_changes"]}
    return {address: done for address, done in changes.items() if done != ["no-op"]}


@pytest.mark.timeout(400)
def test_a_domain_built_by_hand_is_taken_over_and_made_anew(aws: Bed, tmp_path: Path) -> None:
    by_hand.build(aws)
    before, asked = by_hand.snapshot(aws, KINDS), len(requests(aws))
    folder = tmp_path / "exported"
    told = export(aws, folder)
    assert told.code == 0, told.all
    assert [request for request in requests(aws)[asked:] if not reads(request)] == []
    assert told.data["problems"] == []
    assert sum(told.data["objects"].values()) >= MANY, told.data["objects"]
    assert set(told.data["objects"]) == set(KINDS), told.data["objects"]
    assert run(aws, "validate", folder).code == 0

    secrets = filled(told.data["fill_in"])
    taken = run(aws, "apply", folder, "--adopt-all", "--yes", env=secrets)
    assert taken.code == 0, taken.all
    assert pending(run(aws, "plan", folder, "--json", env=secrets)) == {}
    same(by_hand.snapshot(aws, KINDS), before)

    other = tmp_path / "other"
    other.mkdir()
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    for name, text in shuffled(texts, 7).items():
        (other / name).write_text(text, "utf-8")
    assert pending(run(aws, "plan", other, "--json", env=secrets)) == {}

    lifecycle.reset(aws.name)
    # A master user and a tenant are there from the beginning.
    made = run(aws, "apply", folder, "--yes", "--adopt-all", env=secrets)
    assert made.code == 0, made.all
    assert pending(run(aws, "plan", folder, "--json", env=secrets)) == {}
    same(by_hand.snapshot(aws, KINDS), before)
    again = export(aws, tmp_path / "again", "--as", told.data["manifest"])
    assert again.code == 0, again.all
    same({path.name: path.read_text("utf-8") for path in (tmp_path / "again").iterdir()}, dict(texts))


def test_a_part_is_exported_and_told(aws: Bed, tmp_path: Path) -> None:
    by_hand.account(aws)
    where = ("--region", "us-east-1", "--account-id", ACCOUNT)
    tagged = run(aws, "export", "--out", tmp_path / "roles", *where, "--kind", "iam_roles", "--tag", "team=search")
    assert tagged.code == 0, tagged.all
    assert tagged.out.splitlines()[:2] == [f"exported: 2 objects, in {tmp_path / 'roles'}.", "      2 iam_roles"]
    assert sorted(path.name for path in (tmp_path / "roles").iterdir()) == ["iam_roles.yaml", "manifest.yaml"]
    text = (tmp_path / "roles" / "iam_roles.yaml").read_text("utf-8")
    named = [line.strip() for line in text.splitlines() if line[:2] == "  " and line[2] != " "]
    assert named == ["invoke-0:", "invoke-1:"]
    # Its policies are not exported with it.
    assert "- arn:aws:iam::${target.account_id}:policy/Hand-0" in text
    again = run(aws, "export", "--out", tmp_path / "roles", *where)
    assert (again.code, "is not an empty folder" in again.err) == (1, True), again.all
    else_where = run(aws, "export", "--out", tmp_path / "x", "--region", "us-east-1", "--account-id", "000000000000")
    assert (else_where.code, "error[wrong-account]" in else_where.err) == (1, True), else_where.all
    assert not (tmp_path / "x").exists()


@pytest.mark.timeout(300)
def test_a_cluster_of_ones_own_is_taken_over(self_managed: Bed, tmp_path: Path) -> None:
    bed, folder = self_managed, tmp_path / "exported"
    small.add_others(bed)
    told = run(bed, "export", "--out", folder, "--endpoint", bed.env["OPENSEARCH_URL"], "--as", "own", "--json")
    assert told.code == 0, told.all
    assert told.data["objects"].items() >= {"connectors": 1, "model_groups": 1}.items()
    assert "auth: basic" in (folder / "manifest.yaml").read_text("utf-8")
    assert "aws:" not in (folder / "manifest.yaml").read_text("utf-8")
    secrets = filled(told.data["fill_in"])
    before = small.of_others(bed)
    taken = run(bed, "apply", folder, "--adopt-all", "--yes", env=secrets)
    assert taken.code == 0, taken.all
    assert pending(run(bed, "plan", folder, "--json", env=secrets)) == {}
    assert small.of_others(bed) == before
