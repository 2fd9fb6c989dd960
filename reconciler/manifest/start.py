"""Starting a manifest from an example: its text with another name and with values for its variables."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.manifest.document import Document
from reconciler.manifest.events import parse
from reconciler.manifest.source import read_source
from reconciler.manifest.variables import Variable, declared_variables


@dataclass(frozen=True, slots=True)
class Example:
    """A manifest to begin with. `about` is what it says of itself first."""

    name: str
    about: str
    document: Document = field(repr=False)

    @property
    def manifest(self) -> str:
        """The name it gives its manifest."""
        return str(self.document.at(("manifest",)))

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What differs from place to place."""
        return declared_variables(self.document)

    def meaning(self, variable: str) -> str:
        """What a variable is for, as the example has it, "" where it says nothing."""
        found = self.document.at(("variables", variable, "description"))
        return found if isinstance(found, str) else ""


def examples(folder: Path) -> Iterator[Example]:
    """The examples in a folder, by name."""
    for path in sorted(folder.glob("*.yaml")):
        source = read_source(path, path.name)
        about = source.line(1).removeprefix("#").strip() if source.text.startswith("#") else ""
        yield Example(path.stem, about.rstrip("."), parse(source))


def started(example: Example, name: str, values: Mapping[str, Json]) -> str:
    """The example's text as a manifest of this name, in which variables have these values where nobody gives others.

    All else stays as it stands, comments too.
    """
    text, document = example.document.source.text, example.document
    edits = [(*document.span(("manifest",)), json.dumps(name))]
    edits += [_default(document, one, json.dumps(value, ensure_ascii=False)) for one, value in values.items()]
    # From the end on, so that what is before stays where it is.
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _default(document: Document, name: str, value: str) -> tuple[int, int, str]:
    """Where the default of a variable begins and ends in the text, and what is to stand there."""
    stated = document.at(("variables", name))
    if not isinstance(stated, Mapping):
        return (*document.span(("variables", name)), value)
    if "default" in stated:
        return (*document.span(("variables", name, "default")), value)
    start, _ = document.span(("variables", name))
    if document.source.text.startswith("{", start):
        return start + 1, start + 1, f" default: {value},"
    margin = " " * (document.value_position(("variables", name)).column - 1)
    return start, start, f"default: {value}\n{margin}"
