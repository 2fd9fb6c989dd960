"""What IAM refuses in a policy document, found before it is sent.

Only what is wrong whatever the account holds is reported: texts with `${` are not judged, whether a principal or
an action exists is not asked.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html and the pages of the
elements, https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

from reconciler.canonical.json import Json
from reconciler.canonical.policy.document import DEFAULT_VERSION, decode

Flavour: TypeAlias = Literal["identity", "trust"]
Place: TypeAlias = tuple[str | int, ...]

_DOCUMENT = ("Version", "Id", "Statement")
_STATEMENT = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_VERSIONS = ("2012-10-17", DEFAULT_VERSION)
_EFFECTS = ("Allow", "Deny")
_PRINCIPALS = ("AWS", "Service", "Federated", "CanonicalUser")
_TESTS = (
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike"),
    *("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals"),
    *("NumericGreaterThan", "NumericGreaterThanEquals"),
    *("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals"),
    *("DateGreaterThan", "DateGreaterThanEquals"),
    *("Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
    *("ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"),
)
_OPERATORS = frozenset(
    prefix + operator
    for prefix in ("", "ForAllValues:", "ForAnyValue:")
    for operator in (*_TESTS, *(f"{test}IfExists" for test in _TESTS), "Null")
)
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\u00ff]")
_SID = re.compile(r"[A-Za-z0-9]*")
_ACTION = re.compile(r"\*|[A-Za-z0-9.-]+:[^:\s]+")
_RESOURCE = re.compile(r"\*|arn:[^:]+:[^:]+:.*", re.DOTALL)
_AWS_PRINCIPAL = re.compile(r"\*|[0-9]{12}|arn:[a-z0-9-]+:(iam|sts)::[0-9]{12}:[^*?\s]+|A[A-Z0-9]{15,127}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that IAM refuses. `path` leads to it from the document's root; `hint` says what to do."""

    path: Place
    message: str
    hint: str


def check(document: Json, flavour: Flavour) -> list[Fault]:
    """Every fault of a permissions policy (`identity`) or of a role's trust policy (`trust`); none if IAM takes it.

    `document` may be the JSON text of a policy. Lengths are not checked: quotas are the account's.
    """
    policy = decode(document) if isinstance(document, str) else document
    return [*_document(policy, flavour), *_characters((), policy)]


def _document(policy: Json, flavour: Flavour) -> Iterator[Fault]:
    if not isinstance(policy, Mapping):
        yield Fault((), f"a policy document is a mapping, not {_kind(policy)}", "write `Version` and `Statement`")
        return
    yield from _unknown((), policy, _DOCUMENT, "a policy document")
    if "Version" in policy and policy["Version"] not in _VERSIONS:
        yield Fault(("Version",), f"{_shown(policy['Version'])} is no policy version", 'write "2012-10-17", in quotes')
    if "Id" in policy and not isinstance(policy["Id"], str):
        yield Fault(("Id",), f"`Id` is a text, not {_kind(policy['Id'])}", "put it in quotes or remove it")
    if "Statement" not in policy:
        yield Fault((), "the policy document has no `Statement`", "add at least one statement")
        return
    yield from _statements(policy["Statement"], flavour)


def _statements(value: Json, flavour: Flavour) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        yield from _statement(("Statement",), value, flavour)
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        yield Fault(("Statement",), f"`Statement` is a statement or a list of them, not {_kind(value)}", "write a list")
        return
    if not value:
        yield Fault(("Statement",), "`Statement` is empty", "add at least one statement, or remove the policy")
    seen: set[str] = set()
    for index, statement in enumerate(value):
        path: Place = ("Statement", index)
        if not isinstance(statement, Mapping):
            yield Fault(path, f"a statement is a mapping, not {_kind(statement)}", "write `Effect`, `Action` and so on")
            continue
        yield from _statement(path, statement, flavour)
        sid = statement.get("Sid")
        if isinstance(sid, str) and sid:
            if sid in seen:
                yield Fault((*path, "Sid"), f"the Sid {_shown(sid)} is used twice", "give each statement its own Sid")
            seen.add(sid)


