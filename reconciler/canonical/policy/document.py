"""The canonical form of a policy document: documents of one meaning have one form.

What IAM treats as equal is described in the IAM User Guide, pages `reference_policies_grammar` (one or many,
any order), `reference_policies_elements_action` and `..._condition_operators` (case of actions and of condition
keys), `reference_policies_elements_principal` (account ids and `*`) and `..._version` (the default).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from reconciler.canonical.json import Json, canonical_text

DEFAULT_VERSION = "2008-10-17"

Path: TypeAlias = tuple[str, ...]

_ACCOUNT = re.compile(r"[0-9]{12}")
_ROOT_ARN = re.compile(r"arn:([a-z0-9-]+):iam::[0-9]{12}:root")


class ShapeError(ValueError):
    """The document does not have the shape of a policy, so it has no meaning to compare."""


class Leaf(NamedTuple):
    """One value inside a statement.

    `written` is its path with keys as they stand in the document, `value` what stands there. `entries` maps each
    canonical entry to its original text, or is None for values that are not sets (`Sid`, `Effect`).
    """

    written: Path
    value: Json
    entries: Mapping[str, str] | None


Statement: TypeAlias = dict[Path, Leaf]
"""The leaves of one statement by canonical path, such as `("Condition", "StringEquals", "aws:sourceaccount")`."""


def canonical(document: Json, partition: str = "aws") -> Json:
    """The one form of all documents that mean what `document` means.

    `document` may also be its JSON text, URL-encoded or not, as IAM returns it. A bare account id is read as the
    root user of that account in `partition`; `same` and `compare` find the partition by themselves. A document
    without the shape of a policy comes back as plain JSON.
    """
    policy = decode(document)
    try:
        return _canonical(policy, partition)
    except ShapeError:
        return policy


def same(a: Json, b: Json) -> bool:
    """Whether two documents mean the same in some partition, the bare account ids in both read as belonging to it."""
    first, second = decode(a), decode(b)
    if canonical_text(first) == canonical_text(second):
        return True
    return any(equal_in(partition, first, second) for partition in partitions(first, second))


def size(document: Json) -> int:
    """Characters of the document without white space between its tokens, as IAM's quotas count them.

    White space inside texts is counted, so the result is never less than what IAM finds. Malformed text counts
    as it stands.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    policy = decode(document)
    if isinstance(policy, str):
        return len("".join(policy.split()))
    return len(canonical_text(policy))


def decode(document: Json) -> Json:
    """The document out of its JSON text (URL-encoded or not) and out of a list of one; else the value as it is."""
    value = _parsed(document) if isinstance(document, str) else document
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1 and isinstance(value[0], Mapping):
        return value[0]
    return value


def equal_in(partition: str, a: Json, b: Json) -> bool:
    """Whether two decoded documents have one canonical form in `partition`."""
    return canonical_text(canonical(a, partition)) == canonical_text(canonical(b, partition))


def partitions(a: Json, b: Json) -> tuple[str, ...]:
    """The partitions two decoded documents may belong to: `aws`, then those of the root ARNs in them."""
    return tuple(dict.fromkeys(("aws", *_ROOT_ARN.findall(canonical_text([a, b])))))


def statements(policy: Json) -> list[tuple[Path, Json]]:
    """The statements of a decoded document as written, each with its path: `Statement` or `Statement[2]`."""
    value = branches(policy).get("Statement")
    if isinstance(value, Mapping):
        return [(("Statement",), value)]
    if value is None or isinstance(value, str) or not isinstance(value, Sequence):
        raise ShapeError("no statements")
    return [((f"Statement[{index}]",), statement) for index, statement in enumerate(value)]


def leaves(statement: Json, partition: str) -> Statement:
    """Every value of one statement by its canonical path. Raises ShapeError if a type is wrong."""
    result: Statement = {}
    for element, value in branches(statement).items():
        match element:
            case "Action" | "NotAction":
                result[element,] = Leaf((element,), value, {entry.lower(): entry for entry in _texts(value)})
            case "Resource" | "NotResource":
                result[element,] = Leaf((element,), value, {entry: entry for entry in _texts(value)})
            case "Principal" | "NotPrincipal":
                result |= _principals(element, value, partition)
            case "Condition":
                result |= _conditions(value)
            case _:
                result[element,] = Leaf((element,), value, None)
    return result


def canonical_statement(statement: Statement) -> Json:
    """The one form of all statements with these leaves."""
    return _nested(
        {path: leaf.value if leaf.entries is None else sorted(leaf.entries) for path, leaf in statement.items()}
    )


def branches(value: Json) -> Mapping[str, Json]:
    """`value` as a mapping. Raises ShapeError if it is none."""
    if isinstance(value, Mapping):
        return value
    raise ShapeError("not a mapping")


def _parsed(text: str) -> Json:
    for candidate in (text, unquote(text)):
        try:
            value: Json = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            return value
    return text


def _canonical(policy: Json, partition: str) -> Json:
    forms = (canonical_statement(leaves(statement, partition)) for _, statement in statements(policy))
    by_text = {canonical_text(form): form for form in forms}
    return {
        "Version": DEFAULT_VERSION,
        **branches(policy),
        "Statement": [by_text[text] for text in sorted(by_text)],
    }


def _nested(values: Mapping[Path, Json]) -> dict[str, Json]:
    groups: dict[str, dict[Path, Json]] = {}
    for (key, *rest), value in values.items():
        groups.setdefault(key, {})[tuple(rest)] = value
    return {key: group[()] if () in group else _nested(group) for key, group in groups.items()}


def _principals(element: str, value: Json, partition: str) -> Statement:
    if not isinstance(value, Mapping):
        return {(element, "AWS"): Leaf((element,), value, _accounts(value, partition))}
    result: Statement = {}
    for kind, names in value.items():
        entries = _accounts(names, partition) if kind == "AWS" else {name: name for name in _texts(names)}
        if entries:
            result[element, kind] = Leaf((element, kind), names, entries)
    return result


def _accounts(value: Json, partition: str) -> dict[str, str]:
    return {f"arn:{partition}:iam::{name}:root" if _ACCOUNT.fullmatch(name) else name: name for name in _texts(value)}


def _conditions(value: Json) -> Statement:
    result: Statement = {}
    for operator, tests in branches(value).items():
        keys = branches(tests)
        # Two spellings of one key in one operator are refused by IAM: they stay apart here, lest one gets lost.
        folded = {key: key.lower() for key in keys}
        distinct = len(set(folded.values())) == len(keys)
        for key, wanted in keys.items():
            entries = {text: text for text in _scalars(wanted)}
            path = ("Condition", operator, folded[key] if distinct else key)
            result[path] = Leaf(("Condition", operator, key), wanted, entries)
    return result


def _texts(value: Json) -> list[str]:
    found = _listed(value)
    texts = [entry for entry in found if isinstance(entry, str)]
    if len(texts) != len(found):
        raise ShapeError("not a text or a list of texts")
    return texts


def _scalars(value: Json) -> list[str]:
    return [_scalar(entry) for entry in _listed(value)]


def _scalar(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ShapeError("not a scalar")


def _listed(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
