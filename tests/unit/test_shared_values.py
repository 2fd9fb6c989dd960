"""Values that several manifests, or several objects of one, state: who may change them, and who takes them back."""

from reconciler import references
from reconciler.canonical.json import Json
from reconciler.model.change import Action
from reconciler.model.objects import Address
from reconciler.model.request import Request, Service
from reconciler.plan.decide import Permissions
from tests.support.bench import Bench, Sections, actions, desired, kinds, outcome
from tests.support.domain import PREFIX, TRUSTED
from tests.support.exchange import Fault
from tests.support.security import LISTS
from tests.support.world import World

SCALAR = f"{PREFIX}native_memory_threshold"
OTHER = f"{PREFIX}jvm_heap_memory_threshold"


def settings(name: str, **stated: Json) -> Sections:
    return {"cluster_settings": {name: {f"{PREFIX}{key}": value for key, value in stated.items()}}}


def mapping(**fields: Json) -> Sections:
    return {"role_mappings": {"ml_full_access": fields}}


def test_a_setting_that_another_manifest_states_stays_when_one_leaves() -> None:
    world = World()
    first, second = Bench(world, "first"), Bench(world, "second")
    stated = settings("s", native_memory_threshold=80, jvm_heap_memory_threshold=70)
    assert first.apply(stated).succeeded
    assert second.apply(settings("s", native_memory_threshold=80)).succeeded
    assert outcome(first.destroy()) == []
    assert world.domain.persistent == {SCALAR: "80"}
    assert actions(second.plan(settings("s", native_memory_threshold=80))) == {}
    assert outcome(second.destroy()) == []
    assert world.domain.persistent == {}


def test_a_setting_that_moves_to_another_object_stays() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(settings("a", native_memory_threshold=80, jvm_heap_memory_threshold=70)).succeeded
    moved: Sections = {"cluster_settings": {"a": {OTHER: 70}, "b": {SCALAR: 80}}}
    for seed in range(4):
        other = world.copy()
        assert outcome(Bench(other).apply(moved, seed=seed)) == []
        assert other.domain.persistent == {SCALAR: "80", OTHER: "70"}
        assert outcome(Bench(other).destroy()) == []
        assert other.domain.persistent == {}


def test_a_description_that_another_manifest_states_stays_when_one_leaves() -> None:
    world = World()
    first, second = Bench(world, "first"), Bench(world, "second")
    assert first.apply(mapping(users=["a"], description="both")).succeeded
    assert second.apply(mapping(users=["b"], description="both")).succeeded
    assert outcome(first.apply(mapping(users=["a"]))) == []
    assert outcome(first.destroy()) == []
    assert world.domain.mappings["ml_full_access"]["description"] == "both"
    assert world.domain.mappings["ml_full_access"]["users"] == ["b"]


def test_an_exclusive_list_does_not_throw_out_what_another_manifest_states() -> None:
    world = World()
    empty: dict[str, list[str]] = {name: [] for name in LISTS}
    world.domain.mappings["ml_full_access"] = {**empty, "users": ["stranger"], "reserved": False, "hidden": False}
    assert Bench(world, "first").apply(mapping(users=["a"])).succeeded
    second = Bench(world, "second")
    (problem,) = second.plan(mapping(users=["b"], membership="exclusive")).problems
    assert (problem.code, problem.address) == ("owned-by-other", "role_mappings.ml_full_access")
    assert "manifest first states: a (users)" in problem.message
    plan = second.plan(mapping(users=["a", "b"], membership="exclusive"))
    assert (list(plan.problems), actions(plan)) == ([], {"role_mappings.ml_full_access": Action.UPDATE})


def test_what_an_untouched_object_of_ours_states_stays() -> None:
    world = World()
    bench = Bench(world)
    both: Sections = {"cluster_settings": {"a": {TRUSTED: ["^both$", "^a$"]}, "b": {TRUSTED: ["^both$"]}}}
    assert bench.apply(both).succeeded
    only = Permissions(only=frozenset({Address("cluster_settings", "a")}))
    assert outcome(bench.apply({}, only)) == []
    assert "^both$" in world.domain.persistent[TRUSTED]
    assert "^a$" not in world.domain.persistent[TRUSTED]


