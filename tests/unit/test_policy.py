"""Policies by meaning, from the tables in `policies/`: one file per question, one line per case."""

import json
from pathlib import Path
from typing import Literal, TypedDict

import pytest

from reconciler.canonical.json import Json
from reconciler.canonical.policy import canonical, check, compare, same, size

TABLES = Path(__file__).parent / "policies"


class Pair(TypedDict):
    name: str
    a: Json
    b: Json


class Checked(TypedDict):
    name: str
    flavour: Literal["identity", "trust"]
    document: Json
    faults: list[tuple[list[str | int], str]]


class Change(TypedDict):
    action: str
    label: str
    widens: bool
    paths: list[str]


class Compared(TypedDict):
    name: str
    before: Json
    after: Json
    changes: list[Change]


def pairs(table: str) -> list[Pair]:
    cases: list[Pair] = json.loads((TABLES / f"{table}.json").read_text())
    return cases


def checked(table: str) -> list[Checked]:
    cases: list[Checked] = json.loads((TABLES / f"{table}.json").read_text())
    return cases


def compared() -> list[Compared]:
    cases: list[Compared] = json.loads((TABLES / "changes.json").read_text())
    return cases


def name(case: Pair | Checked | Compared) -> str:
    return case["name"]


@pytest.mark.parametrize("case", pairs("equal"), ids=name)
def test_documents_of_one_meaning_are_the_same(case: Pair) -> None:
    assert same(case["a"], case["b"])
    assert same(case["b"], case["a"])
    assert compare(case["a"], case["b"]).equal


@pytest.mark.parametrize("case", pairs("different"), ids=name)
def test_documents_of_two_meanings_differ(case: Pair) -> None:
    assert not same(case["a"], case["b"])
    assert not same(case["b"], case["a"])
    diff = compare(case["a"], case["b"])
    assert not diff.equal
    assert diff.changes


@pytest.mark.parametrize("case", checked("valid"), ids=name)
def test_a_valid_document_has_no_fault(case: Checked) -> None:
    assert check(case["document"], case["flavour"]) == []


@pytest.mark.parametrize("case", checked("faults"), ids=name)
def test_each_fault_is_found_at_its_place(case: Checked) -> None:
    found = check(case["document"], case["flavour"])
    assert [(list(fault.path), fault.message) for fault in found] == [(path, text) for path, text in case["faults"]]
    assert all(fault.hint for fault in found)


@pytest.mark.parametrize("case", compared(), ids=name)
def test_changes_are_told_statement_by_statement(case: Compared) -> None:
    diff = compare(case["before"], case["after"])
    told = [
        Change(
            action=change.action,
            label=change.label,
            widens=change.widens,
            paths=[difference.path for difference in change.differences],
        )
        for change in diff.changes
    ]
    assert told == case["changes"]
    assert diff.equal == (not case["changes"])
    assert diff.widens == any(change["widens"] for change in case["changes"])


def test_a_difference_names_the_entries_as_they_are_written() -> None:
    before: Json = {"Statement": {"Effect": "Allow", "Action": ["S3:GetObject", "s3:ListBucket"], "Resource": "*"}}
    after: Json = {"Statement": {"Effect": "Allow", "Action": ["s3:listbucket", "S3:PutObject"], "Resource": "*"}}
    (change,) = compare(before, after).changes
    (difference,) = change.differences
    assert difference.before == ["S3:GetObject", "s3:ListBucket"]
    assert difference.after == ["s3:listbucket", "S3:PutObject"]
    assert difference.removed == ("S3:GetObject",)
    assert difference.added == ("S3:PutObject",)


def test_a_misspelt_element_is_suggested() -> None:
    (fault,) = check({"Version": "2012-10-17", "Statement": [], "statment": []}, "identity")[:1]
    assert fault.hint == "did you mean `Statement`?"


def test_the_canonical_form_is_readable() -> None:
    text = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "STS:AssumeRole", "Condition": {}}}'
    assert canonical(text) == {
        "Version": "2008-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["sts:assumerole"]}],
    }


def test_the_canonical_form_reads_account_ids_in_the_partition_given() -> None:
    document: Json = {"Statement": [{"Principal": {"AWS": "123456789012"}}]}
    assert canonical(document, "aws-cn") == {
        "Version": "2008-10-17",
        "Statement": [{"Principal": {"AWS": ["arn:aws-cn:iam::123456789012:root"]}}],
    }


@pytest.mark.parametrize(
    ("document", "characters"),
    [
        ({"Version": "2012-10-17", "Statement": []}, 39),
        ('{ "Version": "2012-10-17",\n  "Statement": [ ] }', 39),
        ("%7B%22Statement%22%3A%20%5B%5D%7D", 16),
        ({"Id": "é é"}, 12),
        ("{ broken", 7),
    ],
)
def test_size_counts_what_the_quota_counts(document: Json, characters: int) -> None:
    assert size(document) == characters
