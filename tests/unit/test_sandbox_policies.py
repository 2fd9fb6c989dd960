"""The evaluation of IAM policy documents, against the rules of the IAM User Guide."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sandbox.gateway.policies import Question, Verdict, judge_identity, judge_trust

DOMAIN = "arn:aws:es:us-east-1:123456789012:domain/search-demo"
ROLE = "arn:aws:iam::123456789012:role/create-connector"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def verdict(
    *statements: dict[str, Any], action: str = "es:ESHttpGet", resource: str = f"{DOMAIN}/x", **context: str
) -> Verdict:
    keys = {key.replace("__", ":").lower(): (value,) for key, value in context.items()}
    return judge_identity([policy(*statements)], Question(action, resource, keys))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow("es:ESHttpGet", f"{DOMAIN}/*"), Verdict.ALLOWED),
        (allow("ES:eshttpget", f"{DOMAIN}/*"), Verdict.ALLOWED),
        (allow("es:ESHttp*", f"{DOMAIN}/*"), Verdict.ALLOWED),
        (allow(["es:ESHttpPut", "es:ESHttp?et"], [f"{DOMAIN}/*"]), Verdict.ALLOWED),
        (allow("es:ESHttpPost", f"{DOMAIN}/*"), Verdict.SILENT),
        (allow("es:ESHttpGet", DOMAIN), Verdict.SILENT),
        (allow("es:ESHttpGet", f"{DOMAIN.upper()}/*"), Verdict.SILENT),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, Verdict.ALLOWED),
        ({"Effect": "Allow", "NotAction": "es:*", "Resource": "*"}, Verdict.SILENT),
        ({"Effect": "Allow", "Action": "*", "NotResource": f"{DOMAIN}/*"}, Verdict.SILENT),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::x"}, Verdict.ALLOWED),
        (allow() | {"Effect": "Deny"}, Verdict.DENIED),
        (allow() | {"Effect": "allow"}, Verdict.SILENT),
    ],
)
def test_one_statement(statement: dict[str, Any], expected: Verdict) -> None:
    assert verdict(statement) is expected


@given(st.permutations([allow("es:*"), allow("es:ESHttpGet") | {"Effect": "Deny"}, allow("iam:*")]))
def test_a_deny_wins_wherever_it_stands(statements: list[dict[str, Any]]) -> None:
    assert verdict(*statements) is Verdict.DENIED
    assert verdict(*statements, action="es:ESHttpPut") is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ({"StringEquals": {"k": "a"}}, "a", True),
        ({"StringEquals": {"K": ["b", "a"]}}, "a", True),
        ({"StringEquals": {"k": "A"}}, "a", False),
        ({"StringEqualsIgnoreCase": {"k": "A"}}, "a", True),
        ({"StringNotEquals": {"k": ["b", "a"]}}, "a", False),
        ({"StringNotEquals": {"k": ["b", "c"]}}, "a", True),
        ({"StringNotEquals": {"other": "a"}}, "a", True),
        ({"StringLike": {"k": "role-*"}}, "role-7", True),
        ({"StringNotLike": {"k": "role-*"}}, "role-7", False),
        ({"ArnLike": {"k": "arn:aws:iam::*:role/x*"}}, "arn:aws:iam::1:role/x/y", True),
        ({"ArnNotEquals": {"k": "arn:aws:iam::1:role/x"}}, "arn:aws:iam::1:role/x", False),
        ({"Bool": {"k": True}}, "true", True),
        ({"Bool": {"k": "false"}}, "true", False),
        ({"NumericLessThan": {"k": 5}}, "4", True),
        ({"NumericGreaterThanEquals": {"k": "5"}}, "4", False),
        ({"DateGreaterThan": {"k": "2020-01-01T00:00:00Z"}}, "2026-01-01T00:00:00Z", True),
        ({"DateLessThan": {"k": "2020-01-01"}}, "2026-01-01T00:00:00+00:00", False),
        ({"DateLessThan": {"k": "2020-01-01"}}, "1500000000", True),
        ({"IpAddress": {"k": "127.0.0.0/8"}}, "127.0.0.1", True),
        ({"NotIpAddress": {"k": "127.0.0.0/8"}}, "127.0.0.1", False),
        ({"Null": {"k": "true"}}, "a", False),
        ({"Null": {"other": "true"}}, "a", True),
        ({"StringEquals": {"other": "a"}}, "a", False),
        ({"StringEqualsIfExists": {"other": "a"}}, "a", True),
        ({"StringEqualsIfExists": {"k": "b"}}, "a", False),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, "a", True),
        ({"ForAllValues:StringEquals": {"other": "a"}}, "a", True),
        ({"StringEquals": {"k": "a"}, "Bool": {"other": "true"}}, "a", False),
    ],
)
def test_conditions(condition: dict[str, Any], value: str, expected: bool) -> None:
    assert (verdict(allow(Condition=condition), k=value) is Verdict.ALLOWED) is expected


def test_several_values_of_a_key() -> None:
    question = Question("a:b", "*", {"k": ("x", "y")})
    every = policy(allow(Condition={"ForAllValues:StringEquals": {"k": ["x", "z"]}}))
    some = policy(allow(Condition={"ForAnyValue:StringEquals": {"k": ["x", "z"]}}))
    assert judge_identity([every], question) is Verdict.SILENT
    assert judge_identity([some], question) is Verdict.ALLOWED


def test_policy_variables_are_filled_in_the_newer_version_only() -> None:
    question = Question("a:b", "arn:aws:iam::1:user/ann", {"aws:username": ("ann",)})
    own = allow("a:b", "arn:aws:iam::1:user/${aws:username}")
    assert judge_identity([policy(own)], question) is Verdict.ALLOWED
    assert judge_identity([policy(own, version="2008-10-17")], question) is Verdict.SILENT
    assert judge_identity([policy(own)], Question("a:b", question.resource, {"aws:other": ("x",)})) is Verdict.SILENT


@given(st.text(alphabet="ab.*[]()\\^$", max_size=8), st.text(alphabet="ab.[]()\\^$", max_size=8))
def test_only_star_and_question_mark_are_wild(pattern: str, text: str) -> None:
    allowed = verdict(allow("a:b", pattern), action="a:b", resource=text) is Verdict.ALLOWED
    head, *tails = pattern.split("*")
    rest, matches = text, text.startswith(head)
    if tails and matches:
        rest = text[len(head) :]
        for middle in tails[:-1]:
            found = rest.find(middle)
            matches = matches and found >= 0
            rest = rest[found + len(middle) :]
        matches = matches and rest.endswith(tails[-1])
    elif not tails:
        matches = text == pattern
    assert allowed is matches


@pytest.mark.parametrize(
    ("principal", "kind", "names", "expected"),
    [
        ({"AWS": ROLE}, "AWS", {ROLE}, Verdict.ALLOWED),
        ({"AWS": [ROLE, "123456789012"]}, "AWS", {"123456789012"}, Verdict.ALLOWED),
        ({"AWS": "*"}, "AWS", {ROLE, "*"}, Verdict.ALLOWED),
        ("*", "AWS", {ROLE, "*"}, Verdict.ALLOWED),
        ({"AWS": ROLE}, "Service", {ROLE}, Verdict.SILENT),
        ({"Service": ["lambda.amazonaws.com", "es.amazonaws.com"]}, "Service", {"es.amazonaws.com"}, Verdict.ALLOWED),
        ({"Service": "lambda.amazonaws.com"}, "Service", {"es.amazonaws.com"}, Verdict.SILENT),
    ],
)
def test_trust(principal: Any, kind: str, names: set[str], expected: Verdict) -> None:
    document = policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
    assert judge_trust(document, Question("sts:AssumeRole", ROLE), kind=kind, names=names) is expected


def test_trust_with_a_condition() -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "es.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"{DOMAIN}*"},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        },
    }
    context = {"aws:sourcearn": (DOMAIN,), "aws:sourceaccount": ("123456789012",)}
    names = {"es.amazonaws.com"}
    question = Question("sts:AssumeRole", ROLE, context)
    assert judge_trust(policy(statement), question, kind="Service", names=names) is Verdict.ALLOWED
    elsewhere = Question("sts:AssumeRole", ROLE, {**context, "aws:sourceaccount": ("210987654321",)})
    assert judge_trust(policy(statement), elsewhere, kind="Service", names=names) is Verdict.SILENT
