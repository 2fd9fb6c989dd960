"""Looking and deciding: once where nothing is to be done, and closer where something is.

A plan without changes needs the least requests there can be. What is to be changed is worth some more: who the
caller is to the domain, whether objects are hidden from it, and whether what differs still does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Place, Reading
from reconciler.model.objects import Address, Desired, Sought
from reconciler.model.steps import Pause, Steps
from reconciler.plan.decide import Permissions, checked, decide
from reconciler.plan.plan import Context, Plan
from reconciler.plan.survey import Question, Survey, acquainted, survey, unhidden
from reconciler.runner import Flow, Runner

_FEW = 20
"""Up to so many objects of a kind are looked at by their ids; more are searched for again, when searches caught up."""

_CATCHING_UP = 2.0
"""Seconds until a search shows a change: an index that is being searched refreshes itself every second."""

_DIFFERS = frozenset({Action.UPDATE, Action.REPLACE})


@dataclass(frozen=True, slots=True)
class _Again:
    """The ids that were looked for once more, and what was found."""

    ids: frozenset[str]
    reading: Reading


def planned(
    runner: Runner, question: Question, context: Context, desired: Mapping[Address, Desired], permissions: Permissions
) -> Plan:
    """The plan that brings what is live to what is desired. Nothing is written."""
    seen = survey(runner, question, context, desired)
    plan = decide(seen, permissions)
    if not plan.work and not plan.problems:
        return plan
    known = acquainted(runner, context)
    if not known.place.sees_all:
        seen = unhidden(runner, replace(seen, context=known))
        plan = decide(seen, permissions)
    now = confirmed(runner, seen, plan)
    if now is not seen:
        return decide(replace(now, context=known), permissions)
    return checked(replace(plan, context=known), seen, permissions)


def confirmed(runner: Runner, seen: Survey, plan: Plan) -> Survey:
    """What was seen, with the objects that a search shows to differ looked at once more.

    A search shows a changed object as it was for a second or more: right after an apply the plan would do it again.
    """
    doubted: dict[str, list[Change]] = defaultdict(list)
    for change in plan.changes:
        if change.action in _DIFFERS and plan.context.kinds[change.address.kind].lags:
            doubted[change.address.kind].append(change)
    flows = [
        Flow((name, number), _looked_again(plan.context.kinds[name], part, plan.context.place))
        for name, changes in doubted.items()
        for number, part in enumerate([[one] for one in changes] if len(changes) <= _FEW else [changes])
    ]
    readings = dict(seen.readings)
    for (name, _), outcome in runner.run_all(flows).items():
        readings[name] = _with(readings[name], outcome.value())
    same = all(reading.lives == seen.readings[name].lives for name, reading in readings.items())
    return seen if same else replace(seen, readings=readings)


def _looked_again(kind: Kind, changes: Sequence[Change], place: Place) -> Steps[_Again]:
    sought = list(_sought(kind, changes, place))
    if len(sought) == 1:
        return _Again(frozenset({sought[0].id}), (yield from kind.look(sought[0], place)))
    yield Pause(_CATCHING_UP, f"searches that show {len(sought):,} {kind.name} as they are", 0.0, _CATCHING_UP)
    return _Again(frozenset(one.id for one in sought), (yield from kind.read(sought, place)))


def _sought(kind: Kind, changes: Iterable[Change], place: Place) -> Iterable[Sought]:
    for change in changes:
        assert change.live is not None
        versions = [change.row.applied] if change.row is not None else []
        versions += [change.live.fields]
        signers = dict.fromkeys(signer for fields in versions for signer in kind.signers(fields))
        yield Sought(change.live.name, change.live.id, frozenset(), () if place.sees_all else tuple(signers))


def _with(reading: Reading, again: _Again) -> Reading:
    """The reading with the doubted objects as they were seen now: what is not there is not there any more."""
    now = {live.id: live for live in again.reading.lives}
    doubted = again.ids - again.reading.unreadable.keys()
    lives = (now.get(live.id) if live.id in doubted else live for live in reading.lives)
    return replace(reading, lives=tuple(live for live in lives if live is not None))
