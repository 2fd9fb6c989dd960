"""Action groups in the engine: they are there before what names them, and go after it."""

from reconciler import references
from tests.support.bench import Bench, Sections, desired, kinds, outcome
from tests.support.world import World

BOTH: Sections = {
    "action_groups": {"ask": {"allowed_actions": ["inner"]}, "inner": {"allowed_actions": ["read"]}},
    "security_roles": {"asks": {"index_permissions": [{"index_patterns": ["a"], "allowed_actions": ["ask"]}]}},
}


def test_a_group_comes_before_the_groups_and_roles_that_name_it_and_goes_after_them() -> None:
    for seed in range(5):
        world = World()
        bench = Bench(world)
        assert outcome(bench.apply(BOTH, seed=seed)) == []
        made = [one["path"] for r in bench.exchange.writes if "_security" in r.path for one in r.body]  # type: ignore[union-attr,index,call-overload]
        assert made == ["/inner", "/ask", "/asks"]
        assert outcome(bench.destroy(seed=seed)) == []
        gone = [one["path"] for r in bench.exchange.writes if "_security" in r.path for one in r.body]  # type: ignore[union-attr,index,call-overload]
        assert gone == ["/asks", "/ask", "/inner"]


def test_groups_that_hold_each_other_are_a_circle() -> None:
    circle: Sections = {"action_groups": {"a": {"allowed_actions": ["b"]}, "b": {"allowed_actions": ["a"]}}}
    found = references.problems(desired(circle), kinds(), lambda *_: None)
    assert [problem.code for problem in found] == ["reference-cycle"]
