"""The page: every fact of the plan, no secret, no request, and nothing in it that a value could break out of."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Problem
from reconciler.model.change import Action, FieldChange
from reconciler.model.kind import Caller
from reconciler.model.objects import Address
from reconciler.plan.plan import Plan
from reconciler.redaction import Redaction
from reconciler.render.meaning import Sentence, sentences
from reconciler.render.page import Entry, Passage, Row, Sheet, page, sheet_of_drift, sheet_of_plan
from reconciler.render.picture import ACTIONS, Node, Picture
from reconciler.render.risks import Risk
from tests.support.bench import Bench, outcome
from tests.support.chains import SECRETS, allow, trust
from tests.support.world import World

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>${x}`&amp;"
VOID = {"meta", "link", "br", "input", "img"}
MADE = "2026-11-23T10:00:00Z"


class Reader(HTMLParser):
    """What is on a page: its tags, ids, links, attributes and text; AssertionError where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data


def role(**changes: Any) -> dict[str, dict[str, dict[str, Any]]]:
    fields = {"assume_role_policy_document": trust("arn:aws:iam::123456789012:root"), "description": "asks"}
    return {"iam_roles": {"signer": {**fields, **changes}}}


def hostile() -> Sheet:
    """A page with markup in every text there is."""
    address = Address(SCRIPT, SCRIPT)
    sentence = Sentence("+", SCRIPT, True, (Sentence("-", SCRIPT),))
    entry = Entry(
        address, ACTIONS[Action.UPDATE], tuple(Risk), SCRIPT, SCRIPT, (Row(SCRIPT, SCRIPT, SCRIPT, SCRIPT, True),),
        (Passage(SCRIPT, (sentence,), (("+", SCRIPT), (" ", SCRIPT))),), (SCRIPT,),
    )  # fmt: skip
    problem = Problem("usage", SCRIPT, address=SCRIPT, hint=SCRIPT, facts=((SCRIPT, SCRIPT),))
    picture = Picture(SCRIPT, {address: Node(address, ACTIONS[Action.UPDATE], tuple(Risk), SCRIPT)}, {})
    return Sheet(SCRIPT, SCRIPT, SCRIPT, SCRIPT, (entry,), picture, (address,), (problem,), (SCRIPT,))


def test_no_value_is_taken_for_markup() -> None:
    text = page(hostile())
    found, tame = Reader(text), Reader(page(plain(hostile())))
    assert found.tags == tame.tags
    assert (found.tags["script"], found.tags["img"]) == (1, 0)
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert found.attributes == tame.attributes
    assert found.text.count(SCRIPT) >= 20


def plain(sheet: Sheet) -> Sheet:
    """The same page with harmless texts."""

    def tamed(value: Any) -> Any:
        if isinstance(value, str) and value == SCRIPT:
            return "word"
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(map(tamed, value))
        if isinstance(value, Picture):
            nodes = {tamed(address): tamed(node) for address, node in value.nodes.items()}
            return Picture("word", nodes, {})
        if isinstance(value, Address | Sentence | Row | Passage | Entry | Problem | Node | Sheet):
            return replace(value, **{name: tamed(getattr(value, name)) for name in value.__dataclass_fields__})
        return value

    found: Sheet = tamed(sheet)
    return found


def test_it_asks_for_nothing_from_anywhere() -> None:
    text = page(hostile())
    found = Reader(text)
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= found.ids.keys()
    assert set(found.ids.values()) == {1}
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|WebSocket", text)


def test_secrets_are_taken_out_of_every_text() -> None:
    assert SCRIPT not in Reader(page(hostile(), Redaction([SCRIPT]).text)).text
    assert "alert(1)" not in page(hostile(), Redaction([SCRIPT]).text)


def test_a_secret_that_is_a_word_of_the_page_leaves_it_whole() -> None:
    assert Reader(page(hostile(), Redaction(["section", "class", "details"]).text)).tags == Reader(page(hostile())).tags


def test_a_credential_is_named_and_not_shown() -> None:
    bench = Bench(World(), secrets=SECRETS)
    made = bench.plan(
        {
            "connectors": {
                "c": {"protocol": "http", "credential": {"key": "${secret.key}", "other": "Bearer abc"}, "actions": []}
            }
        }
    )
    (entry,) = sheet_of_plan(made, MADE, "").entries
    shown = {row.path: (row.after, row.note) for row in entry.rows}
    assert shown["credential.key"] == ("(secret key)", "(write-only)")
    assert "Bearer" not in page(sheet_of_plan(made, MADE, ""))


