"""Which golden cases a kind has to have is derived from its schema: nothing here names a kind."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from reconciler.manifest.templates import Value
from reconciler.model.kind import Kind
from reconciler.model.schema import Rule, is_known
from tests.unit.test_kinds import CASES, KINDS, Case, outcome, template

every_kind = pytest.mark.parametrize("name", KINDS)


@cache
def cases(name: str) -> Mapping[str, tuple[Case, Mapping[str, Any]]]:
    """The cases of a kind by name, each with what it comes to."""
    files = sorted((CASES / name).glob("*.json"))
    stated = {file.stem: json.loads(file.read_text("utf-8")) for file in files}
    return {stem: (case, outcome(KINDS[name], case)) for stem, case in stated.items()}


def compared(name: str) -> Iterator[tuple[Mapping[str, Value], Mapping[str, Any], list[str], Case]]:
    """Of the cases that compare a manifest with a live object: its fields, those of the object, what differs."""
    for case, came in cases(name).values():
        if "manifest" not in case or "differences" not in came:
            continue
        shown = came["lives"][0] if came.get("lives") else case.get("live")
        if shown is not None:
            yield template(case["manifest"]), shown.get("fields", {}), came["differences"], case


def rules(rule: Rule, inside: bool = False) -> Iterator[Rule]:
    """The rules of all fields, at any depth, but for those that are never sent."""
    if inside:
        yield rule
    members = (*rule.members.values(), *(one for _, one in rule.patterns))
    for member in members:
        if not member.local:
            yield from rules(member, True)
    for other in (rule.other_members, rule.items):
        if other.schema:
            yield from rules(other, True)


def same_in_other_words(rule: Rule, wanted: Value, live: Value) -> Iterator[str]:
    """By which words of the schema two values are the same that are not equal."""
    if wanted == live and repr(wanted) == repr(live):
        return
    if wanted is None or live is None:
        present = live if wanted is None else wanted
        if rule.is_default(rule.canonical(present)):
            yield "default"
    elif rule.compare and rule.additive and isinstance(wanted, Mapping) and isinstance(live, Mapping):
        if any(live.get(key) != value for key, value in wanted.items()):
            yield rule.compare
    elif rule.compare:
        if rule.canonical(wanted) == rule.canonical(live):
            yield rule.compare
    elif isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key in {**wanted, **live}:
            yield from same_in_other_words(rule.member(key), wanted.get(key), live.get(key))
    elif isinstance(wanted, list) and isinstance(live, list):
        if not rule.ordered and wanted != live:
            yield "set"
        pairs: Iterable[tuple[Value, Value]] = zip(wanted, live, strict=False)
        if not rule.ordered:
            pairs = [(a, b) for a in wanted for b in live if rule.items.canonical(a) == rule.items.canonical(b)]
        for one, other in pairs:
            yield from same_in_other_words(rule.items, one, other)


def normalised(name: str) -> set[str]:
    """The words of the schema by which a case's object is as the manifest has it, though not in the same words."""
    schema, found = KINDS[name].schema, set()
    for wanted, live, differing, case in compared(name):
        if differing:
            continue
        applied = case.get("applied", {}).get("fields", {})
        for key in {**wanted, **dict.fromkeys(schema.exclusive), **applied}:
            rule, value = schema.rule.member(key), wanted.get(key)
            if is_known(value) and not rule.local and key not in schema.write_only:
                found |= set(same_in_other_words(rule, value, live.get(key)))
    return found


def required(kind: Kind) -> set[str]:
    """The words of a kind's schema that say when values are the same."""
    all_rules = [*rules(kind.schema.rule)]
    words = {one.compare for one in all_rules if one.compare}
    words |= {"set" for one in all_rules if not one.ordered and not one.additive}
    shown = [one for field, one in kind.schema.rule.members.items() if field not in kind.schema.write_only]
    own = [one for one in shown if not (one.local or one.additive)]
    return words | {"default" for one in own if one.has_default and one.default is not None}


@every_kind
def test_it_is_made_changed_left_and_deleted(name: str) -> None:
    well = {case["do"] for case, came in cases(name).values() if came.get("error") is None}
    assert {"create", "update", "delete", "read", "look"} <= well
    assert any(case["do"] == "diff" and not came["differences"] for case, came in cases(name).values())


@every_kind
def test_what_can_not_be_changed_has_a_case(name: str) -> None:
    schema = KINDS[name].schema
    causes = [came["replace"] for _, came in cases(name).values() if came.get("replace")]
    for field in schema.create_only - {schema.name_field}:
        if schema.rule.member(field).schema.get("enum") != [schema.rule.member(field).default]:
            assert f"{field} can not be changed" in causes
    if schema.name_field in schema.create_only:
        assert any(cause.endswith("can not be changed") for cause in causes)
    if any(rule.merge for rule in rules(schema.rule)):
        assert any(cause.startswith("the service can not remove keys from") for cause in causes)


@every_kind
def test_every_normalisation_has_a_case(name: str) -> None:
    assert required(KINDS[name]) - normalised(name) == set()


@every_kind
def test_what_is_ours_as_a_whole_and_what_is_not_has_a_case(name: str) -> None:
    schema = KINDS[name].schema
    for field in schema.exclusive - schema.write_only:
        beyond = [
            differing
            for wanted, _, differing, _ in compared(name)
            if field not in wanted and any(one.startswith(field) for one in differing)
        ]
        whole = [
            differing
            for wanted, live, differing, _ in compared(name)
            if field in wanted and live.get(field) and any(one.startswith(field) for one in differing)
        ]
        assert beyond or whole, field
    additive = [field for field, rule in schema.rule.members.items() if rule.additive]
    if additive:
        assert any(
            not differing and len(live.get(field) or ()) > len(wanted.get(field) or ())  # type: ignore[arg-type]
            for wanted, live, differing, _ in compared(name)
            for field in additive
        )


@every_kind
def test_what_is_never_shown_has_cases(name: str) -> None:
    schema = KINDS[name].schema
    differing = [one for _, _, found, _ in compared(name) for one in found]
    for field in schema.write_only:
        assert any(one.startswith(field) and "has another value" in one for one in differing)
        if schema.versions[field]:
            assert any(one.startswith(field) and "sent again:" in one for one in differing)
