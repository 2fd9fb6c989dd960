"""`--format` and `--report` on the command line, where nothing has to be reached."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reconciler.cli.run import run
from reconciler.render.formats import Format

Run = Callable[..., tuple[int, str, str]]
COMMANDS = pytest.mark.parametrize("command", [("plan", "m.yaml"), ("drift", "m.yaml"), ("apply", "m.yaml", "--yes")])
STARTS = {
    Format.JSON: "{\n", Format.NDJSON: '{"event": "end", ', Format.MARKDOWN: "### ", Format.STEP_SUMMARY: "### ",
    Format.JUNIT: '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ', Format.SARIF: '{\n  "$schema": ',
}  # fmt: skip


@pytest.fixture
def reconciler(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command beside a manifest of no objects and no target, and one that is broken."""
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text("manifest: chain\n")
    Path("broken.yaml").write_text("manifest: chain\nroles: {}\n")

    def ran(*words: str) -> tuple[int, str, str]:
        code = run(words)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out, printed.err

    return ran


@COMMANDS
@pytest.mark.parametrize("form", STARTS)
def test_standard_output_has_one_format_and_nothing_else(
    command: tuple[str, ...], form: Format, reconciler: Run
) -> None:
    code, out, err = reconciler(*command, "--format", str(form))
    assert (code, err) == (0, "")
    assert out.startswith(STARTS[form])


@COMMANDS
def test_files_are_written_beside_the_text(command: tuple[str, ...], reconciler: Run) -> None:
    _, plain, _ = reconciler(*command)
    code, out, _ = reconciler(*command, *(word for form in Format for word in ("--report", f"{form}=r.{form}")))
    assert code == 0
    assert out.splitlines()[-1].split("(")[0] == plain.splitlines()[-1].split("(")[0]
    for form, start in STARTS.items():
        assert Path(f"r.{form}").read_text("utf-8").startswith(start)
    assert Path("r.text").read_text("utf-8").splitlines()[-1].split("(")[0] == out.splitlines()[-1].split("(")[0]


@COMMANDS
def test_json_is_the_same_by_either_option(command: tuple[str, ...], reconciler: Run) -> None:
    first, second = reconciler(*command, "--json"), reconciler(*command, "--format", "json")
    documents = [json.loads(out) for _, out, _ in (first, second)]
    for one in documents:
        one.pop("timestamp", None)
    assert documents[0] == documents[1]


@COMMANDS
def test_what_stops_a_command_is_in_its_reports(command: tuple[str, ...], reconciler: Run) -> None:
    words = [word.replace("m.yaml", "broken.yaml") for word in command]
    code, out, err = reconciler(*words, "--format", "sarif", "--report", "junit=r.xml", "--report", "github=r.txt")
    assert code == 1
    assert "broken.yaml:2:1: error[unknown-key]" in err
    (result,) = json.loads(out)["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("problem/unknown-key", "error")
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert ElementTree.parse("r.xml").getroot().get("errors") == "1"  # noqa: S314  (our own)
    assert Path("r.txt").read_text("utf-8").startswith("::error file=broken.yaml,line=2,col=1,title=")


def test_errors_are_json_where_json_is_the_format(reconciler: Run) -> None:
    for words in (["--json"], ["--format", "json"], ["--format=json"]):
        code, out, err = reconciler("plan", "broken.yaml", *words)
        assert (code, err) == (1, "")
        assert [one["code"] for one in json.loads(out)["problems"]] == ["unknown-key"]


def test_github_is_the_text_with_annotations(reconciler: Run) -> None:
    code, out, err = reconciler("plan", "broken.yaml", "--format", "github")
    assert (code, "error[unknown-key]" in err) == (1, True)
    assert out.startswith("::error file=broken.yaml,line=2,col=1,title=")
    code, out, _ = reconciler("plan", "m.yaml", "--format", "github")
    assert (code, out.splitlines()[-1]) == (0, "No changes: the manifest has no objects.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "yaml"), "there is no format yaml; there are text, json, ndjson, markdown, step-summary"),
        (("--report", "sarif"), "--report sarif names no file; write FORMAT=FILE"),
        (("--report", "pdf=x"), "there is no format pdf"),
        (("--json", "--format", "sarif"), "--json and --format contradict each other"),
        (("--report", "sarif=none/x"), "the report can not be written to none/x: No such file or directory"),
    ],
)
@COMMANDS
def test_what_can_not_be_done_is_said(
    command: tuple[str, ...], words: tuple[str, ...], said: str, reconciler: Run
) -> None:
    code, out, err = reconciler(*command, *words)
    assert (code, said in out + err) == (1, True), out + err


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_summary_and_full_contradict_each_other(command: str, reconciler: Run) -> None:
    code, _, err = reconciler(command, "m.yaml", "--summary", "--full")
    assert (code, "--summary and --full contradict each other" in err) == (1, True)
    for word in ("--summary", "--full"):
        assert reconciler(command, "m.yaml", word)[0] == 0


def test_pointers_lead_to_the_run_on_github(reconciler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.render.markdown.COMMENT", 100)
    for name, value in (("SERVER_URL", "https://github.com"), ("REPOSITORY", "o/r"), ("RUN_ID", "7")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    _, out, _ = reconciler("plan", "broken.yaml", "--format", "markdown", "--report", "text=all.txt")
    assert "1 more is left out" in out
    assert "see https://github.com/o/r/actions/runs/7 or all.txt." in out
