"""`export` on the command line, where nothing has to be reached: usage, and folders that are not empty."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.run import run

Run = Callable[..., tuple[int, str]]
OUT = ("--out", "new")
THERE = ("--endpoint", "https://localhost:9200")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run export in a folder of its own; exit code and what is printed."""
    monkeypatch.chdir(tmp_path)

    def ran(*words: str) -> tuple[int, str]:
        code = run(["export", *words])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return ran


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "error[usage]: Missing option '--out'"),
        (OUT, "error[usage]: nothing to read; name the domain with --endpoint, or the account with --region, or both"),
        ((*OUT, "--domain", "x"), "error[usage]: --domain without --endpoint"),
        ((*OUT, *THERE, "--auth", "none"), "error[usage]: --auth none is no way of signing"),
        ((*OUT, *THERE, "--kind", "roles"), "error[usage]: --kind roles is no kind; there are action_groups, "),
        ((*OUT, *THERE, "--tag", "team"), "error[usage]: --tag team is not of the form KEY=VALUE"),
        ((*OUT, "--endpoint", "localhost"), "error[usage]: the value of --endpoint is not as manifests have it"),
        ((*OUT, *THERE, "--region", "Europe"), "error[usage]: the value of --region is not as manifests have it"),
        ((*OUT, *THERE, "--as", "a b"), "error[usage]: the value of --as is not as manifests have it"),
        (("--out", "taken", *THERE), "error[usage]: taken is not an empty folder; name another one, or empty it"),
        (("--out", "file", *THERE), "error[usage]: file is not an empty folder"),
        ((*OUT, *THERE), "error[not-authenticated] target.opensearch.auth: no user name and password for OpenSearch"),
    ],
)
def test_what_can_not_be_done_is_said(
    words: tuple[str, ...], said: str, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    Path("taken").mkdir()
    Path("taken", "notes.txt").touch()
    Path("file").touch()
    code, printed = command(*words)
    assert (code, said in printed) == (1, True), printed
    assert not Path("new").exists()