@pytest.fixture
def every_action(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan of the text's own tests."""
    from reconciler.plan.decide import decide
    from tests.unit.test_render import HERE, survey

    monkeypatch.chdir(HERE)
    return decide(survey())


def test_every_change_is_there_with_what_is_at_risk(every_action: Plan) -> None:
    sheet = sheet_of_plan(every_action, MADE, "the summary")
    assert [str(entry.address) for entry in sheet.entries] == [str(change.address) for change in every_action.shown]
    assert {entry.status.word for entry in sheet.entries} == {
        "create", "change", "replace", "delete", "adopt", "forget"
    }  # fmt: skip
    counts = Counter(risk for entry in sheet.entries for risk in entry.risks)
    assert counts == {Risk.WIDENS: every_action.widening, Risk.DELETES: 3, Risk.REPLACES: 1}
    read = Reader(page(sheet))
    assert all(str(change.address) in read.text for change in every_action.changes)
    assert all(one in read.text for one in ("the summary", "1 as they should be", "chain.yaml:25"))


def test_a_policy_is_told_by_its_meaning_beside_its_text(every_action: Plan) -> None:
    (entry,) = (one for one in sheet_of_plan(every_action, MADE, "").entries if one.address.name == "changed-role")
    passages = {one.path: one for one in entry.passages}
    trust_policy = passages["assume_role_policy_document"]
    assert flat(trust_policy.meaning) == [
        "~ statement changed: allow sts:AssumeRole for es.amazonaws.com (widens)",
        "- principal removed: ec2.amazonaws.com",
        "+ principal added: es.amazonaws.com",
    ]
    assert [line for line in trust_policy.lines if line[0] != " "] == [
        ("-", '        "Service": "ec2.amazonaws.com"'),
        ("+", '        "Service": "es.amazonaws.com"'),
    ]
    assert flat(passages["inline_policies.invoke"].meaning)[-1].startswith("+ statement added: deny s3:* on")
    assert flat(passages["inline_policies.outside"].meaning) == ["- statement removed: allow * on *"]
    assert all(sign == "-" for sign, _ in passages["inline_policies.outside"].lines)


def flat(found: Any) -> list[str]:
    return [text for one in found for text in (told(one), *flat(one.parts))]


def told(one: Sentence) -> str:
    return f"{one.sign} {one.text}{' (widens)' if one.widens else ''}"


@pytest.mark.parametrize(
    ("path", "before", "after", "text"),
    [
        ("Statement[0].Action", "s3:GetObject", "s3:*", "~ action widened: s3:GetObject → s3:*"),
        ("Statement[0].Action", "s3:*", "s3:GetObject", "~ action narrowed: s3:* → s3:GetObject"),
        ("Statement[0].NotAction", "s3:*", "s3:GetObject", "~ excluded action widened: s3:* → s3:GetObject"),
        ("Statement.Principal.AWS", "arn:aws:iam::1:root", "*", '~ principal widened: arn:aws:iam::1:root → *'),
        ("Statement[1].Resource", "a", "b", "- resource removed: a"),
        ("Statement[1].Condition.StringEquals.aws:x", "a", None, "- condition StringEquals aws:x removed: a"),
    ],
)  # fmt: skip
def test_an_entry_that_covers_another_widens(path: str, before: str, after: str | None, text: str) -> None:
    fields = [FieldChange((path,), before, None, "allow x")]
    fields += [FieldChange((path,), None, after, "allow x")] if after is not None else []
    (sentence,) = sentences(fields)
    assert told(sentence.parts[0]) == text


def test_an_effect_that_turns_is_told_with_both() -> None:
    (sentence,) = sentences([FieldChange(("p", "Statement[0].Effect"), "Deny", "Allow", "allow x", widens=True)])
    assert flat([sentence]) == ["~ statement changed: allow x (widens)", "~ effect changed: Deny → Allow"]


def test_a_lockout_is_marked_on_its_change() -> None:
    bench = Bench(World())
    assert outcome(bench.apply({"security_roles": {"asks": {"cluster_permissions": ["cluster_monitor"]}}})) == []
    made = bench.plan({})
    context = replace(made.context, caller=Caller(user="ann", roles=("asks",)))
    (entry,) = sheet_of_plan(replace(made, context=context), MADE, "").entries
    assert entry.risks == (Risk.LOCKOUT, Risk.DELETES)


def test_drift_is_told_with_the_policy_that_is_live() -> None:
    world = World()
    bench = Bench(world)
    bench.apply(role(inline_policies={"p": allow("s3:GetObject", "*")}))
    world.account.roles["signer"]["policies"]["p"] = allow("s3:*", "*")
    world.now += 60
    report = bench.drift(role(inline_policies={"p": allow("s3:GetObject", "*")}))
    (entry,) = sheet_of_drift(report, MADE).entries
    (passage,) = entry.passages
    assert (entry.status.word, entry.risks) == ("changed", (Risk.WIDENS,))
    assert flat(passage.meaning)[1:] == ["~ action widened: s3:GetObject → s3:*"]
    assert {sign for sign, line in passage.lines if "s3:" in line} == {"+", "-"}


def thousand() -> Sheet:
    """A plan of a thousand changes."""
    addresses = [Address(f"kind_{n % 4}", f"object-{n:04}") for n in range(1000)]
    actions = list(ACTIONS)
    entries = [
        Entry(one, ACTIONS[actions[n % len(actions)]], (Risk.WIDENS,) if n % 10 == 0 else (), "because",
              f"chain.yaml:{n}", [Row(f"field_{i}", "before", "after") for i in range(8)])
        for n, one in enumerate(addresses)
    ]  # fmt: skip
    needs = {then: frozenset({first}) for first, then in pairwise(addresses) if then.kind > first.kind}
    nodes = {entry.address: Node(entry.address, entry.status, tuple(entry.risks)) for entry in entries}
    return Sheet("Plan of many", "nowhere", MADE, "1,000 to change", entries, Picture("many", nodes, needs))


def test_a_page_of_a_thousand_changes_is_small() -> None:
    assert len(page(thousand())) < 4_000_000


@pytest.fixture
def tab() -> Iterator[Any]:
    from tests.support.browser import NAMES, browsing, found

    program = found()
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)} is in PATH")
    with browsing(program) as opened:
        yield opened


