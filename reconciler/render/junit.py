"""Verdicts as JUnit's XML, which CI systems show as test results.

https://github.com/testmoapp/junitxml
"""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

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
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def _clean(text: str) -> str:
    """The text without the characters that XML has no way to write."""
    return _NOT_IN_XML.sub("\ufffd", text)
