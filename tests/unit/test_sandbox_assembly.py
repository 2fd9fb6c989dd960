"""Assembling the node: what is missing is said, and a half-made assembly is never left behind."""

from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.sandbox import assembly


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH; the cache is empty too."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("RECONCILER_CACHE", str(tmp_path / "cache"))
    return folder


def code(raised: pytest.ExceptionInfo[ReconcilerError]) -> str:
    (problem,) = raised.value.problems
    assert problem.hint
    return problem.code


def java(folder: Path, version: str) -> Path:
    return program(folder, "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


@pytest.mark.usefixtures("tools")
def test_no_java() -> None:
    with pytest.raises(ReconcilerError) as raised:
        assembly.assemble(lambda _line: None)
    assert code(raised) == "sandbox-java"


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "24.0.1", "25"])
def test_java_of_another_version(tools: Path, version: str) -> None:
    java(tools, version)
    with pytest.raises(ReconcilerError) as raised:
        assembly.find_java()
    assert code(raised) == "sandbox-java"


@pytest.mark.parametrize("version", ["17.0.15", "21.0.1", "21"])
def test_java_that_will_do(tools: Path, version: str) -> None:
    installed = java(tools, version)
    assert assembly.find_java() == installed


def test_java_home_comes_before_the_path(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(tools, "11")
    chosen = java(tmp_path / "jdk" / "bin", "17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert assembly.find_java() == chosen


def test_java_that_does_not_run(tools: Path) -> None:
    program(tools, "java", "exit 3")
    with pytest.raises(ReconcilerError) as raised:
        assembly.find_java()
    assert code(raised) == "sandbox-java"


def test_no_maven(tools: Path) -> None:
    java(tools, "17")
    with pytest.raises(ReconcilerError) as raised:
        assembly.assemble(lambda _line: None)
    assert code(raised) == "sandbox-maven"


def test_maven_fails(tools: Path, tmp_path: Path) -> None:
    java(tools, "17")
    program(tools, "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    said: list[str] = []
    with pytest.raises(ReconcilerError) as raised:
        assembly.assemble(said.append)
    assert code(raised) == "sandbox-download"
    assert raised.value.problems[0].facts == (("maven", "Could not transfer artifact"),)
    assert len(said) == 1
    assert list((tmp_path / "cache").iterdir()) == []


FAKE_MAVEN = """
for argument; do case $argument in -Dnode=*) node=${argument#-Dnode=};; esac; done
/bin/mkdir -p $node/lib $node/target $node/plugins/opensearch-security
for module in analysis-common ingest-common lang-painless mapper-extras reindex search-pipeline-common transport-netty4
do /bin/mkdir -p $node/modules/$module; done
echo once >> RUNS
"""


def test_assembled_once(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    java(tools, "17")
    program(tools, "mvn", FAKE_MAVEN.replace("RUNS", str(runs)))
    monkeypatch.setattr(assembly, "open_to_others", lambda _folder: True)
    first = assembly.assemble(lambda _line: None)
    assert assembly.assemble(lambda _line: pytest.fail("assembled again")) == first
    assert runs.read_text() == "once\n"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.folder.name]
    descriptor = (first.folder / "modules" / "reindex" / "plugin-descriptor.properties").read_text()
    assert "classname=org.opensearch.index.reindex.ReindexPlugin\n" in descriptor
    assert "SocketPermission" in (first.folder / "modules" / "reindex" / "plugin-security.policy").read_text()
    assert not (first.folder / "target").exists()


def test_a_folder_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not assembly.open_to_others(closed / "not" / "there" / "yet")
    assert assembly.open_to_others(Path("/usr/share"))
