"""Many security objects at once on the real node: in few requests, and what is wrong with one keeps no other back."""

from pathlib import Path

from reconciler.sandbox import lifecycle
from tests.sandbox.bed import Bed
from tests.sandbox.command import run

HEAD = """\
manifest: many
target: { opensearch: { endpoint: "${var.opensearch_endpoint}" } }
variables: { opensearch_endpoint: { type: string } }
"""
API = "/_plugins/_security/api"


def manifest(folder: Path, count: int, without: int | None = None) -> Path:
    roles = [f"  r{n}: {{ cluster_permissions: [p{n}] }}" for n in range(count) if n != without]
    mappings = [f"  r{n}: {{ users: [u{n}] }}" for n in range(count)]
    path = folder / "many.yaml"
    path.write_text("\n".join([HEAD, "security_roles:", *roles, "role_mappings:", *mappings, ""]))
    return path


def patches(bed: Bed, collection: str) -> int:
    sent = [one for one in lifecycle.log(bed.name, 1_000) if one["request"] == f"PATCH {API}/{collection}"]
    return len(sent)


def users(bed: Bed) -> dict[str, list[str]]:
    found = bed.ask("GET", f"{API}/rolesmapping", by=bed.master).json()
    return {name: mapping["users"] for name, mapping in found.items() if name[0] == "r" and name[1:].isdigit()}


def test_a_hundred_mappings_take_few_requests(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, 100)
    applied = run(self_managed, "apply", path, "--yes")
    assert applied.code == 0, applied.all
    assert users(self_managed) == {f"r{n}": [f"u{n}"] for n in range(100)}
    assert patches(self_managed, "roles") <= 6
    assert patches(self_managed, "rolesmapping") <= 10
    assert run(self_managed, "plan", path, "--detailed-exitcode").code == 0
    assert run(self_managed, "destroy", path, "--yes").code == 0
    assert users(self_managed) == {}


def test_one_mapping_without_its_role_fails_alone(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, 40, without=17)
    applied = run(self_managed, "apply", path, "--yes")
    assert applied.code == 1
    assert "error[refused] role_mappings.r17" in applied.err
    assert "role 'r17' not found." in applied.err
    assert applied.err.count("error[") == 1
    assert users(self_managed) == {f"r{n}": [f"u{n}"] for n in range(40) if n != 17}
    mended = run(self_managed, "apply", manifest(tmp_path, 40), "--yes")
    assert mended.code == 0, mended.all
    assert len(users(self_managed)) == 40
