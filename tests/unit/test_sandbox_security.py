"""The Security plugin's configuration that a sandbox writes."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from reconciler.sandbox.security import hash_password, new_password, user_names, write_security

# Made by the plugin's own tool: `hash.sh -p secret -a PBKDF2 -i 1000 -l 256 -f SHA256`.
SALT = (
    "VDD3bIfBoZmPvdABFDEb2RfTclPFenf5N7Z0VzdemFSMmuLgG5E9DlgERlwfvLxoLszyfiK9U5qyQXdZNzghL/0I"
    "KqUc9UvwBsYi00KvnBQbhn6vfBrq77R8/GkHxfqut9j4SrqInZZjjjL9Bmgg2v+pJdAcLAep3i9AJEROACM="
)
HASH = f"$3$4294967296256${SALT}$Hr8DkrMC7YI7dZ6dfFC5H2qFFr1gsu+Y+rWkxwT+/eo="

ARN = "arn:aws:iam::123456789012:user/automation"


def test_hash_is_that_of_the_plugins_own_tool() -> None:
    assert hash_password("secret", base64.b64decode(SALT)) == HASH


def test_passwords_are_new_each_time_and_strong() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        assert len(password) > 20
        assert any(map(str.isupper, password))
        assert any(map(str.islower, password))
        assert any(map(str.isdigit, password))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "roles.yml").write_text("_meta: {type: roles, config_version: 2}\nml_full_access: {reserved: true}\n")
    (folder / "roles_mapping.yml").write_text(
        "_meta: {type: rolesmapping, config_version: 2}\nall_access: {backend_roles: [admin]}\n"
    )
    (folder / "notes.txt").write_text("not configuration")
    return folder


@pytest.mark.parametrize("flavour", ["aws", "self-managed"])
def test_no_password_is_written(source: Path, tmp_path: Path, flavour: str) -> None:
    passwords = {name: new_password() for name in user_names(flavour)}
    write_security(source, tmp_path / "target", flavour=flavour, passwords=passwords, master_arn=ARN)
    users = json.loads((tmp_path / "target" / "internal_users.yml").read_text())
    assert set(users) == {"_meta", *passwords}
    everything = "".join(path.read_text() for path in (tmp_path / "target").iterdir())
    assert not any(password in everything for password in passwords.values())
    assert not (tmp_path / "target" / "notes.txt").exists()


def test_aws_makes_the_arn_master_user(source: Path, tmp_path: Path) -> None:
    write_security(source, tmp_path / "t", flavour="aws", passwords={"master": new_password()}, master_arn=ARN)
    mappings = yaml.safe_load((tmp_path / "t" / "roles_mapping.yml").read_text())
    assert ARN in mappings["all_access"]["users"]
    assert ARN in mappings["security_manager"]["users"]
    roles = yaml.safe_load((tmp_path / "t" / "roles.yml").read_text())
    assert {"ml_full_access", "security_manager"} <= set(roles)


def test_self_managed_leaves_roles_and_mappings_as_they_come(source: Path, tmp_path: Path) -> None:
    passwords = {name: new_password() for name in user_names("self-managed")}
    write_security(source, tmp_path / "t", flavour="self-managed", passwords=passwords, master_arn=ARN)
    for name in ("roles.yml", "roles_mapping.yml"):
        assert (tmp_path / "t" / name).read_text() == (source / name).read_text()
