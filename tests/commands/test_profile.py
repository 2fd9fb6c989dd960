"""`--profile` writes a page beside what a command does anyway."""

import subprocess
import sys
from pathlib import Path

MANIFEST = """\
manifest: profiled
target: { opensearch: { endpoint: "https://127.0.0.1:1" } }
model_groups:
  one: {}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "m.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "reconciler", *arguments, "validate", str(folder / "m.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_shows_where_the_time_went(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    plain, watched = run(tmp_path), run(tmp_path, "--profile", str(page))
    assert plain.returncode == 0, plain.stderr
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, plain.stdout, plain.stderr)
    text = page.read_text()
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert "validate" in text


def test_a_page_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    watched = run(tmp_path, "--profile", str(tmp_path / "nowhere" / "page.html"))
    assert watched.returncode == 1
    assert "error[usage]: the profile can not be written" in watched.stderr
    assert "Traceback" not in watched.stderr
