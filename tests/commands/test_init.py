"""`init` on the command line: every example, what is not said, what is asked on a terminal."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.run import run
from reconciler.cli.session import examples_folder
from reconciler.manifest.start import examples

Run = Callable[..., tuple[int, str]]
ANSWERS = {
    "account_id": "123456789012",
    "domain": "search-demo",
    "opensearch_endpoint": "https://search-demo.example.com",
    "automation_arn": "arn:aws:iam::123456789012:role/deploy",
    "endpoint_name": "r1",
    "secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf",
}
EXAMPLES = list(examples(examples_folder()))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run init in a folder of its own; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENSEARCH_USERNAME", "admin")
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def ran(*words: str) -> tuple[int, str]:
        code = run(words)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return ran


def given(name: str) -> list[str]:
    """All that an example wants to be told."""
    (example,) = (one for one in EXAMPLES if one.name == name)
    wanted = [one.name for one in example.variables.values() if one.default is None]
    return [word for one in wanted for word in ("--var", f"{one}={ANSWERS[one]}")]


@pytest.mark.parametrize("name", [one.name for one in EXAMPLES])
def test_every_example_is_a_manifest_of_ones_own_once_it_is_told_everything(name: str, command: Run) -> None:
    code, said = command("init", "mine.yaml", "--from", name, "--as", "mine", *given(name))
    assert (code, said.splitlines()[0]) == (0, "Wrote mine.yaml."), said
    code, said = command("validate", "mine.yaml")
    assert (code, said.startswith("mine: ")) == (0, True), said
    original = (examples_folder() / f"{name}.yaml").read_text("utf-8").splitlines()
    lines = Path("mine.yaml").read_text("utf-8").splitlines()
    assert [new for old, new in zip(original, lines, strict=True) if old != new and "default:" not in new] == [
        'manifest: "mine"'
    ]


def test_all_that_nobody_says_is_asked_for_at_once(command: Run) -> None:
    code, said = command("init", "--from", "deepseek-bedrock", "--var", "domain=x")
    assert code == 1
    assert [line.split(" is; ")[0] for line in said.splitlines()] == [
        f"error[usage]: nobody says what {name}" for name in ("account_id", "opensearch_endpoint", "automation_arn")
    ]
    assert not Path("deepseek-bedrock.yaml").exists()


def test_what_it_is_told_is_checked(command: Run) -> None:
    told = given("deepseek-self-managed")
    code, said = command("init", "m.yaml", "--from", "deepseek-self-managed", *told, "--as", "not a name")
    assert (code, "m.yaml:5:11: error[wrong-value] manifest" in said) == (1, True), said
    code, said = command("init", "m.yaml", "--from", "deepseek-self-managed", *told)
    assert (code, "m.yaml is there already" in said) == (1, True), said
    for words, wrong in (
        (["--from", "none"], "no example is called none; give --from and one of deepseek-bedrock, "),
        ([], "no example to begin with; give --from"),
        (["--from", "deepseek-chat", "--var", "x=1"], "deepseek-chat has no variable x; it has region, account_id"),
    ):
        code, said = command("init", *words)
        assert (code, wrong in said) == (1, True), said


def test_a_value_that_looks_like_a_reference_is_no_reference(command: Run) -> None:
    told = given("deepseek-self-managed")
    code, said = command("init", "m.yaml", "--from", "deepseek-self-managed", *told, "--var", "model=${var.x}")
    assert code == 0, said
    assert 'model: "$${var.x}"' in Path("m.yaml").read_text("utf-8")


def test_the_examples_are_listed(command: Run) -> None:
    code, said = command("init", "--list")
    assert (code, [line.split()[0] for line in said.splitlines()]) == (0, [one.name for one in EXAMPLES])
    code, said = command("init", "--list", "--json")
    assert {one["name"]: bool(one["about"]) for one in json.loads(said)} == {one.name: True for one in EXAMPLES}
    told = given("deepseek-self-managed")
    code, said = command("init", "--from", "deepseek-self-managed", "--json", *told)
    assert (code, json.loads(said)) == (0, {"file": "deepseek-self-managed.yaml", "to_set": []})


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "OPENSEARCH_USERNAME": "admin", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "reconciler", "init", "--var", "model=other"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        os.write(ours, b"deepseek-self-managed\nmine\nhttps://localhost:9200\n")
        said = process.communicate(timeout=60)[0].decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, said
    for text in ("Which of them", "Name of the manifest [deepseek-self-managed]", "The cluster's endpoint."):
        assert text in said
    written = (tmp_path / "mine.yaml").read_text("utf-8")
    assert 'default: "https://localhost:9200"' in written
    assert 'model: "other"' in written
