"""The formats in which plan, apply and drift report what they found."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rich.text import Text

from reconciler.canonical.json import Json
from reconciler.redaction import Redaction
from reconciler.render import annotations, events, junit, markdown, sarif
from reconciler.render.digest import Digest


class Format(StrEnum):
    """A form that reports have."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"
    MARKDOWN = "markdown"
    STEP_SUMMARY = "step-summary"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Account:
    """What a command has to tell, made when a format asks for it: as lines, as JSON, and object by object."""

    lines: Callable[[], Iterator[Text | str]]
    data: Callable[[], Mapping[str, Json]]
    digest: Callable[[], Digest]


def rendered(form: Format, account: Account, redaction: Redaction, rest: str) -> str:
    """The text of a report, without the secrets that are known. `rest` is where to find what it has no room for."""
    if form is Format.TEXT:
        lines = (line.plain if isinstance(line, Text) else line for line in account.lines())
        return "".join(f"{redaction.text(line)}\n" for line in lines)
    if form is Format.JSON:
        return json.dumps(redaction.json(account.data()), indent=2, ensure_ascii=False) + "\n"
    digest = account.digest().hidden(redaction.text)
    if form is Format.NDJSON:
        found = events.events(digest.command, account.data(), digest.timestamp)
        return "".join(events.line(_map(redaction.json(one))) for one in found)
    if form is Format.MARKDOWN:
        return markdown.markdown(digest, markdown.COMMENT, rest)
    if form is Format.STEP_SUMMARY:
        return markdown.markdown(digest, markdown.STEP_SUMMARY, rest)
    if form is Format.JUNIT:
        return junit.digest_junit(digest)
    if form is Format.SARIF:
        return json.dumps(sarif.sarif(digest), indent=2, ensure_ascii=False) + "\n"
    return "".join(f"{line}\n" for line in annotations.annotations(digest))


def _map(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value
