"""JSON documents as events, one in a line, for whoever reads along. Form: `schemas/formats/events.schema.json`."""

import json
from collections.abc import Iterator, Mapping

from reconciler.canonical.json import Json

FORMAT_VERSION = "1.0"

_KINDS: Mapping[str, str] = {
    "resource_changes": "change",
    "calls": "call",
    "changes": "result",
    "queries": "query",
    "findings": "finding",
    "invisible": "invisible",
    "coverage": "coverage",
    "problems": "problem",
}
"""The lists of documents, and the type of event that each entry is."""


def events(command: str, document: Mapping[str, Json], timestamp: str) -> Iterator[dict[str, Json]]:
    """What `--json` prints of a command: an event for each entry of its lists, and at the end one with all the rest."""
    for name, kind in _KINDS.items():
        entries = document.get(name)
        for entry in entries if isinstance(entries, list) else ():
            assert isinstance(entry, Mapping)
            yield event(kind, entry, timestamp)
    rest = {name: value for name, value in document.items() if name not in _KINDS and name != "timestamp"}
    yield event("end", {"command": command, **rest}, timestamp)


def event(kind: str, data: Mapping[str, Json], timestamp: str) -> dict[str, Json]:
    """One event. What it is about does not use the keys that all of them have."""
    return {"event": kind, "at": timestamp, **data}


def line(one: Mapping[str, Json]) -> str:
    """An event as its line."""
    return json.dumps(one, ensure_ascii=False) + "\n"
