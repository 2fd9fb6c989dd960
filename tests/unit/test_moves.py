"""Objects that are declared at another address than before: they stay, and the ledger follows."""

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.execute import let_go
from reconciler.ledger import Ledger, readdressed
from reconciler.manifest.moves import Moved, ends
from reconciler.model.change import Action
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.model.request import Service
from reconciler.plan.decide import Permissions
from reconciler.plan.moves import read_ledger
from reconciler.plan.plan import Plan
from reconciler.render import text as as_text
from reconciler.render.plan_json import plan_json
from reconciler.runner import Runner
from tests.support.account import CALLER
from tests.support.bench import Bench, Sections, actions, kinds, manifest, outcome
from tests.support.chains import action, trust
from tests.support.domain import TRUSTED
from tests.support.exchange import WorldExchange
from tests.support.world import World

ENDPOINT = r"^https://api1\.test/.*$"


def chain(suffix: str = "", *, named: bool = True) -> dict[str, Any]:
    """Every kind that has a life of its own; `suffix` ends each address, and names stay where they are stated."""

    def name(text: str, field: str = "name") -> dict[str, str]:
        return {field: text} if named else {}

    connector = {"protocol": "http", "credential": {"key": "x"}, "actions": [action(1)], **name("Connector")}
    uses = {
        "connector_id": f"${{connectors.c{suffix}.id}}",
        "model_group_id": f"${{model_groups.g{suffix}.id}}",
        **name("Model"),
    }
    return {
        "iam_roles": {f"r{suffix}": {"assume_role_policy_document": trust(CALLER), **name("Role", "role_name")}},
        "cluster_settings": {f"s{suffix}": {TRUSTED: [ENDPOINT]}},
        "connectors": {f"c{suffix}": connector},
        "model_groups": {f"g{suffix}": name("Group")},
        "models": {f"m{suffix}": uses},
    }


MOVES = {
    f"{kind}.{name}": f"{kind}.{name}2"
    for kind, name in {
        "iam_roles": "r", "cluster_settings": "s", "connectors": "c", "model_groups": "g", "models": "m"
    }.items()
}  # fmt: skip


def applied(sections: Sections) -> World:
    world = World()
    assert outcome(Bench(world).apply(sections)) == []
    return world


def mover(world: World, moved: Mapping[str, str] = MOVES) -> Bench:
    return Bench(world, moved=moved)


def lines(plan: Plan) -> list[str]:
    return [line.plain for line in (*as_text.changes(plan), as_text.summary(plan, 1, 0.0))]


def test_an_address_is_all_that_changes_where_the_names_stay() -> None:
    world = applied(chain())
    state, rows = world.state(), world.ledger.rows("chain")
    bench = mover(world)
    plan = bench.plan(chain("2"))
    assert actions(plan) == {}
    assert {str(change.address): str(change.moved_from) for change in plan.shown} == {
        new: old for old, new in MOVES.items()
    }
    assert outcome(bench.apply(chain("2"))) == []
    assert {request.service for request in bench.exchange.writes} == {Service.LEDGER}
    assert world.state() == state
    after = world.ledger.rows("chain")
    assert {address: row["id"] for address, row in after.items()} == {
        MOVES[address]: row["id"] for address, row in rows.items()
    }
    assert after["models.m2"]["depends_on"] == ["connectors.c2", "model_groups.g2"]
    assert after["cluster_settings.s2"]["prior"] == rows["cluster_settings.s"]["prior"]
    # The entry may stay, and may go.
    for later in (bench, Bench(world)):
        again = later.plan(chain("2"))
        assert (again.shown, again.work, again.problems) == ([], [], [])
    assert outcome(Bench(world).destroy()) == []
    assert world.state() == World().state()


def test_a_plan_says_where_an_object_was_before() -> None:
    bench = mover(applied(chain()))
    plan = bench.plan(chain("2"))
    said = lines(plan)
    assert said[:2] == [" -> cluster_settings.s2", "      (moved from cluster_settings.s)"]
    assert said[-1] == "No changes: 5 objects match, 5 of them at another address than before (1 requests, 0.0 s)."
    listed: Any = plan_json(plan, "")["resource_changes"]
    assert {one["address"]: one.get("previous_address") for one in listed} == {new: old for old, new in MOVES.items()}
    assert [one["notes"] for one in listed if one["address"] == "models.m2"] == [["moved from models.m"]]
    report = bench.apply(chain("2"))
    assert as_text.applied(report, 1.0, []).plain == "Applied: 5 moved in 1.0 s."
    listed = plan_json(bench.plan(chain("2")), "")["resource_changes"]
    assert [one for one in listed if "previous_address" in one] == []


