"""What README and guide show is what is seen: a manifest's plan, and the way from empty to an answer to empty again."""

import re
from pathlib import Path

import pytest

from tests.sandbox.bed import Bed
from tests.sandbox.command import left_overs, run

ROOT = Path(__file__).parents[2]
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide.md"


def block(fence: str, text: str) -> str:
    found = re.search(rf"```{fence}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def settled(text: str, endpoint: str) -> str:
    """The text without what differs from run to run: the endpoint, the time things took."""
    timeless = re.sub(r"\d+\.\d s", "0.0 s", text.replace(endpoint, "https://localhost:9200"))
    return re.sub(r" +[\d,]+ ms", " 0 ms", timeless).strip()


def test_the_plan_is_as_printed(self_managed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    Path("chat.yaml").write_text(block("yaml", text), "utf-8")
    endpoint = self_managed.env["OPENSEARCH_URL"]
    planned = run(self_managed, "plan", "chat.yaml", "--var", f"endpoint={endpoint}")
    command, printed = block("", text[text.index("and its plan") :]).split("\n", 1)
    assert command == "$ reconciler plan chat.yaml --var endpoint=https://localhost:9200"
    assert settled(planned.out, endpoint) == settled(printed, endpoint)


def test_the_guide_leads_from_empty_to_an_answer_to_empty(aws: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = GUIDE.read_text("utf-8")
    shown = re.findall(
        r"```sh\nreconciler ([^\n]*manifests/deepseek-bedrock\.yaml)\n```(.*?)(?=```sh|\Z)", text, re.DOTALL
    )
    assert [command.split()[0] for command, _ in shown] == ["plan", "apply", "verify", "drift", "destroy"]
    for command, below in shown:
        words = [*command.split(), *(["--yes"] if command.startswith(("apply", "destroy")) else [])]
        ran = run(aws, *words)
        assert ran.code == 0, ran.all
        printed = re.search(r"```\n(.*?)```", below, re.DOTALL)
        assert (printed is not None) == command.startswith(("plan", "apply", "verify"))
        if printed is not None:
            endpoint = aws.env["OPENSEARCH_URL"]
            assert settled(ran.out, endpoint).endswith(settled(printed[1], endpoint))
    assert left_overs(aws) == []
