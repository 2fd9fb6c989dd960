"""Drift over generated manifests and worlds: nothing after an apply, and whatever is tampered with is named."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.drift.report import DRIFT, Report
from tests.support.bench import Bench, Sections, outcome
from tests.support.campaign import worlds_each
from tests.support.chains import SECRETS, allow, manifests, worlds
from tests.support.compare import same
from tests.support.domain import TRUSTED
from tests.support.refusal import Doc
from tests.support.world import World

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
Tampering = tuple[str, str, Callable[[], Any]]


def owner(world: World, sections: Sections) -> Bench:
    bench = Bench(world, secrets=SECRETS)
    assert outcome(bench.apply(sections)) == []
    return bench


def found(report: Report) -> set[tuple[str, str]]:
    return {(str(one.kind), str(one.address)) for one in report.findings if one.kind in DRIFT}


def ids(world: World) -> dict[str, str]:
    return {address: str(row["id"]) for address, row in world.ledger.rows("chain").items()}


def tamperings(world: World) -> Iterator[Tampering]:
    """What somebody could do to what was applied: the class and the address it is to be found as, and the deed."""
    known, domain = ids(world), world.domain
    collections = {"connectors": domain.connectors, "model_groups": domain.groups, "models": domain.models}
    one: Doc
    for address, row in world.ledger.rows("chain").items():
        kind = address.partition(".")[0]
        if kind == "iam_roles":
            one = world.account.roles[row["name"].casefold()]
            yield "extra", address, partial(one["policies"].update, more=allow("s3:*", "*"))
            yield "extra", address, partial(one["attached"].append, ADMIN)
            yield "changed", address, one["trust"]["Statement"].clear
            yield "replaced", address, partial(one.update, RoleId="AROANEW")
            yield "changed", address, partial(one.update, boundary=ADMIN)
        elif kind == "security_roles":
            yield "missing", address, partial(domain.roles.pop, row["name"])
        elif kind == "cluster_settings":
            yield "changed", address, partial(domain.persistent[TRUSTED].remove, row["applied"][TRUSTED][0])
        elif kind in collections:
            documents = collections[kind].documents
            one = documents[known[address]]
            yield "missing", address, partial(documents.pop, known[address])
            yield "changed", address, partial(one.update, name="by hand")
            if kind == "models" and row["applied"].get("model_state") != "UNDEPLOYED":
                yield "undeployed", address, partial(one.update, model_state="UNDEPLOYED")
            if kind == "models" and row["applied"].get("is_enabled") is not False:
                yield "changed", address, partial(one.update, is_enabled=False)
    mapping = "role_mappings.ml_full_access"
    yield "changed", mapping, partial(domain.mappings["ml_full_access"].update, backend_roles=["arn:else"])


@worlds_each(30)
@given(worlds(), manifests())
def test_nothing_drifts_after_an_apply_and_a_look_changes_nothing(world: World, sections: Sections) -> None:
    bench = owner(world, sections)
    before = copy.deepcopy(world.state())
    report = bench.drift(sections)
    assert (found(report), [str(one) for one in report.findings]) == (set(), [])
    assert report.in_sync == report.objects > 0
    looking = len(bench.exchange.log)
    assert bench.exchange.writes == []
    bench.plan(sections)
    assert looking <= len(bench.exchange.log) * 1.1
    assert found(bench.drift(sections, everything=True)) == set()
    same(world.state(), before)


@worlds_each(30)
@given(worlds(), manifests(), st.data())
def test_what_is_tampered_with_is_named_and_nothing_else_is(
    world: World, sections: Sections, data: st.DataObject
) -> None:
    bench = owner(world, sections)
    world.advance(world.now + 100)
    every = list(tamperings(world))
    chosen = data.draw(st.lists(st.sampled_from(range(len(every))), min_size=1, max_size=4, unique=True))
    # Of one object one thing only, so that one does not undo or hide another.
    deeds = {every[index][1]: every[index] for index in chosen}
    for _, _, deed in deeds.values():
        deed()
    report = bench.drift(sections)
    expected = {(kind, address) for kind, address, _ in deeds.values()}
    assert expected <= found(report), (expected, found(report))
    # What is orphaned besides is so because of what was done.
    assert {one for one in found(report) - expected if one[0] != "orphaned"} == set()
    assert report.exit_code(fail_on_pending=False) == 2


@worlds_each(20)
@given(worlds(), manifests(most=2), manifests(most=2))
def test_edits_of_the_manifest_are_pending_and_never_drift(world: World, first: Sections, second: Sections) -> None:
    bench = owner(world, first)
    planned = bench.plan(second)
    report = bench.drift(second)
    assert found(report) == set()
    pending = {str(one.address) for one in report.findings}
    shown = {str(change.address) for change in planned.shown}
    assert pending - shown == set()
    # What only follows from other changes (a connector made anew has another id) is the plan's alone.
    assert bool(pending) == bool(shown)