def test_an_old_row_goes_in_the_request_that_brings_the_new_one() -> None:
    world = applied(chain())
    bench = mover(world)
    assert outcome(bench.apply(chain("2"))) == []
    bodies = [request.body for request in bench.exchange.writes]
    for body in bodies:
        assert isinstance(body, tuple)
        lines = [line for line in body if "index" in line or "delete" in line]
        came = {str(line["index"]["_id"]) for line in lines if "index" in line}
        went = {str(line["delete"]["_id"]) for line in lines if "delete" in line}
        assert {f"row:chain:{MOVES[one.removeprefix('row:chain:')]}" for one in went} == {
            one for one in came if one.startswith("row:")
        }


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (("iam_roles",), {"iam_roles.r2": Action.REPLACE}),
        (("cluster_settings",), {}),
        (("model_groups",), {"model_groups.g2": Action.UPDATE}),
        (("cluster_settings", "connectors"), {"connectors.c2": Action.UPDATE}),
        (
            ("cluster_settings", "connectors", "model_groups", "models"),
            {"connectors.c2": Action.REPLACE, "model_groups.g2": Action.UPDATE, "models.m2": Action.UPDATE},
        ),
    ],
)
def test_a_name_that_follows_the_address_is_changed_where_the_service_can(
    sections: tuple[str, ...], expected: dict[str, Action]
) -> None:
    before, after = ({kind: chain(end, named=False)[kind] for kind in sections} for end in ("", "2"))
    world = applied(before)
    bench = mover(world)
    plan = bench.plan(after)
    assert actions(plan) == expected
    assert all(f"moved from {change.moved_from}" in change.notes for change in plan.shown)
    assert len(plan.shown) == len(sections)
    made = world.made.copy()
    assert outcome(bench.apply(after)) == []
    replaced = {address.partition(".")[0] for address, one in expected.items() if one is Action.REPLACE}
    assert dict(world.made - made) == dict.fromkeys(replaced, 1)
    assert set(world.ledger.rows("chain")) == {MOVES[f"{kind}.{name}"] for kind in before for name in before[kind]}
    fresh = applied(after)
    assert world.state() == fresh.state()


def test_a_security_role_of_another_name_is_another_object() -> None:
    def role(name: str) -> Sections:
        return {"security_roles": {name: {"cluster_permissions": ["cluster:monitor/main"]}}}

    world = applied(role("first"))
    bench = mover(world, {"security_roles.first": "security_roles.second"})
    assert actions(bench.plan(role("second"))) == {
        "security_roles.second": Action.CREATE,
        "security_roles.first": Action.DELETE,
    }
    assert outcome(bench.apply(role("second"))) == []
    assert set(world.ledger.rows("chain")) == {"security_roles.second"}


def test_a_mapping_of_another_role_is_another_object() -> None:
    def mapping(role: str) -> Sections:
        return {"role_mappings": {role: {"backend_roles": ["arn:ours"]}}}

    world = applied(mapping("ml_full_access"))
    bench = mover(world, {"role_mappings.ml_full_access": "role_mappings.ml_read_access"})
    plan = bench.plan(mapping("ml_read_access"))
    assert actions(plan) == {
        "role_mappings.ml_read_access": Action.CREATE,
        "role_mappings.ml_full_access": Action.DELETE,
    }
    assert "(not moved to role_mappings.ml_read_access, which is another object)" in "\n".join(lines(plan))
    assert outcome(bench.apply(mapping("ml_read_access"))) == []
    assert world.domain.mappings["ml_read_access"]["backend_roles"] == ["arn:ours"]
    assert "ml_full_access" not in world.domain.mappings


