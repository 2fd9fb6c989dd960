"""Deciding twice: what a search said to differ is looked at once more before it is planned.

OpenSearch's searches show a changed object as it was, for a second or more after the change: right after an apply
they would have the plan do it again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Place, Reading
from reconciler.model.objects import Sought
from reconciler.model.steps import Pause, Steps
from reconciler.plan.decide import Permissions, decide
from reconciler.plan.plan import Plan
from reconciler.plan.survey import Survey
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


def decided(runner: Runner, seen: Survey, permissions: Permissions) -> Plan:
    """The plan for what is live, where differences found by a search that may lag were confirmed."""
    plan = decide(seen, permissions)
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
    if all(reading.lives == seen.readings[name].lives for name, reading in readings.items()):
        return plan
    return decide(replace(seen, readings=readings), permissions)


def _looked_again(kind: Kind, changes: Sequence[Change], place: Place) -> Steps[_Again]:
    sought = list(_sought(kind, changes))
    if len(sought) == 1:
        return _Again(frozenset({sought[0].id}), (yield from kind.look(sought[0], place)))
    yield Pause(_CATCHING_UP, f"searches that show {len(sought):,} {kind.name} as they are", 0.0, _CATCHING_UP)
    return _Again(frozenset(one.id for one in sought), (yield from kind.read(sought, place)))


def _sought(kind: Kind, changes: Iterable[Change]) -> Iterable[Sought]:
    for change in changes:
        assert change.live is not None
        versions = [change.row.applied] if change.row is not None else []
        versions += [change.live.fields]
        signers = dict.fromkeys(signer for fields in versions for signer in kind.signers(fields))
        yield Sought(change.live.name, change.live.id, frozenset(), tuple(signers))


def _with(reading: Reading, again: _Again) -> Reading:
    """The reading with the doubted objects as they were seen now: what is not there is not there any more."""
    now = {live.id: live for live in again.reading.lives}
    doubted = again.ids - again.reading.unreadable.keys()
    lives = (now.get(live.id) if live.id in doubted else live for live in reading.lives)
    return replace(reading, lives=tuple(live for live in lives if live is not None))
