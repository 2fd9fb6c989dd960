"""The page as HTML: readable without scripts, and with nothing in it that any value could break out of.

Its Content-Security-Policy allows just the style and the script of the page and no request at all.
https://www.w3.org/TR/CSP3/
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from reconciler.errors import Problem
from reconciler.model.objects import Address
from reconciler.render.drawing import PALETTE, drawn, escaped
from reconciler.render.meaning import Sentence
from reconciler.render.page.sheet import Entry, Passage, Row, Sheet
from reconciler.render.picture import Hue, Status, folded
from reconciler.render.risks import Risk

_MOST_BOXES = 150
_CHANGES: Mapping[str, str] = {"+": "added", "-": "removed", "~": "changed", " ": "same"}

_Tell = Callable[[str], str]


def page(sheet: Sheet, hide: Callable[[str], str] = str) -> str:
    """The page. Every text of the sheet goes through `hide`, which takes secrets out, and is escaped."""

    def tell(text: str) -> str:
        return escaped(hide(text))

    style, script = _style(), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    title = tell(sheet.title)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escaped(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#objects">Skip to the objects</a>',
            "<header>",
            f'<div><h1>{title}</h1><p class="target">{tell(sheet.target)}</p></div>',
            '<button type="button" id="theme" hidden>Dark</button>',
            f'<p class="summary">{tell(sheet.summary)}</p>',
            *_risks(sheet.entries),
            "</header>",
            "<main>",
            *_problems(sheet.problems, tell),
            *_picture(sheet, hide),
            *_objects(sheet, tell),
            *_remarks(sheet.remarks, tell),
            "</main>",
            f"<footer><p>Made by reconciler on <time>{tell(sheet.made)}</time>.</p></footer>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


@cache
def _asset(name: str) -> str:
    return files("reconciler.render.page").joinpath(name).read_text("utf-8")


@cache
def _style() -> str:
    """The style sheet, with the palette of the picture."""
    light = "".join(f"--{hue}:{one.ink};--{hue}-ground:{one.ground};" for hue, one in PALETTE.items())
    dark = "".join(f"--{hue}:{one.dark_ink};--{hue}-ground:{one.dark_ground};" for hue, one in PALETTE.items())
    hues = "".join(f".{hue}{{--ink:var(--{hue});--ground:var(--{hue}-ground)}}" for hue in Hue)
    sheet = _asset("page.css")
    return sheet.replace("/* light palette */", light).replace("/* dark palette */", dark) + hues


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _risks(entries: Iterable[Entry]) -> Iterator[str]:
    counts = Counter(risk for entry in entries for risk in entry.risks)
    if counts:
        marks = "".join(f"<li>{_mark(risk)} <b>{counts[risk]:,}</b></li>" for risk in Risk if risk in counts)
        yield f'<ul class="risks" aria-label="Risks">{marks}</ul>'


def _sign(status: Status) -> str:
    return f'<span class="sign" aria-hidden="true">{escaped(status.sign)}</span>'


def _mark(risk: Risk) -> str:
    return f'<span class="risk {risk.name.lower()}"><b aria-hidden="true">{risk.letter}</b> {risk}</span>'


def _problems(problems: Sequence[Problem], tell: _Tell) -> Iterator[str]:
    if not problems:
        return
    yield '<section class="problems" aria-labelledby="problems"><h2 id="problems">Problems</h2><ul>'
    for one in problems:
        place = f"{one.position.file}:{one.position.line}" if one.position is not None else ""
        yield f'<li class="{one.severity}"><b>{one.severity}[{tell(one.code)}]</b> <code>{tell(one.address)}</code>'
        yield f' <span class="place">{tell(place)}</span><br>{tell(one.message)}'
        yield from (f"<br>{tell(label)}: {tell(text)}" for label, text in one.facts)
        yield f"<br><i>{tell(one.hint)}</i></li>" if one.hint else "</li>"
    yield "</ul></section>"


def _picture(sheet: Sheet, hide: Callable[[str], str]) -> Iterator[str]:
    picture = folded(sheet.picture, _MOST_BOXES)
    targets: dict[Address, str] = {}
    for number, entry in enumerate(sheet.entries):
        targets.setdefault(entry.address, f"#o{number}")
    quiet = frozenset(sheet.quiet)

    def link(address: Address) -> str:
        return targets.get(address) or ("#quiet" if address in quiet or not address.name else "")

    used = dict.fromkeys(node.status for node in picture.nodes.values())
    legend = "".join(f'<li class="{status.hue}">{_sign(status)} {status.word}</li>' for status in used)
    yield '<section aria-labelledby="picture"><details class="picture" open>'
    yield '<summary><h2 id="picture">The chain</h2></summary>'
    yield f'<ul class="legend">{legend}</ul>'
    yield '<div class="drawing" tabindex="0" role="region" aria-label="The chain as a picture">'
    yield drawn(picture, link, hide=hide)
    yield "</div></details></section>"


def _objects(sheet: Sheet, tell: _Tell) -> Iterator[str]:
    yield '<section aria-labelledby="objects"><h2 id="objects" tabindex="-1">Objects</h2>'
    yield from _filters(sheet.entries, tell)
    yield '<ol class="entries">'
    for number, entry in enumerate(sheet.entries):
        yield from _entry(number, entry, tell)
    yield "</ol>"
    if not sheet.entries:
        yield '<p class="none">Nothing differs.</p>'
    if sheet.quiet:
        yield f'<details class="quiet" id="quiet"><summary>{len(sheet.quiet):,} as they should be</summary><ul>'
        yield from (f"<li><code>{tell(str(address))}</code></li>" for address in sheet.quiet)
        yield "</ul></details>"
    yield "</section>"


def _filters(entries: Sequence[Entry], tell: _Tell) -> Iterator[str]:
    if not entries:
        return
    statuses: Mapping[Status, int] = Counter(entry.status for entry in entries)
    kinds = sorted({entry.address.kind for entry in entries})
    risks = [risk for risk in Risk if any(risk in entry.risks for entry in entries)]
    yield '<form class="filters" id="filters" role="search" aria-label="Filter the objects" hidden>'
    yield '<label class="find">Search <input type="search" id="find" autocomplete="off" spellcheck="false"></label>'
    yield '<label>Kind <select id="kind"><option value="">all</option>'
    yield "".join(f'<option value="{tell(kind)}">{tell(kind)}</option>' for kind in kinds)
    yield '</select></label><label>Risk <select id="risk"><option value="">any or none</option>'
    yield "".join(f'<option value="{risk.name.lower()}">{risk}</option>' for risk in risks)
    yield "</select></label><fieldset><legend>Show</legend>"
    for status, number in statuses.items():
        yield f'<label class="chip {status.hue}"><input type="checkbox" name="status" value="{status.word}" checked>'
        yield f"{_sign(status)} {status.word} {number:,}</label>"
    yield '</fieldset><div class="buttons"><p id="counted" role="status"></p>'
    yield '<button type="button" id="expand">Expand all</button>'
    yield '<button type="button" id="collapse">Collapse all</button></div></form>'


def _entry(number: int, entry: Entry, tell: _Tell) -> Iterator[str]:
    risks = " ".join(risk.name.lower() for risk in entry.risks)
    head = (
        f'{_sign(entry.status)}<span class="word">{entry.status.word}</span>'
        f'<code class="address">{tell(str(entry.address))}</code>'
        f"{''.join(map(_mark, entry.risks))}"
        f'<span class="place">{tell(entry.place)}</span>'
    )
    yield f'<li id="o{number}" class="entry {entry.status.hue}" data-status="{entry.status.word}"'
    yield f' data-kind="{tell(entry.address.kind)}" data-risks="{risks}"><details><summary>{head}</summary>'
    yield '<div class="body">'
    if entry.reason:
        yield f'<p class="reason">{tell(entry.reason)}</p>'
    yield from _rows(entry.rows, tell)
    for passage in entry.passages:
        yield from _passage(passage, tell)
    yield from (f'<p class="note">{tell(note)}</p>' for note in entry.notes)
    if not (entry.reason or entry.rows or entry.passages or entry.notes):
        yield '<p class="note">Nothing more is known.</p>'
    yield "</div></details></li>"


def _rows(rows: Sequence[Row], tell: _Tell) -> Iterator[str]:
    if not rows:
        return
    yield '<div class="scroll"><table><thead><tr><th scope="col">Field</th><th scope="col">Before</th>'
    yield '<th scope="col">After</th></tr></thead><tbody>'
    for row in rows:
        note = f' <span class="note">{tell(row.note)}</span>' if row.note else ""
        widens = f" {_mark(Risk.WIDENS)}" if row.widens else ""
        yield f'<tr><th scope="row">{tell(row.path)}</th><td class="removed">{_value("-", row.before, tell)}</td>'
        yield f'<td class="added">{_value("+", row.after, tell)}{note}{widens}</td></tr>'
    yield "</tbody></table></div>"


def _value(sign: str, value: str, tell: _Tell) -> str:
    return f'<span class="value"><b aria-hidden="true">{sign}</b><span>{tell(value)}</span></span>' if value else ""


def _passage(passage: Passage, tell: _Tell) -> Iterator[str]:
    yield f'<section class="passage"><h3>{tell(passage.path)}</h3><div class="sides">'
    yield '<div><h4>What it means</h4><ul class="meaning">'
    yield from (_sentence(one, tell) for one in passage.meaning)
    yield "</ul></div>"
    if passage.lines:
        lines = "".join(f'<span class="{_CHANGES[sign]}">{sign} {tell(line)}</span>' for sign, line in passage.lines)
        yield f'<div><h4>Its text</h4><pre tabindex="0">{lines}</pre></div>'
    yield "</div></section>"


def _sentence(sentence: Sentence, tell: _Tell) -> str:
    widens = f" {_mark(Risk.WIDENS)}" if sentence.widens else ""
    parts = "".join(_sentence(part, tell) for part in sentence.parts)
    inner = f"<ul>{parts}</ul>" if parts else ""
    text = f'<span><b aria-hidden="true">{sentence.sign}</b> {tell(sentence.text)}</span>'
    return f'<li class="{_CHANGES[sentence.sign]}">{text}{widens}{inner}</li>'


def _remarks(remarks: Sequence[str], tell: _Tell) -> Iterator[str]:
    if remarks:
        lines = "".join(f"<li>{tell(one)}</li>" for one in remarks)
        yield '<section aria-labelledby="remarks"><h2 id="remarks">Remarks</h2>'
        yield f'<ul class="remarks">{lines}</ul></section>'
