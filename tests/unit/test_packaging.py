"""What a user installs: the wheel holds all that the program reads at run time, and states one version."""

import email.parser
import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import TypedDict

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, *build, "--wheel-dir", str(folder), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.parser.Parser().parsestr(wheel.read(name).decode())


class Project(TypedDict):
    version: str
    dependencies: list[str]
    optional_dependencies: dict[str, list[str]]


def project() -> Project:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return Project(
        version=table["version"],
        dependencies=table["dependencies"],
        optional_dependencies=table["optional-dependencies"],
    )


@pytest.mark.parametrize("folder", ["schemas", "manifests"])
def test_the_wheel_carries_the_folders_beside_the_package(wheel: zipfile.ZipFile, folder: str) -> None:
    source = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file())
    carried = sorted(name for name in wheel.namelist() if name.startswith(f"reconciler/{folder}/"))
    assert source
    assert carried == [f"reconciler/{name}" for name in source]


def test_the_wheel_carries_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "reconciler").rglob("*.py")}
    carried = set(wheel.namelist())
    assert modules <= carried
    assert not [name for name in carried if not name.startswith(("reconciler/", "reconciler-"))]
    assert not [name for name in carried if "__pycache__" in name]


def test_the_wheel_carries_what_the_page_is_made_of(wheel: zipfile.ZipFile) -> None:
    folder = "reconciler/render/page"
    assert {f"{folder}/page.css", f"{folder}/page.js"} <= set(wheel.namelist())


def test_the_versions_agree(wheel: zipfile.ZipFile) -> None:
    version = project()["version"]
    said = subprocess.run(
        [sys.executable, "-c", "from reconciler.cli import main; main()", "version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert metadata(wheel)["Version"] == version
    assert said.stdout == f"reconciler {version}\n"
    assert newest is not None
    assert newest[1] == version


def test_the_console_script_is_installed(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert "reconciler = reconciler.cli:main" in wheel.read(name).decode()


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_place() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    extras = project()["optional_dependencies"].values()
    declared = [*project()["dependencies"], *itertools.chain.from_iterable(extras)]
    names = {re.split(r"[^A-Za-z0-9._-]", entry)[0].lower().replace("_", "-") for entry in declared}
    assert names <= pinned
    blocks = re.split(r"^(?=[a-z0-9-]+==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|^-|--(index|extra-index|find-links|trusted-host)|file:/", lock, re.MULTILINE)


def test_each_dependency_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start, end = lines.index("dependencies = ["), lines.index("[project.scripts]")
    unexplained = [
        line
        for before, line in zip(lines[start:end], lines[start + 1 : end], strict=False)
        if line.startswith('    "') and not before.startswith("    # ")
    ]
    assert unexplained == []
