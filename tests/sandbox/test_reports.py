"""Reports of a chain that is made, changed behind the reconciler's back and changed again, on the real node."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.sandbox.bed import Bed
from tests.sandbox.command import Ran, run, searched, until_searches_show_all
from tests.sandbox.small import manifest

SCHEMA = Path(__file__).parents[2] / "schemas" / "formats" / "events.schema.json"
FORMS = ("sarif", "junit", "markdown", "step-summary", "github", "ndjson", "json", "text")


def events(ran: Ran) -> list[dict[str, Any]]:
    """The events on standard output, each of its form."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    found: list[dict[str, Any]] = [json.loads(line) for line in ran.out.splitlines()]
    for one in found:
        validator.validate(one)
    return found


def test_a_chain_is_reported(self_managed: Bed, tmp_path: Path) -> None:
    path = manifest(tmp_path, "chain", "ann")
    refused = run(self_managed, "apply", path, "--format", "ndjson")
    assert (refused.code, "--format ndjson shows no plan to confirm" in refused.err) == (1, True)

    applied = run(self_managed, "apply", path, "--yes", "--format", "ndjson")
    assert (applied.code, applied.err) == (0, "")
    told = events(applied)
    addresses = {"role_mappings.ml_full_access", "connectors.chain", "model_groups.chain", "models.chain"}
    for kind in ("change", "started", "ended", "result"):
        assert {one["address"] for one in told if one["event"] == kind} == addresses
    order = {one: number for number, one in enumerate((one["event"], one.get("address")) for one in told)}
    for one in addresses:
        assert order["change", one] < order["started", one] < order["ended", one] < order["result", one]
    assert (told[-1]["event"], told[-1]["applied"]) == ("end", True)

    by_hand = {"description": "by hand"}
    (group,) = searched(self_managed, "/_plugins/_ml/model_groups")
    path_of_it = f"/_plugins/_ml/model_groups/{group['_id']}"
    assert self_managed.ask("PUT", path_of_it, by=self_managed.master, content=by_hand).is_success
    until_searches_show_all(self_managed)
    files = {form: tmp_path / f"drift.{form}" for form in FORMS}
    page = tmp_path / "drift.html"
    wanted = (part for form, file in files.items() for part in ("--report", f"{form}={file}"))
    drifted = run(self_managed, "drift", path, "--html", page, *wanted)
    assert drifted.code == 2, drifted.all
    texts = {form: file.read_text("utf-8") for form, file in {**files, "html": page}.items()}
    assert [form for form, text in texts.items() if "model_groups.chain" not in text] == []
    key = self_managed.env["DEEPSEEK_API_KEY"]
    assert [form for form, text in texts.items() if key in text] == []
    (result,) = json.loads(texts["sarif"])["runs"][0]["results"]
    lines = path.read_text().splitlines()
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert (result["ruleId"], lines[line - 2 : line]) == ("drift/changed", ["model_groups:", "  chain:"])

    path.write_text(path.read_text().replace('"messages": ${parameters.messages} }', '"messages": [], "n": 1 }'))
    planned = run(self_managed, "plan", path)
    assert "      actions[0].request_body: JSON\n" in planned.out
    assert '        +   "n": 1\n' in planned.out
    short = run(self_managed, "plan", path, "--summary")
    assert {tuple(one.split()[:2]) for one in short.out.splitlines() if one.startswith((" ", "-"))} == {
        ("~", "model_groups.chain"), ("-/+", "connectors.chain"), ("~", "models.chain"),
    }  # fmt: skip
    page = tmp_path / "plan.html"
    assert run(self_managed, "plan", path, "--html", page).code == 0
    text = page.read_text("utf-8")
    assert ("connectors.chain" in text, "replace" in text, key in text) == (True, True, False)
    drawn = run(self_managed, "graph", path, "--plan", "--format", "mermaid")
    assert (drawn.code, key in drawn.out) == (0, False), drawn.all
    marked = ('["chain (-/+ R)"]', '["chain (~)"]', '["ml_full_access (=)"]')
    assert [one for one in marked if one not in drawn.out] == []
