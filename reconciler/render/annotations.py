"""A digest as workflow commands, which GitHub shows as annotations on the manifest's lines.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from collections.abc import Iterator, Mapping

from reconciler.render.digest import Digest, Item, Level, Outcome

_WORDS: Mapping[Level, str] = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
_MOST = 10
"""Annotations of a level that GitHub keeps of a step; later ones are left out without a word."""


def annotations(digest: Digest) -> Iterator[str]:
    """A line for everything that is not as it should be, the worst first; the last of too many counts the others."""
    for level, word in _WORDS.items():
        told = [one for one in digest.items if one.level is level and _counts(one)]
        shown = told if len(told) <= _MOST else told[: _MOST - 1]
        for one in shown:
            yield _line(word, _place(digest, one), one.address or digest.command, _text(one))
        if left := len(told) - len(shown):
            yield _line(word, {}, digest.command, f"and {left:,} more, which GitHub would not show: {digest.summary}")


def _counts(item: Item) -> bool:
    return not item.accepted and (item.outcome is not Outcome.PASSED or item.level is not Level.NOTE)


def _text(item: Item) -> str:
    return "\n".join([item.message, *item.details])


def _place(digest: Digest, item: Item) -> Mapping[str, str]:
    place = item.position
    if place is None:
        return {"file": digest.file} if digest.file else {}
    return {"file": place.file, "line": str(place.line), "col": str(place.column)}


def _line(word: str, place: Mapping[str, str], title: str, message: str) -> str:
    given = ",".join(f"{key}={_property(value)}" for key, value in {**place, "title": title}.items())
    return f"::{word} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
