"""One bad manifest for each thing that only whole objects show: `lint/<code>.yaml`, and what is said, `<code>.txt`."""

import linecache
from pathlib import Path

import pytest

from reconciler.cli import session
from reconciler.cli.options import Load
from reconciler.errors import ReconcilerError
from reconciler.manifest.excerpt import format_problem

FOLDER = Path(__file__).parent / "lint"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_line(file: str, number: int) -> str:
    return linecache.getline(file, number).rstrip("\n")


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(ReconcilerError) as raised:
        session.subject(Load([f"{case}.yaml"]), session.kinds())
    said = "\n".join(format_problem(problem, read_line) for problem in raised.value.problems) + "\n"
    assert said == (FOLDER / f"{case}.txt").read_text("utf-8")
    assert {problem.code for problem in raised.value.problems} == {case}


def test_the_manifests_of_the_project_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "RECONCILER_VAR_account_id": "123456789012",
        "RECONCILER_VAR_domain": "search",
        "RECONCILER_VAR_opensearch_endpoint": "https://localhost:9200",
        "RECONCILER_VAR_automation_arn": "arn:aws:iam::123456789012:role/deploy",
        "OPENSEARCH_USERNAME": "me",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for name in ("deepseek-bedrock", "deepseek-self-managed"):
        path = Path(__file__).parents[2] / "manifests" / f"{name}.yaml"
        assert session.subject(Load([str(path)]), session.kinds()).manifest.name == name
