"""A digest as Markdown, for comments on pull requests and for step summaries."""

import html
import re

from reconciler.render.digest import Digest, Item, Outcome

COMMENT = 65_536
"""Characters that GitHub takes of a comment; of GitLab's a part."""

STEP_SUMMARY = 1_048_576
"""Bytes that GitHub takes of a step summary: 1 MiB.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
"""

_TABLE = 50
"""Rows of the table from which on single objects are shown below it only."""


def markdown(digest: Digest, most: int, rest: str) -> str:
    """At most `most` bytes of UTF-8, and so no more characters; what is left out is counted, and found at `rest`."""
    told = [one for one in digest.items if one.outcome is not Outcome.PASSED or "problem/" in one.rule or one.marks]
    title = f"### {digest.command.capitalize()}" + (f": {_text(digest.manifest)}" if digest.manifest else "")
    parts = [f"{title}\n\n**{_text(digest.summary)}**\n"]
    if digest.heading:
        parts.append(f"\n{_text(digest.heading)}\n")
    if told and len(told) <= _TABLE:
        table = "\n| | Object | What | Where |\n|---|---|---|---|\n" + "".join(map(_row, told))
        if _size(table) < most // 4:
            parts.append(table)
    room = most - sum(map(_size, parts)) - _size(_pointer(len(told), rest))
    for number, one in enumerate(told):
        block = _block(one)
        room -= _size(block)
        if room < 0:
            parts.append(_pointer(len(told) - number, rest))
            break
        parts.append(block)
    return "".join(parts)


def _pointer(left: int, rest: str) -> str:
    return f"\n{left:,} more {'is' if left == 1 else 'are'} left out, for there is no more room here: see {rest}.\n"


def _row(item: Item) -> str:
    marks = "".join(f" **{mark}**" for mark in item.marks)
    message, place = _text(item.message), item.position
    where = _code(f"{place.file}:{place.line}") if place else ""
    return f"| {_code(item.sign)} | {_code(item.address)} | {message}{marks} | {where} |\n"


def _block(item: Item) -> str:
    head = html.escape(f"{item.sign} {item.address}".strip())
    accepted = f" ({item.accepted})" if item.accepted else ""
    if not item.details:
        return f"\n- <code>{head}</code> {_text(item.message + accepted)}\n"
    said = html.escape(item.message + accepted) + "".join(f" <b>{mark}</b>" for mark in item.marks)
    text = "\n".join(_signed(line) for detail in item.details for line in detail.splitlines())
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"\n<details><summary><code>{head}</code> {said}</summary>\n\n{fence}diff\n{text}\n{fence}\n\n</details>\n"


def _signed(line: str) -> str:
    """The line with its first sign in front, by which a difference gets its colour."""
    found = re.match(r"(?:[^:]*: )?\s*([+-]) ", line)
    both = found and found[1] == "-" and "  + " in line
    sign = "!" if both else found[1] if found else " "
    return f"{sign} {line}"


def _code(text: str) -> str:
    """Text as it is, in a cell of a table too."""
    escaped = html.escape(text).replace("|", "&#124;")
    return f"<code>{escaped}</code>" if text else ""


def _text(text: str) -> str:
    """Text in which nothing is Markdown, HTML or a mention of somebody."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escaped)
    return escaped.replace("@", "&#64;")


def _size(text: str) -> int:
    return len(text.encode())
