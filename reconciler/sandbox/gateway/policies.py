"""Decides what IAM policy documents allow, for one concrete action on one resource.

Follows the evaluation logic and the element reference of the IAM User Guide (reference_policies_evaluation-logic,
reference_policies_elements): a Deny wins, without an Allow nothing is allowed. Session policies, service control
policies and resource policies other than trust policies are not evaluated.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

from reconciler.canonical.json import Json

Statement = Mapping[str, Json]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = {"*": "*", "?": "?", "$": "$"}


class Verdict(Enum):
    """What a set of policies says of a question; `SILENT` is the implicit denial."""

    ALLOWED = "allowed"
    DENIED = "denied"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Question:
    """May `action` be done on `resource`? `context` holds the condition keys, in lower case, with their values."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


def judge_identity(documents: Iterable[str], question: Question) -> Verdict:
    """What identity policies (JSON texts) say."""
    return _judge(_statements(documents), question)


def judge_trust(document: str, question: Question, *, kind: str, names: Collection[str]) -> Verdict:
    """What a trust policy (JSON text) says to a principal of a kind (`AWS`, `Service`) known by any of `names`."""
    applying = [one for one in _statements([document]) if _speaks_of(one, kind, names)]
    return _judge(applying, Question(question.action, "*", question.context))


def judge_resource(document: str, question: Question, *, names: Collection[str]) -> Verdict:
    """What a resource's own policy (JSON text) says to an AWS principal known by any of `names`."""
    return _judge([one for one in _statements([document]) if _speaks_of(one, "AWS", names)], question)


@lru_cache(maxsize=4096)
def parse(document: str) -> tuple[Statement, ...]:
    """The statements of a policy document (JSON text); raises ValueError when it is none."""
    policy = json.loads(document)
    if not isinstance(policy, Mapping):
        raise ValueError("a policy is a JSON object")
    literal = policy.get("Version") != "2012-10-17"
    return tuple(
        {**one, "_literal": literal} for one in _listed(policy.get("Statement", [])) if isinstance(one, Mapping)
    )


def principals(statement: Statement) -> list[tuple[str, str]]:
    """The principals that a statement of a trust policy names, as pairs of kind and name."""
    named = statement.get("Principal")
    if isinstance(named, str):
        return [("AWS", named)]
    if not isinstance(named, Mapping):
        return []
    return [(kind, str(name)) for kind, names in named.items() for name in _listed(names)]


def _statements(documents: Iterable[str]) -> list[Statement]:
    return [one for document in documents for one in parse(document)]


def _judge(statements: Iterable[Statement], question: Question) -> Verdict:
    effects = {one.get("Effect") for one in statements if _applies(one, question)}
    if "Deny" in effects:
        return Verdict.DENIED
    return Verdict.ALLOWED if "Allow" in effects else Verdict.SILENT


def _applies(statement: Statement, question: Question) -> bool:
    context = {} if statement["_literal"] else question.context
    conditions = statement.get("Condition") or {}
    return (
        _element(statement, "Action", lambda text: _like(text.lower(), question.action.lower(), {}))
        and _element(statement, "Resource", lambda text: _like(text, question.resource, context))
        and isinstance(conditions, Mapping)
        and all(_holds(operator, tests, question.context, context) for operator, tests in conditions.items())
    )


def _element(statement: Statement, name: str, matches: Callable[[str], bool]) -> bool:
    if name in statement:
        return any(matches(str(text)) for text in _listed(statement[name]))
    if f"Not{name}" in statement:
        return not any(matches(str(text)) for text in _listed(statement[f"Not{name}"]))
    return name == "Resource"  # a trust policy has none


def _speaks_of(statement: Statement, kind: str, names: Collection[str]) -> bool:
    return any(
        (said_kind == kind and said in names) or (said == "*" and "*" in names)
        for said_kind, said in principals(statement)
    )


def _holds(
    operator: str, tests: Json, given: Mapping[str, Sequence[str]], variables: Mapping[str, Sequence[str]]
) -> bool:
    return isinstance(tests, Mapping) and all(
        _test(operator, given.get(key.lower(), ()), [_filled(str(text), variables) for text in _scalars(wanted)])
        for key, wanted in tests.items()
    )


def _test(operator: str, given: Sequence[str], wanted: Sequence[str]) -> bool:
    quantifier, _, plain = operator.rpartition(":")
    optional = plain.endswith("IfExists")
    plain = plain.removesuffix("IfExists")
    if plain == "Null":
        return (not given) == (wanted[0].lower() == "true")
    if not given:
        return optional or quantifier == "ForAllValues" or plain in _NEGATED
    negated = plain in _NEGATED
    compare = _OPERATORS[_NEGATED.get(plain, plain)]

    def passes(value: str) -> bool:
        return any(compare(value, one) for one in wanted) != negated

    return (
        all(map(passes, given))
        if quantifier == "ForAllValues" or (negated and not quantifier)
        else any(map(passes, given))
    )


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda value, wanted: compare(float(value), float(wanted))


def _date(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    def moment(text: str) -> datetime:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC)
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

    return lambda value, wanted: compare(moment(value), moment(wanted))


def _within_network(value: str, wanted: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted.replace("${*}", "*"),
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: _like(wanted, value, {}),
    "ArnEquals": lambda value, wanted: _like(wanted, value, {}),
    "ArnLike": lambda value, wanted: _like(wanted, value, {}),
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "BinaryEquals": lambda value, wanted: value == wanted,
    "IpAddress": _within_network,
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "DateEquals": _date(lambda a, b: a == b),
    "DateLessThan": _date(lambda a, b: a < b),
    "DateLessThanEquals": _date(lambda a, b: a <= b),
    "DateGreaterThan": _date(lambda a, b: a > b),
    "DateGreaterThanEquals": _date(lambda a, b: a >= b),
}
_NEGATED: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def _like(pattern: str, text: str, variables: Mapping[str, Sequence[str]]) -> bool:
    return _compiled(_filled(pattern, variables)).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def _filled(text: str, variables: Mapping[str, Sequence[str]]) -> str:
    """Policy variables replaced; one without a value stays, and so matches nothing."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in _LITERALS:
            return _LITERALS[name]
        return next(iter(variables.get(name.lower(), ())), match[0])

    return _VARIABLE.sub(value, text) if variables else text


def _scalars(value: Json) -> list[str]:
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in _listed(value)]


def _listed(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