SHOWN = "[...document.querySelectorAll('.entry')].filter(one => one.checkVisibility()).length"
OPENED = "document.querySelectorAll('.entry details[open]').length"


def choose(selector: str, value: str) -> str:
    return (
        f"(() => {{ const one = document.querySelector({selector!r}); one.value = {value!r};"
        " one.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_a_browser_opens_filters_and_expands_it(tab: Any, tmp_path: Path, every_action: Plan) -> None:
    file = tmp_path / "plan.html"
    file.write_text(page(sheet_of_plan(every_action, MADE, "the summary")), "utf-8")
    tab.open(file)
    run: Callable[[str], Any] = tab.run
    assert run(SHOWN) == 14
    assert run("document.getElementById('counted').textContent") == "14 of 14 shown"

    run(choose("#find", "role_mappings ours"))
    assert run("[...document.querySelectorAll('.entry')].filter(one => !one.hidden).length") == 1
    run(choose("#find", ""))
    run(choose("#kind", "models"))
    assert run(SHOWN) == 3
    run("document.querySelector('#filters input[value=create]').click()")
    assert run(SHOWN) == 2
    assert run("document.querySelectorAll('.node.dim').length") == 12
    run(choose("#risk", "deletes"))
    assert run(SHOWN) == 1
    run("document.getElementById('expand').click()")
    assert run(OPENED) == 1

    run("document.querySelector('.drawing a[aria-label*=\"changed-role\"]').focus()")
    tab.press("Enter", "\r")
    run(
        "new Promise(done => { const look = () =>"
        " document.activeElement.closest('.entry') ? done() : requestAnimationFrame(look); look(); })"
    )
    assert run("document.activeElement.closest('.entry').textContent").count("iam_roles.changed-role") == 1
    assert run("document.activeElement.parentElement.open")
    assert run(SHOWN) == 14  # what was hidden is shown when somebody goes there

    light = run("getComputedStyle(document.body).backgroundColor")
    run("document.getElementById('theme').click()")
    assert run("getComputedStyle(document.body).backgroundColor") != light
    assert tab.faults == []
    assert tab.asked == [file.as_uri()]


def test_a_browser_reaches_all_by_keyboard(tab: Any, tmp_path: Path, every_action: Plan) -> None:
    file = tmp_path / "plan.html"
    file.write_text(page(sheet_of_plan(every_action, MADE, "the summary")), "utf-8")
    tab.open(file)
    reached = []
    for _ in range(60):
        tab.press("Tab")
        reached.append(tab.run("document.activeElement.id || document.activeElement.tagName"))
    assert reached[0] == "A"  # the way past the picture
    assert {"theme", "find", "kind", "risk", "expand", "collapse", "SUMMARY", "a"} <= set(reached)
    controls = "[...document.querySelectorAll('input, select, button')]"
    assert tab.run(f"{controls}.filter(one => !(one.labels?.length || one.textContent)).length") == 0
    for landmark in ("header", "main", "footer", "[role=search]", "h1", "[role=status]"):
        assert tab.run(f"document.querySelectorAll('{landmark}').length") == 1


def test_a_browser_runs_no_value(tab: Any, tmp_path: Path) -> None:
    file = tmp_path / "hostile.html"
    file.write_text(page(hostile()), "utf-8")
    tab.open(file)
    tab.run("document.getElementById('expand').click()")
    assert tab.faults == []
    assert tab.asked == [file.as_uri()]


def test_a_browser_filters_a_thousand_changes(tab: Any, tmp_path: Path) -> None:
    file = tmp_path / "many.html"
    file.write_text(page(thousand()), "utf-8")
    tab.open(file)
    run: Callable[[str], Any] = tab.run
    run(choose("#find", "object-0999"))
    assert run("document.getElementById('counted').textContent") == "1 of 1,000 shown"
    run(choose("#find", ""))
    run("document.getElementById('expand').click()")
    assert run(OPENED) == 1000
    assert tab.faults == []