def _statement(path: Place, statement: Mapping[str, Json], flavour: Flavour) -> Iterator[Fault]:
    yield from _unknown(path, statement, _STATEMENT, "a statement")
    sid = statement.get("Sid", "")
    if not isinstance(sid, str):
        yield Fault((*path, "Sid"), f"`Sid` is a text, not {_kind(sid)}", "put it in quotes")
    elif not _SID.fullmatch(sid) and "${" not in sid:
        yield Fault((*path, "Sid"), f"the Sid {_shown(sid)} has other characters", "use letters and digits only")
    yield from _effect(path, statement)
    yield from _one_of(path, statement, "Action")
    for element in ("Action", "NotAction"):
        if element in statement:
            yield from _actions((*path, element), element, statement[element], flavour)
    if flavour == "identity":
        yield from _one_of(path, statement, "Resource")
        yield from _misplaced(path, statement, ("Principal", "NotPrincipal"), "a permissions policy")
        for element in ("Resource", "NotResource"):
            if element in statement:
                yield from _resources((*path, element), element, statement[element])
    else:
        yield from _misplaced(path, statement, ("Resource", "NotResource", "NotPrincipal"), "a trust policy")
        if "Principal" in statement:
            yield from _principals((*path, "Principal"), statement["Principal"])
        else:
            yield Fault(path, "the statement has no `Principal`", "add who may assume the role")
    if "Condition" in statement:
        yield from _conditions((*path, "Condition"), statement["Condition"])


def _effect(path: Place, statement: Mapping[str, Json]) -> Iterator[Fault]:
    if "Effect" not in statement:
        yield Fault(path, "the statement has no `Effect`", "add `Effect: Allow` or `Effect: Deny`")
    elif statement["Effect"] not in _EFFECTS:
        effect = statement["Effect"]
        hint = _suggestion(effect, _EFFECTS) if isinstance(effect, str) else ""
        yield Fault((*path, "Effect"), f"{_shown(effect)} is no effect", hint or "write `Allow` or `Deny`")


def _actions(path: Place, element: str, value: Json, flavour: Flavour) -> Iterator[Fault]:
    yield from _other_than_texts(path, value)
    for place, action in _texts(path, value):
        if not _ACTION.fullmatch(action):
            yield Fault(place, f"{_shown(action)} is no action", "write it as `service:Action`, or `*`")
        elif flavour == "trust" and element == "Action" and not action.lower().startswith("sts:"):
            yield Fault(
                place, f"a trust policy can not be about {_shown(action)}", "name an action of STS: `sts:AssumeRole`"
            )


def _resources(path: Place, element: str, value: Json) -> Iterator[Fault]:
    yield from _other_than_texts(path, value)
    for place, resource in _texts(path, value):
        if not _RESOURCE.fullmatch(resource):
            yield Fault(place, f"{_shown(resource)} is no resource", f"`{element}` takes ARNs (`arn:aws:...`) or `*`")


def _principals(path: Place, value: Json) -> Iterator[Fault]:
    if value == "*":
        return
    if not isinstance(value, Mapping):
        yield Fault(path, f'`Principal` is a mapping or "*", not {_shown(value)}', "write `AWS: ...` or `Service: ...`")
        return
    if not value:
        yield Fault(path, "`Principal` is empty", "add who may assume the role")
    for kind, names in value.items():
        place = (*path, kind)
        if kind not in _PRINCIPALS:
            hint = _suggestion(kind, _PRINCIPALS) or f"write one of {', '.join(_PRINCIPALS)}"
            yield Fault(place, f"{_shown(kind)} is no kind of principal", hint)
        yield from _other_than_texts(place, names)
        for inner, name in _texts(place, names):
            if kind == "AWS" and not _AWS_PRINCIPAL.fullmatch(name):
                hint = 'write an account id, the ARN of a role, user or root without wildcards, or "*"'
                yield Fault(inner, f"{_shown(name)} is no AWS principal", hint)
            elif kind == "Service" and "." not in name:
                yield Fault(inner, f"{_shown(name)} is no service", "write its full name: `es.amazonaws.com`")


