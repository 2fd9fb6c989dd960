"""`drift` on the command line, where nothing has to be reached: usage, broken baselines, a ledger in a file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.run import run

Run = Callable[..., tuple[int, str]]
ACCEPT = ("--accept", "models.m", "--reason", "x", "--until", "2027-01-31")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run drift beside a manifest of no objects and no target; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text("manifest: chain\n")

    def ran(*words: str) -> tuple[int, str]:
        code = run(["drift", *words])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return ran


def test_a_manifest_that_was_never_applied(command: Run) -> None:
    code, said = command("m.yaml")
    assert (code, said.splitlines()[0]) == (0, "0 drifted, 0 not applied yet, 0 in sync, 0 unknown (never applied).")
    code, said = command("m.yaml", "--json")
    found = json.loads(said)
    assert (code, found["exit_code"], found["findings"], found["problems"]) == (0, 0, [], [])
    assert not Path("chain.ledger.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accept", "models.m"), "error[usage]: --accept needs --reason and --until"),
        (("--reason", "x", "--until", "2027-01-31"), "error[usage]: --reason and --until go with --accept"),
        (("--accept", "models", "--reason", "x", "--until", "2027-01-31"), "error[usage]: --accept: 'models' is not"),
        (("--accept", "models.m", "--reason", "x", "--until", "soon"), "error[usage]: --until soon is no day"),
        (ACCEPT, "it does not drift"),
        (("--baseline", "none.yaml"), "error[file-not-found]: none.yaml does not exist"),
    ],
)
def test_what_can_not_be_done_is_said(words: tuple[str, ...], said: str, command: Run) -> None:
    code, printed = command("m.yaml", *words)
    assert (code, said in printed) == (1, True), printed
    assert not Path("drift-baseline.yaml").exists()


@pytest.mark.parametrize("words", [("m.yaml",), (".",), ("m.yaml", "--baseline", "drift-baseline.yaml")])
def test_the_baseline_stands_beside_the_manifest(words: tuple[str, ...], command: Run) -> None:
    baseline = Path("drift-baseline.yaml")
    baseline.write_text("accepted:\n  - { address: models.m, reason: x }\n")
    code, said = command(*words)
    assert (code, "drift-baseline.yaml:2:5: error[bad-baseline]" in said) == (1, True), said
    baseline.write_text("accepted:\n  - { address: models.m, reason: x, until: 2027-01-31 }\n")
    code, said = command(*words)
    assert (code, "drift-baseline.yaml:2:5: warning[stale-baseline] models.m" in said) == (0, True), said
    problems = json.loads(command(*words, "--json")[1])["problems"]
    assert [(one["code"], one["line"]) for one in problems] == [("stale-baseline", 2)]
