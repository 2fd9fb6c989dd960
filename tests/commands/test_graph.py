"""`graph` on the command line: every format, into a file, and what is no format."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.run import run

Run = Callable[..., tuple[int, str]]
MANIFEST = Path(__file__).parents[2] / "manifests" / "deepseek-self-managed.yaml"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run graph in a folder of its own; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENSEARCH_USERNAME", "admin")

    def ran(*words: str) -> tuple[int, str]:
        code = run(("graph", str(MANIFEST), "--var", "opensearch_endpoint=https://localhost:9200", *words))
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return ran


@pytest.mark.parametrize(("drawing", "begins"), [("svg", "<svg "), ("mermaid", "flowchart LR\n"), ("dot", "digraph ")])
def test_the_chain_is_drawn_without_looking_at_anything_live(command: Run, drawing: str, begins: str) -> None:
    code, printed = command("--format", drawing)
    assert code == 0
    assert printed.startswith(begins)
    assert "deepseek" in printed


def test_it_is_written_to_a_file(command: Run) -> None:
    assert command("--out", "chain.svg") == (0, "")
    assert Path("chain.svg").read_text("utf-8").startswith("<svg ")


def test_what_can_not_be_written_is_told(command: Run) -> None:
    code, printed = command("--out", "no/such/folder.svg")
    assert (code, "the drawing can not be written to no/such/folder.svg" in printed) == (1, True)


def test_a_format_there_is_not_is_refused(command: Run) -> None:
    code, printed = command("--format", "png")
    assert (code, "there are svg, mermaid, dot" in printed) == (1, True)