def test_an_object_that_is_at_the_new_address_already_stays_and_the_other_one_goes() -> None:
    both: Sections = {"model_groups": {"g": {"name": "First"}, "g2": {"name": "Second"}}}
    world = applied(both)
    bench = mover(world)
    left: Sections = {"model_groups": {"g2": {"name": "Second"}}}
    plan = bench.plan(left)
    assert actions(plan) == {"model_groups.g": Action.DELETE}
    assert "(not moved to model_groups.g2, which is another object)" in "\n".join(lines(plan))
    assert outcome(bench.apply(left)) == []
    assert [group["name"] for group in world.domain.groups.documents.values()] == ["Second"]


def test_an_old_row_that_a_broken_request_left_is_no_second_object() -> None:
    world = applied(chain())
    old = dict(world.ledger.documents)
    assert outcome(mover(world).apply(chain("2"))) == []
    state = world.state()
    world.ledger.documents.update({key: row for key, row in old.items() if row["type"] == "row"})
    bench = mover(world)
    assert actions(bench.plan(chain("2"))) == {}
    assert outcome(bench.apply(chain("2"))) == []
    assert world.state() == state
    assert set(world.ledger.rows("chain")) == set(MOVES.values())


def test_what_moved_twice_is_found_wherever_the_ledger_has_it() -> None:
    moved = {**{old: f"{new}2" for old, new in MOVES.items()}, **{new: f"{new}2" for new in MOVES.values()}}
    for seen in ("", "2"):
        world = applied(chain(seen))
        bench = mover(world, moved)
        assert actions(bench.plan(chain("22"))) == {}
        assert outcome(bench.apply(chain("22"))) == []
        assert set(world.ledger.rows("chain")) == {f"{new}2" for new in MOVES.values()}


def test_what_moved_and_is_no_longer_wanted_goes() -> None:
    world = applied(chain())
    assert outcome(mover(world).destroy()) == []
    assert world.state() == World().state()
    assert world.ledger.rows("chain") == {}


def test_what_moved_can_be_forgotten() -> None:
    world = applied(chain())
    runner = Runner(WorldExchange(world))
    found = runner.run(read_ledger(manifest("chain", moved=MOVES), kinds()))
    row = found.rows[Address("connectors", "c2")]
    runner.run(let_go(kinds()["connectors"], Place(), f"chain/{found.id}", row))
    assert set(world.ledger.rows("chain")) == set(MOVES) - {"connectors.c"}


def test_moves_outside_the_target_wait() -> None:
    world = applied(chain())
    group = Address("model_groups", "g2")
    sections: Sections = {"model_groups": chain("2")["model_groups"]}
    bench = mover(world)
    assert outcome(bench.apply(sections, Permissions(only=frozenset({group})))) == []
    assert set(world.ledger.rows("chain")) == {*set(MOVES) - {"model_groups.g"}, "model_groups.g2"}
    plan = bench.plan(chain("2"))
    assert (actions(plan), plan.moved) == ({}, 4)


def test_what_a_connector_that_moved_replaces_is_removed_after_its_users_left() -> None:
    world = applied(chain())
    edited = chain("2")
    edited["connectors"]["c2"]["description"] = "other"
    edited["models"]["m2"]["connector_id"] = "${connectors.other.id}"
    edited["connectors"]["other"] = {**chain()["connectors"]["c"], "name": "Other"}
    bench = mover(world)
    assert outcome(bench.apply(edited)) == []
    assert sorted(one["name"] for one in world.domain.connectors.documents.values()) == ["Connector", "Other"]
    assert actions(bench.plan(edited)) == {}


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ([], {}),
        ([("a", "b")], {"a": "b"}),
        ([("a", "b"), ("b", "c"), ("c", "d")], {"c": "d", "b": "d", "a": "d"}),
        ([("a", "b"), ("b", "a")], {"a": "a", "b": "b"}),
        ([("a", "a")], {"a": "a"}),
    ],
)
def test_where_moves_end(moved: list[tuple[str, str]], expected: dict[str, str]) -> None:
    found = ends([Moved(old, new) for old, new in moved])
    assert list(found.items()) == list(expected.items())


def test_rows_of_other_manifests_stay_where_they_are() -> None:
    theirs = Row(Address("connectors", "c"), "other", id="1")
    ledger = Ledger("ledger-1", others=(theirs,))
    assert readdressed(ledger, {theirs.address: Address("connectors", "c2")}) == ledger
