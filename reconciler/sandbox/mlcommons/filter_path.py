"""The `filter_path` parameter of OpenSearch: which parts of an answer are shown."""

import fnmatch

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.values import Document

_Pattern = tuple[str, ...]


def filtered(body: Document, filter_path: str | None) -> Document:
    """`body` reduced to the paths of `filter_path` (comma separated, `*` and `**` allowed, `-` excludes)."""
    if not filter_path:
        return body
    patterns = [pattern.strip() for pattern in filter_path.split(",")]
    wanted = [tuple(pattern.split(".")) for pattern in patterns if not pattern.startswith("-")]
    unwanted = [tuple(pattern[1:].split(".")) for pattern in patterns if pattern.startswith("-")]
    kept = _include(body, wanted) if wanted else body
    if unwanted:
        kept = _exclude(kept, unwanted)
    return kept if isinstance(kept, dict) else {}


def _step(patterns: list[_Pattern], key: str) -> list[_Pattern]:
    following: list[_Pattern] = []
    for pattern in patterns:
        if pattern and pattern[0] == "**":
            following.append(pattern)
            following.extend(_step([pattern[1:]], key))
        elif pattern and fnmatch.fnmatchcase(key, pattern[0]):
            following.append(pattern[1:])
    return following


def _include(value: Json, patterns: list[_Pattern]) -> Json:
    if () in patterns:
        return value
    if isinstance(value, dict):
        kept = {key: _include(item, _step(patterns, key)) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None} or None
    if isinstance(value, list):
        return [item for item in (_include(element, patterns) for element in value) if item is not None] or None
    return None


def _exclude(value: Json, patterns: list[_Pattern]) -> Json:
    if isinstance(value, dict):
        return {
            key: _exclude(item, following)
            for key, item in value.items()
            if () not in (following := _step(patterns, key))
        }
    if isinstance(value, list):
        return [_exclude(element, patterns) for element in value]
    return value
