"""A digest as SARIF 2.1.0, which code scanning shows beside the manifest's lines.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html and, for what GitHub needs of it,
https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

import re
from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import quote

from reconciler.canonical.json import Json
from reconciler.render.digest import Digest, Item, Outcome

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(digest: Digest) -> dict[str, Json]:
    """One run with a result for everything that is not as it should be; what is accepted is suppressed."""
    told = [one for one in digest.items if one.outcome is not Outcome.PASSED or one.marks or "problem/" in one.rule]
    order = {rule: number for number, rule in enumerate(digest.rules)}
    driver: dict[str, Json] = {
        "name": "reconciler",
        "rules": [_rule(rule, text) for rule, text in digest.rules.items()],
    }
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"reconciler/{digest.command}/{digest.manifest}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": all(one.outcome is not Outcome.BROKEN for one in digest.items),
                "endTimeUtc": digest.timestamp,
            }
        ],
        "results": [_result(digest, one, order) for one in told],
        "properties": {"heading": digest.heading, "summary": digest.summary},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str, text: str) -> Json:
    name = "".join(word.capitalize() for word in re.split(r"[/-]", rule))
    return {"id": rule, "name": name, "shortDescription": {"text": text}}


def _result(digest: Digest, item: Item, order: Mapping[str, int]) -> Json:
    about = f"{item.address}: {item.message}" if item.address else item.message
    text = "\n".join([about, *item.details])
    stable = {"primaryLocationLineHash": f"{item.fingerprint}:1", "reconciler/v1": item.fingerprint}
    return {
        "ruleId": item.rule,
        "ruleIndex": order[item.rule],
        "level": str(item.level),
        "message": {"text": text},
        "locations": _locations(digest, item),
        "partialFingerprints": dict(stable),
        **({"suppressions": [{"kind": "external", "justification": item.accepted}]} if item.accepted else {}),
        "properties": {"address": item.address, "fields": list(item.paths), "marks": list(item.marks)},
    }


def _locations(digest: Digest, item: Item) -> list[Json]:
    """Where the manifest has it; the manifest itself, where it has it no longer."""
    place = item.position
    file = place.file if place else digest.file
    if not file:
        return []
    region: dict[str, Json] = {"startLine": place.line, "startColumn": place.column} if place else {"startLine": 1}
    if place and place.length:
        region["endColumn"] = place.column + place.length
    logical: list[Json] = [{"fullyQualifiedName": item.address}] if item.address else []
    physical: dict[str, Json] = {"artifactLocation": _artifact(file), "region": region}
    return [{"physicalLocation": physical, **({"logicalLocations": logical} if logical else {})}]


def _artifact(file: str) -> dict[str, Json]:
    path = PurePath(file)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
