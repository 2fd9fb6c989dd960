"""Verdicts and digests as JUnit's XML, which CI systems show as test results.

https://github.com/testmoapp/junitxml
"""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from reconciler.render.digest import Digest, Item, Outcome
from reconciler.verify import Verdict

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(name: str, verdicts: Sequence[Verdict], hidden: Callable[[str], str]) -> str:
    """The verdicts on a manifest's queries: `failure` is an answer not as expected, `error` is none at all.

    `hidden` frees text from secrets. Times are in seconds.
    """
    errors = sum(verdict.error is not None for verdict in verdicts)
    failures = sum(not verdict.passed and verdict.error is None for verdict in verdicts)
    counts = {"tests": str(len(verdicts)), "failures": str(failures), "errors": str(errors)}
    slowest = max((verdict.milliseconds for verdict in verdicts), default=0.0)
    whole = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(whole, "testsuite", {"name": name, **counts, "time": _seconds(slowest)})
    for verdict in verdicts:
        query = verdict.query
        about = {
            "classname": f"{name}.{query.kind}",
            "name": _clean(query.name),
            "time": _seconds(verdict.milliseconds),
        }
        place = {"file": _clean(query.position.file), "line": str(query.position.line)}
        case = ElementTree.SubElement(suite, "testcase", {**about, **place})
        if not verdict.passed:
            kind = "failure" if verdict.error is None else "error"
            reason = _clean(hidden(verdict.reason))
            ElementTree.SubElement(case, kind, {"message": reason, "type": "query-failed"}).text = reason
        if verdict.answer:
            ElementTree.SubElement(case, "system-out").text = _clean(hidden(verdict.answer))
    return _document(whole)


def digest_junit(digest: Digest) -> str:
    """Every object as a test case: `failure` is drift, `error` what failed or could not be told, `skipped` what is
    still to be done or accepted.

    The file and line of the manifest stand in the text: attributes for them are in no published form of this XML.
    """
    cases = [one for one in digest.items if one.outcome is not Outcome.PASSED or not one.rule.startswith("problem/")]
    outcomes = [one.outcome for one in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(outcomes.count(Outcome.FAILED)),
        "errors": str(outcomes.count(Outcome.BROKEN)),
    }
    name = _clean(digest.manifest or digest.command)
    whole = ElementTree.Element("testsuites", counts)
    about = {"name": f"{digest.command} {name}", "skipped": str(outcomes.count(Outcome.SKIPPED)), **counts}
    suite = ElementTree.SubElement(whole, "testsuite", {**about, "timestamp": digest.timestamp.removesuffix("Z")})
    for one in cases:
        _case(suite, f"{digest.command}.{name}", one)
    ElementTree.SubElement(suite, "system-out").text = _clean(f"{digest.heading}\n{digest.summary}")
    return _document(whole)


def _case(suite: ElementTree.Element, group: str, item: Item) -> None:
    name = _clean(item.address or item.rule)
    about = {"classname": f"{group}.{item.rule}", "name": name, "time": f"{item.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", about)
    place = [f"at {item.position}"] if item.position else []
    text = _clean("\n".join([item.message, *item.details, *place]))
    tag = {Outcome.FAILED: "failure", Outcome.BROKEN: "error", Outcome.SKIPPED: "skipped"}.get(item.outcome)
    if tag is not None:
        message = _clean(item.accepted or item.message)
        ElementTree.SubElement(case, tag, {"message": message, "type": item.rule}).text = text


def _document(whole: ElementTree.Element) -> str:
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def _clean(text: str) -> str:
    """The text without the characters that XML has no way to write."""
    return _NOT_IN_XML.sub("\ufffd", text)
