"""`history` on the command line, over a ledger in a file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import ledger
from reconciler.canonical.json import Json
from reconciler.cli.run import run
from reconciler.ledger import Ledger
from reconciler.model.request import Service
from reconciler.model.steps import Steps
from reconciler.redaction import Redaction
from reconciler.runner import Runner
from reconciler.transports.exchange import Threads
from reconciler.transports.ledger_file import LedgerFile

Run = Callable[..., tuple[int, str]]


def carried_out(steps: Steps[object], transport: LedgerFile) -> None:
    """Carry steps out against a ledger in a file."""
    exchange = Threads({Service.LEDGER: transport}, str, Redaction(), width=1)
    Runner(exchange).run(steps)
    exchange.close()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command beside a manifest that was applied three times, and another one; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text("manifest: chain\n")
    file = LedgerFile(tmp_path / "chain.ledger.json")
    carried_out(ledger.create(Ledger("ledger-1")), file)
    for number in range(1, 4):
        change: Json = {"address": f"models.m{number}", "action": "create", "status": "done", "seconds": number}
        at = f"2026-01-01T00:00:00.00{number}Z"
        carried_out(ledger.record("chain", at, f"user-{number}", {"changes": [change]}), file)
        carried_out(ledger.record("chained", at, "somebody else", {"changes": [change, change]}), file)

    def ran(*words: str) -> tuple[int, str]:
        code = run(["history", *words])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return ran


@pytest.mark.parametrize("words", [["m.yaml"], ["list", "m.yaml"], ["--last", "5", "m.yaml"]])
def test_applies_are_listed_with_their_numbers(words: list[str], command: Run) -> None:
    assert command(*words) == (
        0,
        "   1  2026-01-01T00:00:00Z  1 created\n      by user-3\n"
        "   2  2026-01-01T00:00:00Z  1 created\n      by user-2\n"
        "   3  2026-01-01T00:00:00Z  1 created\n      by user-1\n",
    )


def test_as_many_are_listed_as_are_asked_for(command: Run) -> None:
    code, said = command("m.yaml", "--last", "1", "--json")
    (only,) = json.loads(said)
    assert (code, only["number"], only["by"]) == (0, 1, "user-3")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_apply_is_shown_by_its_number(number: int, command: Run) -> None:
    code, said = command("show", str(number), "m.yaml")
    assert code == 0
    assert f"by user-{4 - number}\n1 created\n" in said
    assert f"  + models.m{4 - number} " in said
    document = json.loads(command("show", str(number), "m.yaml", "--json")[1])
    assert (document["number"], document["by"]) == (number, f"user-{4 - number}")
    assert document["body"]["changes"][0]["address"] == f"models.m{4 - number}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["show", "4", "m.yaml"],
            "error[usage]: there is no apply 4 in the ledger's history; see `reconciler history`",
        ),
        (["show", "0", "m.yaml"], "error[usage]: Invalid value for 'N'"),
        (["show", "m.yaml"], "error[usage]: Invalid value for 'N'"),
        (["--last", "0", "m.yaml"], "error[usage]: Invalid value for '--last'"),
        (["none.yaml"], "error[file-not-found]"),
    ],
)
def test_what_is_not_there_is_an_error(words: list[str], said: str, command: Run) -> None:
    code, printed = command(*words)
    assert (code, said in printed) == (1, True), printed


def test_a_first_run_has_no_history(command: Run) -> None:
    Path("chain.ledger.json").unlink()
    assert command("m.yaml") == (0, "Nothing was applied yet.\n")
    assert command("show", "1", "m.yaml")[0] == 1
