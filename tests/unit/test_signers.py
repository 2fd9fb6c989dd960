"""Before anything is refused: a connector whose signer is mapped to no role that may make it."""

from collections.abc import Sequence

import pytest

from tests.support.account import ACCOUNT, CALLER
from tests.support.bench import Bench, Sections, outcome
from tests.support.chains import action, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import Fault, always
from tests.support.world import World

SIGNER = f"arn:aws:iam::{ACCOUNT}:role/signer"
CONNECTOR: Sections = {
    "connectors": {"c": {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)], "sign_as": SIGNER}}
}
WARNED = [("not-mapped", "connectors.c.sign_as", "warning")]


def world(**mappings: Sequence[str]) -> World:
    """A world with the signer, with these backend roles by security role."""
    made = World()
    policy = str(trust(CALLER)).replace("'", '"')
    made.account.answer("CreateRole", {"RoleName": "signer", "AssumeRolePolicyDocument": policy}, 0.0)
    made.domain.persistent[TRUSTED] = [r"^https://api1\.test/.*$"]
    for role, members in mappings.items():
        made.domain.mappings[role] = {**made.domain.mappings["all_access"], "backend_roles": list(members)}
    return made


def warnings(bench: Bench, sections: Sections) -> list[tuple[str, str, str]]:
    return [(one.code, one.address, str(one.severity)) for one in bench.plan(sections).problems]


def listings(bench: Bench) -> int:
    return len([one for one in bench.exchange.log if one.path.endswith("/rolesmapping")])


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (world(), WARNED),
        (world(ml_full_access=["arn:other"]), WARNED),
        (world(ml_read_access=[SIGNER]), WARNED),
        (world(ml_full_access=["arn:other", SIGNER]), []),
        (world(all_access=[SIGNER]), []),
        (world(ml_full_access=["arn:aws:iam::*:role/sign*"]), []),
        (world(makes_connectors=[SIGNER]), []),  # a role of somebody's own may allow it
    ],
)
def test_without_mappings_in_the_manifest_the_live_ones_are_looked_at(
    there: World, said: list[tuple[str, str, str]]
) -> None:
    bench = Bench(there)
    assert warnings(bench, CONNECTOR) == said
    assert listings(bench) == 1


def test_a_mapping_of_the_manifest_counts() -> None:
    mapped: Sections = {**CONNECTOR, "role_mappings": {"ml_full_access": {"backend_roles": [SIGNER]}}}
    bench = Bench(world())
    assert warnings(bench, mapped) == []
    assert listings(bench) == 1
    assert warnings(bench, {**CONNECTOR, "role_mappings": {"ml_full_access": {"users": ["ann"]}}}) == WARNED


def test_nothing_is_said_where_nothing_is_known() -> None:
    bench = Bench(world())
    plan = bench.plan(CONNECTOR, faults=always(Fault.FORBIDDEN, lambda one: one.path.endswith("/rolesmapping")))
    assert list(plan.problems) == []


def test_what_is_there_already_or_needs_no_signer_is_not_asked_about() -> None:
    bench = Bench(world(ml_full_access=[SIGNER]))
    assert outcome(bench.apply(CONNECTOR)) == []
    assert (warnings(bench, CONNECTOR), listings(bench)) == ([], 0)
    unsigned = {key: value for key, value in CONNECTOR["connectors"]["c"].items() if key != "sign_as"}
    assert (warnings(Bench(world()), {"connectors": {"c": unsigned}}), listings(bench)) == ([], 0)
