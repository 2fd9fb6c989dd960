"""Internal users in the engine: their passwords, what is there before them, and what would lock the caller out."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.canonical.json import Json
from reconciler.model.change import Action
from reconciler.model.kind import Caller
from reconciler.plan.decide import Permissions
from reconciler.plan.plan import Context, Plan
from reconciler.plan.safety import lockout
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.world import World

FIRST, SECOND = "correct-horse-battery", "staple-nine-battery"
USER: Sections = {"internal_users": {"ann": {"password": "${secret.p}"}}}
NAMED: Sections = {
    "internal_users": {"ann": {"password": "${secret.p}", "opendistro_security_roles": ["asks"]}},
    "security_roles": {"asks": {"cluster_permissions": ["cluster_monitor"]}},
}


def owner(world: World, password: str = FIRST) -> Bench:
    return Bench(world, secrets={"p": password})


def stated(**fields: Json) -> Sections:
    return {"internal_users": {"ann": {"password": "${secret.p}", **fields}}}


def sent(bench: Bench) -> list[Mapping[str, Json]]:
    """The operations on users, in order."""
    bodies = [r.body for r in bench.exchange.writes if r.path.endswith("/internalusers")]
    return [one for body in bodies for one in body]  # type: ignore[union-attr,misc]


def test_a_password_is_sent_when_it_is_new_and_stands_nowhere() -> None:
    world = World()
    assert outcome(owner(world).apply(USER)) == []
    assert world.domain.security.users["ann"]["password"] == FIRST
    assert actions(owner(world).plan(USER)) == {}
    rotated = owner(world, SECOND)
    plan = rotated.plan(USER)
    assert actions(plan) == {"internal_users.ann": Action.UPDATE}
    assert plan.pending[0].changed_fields == {"password"}
    assert outcome(rotated.apply(USER)) == []
    assert world.domain.security.users["ann"]["password"] == SECOND
    assert [one["path"] for one in sent(rotated)] == ["/ann/password"]
    stored = json.dumps(world.ledger.documents)
    assert [one for one in (FIRST, SECOND) if one in stored] == []


def test_the_password_of_a_user_who_is_taken_over_is_left_alone() -> None:
    world = World()
    assert outcome(owner(world).apply(USER)) == []
    world.ledger.documents.clear()
    taker = owner(world, SECOND)
    assert [one.code for one in taker.plan(USER).problems] == ["not-ours"]
    plan = taker.plan(USER, Permissions(adopt_all=True))
    assert [change.notes for change in plan.pending] == [("(password not compared)",)]
    assert outcome(taker.apply(stated(description="ours"), Permissions(adopt_all=True))) == []
    assert world.domain.security.users["ann"]["password"] == FIRST
    assert world.domain.security.users["ann"]["description"] == "ours"
    assert actions(taker.plan(stated(description="ours"))) == {}


def test_a_user_comes_after_the_roles_he_is_given_and_goes_before_them() -> None:
    for seed in range(5):
        world = World()
        bench = owner(world)
        assert outcome(bench.apply(NAMED, seed=seed)) == []
        assert world.domain.security.users["ann"]["opendistro_security_roles"] == ["asks"]
        assert outcome(bench.destroy(seed=seed)) == []
        written = [r.path.rpartition("/")[2] for r in bench.exchange.writes if "_security" in r.path]
        assert written == ["internalusers", "roles"]


def test_the_services_own_users_are_never_ours() -> None:
    everything = Permissions(adopt_all=True)
    plan = owner(World()).plan({"internal_users": {"admin": {"password": "${secret.p}"}}}, everything)
    assert [(one.code, one.address) for one in plan.problems] == [("guarded", "internal_users.admin")]


def test_many_users_are_written_together() -> None:
    world = World()
    bench = owner(world)
    many: Sections = {"internal_users": {f"u{number}": {"password": "${secret.p}"} for number in range(60)}}
    assert outcome(bench.apply(many)) == []
    assert len([r for r in bench.exchange.writes if r.path.endswith("/internalusers")]) == 2
    assert all(world.domain.security.users[f"u{number}"]["password"] == FIRST for number in range(60))


@pytest.mark.parametrize(
    ("after", "caller", "said"),
    [
        ({}, "ann", "ann is the user you are"),
        ({}, "bob", ""),
        (stated(backend_roles=[]), "ann", "ann, which is you, would lose admin"),
        (stated(backend_roles=["admin"], opendistro_security_roles=[]), "ann", "ann, which is you, would lose readall"),
        (stated(backend_roles=["admin", "more"], opendistro_security_roles=["readall"]), "ann", ""),
        (stated(backend_roles=["admin"], opendistro_security_roles=["readall"], password_version=2), "ann",
         "ann is the user you are, and would have another password in the middle of the apply"),
        (stated(backend_roles=["admin"], opendistro_security_roles=["readall"], password_version=2), "bob", ""),
    ],
)  # fmt: skip
def test_what_takes_the_callers_own_access_is_refused(after: Sections, caller: str, said: str) -> None:
    world = World()
    bench = owner(world)
    before = stated(backend_roles=["admin"], opendistro_security_roles=["readall"])
    assert outcome(bench.apply(before)) == []
    plan: Plan = bench.plan(after)
    context: Context = replace(plan.context, caller=Caller(user=caller, roles=("all_access",)))
    assert [one.message for one in lockout(replace(plan, context=context))] == ([said] if said else [])