def repeated(sections: Sections) -> list[tuple[str, str]]:
    found = references.problems(desired(sections), kinds(), lambda *_: None)
    return [(problem.code, problem.address) for problem in found]


def test_two_addresses_for_one_object_are_a_problem() -> None:
    policy: Json = {"Version": "2012-10-17", "Statement": []}
    role: dict[str, Json] = {"assume_role_policy_document": policy}
    roles = {"a": {**role, "role_name": "Same"}, "same": role, "other": role}
    assert repeated({"iam_roles": roles}) == [("repeated-object", "iam_roles.same")]
    assert repeated({"model_groups": {"a": {"name": "g"}, "b": {"name": "G"}, "g": {}}}) == [
        ("repeated-object", "model_groups.g")
    ]


def test_two_objects_that_state_one_setting_are_a_problem() -> None:
    both: Sections = {"cluster_settings": {"a": {SCALAR: 80, TRUSTED: ["^a$"]}, "b": {SCALAR: 80, TRUSTED: ["^a$"]}}}
    assert repeated(both) == [("repeated-object", f"cluster_settings.b.{SCALAR}")]


def test_an_entry_that_somebody_overwrote_at_the_same_moment_goes_in_again() -> None:
    world = World()
    wrote: list[str] = []

    def overwritten(_: int, request: Request) -> Fault | None:
        if wrote == ["us"]:
            world.domain.mappings["ml_full_access"]["users"] = ["bob"]
            wrote.append("by somebody else")
        elif request.operation.startswith("PATCH") and not wrote:
            wrote.append("us")
        return None

    report = Bench(world).apply({"role_mappings": {"ml_full_access": {"users": ["ann"]}}}, faults=overwritten)
    assert report.succeeded
    assert wrote == ["us", "by somebody else"]
    assert world.domain.mappings["ml_full_access"]["users"] == ["bob", "ann"]


TURN = "lock:list:role_mappings:ml_full_access"


def held_by(world: World, manifest: str) -> None:
    """Somebody took his turn at the list and was never heard of again."""
    document: Json = {"type": "lock", "manifest": TURN, "by": "x", "body": {"token": "t", "manifest": manifest}}
    about: Json = {"index": {"_index": "reconciler-ledger", "_id": TURN}}
    answer = world.send(Request(Service.LEDGER, "POST /_bulk", body=(about, document)))
    assert answer.ok


def test_a_list_is_changed_in_turn() -> None:
    world = World()
    bench = Bench(world)
    seen: list[bool] = []

    def watch(_number: int, request: Request) -> Fault | None:
        if request.method in ("PATCH", "PUT") and "rolesmapping" in request.path:
            seen.append(TURN in world.ledger.documents)
        return None

    assert bench.apply(mapping(users=["a"]), faults=watch).succeeded
    assert bench.apply(mapping(users=["b"]), faults=watch).succeeded
    assert len(seen) > 1
    assert all(seen)
    assert TURN not in world.ledger.documents


def test_whoever_has_the_turn_is_waited_for_until_his_lease_is_over() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(mapping(users=["a"])).succeeded
    held_by(world, "other")
    began = world.now
    assert bench.apply(mapping(users=["b"])).succeeded
    assert 90.0 <= world.now - began < 100.0
    assert world.domain.mappings["ml_full_access"]["users"] == ["b"]


def test_a_turn_that_a_killed_apply_of_the_same_manifest_had_is_nobodys() -> None:
    world = World()
    bench = Bench(world)
    assert bench.apply(mapping(users=["a"])).succeeded
    held_by(world, bench.name)
    began = world.now
    assert bench.apply(mapping(users=["b"])).succeeded
    assert world.now - began < 5.0
