"""The README's manifest gives the plan that is printed below it."""

import re
from pathlib import Path

import pytest

from tests.sandbox.bed import Bed
from tests.sandbox.command import run

README = Path(__file__).parents[2] / "README.md"


def block(fence: str, text: str) -> str:
    found = re.search(rf"```{fence}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def settled(text: str, endpoint: str) -> str:
    """The text without what differs from run to run: the endpoint, the seconds."""
    return re.sub(r"\d+\.\d s", "0.0 s", text.replace(endpoint, "https://localhost:9200")).strip()


def test_the_plan_is_as_printed(self_managed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    Path("chat.yaml").write_text(block("yaml", text), "utf-8")
    endpoint = self_managed.env["OPENSEARCH_URL"]
    planned = run(self_managed, "plan", "chat.yaml", "--var", f"endpoint={endpoint}")
    command, printed = block("", text[text.index("and its plan") :]).split("\n", 1)
    assert command == "$ reconciler plan chat.yaml --var endpoint=https://localhost:9200"
    assert settled(planned.out, endpoint) == settled(printed, endpoint)
