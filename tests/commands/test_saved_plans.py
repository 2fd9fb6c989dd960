"""Saved plans on the command line: where the ledger is, and files that are not what they were."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.run import run

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in a folder of its own; its exit code, and all that it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text("manifest: nothing\n")

    def ran(*words: str) -> tuple[int, str]:
        code = run(words)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return ran


def edited(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(Path("p.json").read_text())
    change(document)
    Path("p.json").write_text(json.dumps(document, indent=2))


@pytest.mark.parametrize(
    ("given", "kept"), [((), "nothing.ledger.json"), (("--ledger", "inside/other.json"), "inside/other.json")]
)
def test_a_saved_plan_is_applied_with_the_ledger_it_was_made_with(
    given: tuple[str, ...], kept: str, command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "inside").mkdir()
    assert command("plan", "m.yaml", "--out", "p.json", *given)[0] == 0
    (tmp_path / kept).write_text("not a ledger")
    monkeypatch.chdir(tmp_path / "inside")
    code, said = command("apply", "../p.json", "--yes")
    assert code == 1
    assert f"error[ledger-file]: the ledger file {tmp_path / kept} is not a ledger" in said
    (tmp_path / kept).unlink()
    assert command("apply", "../p.json", "--yes")[0] == 0


@pytest.mark.parametrize(
    "beside", [["--ledger", "x"], ["--max-deletes", "0"], ["--adopt-all"], ["--var", "a=b"], ["--target", "a.b"]]
)
def test_options_beside_a_saved_plan_are_refused(beside: list[str], command: Run) -> None:
    command("plan", "m.yaml", "--out", "p.json")
    code, said = command("apply", "p.json", "--yes", *beside)
    assert (code, "error[usage]: p.json is a saved plan" in said) == (1, True)


def test_an_edited_plan_is_refused_at_the_place(command: Run) -> None:
    command("plan", "m.yaml", "--out", "p.json")
    edited(lambda document: document["reconciler"].update(permissions={"adopt": "all"}, surprise=1))
    code, said = command("apply", "p.json", "--yes")
    assert code == 1
    lines = Path("p.json").read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if '"adopt"' in line)
    assert f"p.json:{at}:7: error[bad-plan] reconciler.permissions.adopt" in said
    assert "not of type array; make the plan again" in said
    assert "unknown keys: surprise" in said


def test_a_plan_of_a_newer_version_is_refused(command: Run) -> None:
    command("plan", "m.yaml", "--out", "p.json")
    edited(lambda document: document["reconciler"].update(version=99))
    code, said = command("apply", "p.json", "--yes")
    assert code == 1
    assert "p.json has format 99; this version reads up to 1; use the version that made it, or make the plan" in said


@pytest.mark.parametrize("cut", [1, 200, -20])
def test_a_plan_that_was_cut_off_is_refused(cut: int, command: Run) -> None:
    command("plan", "m.yaml", "--out", "p.json")
    Path("p.json").write_text(Path("p.json").read_text()[:cut])
    code, said = command("apply", "p.json", "--yes")
    assert (code, "error[syntax]" in said) == (1, True)


@pytest.mark.parametrize("text", ['{"reconciler": {"version": NaN}}', '{"reconciler": ' + "[" * 100_000])
def test_what_is_no_json_is_refused(text: str, command: Run) -> None:
    Path("p.json").write_text(text)
    assert command("apply", "p.json", "--yes")[0] == 1


def test_a_plan_nested_deeper_than_can_be_read_is_refused(command: Run) -> None:
    Path("p.json").write_text(
        '{"reconciler": {"version": 1, "queries": ' + '[{"body": ' * 400 + "1" + "}]" * 400 + "}}"
    )
    code, said = command("apply", "p.json", "--yes")
    assert (code, "error[bad-plan]" in said) == (1, True)
