"""The documentation says what the code says, all of it, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from reconciler.cli.app import app
from reconciler.errors import CODES
from reconciler.kinds import load_kinds
from reconciler.manifest.schema import load_schemas
from reconciler.model.kind import Kind
from scripts.generate_docs import EXITS, GROUPS, commands, pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KINDS = load_kinds(load_schemas(ROOT / "schemas"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
GENERATED = pages()

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_MACHINE = re.compile(r"(?<![\w.~-])/(?:work|root|home|tmp|Users|mnt)/")

relative = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == GENERATED[name], "run scripts/generate_docs.py"


def test_there_is_a_page_and_an_example_for_every_kind_and_no_other() -> None:
    assert {page.stem for page in (DOCS / "kinds").glob("*.md")} == set(KINDS)
    assert {file.stem for file in (DOCS / "examples").glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kinds_page_has_every_field_and_attribute_and_the_example(kind: Kind) -> None:
    page = (DOCS / "kinds" / f"{kind.name}.md").read_text("utf-8")
    rows = {line.split("|")[1].strip().strip("`") for line in page.splitlines() if line.startswith("| `")}
    assert set(named(kind.schema.document)) <= rows
    assert all(f"${{{kind.name}.<name>.{attribute}}}" in page for attribute in kind.schema.attributes)
    assert (DOCS / "examples" / f"{kind.name}.yaml").read_text("utf-8") in page


def test_every_command_is_documented_with_every_option() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    sections = dict(re.findall(r"^## `(.+?)`\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    found = dict(options("", typer.main.get_command(app)))
    assert sections.keys() == found.keys()
    for name, flags in found.items():
        assert [
            flag for flag in (*flags, "--help") if not re.search(rf"^ .*{flag}(?![\w-])", sections[name], re.M)
        ] == []
        assert "Exit codes: " in sections[name]


def test_exit_codes_are_stated_for_commands_there_are() -> None:
    assert EXITS.keys() <= commands().keys()


def test_every_code_is_documented_under_a_heading() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    assert {code.group for code in CODES.values()} <= GROUPS.keys()
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.M) == [
        name for group in GROUPS for name, code in CODES.items() if code.group == group
    ]
    assert all(code.meaning in page and code.remedy in page for code in CODES.values())


def test_every_input_and_output_of_the_action_is_documented_and_no_other() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    page = (DOCS / "ci.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == set(action["inputs"])
    assert [name for name in action["outputs"] if f"`{name}`" not in page] == []


def test_the_permissions_page_has_every_grant() -> None:
    page = (DOCS / "permissions.md").read_text("utf-8")
    for kind in KINDS.values():
        for grants in (kind.to_read, kind.to_plan, kind.to_list or kind.to_read, kind.to_write):
            assert [one for one in (*grants.iam, *grants.opensearch) if f"`{one}`" not in page] == []


@relative
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@relative
def test_no_page_names_a_path_of_a_machine(page: Path) -> None:
    assert _MACHINE.findall(page.read_text("utf-8")) == []


def named(schema: object, depth: int = 0) -> Iterator[str]:
    """The named properties of a schema, of its members and items."""
    if isinstance(schema, dict):
        for name, member in schema.get("properties", {}).items():
            yield name
            yield from named(member, depth + 1)
        yield from named(schema.get("items"), depth + 1)


def options(words: str, command: object) -> Iterator[tuple[str, list[str]]]:
    """The long options of every command."""
    inner = getattr(command, "commands", None)
    if inner is None:
        parameters = getattr(command, "params")  # noqa: B009  typer's own class is private
        yield words, [flag for one in parameters for flag in (*one.opts, *one.secondary_opts) if flag.startswith("--")]
        return
    for name, one in inner.items():
        yield from options(f"{words} {name}".strip(), one)


def prose(page: Path) -> str:
    """A page without its code."""
    return _CODE.sub("", _FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
