"""The gateway's rules without sockets: pages, what was a while ago, switches, the domain's access policy."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.models import IAMBackend

from reconciler.sandbox.gateway import access_policy
from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.cluster_settings import is_allowed
from reconciler.sandbox.gateway.history import History
from reconciler.sandbox.gateway.http import Answer
from reconciler.sandbox.gateway.iam_effects import with_principals
from reconciler.sandbox.gateway.iam_limits import size
from reconciler.sandbox.gateway.operation import Operation, Refusal
from reconciler.sandbox.gateway.paging import Page, cut, page_of
from reconciler.sandbox.gateway.policies import Question
from reconciler.sandbox.gateway.switches import Switches
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, DOMAIN_ARN

CALLER = Caller(AUTOMATION_ARN, AUTOMATION_ARN, ACCOUNT)
SPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def listing(**parameters: str) -> Operation:
    return Operation("iam", "ListRoles", parameters, CALLER, "us-east-1")


# --- pages


def roles_answer(count: int) -> Answer:
    members = "".join(f"<member><RoleName>r{n}</RoleName><Tags/></member>" for n in range(count))
    body = f'<R xmlns="{SPACE}"><ListRolesResult><Roles>{members}</Roles></ListRolesResult></R>'
    return Answer(200, {}, body.encode())


def read_page(answer: Answer) -> tuple[list[str], bool, str | None]:
    tree = ElementTree.fromstring(answer.body)  # noqa: S314  (made by ourselves)
    texts = {name: [node.text or "" for node in tree.iter(f"{{{SPACE}}}{name}")] for name in ("RoleName", "Marker")}
    truncated = [node.text for node in tree.iter(f"{{{SPACE}}}IsTruncated")]
    assert list(tree.iter(f"{{{SPACE}}}Tags")) == []
    return texts["RoleName"], truncated == ["true"], next(iter(texts["Marker"]), None)


@given(count=st.integers(0, 30), items=st.integers(1, 12))
def test_following_markers_shows_everything_once(count: int, items: int) -> None:
    seen: list[str] = []
    marker: str | None = None
    short = 0
    while True:
        asked = listing(MaxItems=str(items), **({"Marker": marker} if marker else {}))
        page = page_of(asked)
        assert isinstance(page, Page)
        names, truncated, marker = read_page(cut(roles_answer(count), asked, page))
        assert len(names) <= items
        assert truncated is (marker is not None)
        short += truncated and len(names) < items
        seen += names
        if not truncated:
            break
    assert seen == [f"r{n}" for n in range(count)]
    assert short == (count > items > 1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"MaxItems": "0"},
        {"MaxItems": "1001"},
        {"MaxItems": "x"},
        {"Marker": "x"},
        {"Marker": "WyJMaXN0VXNlcnMiLCAxXQ=="},
    ],
)
def test_pages_that_are_none(parameters: dict[str, str]) -> None:
    refused = page_of(listing(**parameters))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_other_calls_have_no_pages() -> None:
    assert page_of(Operation("iam", "GetRole", {}, CALLER, "us-east-1")) is None
    assert page_of(Operation("secretsmanager", "ListRoles", {}, CALLER, "us-east-1")) is None


# --- what was a while ago


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 9)), max_size=12),
    delay=st.integers(1, 5),
)
def test_what_is_seen_is_what_was(steps: list[tuple[int, str, int]], delay: int) -> None:
    clock = 0.0
    iam = IAMBackend("global", "210987654321")
    history = History(iam, lambda: clock)
    states = [(-100.0, frozenset[tuple[str, str]]())]

    def state() -> frozenset[tuple[str, str]]:
        return frozenset((role.name, role.policies.get("p", "")) for role in iam.roles.values())

    for wait, name, value in steps:
        clock += wait
        history.remember(5)
        if name not in {role.name for role in iam.roles.values()}:
            iam.create_role(name, "{}", "/", None, "", [], None)
        elif value == 0:
            role = iam.get_role(name)
            role.policies.clear()
            iam.delete_role(name)
        else:
            iam.get_role(name).put_policy("p", str(value))
        states.append((clock, state()))
        expected = [seen for at, seen in states if at <= clock - delay][-1]
        with history.ago(delay):
            assert state() == expected
        assert state() == states[-1][1]


# --- switches


def test_switches_are_turned_one_by_one() -> None:
    switches = Switches().changed({"propagation_delay_s": 5}).changed({"throttle": 0.5})
    assert (switches.propagation_delay_s, switches.throttle, switches.reads_delay_s) == (5, 0.5, 5)
    assert switches.changed({"stale_reads_s": 1}).reads_delay_s == 1
    assert switches.changed({"stale_reads_s": 9}).longest_delay_s == 9
    policy = {"Version": "2012-10-17", "Statement": []}
    text = switches.changed({"access_policy": policy}).access_policy
    assert json.loads(text or "") == policy
    assert switches.changed({"access_policy": json.dumps(policy)}).access_policy == text


@pytest.mark.parametrize(
    "values",
    [
        {"speed": 1},
        {"throttle": -0.1},
        {"throttle": 1.1},
        {"throttle": True},
        {"propagation_delay_s": None},
        {"stale_reads_s": "1"},
        {"access_policy": "{"},
        {"access_policy": []},
    ],
)
def test_switches_that_are_none(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Switches().changed(values)


def test_the_share_that_is_throttled() -> None:
    account = Account("AKIAAUTOMATION", "secret")
    assert not any(account.throttles() for _ in range(100))
    account.configure({"throttle": 0.25})
    first = [account.throttles() for _ in range(400)]
    assert 60 <= sum(first) <= 140
    account.configure({})
    assert [account.throttles() for _ in range(400)] == first
    account.reset()
    assert not any(account.throttles() for _ in range(100))


# --- the domain's access policy

GET = Question("es:ESHttpGet", f"{DOMAIN_ARN}/_search", {"aws:sourceip": ("127.0.0.1",)})
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def allowing(principal: Any, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {
        "Effect": effect,
        "Principal": principal,
        "Action": "es:ESHttp*",
        "Resource": f"{DOMAIN_ARN}/*",
        **more,
    }


NOBODY_ELSE = "because no identity-based policy allows the es:ESHttpGet action"
NOBODY = "because no resource-based policy allows the es:ESHttpGet action"
ELSEWHERE = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}


@pytest.mark.parametrize(
    ("statements", "grants", "said"),
    [
        (None, True, None),
        (None, False, NOBODY_ELSE),
        ([allowing({"AWS": ROOT})], True, None),
        ([allowing({"AWS": ROOT})], False, NOBODY_ELSE),
        ([allowing({"AWS": f"arn:aws:iam::{ACCOUNT}:user/other"})], False, None),
        ([allowing({"AWS": "*"})], False, None),
        ([allowing({"AWS": "arn:aws:iam::210987654321:root"})], True, None),
        ([allowing({"AWS": "*"}, Condition=ELSEWHERE)], False, NOBODY_ELSE),
        ([allowing({"AWS": "*"}, Action="es:ESHttpPut")], False, NOBODY_ELSE),
        ([allowing({"AWS": "*"}, "Deny")], True, "with an explicit deny in a resource-based policy"),
        ([allowing({"AWS": ROOT}, "Deny")], True, "with an explicit deny in a resource-based policy"),
    ],
)
def test_who_is_let_in(statements: list[dict[str, Any]] | None, grants: bool, said: str | None) -> None:
    account = Account("AKIAAUTOMATION", "secret")
    if statements is not None:
        account.configure({"access_policy": {"Version": "2012-10-17", "Statement": statements}})
    arn = AUTOMATION_ARN if grants else f"arn:aws:iam::{ACCOUNT}:user/other"
    refused = access_policy.refused(account, Caller(arn, arn, ACCOUNT), GET)
    expected = said and f"User: {arn} is not authorized to perform: es:ESHttpGet {said}"
    assert refused == expected


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (None, None),
        ([allowing({"AWS": ROOT})], NOBODY),
        ([allowing({"AWS": "*"})], None),
        ([allowing("*", Condition=ELSEWHERE)], NOBODY),
        ([allowing("*"), allowing("*", "Deny")], "with an explicit deny in a resource-based policy"),
    ],
)
def test_a_name_and_a_password(statements: list[dict[str, Any]] | None, said: str | None) -> None:
    account = Account("AKIAAUTOMATION", "secret")
    if statements is not None:
        account.configure({"access_policy": {"Version": "2012-10-17", "Statement": statements}})
    expected = said and f"User: anonymous is not authorized to perform: es:ESHttpGet {said}"
    assert access_policy.refused(account, None, GET) == expected


def test_a_caller_of_another_account_needs_both() -> None:
    account = Account("AKIAAUTOMATION", "secret")
    stranger = Caller("arn:aws:iam::210987654321:user/x", "arn:aws:iam::210987654321:user/x", "210987654321")
    account.configure({"access_policy": {"Version": "2012-10-17", "Statement": [allowing({"AWS": "*"})]}})
    assert (access_policy.refused(account, stranger, GET) or "").endswith(NOBODY_ELSE)


# --- what the service takes of settings


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"persistent": {"plugins.ml_commons.memory_feature_enabled": True}}, True),
        ({"persistent": {"cluster.max_shards_per_node": 500, "action.auto_create_index": None}}, True),
        ({"persistent": {"plugins.ml_commons.trusted_connector_endpoints_regex": ["^x$"]}, "transient": {}}, True),
        ({"persistent": {"plugins": {"ml_commons.memory_feature_enabled": True}}}, False),
        ({"transient": {"cluster.routing.allocation.enable": "none"}}, False),
        ({"persistent": {"plugins.ml_commons.allow_registering_model_via_url": True}}, False),
        ({"persistent": {"cluster.max_shards_per_node": 500, "cluster.name": "x"}}, False),
        (None, True),
        ([], True),
        ({"persistent": "x"}, True),
    ],
)
def test_settings_of_the_managed_service(body: Any, allowed: bool) -> None:
    assert is_allowed(body) is allowed


# --- documents


@given(st.text(alphabet='{}":,ab \n\t', max_size=40))
def test_white_space_does_not_count(text: str) -> None:
    assert size(text) == sum(not character.isspace() for character in text)


def test_only_aws_principals_are_replaced() -> None:
    document = json.dumps(
        {
            "Statement": [
                {"Principal": {"AWS": ["a", "b"], "Service": "a"}, "Resource": "a"},
                {"Principal": {"AWS": "a"}, "Condition": {"ArnLike": {"aws:PrincipalArn": "a"}}},
                {"Principal": "a"},
            ]
        },
        indent=3,
    )
    replaced = json.loads(with_principals(document, {"a": "AROA", "b": "b"}.__getitem__))
    assert replaced["Statement"][0] == {"Principal": {"AWS": ["AROA", "b"], "Service": "a"}, "Resource": "a"}
    assert replaced["Statement"][1]["Condition"] == {"ArnLike": {"aws:PrincipalArn": "a"}}
    assert replaced["Statement"][1]["Principal"] == {"AWS": "AROA"}
    assert replaced["Statement"][2] == {"Principal": "a"}
    assert with_principals(document, lambda name: name) == document
