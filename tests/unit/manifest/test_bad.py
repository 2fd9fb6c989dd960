"""One bad manifest per problem code, with its exact output.

A case is a file or a folder in `bad/`, called `<code>` or `<code>-<what>`, and what is printed is in the
`.txt` of the same name. A text without a case is about a path that does not exist.
"""

from pathlib import Path

import pytest

from reconciler.errors import CODES, ReconcilerError
from reconciler.manifest.excerpt import format_problem
from reconciler.manifest.load import load
from reconciler.manifest.schema import Schemas
from reconciler.manifest.source import line_reader
from reconciler.manifest.variables import Inputs

BAD = Path(__file__).parent / "bad"
LATER = frozenset({"reference-cycle", "bad-policy", "literal-secret"})
"""Codes of the manifest that other layers find."""

NAMES = sorted({path.stem for path in BAD.iterdir()})


def test_every_code_of_the_manifest_has_a_case() -> None:
    found = {code for code in CODES for name in NAMES if name == code or name.startswith(f"{code}-")}
    assert found == {code for code, documented in CODES.items() if documented.group == "manifest"} - LATER


@pytest.mark.parametrize("name", NAMES)
def test_output(name: str, schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    cases = [path.name for path in Path().glob(f"{name}*") if path.stem == name and path.suffix != ".txt"]
    with pytest.raises(ReconcilerError) as caught:
        load(cases or [f"{name}.yaml"], schemas, Inputs())
    read_line = line_reader()
    printed = "".join(f"{format_problem(problem, read_line)}\n" for problem in caught.value.problems)
    assert printed == Path(f"{name}.txt").read_text("utf-8")
    codes = {problem.code for problem in caught.value.problems}
    assert any(name == code or name.startswith(f"{code}-") for code in codes)
