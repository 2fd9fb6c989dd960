"""What a failure means: a service's error, matched to its cause and its remedy.

The strings are the services' own; their stable parts are matched, never whole messages.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.model.kind import NotProved
from reconciler.model.objects import Address
from reconciler.model.request import Answer, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened


@dataclass(frozen=True, slots=True)
class Scene:
    """What failed: the object, where the manifest has it, who asked, where a mapping stands, OpenSearch's endpoint."""

    address: Address | None = None
    position: Position | None = None
    caller: str = ""
    mapping: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class _Finding:
    code: str
    message: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An expression to search in the service's reason, the codes it goes with (none: any), and what it means."""

    expression: re.Pattern[str]
    codes: frozenset[str]
    finding: _Finding


@cache
def _patterns() -> tuple[_Pattern, ...]:
    table = tomllib.loads(Path(__file__).with_name("diagnoses.toml").read_text("utf-8"))
    return tuple(
        _Pattern(
            re.compile(one.get("pattern", "")),
            frozenset(one.get("codes", ())),
            _Finding(one["code"], one["message"], one["cause"], one["fix"]),
        )
        for one in table["diagnosis"]
    )


def problems(error: Exception, scene: Scene) -> tuple[Problem, ...]:
    """What to tell people of an error, whatever it is."""
    match error:
        case ReconcilerError():
            return error.problems
        case NotProved():
            message = "its successor does not work, so it was taken back, and the old one is still in use"
            failed = Problem("not-proved", message, scene.position, _address(scene), "correct what is listed beside it")
            return (failed, *problems(error.why, scene))
        case ServiceFailure():
            return (_failure(error, scene),)
        case NeverHappened():
            return (_late(error, scene),)
        case Failed():
            return (Problem(error.code, error.reason, scene.position, _address(scene)),)
        case _:
            text = f"{type(error).__name__}: {error}"
            return (Problem("internal", text, scene.position, _address(scene), "run again with --debug and report it"),)


def _failure(error: ServiceFailure, scene: Scene) -> Problem:
    request, answer = error.request, error.answer
    finding = _finding(answer, error)
    fix = finding.fix
    if finding.code == "not-mapped" and scene.mapping and "ml_full_access" in fix:
        fix = f"{fix} ({scene.mapping})"
    status = f" -> {answer.status if request.method else answer.code}" if answer else " -> no answer"
    signer = f"{request.identity} (assumed by {scene.caller})" if request.identity else scene.caller
    label = f"{request.method} {scene.endpoint}{request.path}" if request.method else request.label
    facts = [("request", label + status), ("reason", error.reason)]
    facts += [("as", signer)] if signer else []
    facts += [("cause", finding.cause)] if finding.cause else []
    facts += [("fix", fix)] if fix else []
    return Problem(finding.code, finding.message, scene.position, _address(scene), facts=tuple(facts))


def _finding(answer: Answer | None, error: ServiceFailure) -> _Finding:
    if answer is None:
        if error.may_have_happened and not _never_sent(error):
            return _Finding(
                "outcome-unknown", "the answer was lost", error.reason, "run the same command again: it looks first"
            )
        return _Finding("unreachable", "the service does not answer", "", "check the endpoint and the network")
    reason = error.reason or ""
    for pattern in _patterns():
        if (not pattern.codes or answer.code in pattern.codes) and pattern.expression.search(reason):
            return pattern.finding
    if answer.status >= 500:
        return _Finding("bad-answer", "the service failed", "a fault inside the service", "run the same command again")
    return _Finding("refused", "the service refuses it", "", "")


def _never_sent(error: ServiceFailure) -> bool:
    return any(text in error.reason for text in ("refused", "not known", "resolve", "Could not connect"))


def _late(error: NeverHappened, scene: Scene) -> Problem:
    code = "not-assumable" if "assumable" in error.waiting_for else "not-in-time"
    code = "connector-in-use" if "still using" in error.last_seen else code
    return Problem(code, str(error), scene.position, _address(scene), "run the same command again to go on")


def _address(scene: Scene) -> str:
    return str(scene.address) if scene.address else ""
