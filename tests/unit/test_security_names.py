"""Action groups and tenants in the engine: they are there before what names them, and go after it."""

from reconciler import references
from reconciler.canonical.json import Json
from tests.support.bench import Bench, Sections, desired, kinds, outcome
from tests.support.world import World

BOTH: Sections = {
    "action_groups": {"ask": {"allowed_actions": ["inner"]}, "inner": {"allowed_actions": ["read"]}},
    "security_roles": {"asks": {"index_permissions": [{"index_patterns": ["a"], "allowed_actions": ["ask"]}]}},
}


def paths(bench: Bench) -> list[str]:
    """The objects of the Security plugin that were written, in order."""
    bodies = [r.body for r in bench.exchange.writes if "_security" in r.path]
    return [one["path"] for body in bodies for one in body]  # type: ignore[union-attr,misc,index,call-overload]


def test_a_group_comes_before_the_groups_and_roles_that_name_it_and_goes_after_them() -> None:
    for seed in range(5):
        world = World()
        bench = Bench(world)
        assert outcome(bench.apply(BOTH, seed=seed)) == []
        assert paths(bench) == ["/inner", "/ask", "/asks"]
        assert outcome(bench.destroy(seed=seed)) == []
        assert paths(bench) == ["/asks", "/ask", "/inner"]


def test_a_tenant_comes_before_the_role_that_lets_into_it_and_goes_after_it() -> None:
    entry: Json = {"tenant_patterns": ["room"], "allowed_actions": ["kibana_all_read"]}
    let: Sections = {"tenants": {"room": {}}, "security_roles": {"lets-in": {"tenant_permissions": [entry]}}}
    for seed in range(5):
        bench = Bench(World())
        assert outcome(bench.apply(let, seed=seed)) == []
        assert paths(bench) == ["/room", "/lets-in"]
        assert outcome(bench.destroy(seed=seed)) == []
        assert paths(bench) == ["/lets-in", "/room"]


def test_groups_that_hold_each_other_are_a_circle() -> None:
    circle: Sections = {"action_groups": {"a": {"allowed_actions": ["b"]}, "b": {"allowed_actions": ["a"]}}}
    found = references.problems(desired(circle), kinds(), lambda *_: None)
    assert [problem.code for problem in found] == ["reference-cycle"]