def _conditions(path: Place, value: Json) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield Fault(path, f"`Condition` is a mapping, not {_kind(value)}", "write operator, key and values")
        return
    for operator, tests in value.items():
        place = (*path, operator)
        if operator not in _OPERATORS and not (isinstance(tests, Mapping) and not tests):
            hint = _suggestion(operator, sorted(_OPERATORS)) or "see `IAM JSON policy elements: Condition operators`"
            yield Fault(place, f"{_shown(operator)} is no condition operator", hint)
        if not isinstance(tests, Mapping):
            yield Fault(
                place, f"`{operator}` holds a mapping, not {_kind(tests)}", "write a condition key and its values"
            )
            continue
        yield from _tests(place, tests)


def _tests(path: Place, tests: Mapping[str, Json]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for key, wanted in tests.items():
        place = (*path, key)
        if ":" not in key and "${" not in key:
            yield Fault(place, f"{_shown(key)} is no condition key", "write it with its prefix: `aws:SourceArn`")
        if (earlier := seen.setdefault(key.lower(), key)) != key:
            yield Fault(place, f"{_shown(key)} and {_shown(earlier)} are one key", "write the values in one list")
        for inner, entry in _listed(place, wanted):
            if not isinstance(entry, str | bool | int | float):
                message = f"a condition value is a text, number or boolean, not {_kind(entry)}"
                yield Fault(inner, message, "put it in quotes")


def _unknown(path: Place, value: Mapping[str, Json], known: Sequence[str], where: str) -> Iterator[Fault]:
    for element in value:
        if element not in known:
            hint = _suggestion(element, known) or f"remove it; there are {', '.join(known)}"
            yield Fault((*path, element), f"{_shown(element)} is no element of {where}", hint)


def _one_of(path: Place, statement: Mapping[str, Json], element: str) -> Iterator[Fault]:
    negated = f"Not{element}"
    if element in statement and negated in statement:
        yield Fault((*path, negated), f"the statement has both `{element}` and `{negated}`", "keep one of them")
    elif element not in statement and negated not in statement:
        yield Fault(path, f"the statement has no `{element}`", f"add `{element}` or `{negated}`")


def _misplaced(path: Place, statement: Mapping[str, Json], elements: Sequence[str], where: str) -> Iterator[Fault]:
    for element in elements:
        if element in statement:
            yield Fault((*path, element), f"{where} can not have `{element}`", "remove it")


def _other_than_texts(path: Place, value: Json) -> Iterator[Fault]:
    entries = _listed(path, value)
    if not entries:
        yield Fault(path, f"`{path[-1]}` is empty", "name at least one")
    for place, entry in entries:
        if not isinstance(entry, str):
            yield Fault(place, f"`{path[-1]}` takes texts, not {_kind(entry)}", "write a text or a list of texts")


def _texts(path: Place, value: Json) -> list[tuple[Place, str]]:
    """The texts of a text or a list, each with its place, without those that stand for something else."""
    return [(place, entry) for place, entry in _listed(path, value) if isinstance(entry, str) and "${" not in entry]


def _listed(path: Place, value: Json) -> list[tuple[Place, Json]]:
    if not isinstance(value, str) and isinstance(value, Sequence):
        return [((*path, index), entry) for index, entry in enumerate(value)]
    return [(path, value)]


def _characters(path: Place, value: Json) -> Iterator[Fault]:
    waiting: list[tuple[Place, Json]] = [(path, value)]
    while waiting:
        place, entry = waiting.pop()
        if isinstance(entry, str):
            if found := _FORBIDDEN.search(entry):
                yield _forbidden(place, found[0])
        elif isinstance(entry, Mapping):
            for key in entry:
                if found := _FORBIDDEN.search(key):
                    yield _forbidden((*place, key), found[0])
            waiting += [((*place, key), inner) for key, inner in entry.items()]
        elif isinstance(entry, Sequence):
            waiting += [((*place, index), inner) for index, inner in enumerate(entry)]


def _forbidden(place: Place, character: str) -> Fault:
    message = f"the character U+{ord(character):04X} is not allowed in a policy"
    return Fault(place, message, "use tab, line ends and U+0020 to U+00FF only")


def _suggestion(name: str, known: Collection[str]) -> str:
    folded = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return f"did you mean `{folded[near[0]]}`?" if near else ""


def _shown(value: Json) -> str:
    return f'"{value}"' if isinstance(value, str) else _kind(value)


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"
