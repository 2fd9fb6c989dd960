"""Looking after drift: what the ledger says was applied, what is live, what the manifest wants. Nothing here writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from reconciler.canonical.json import Json
from reconciler.model.change import Action
from reconciler.model.kind import Kind, Mention, Reading
from reconciler.model.objects import Address, Desired, Sought
from reconciler.model.request import Service, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened
from reconciler.plan.decide import Permissions, decide
from reconciler.plan.looking import confirmed
from reconciler.plan.plan import Context, Plan
from reconciler.plan.settle import seconds_between, until_certain
from reconciler.plan.survey import Question, Survey, acquainted, surveyed
from reconciler.runner import Flow, Runner

_YOUNG = 60.0
"""Seconds after which what a service shows is what was applied, whatever else it is."""

_PATIENCE = 10.0
"""Seconds that what was applied just now is looked at again while it differs."""

_UNREAD = (ServiceFailure, Failed, NeverHappened)


@dataclass(frozen=True, slots=True)
class Listing:
    """All there is of a kind; `untold` says why it could not be listed, "" where it was."""

    reading: Reading = field(default_factory=Reading)
    untold: str = ""


@dataclass(frozen=True)
class Seen:
    """What was seen. `drifted` would make live again what was applied, `wanted` is the plan of the manifest.

    `failed` says by kind why nothing of it could be read. `mentions` are, by address, what an object names of other
    kinds. `listings` are, by kind, all objects there are, where that was asked for.
    """

    survey: Survey
    applied: Mapping[Address, Desired]
    drifted: Plan
    wanted: Plan
    failed: Mapping[str, str]
    mentions: Mapping[Address, Sequence[Mention]]
    listings: Mapping[str, Listing] = field(default_factory=dict)


def looked(
    runner: Runner,
    question: Question,
    context: Context,
    desired: Mapping[Address, Desired],
    timestamp: Callable[[], str],
) -> Seen:
    """Look at everything the ledger has of the manifest. `timestamp` gives the time as ISO 8601 in UTC."""
    applied = applied_objects(context, desired)
    mentions = _mentions(context, applied.values())
    named = [one for ones in mentions.values() for one in ones]
    also: dict[str, list[Sought]] = {}
    for one in dict.fromkeys(one for one in named if _is_read(context, one.kind)):
        also.setdefault(one.kind, []).append(Sought(one.name))
    survey, errors = surveyed(runner, question, context, desired, also)
    if unexpected := [error for error in errors.values() if not isinstance(error, _UNREAD)]:
        raise unexpected[0]
    readable = {address: one for address, one in applied.items() if address.kind not in errors}
    failed = {kind: _why(error) for kind, error in errors.items()}
    survey, wanted, drifted = _certain(runner, survey, readable, timestamp)
    return Seen(survey, applied, drifted, wanted, failed, mentions)


def listed(runner: Runner, seen: Seen) -> Seen:
    """What was seen, with all objects that there are of every kind that can be listed."""
    context = acquainted(runner, seen.survey.context)
    kinds = [kind for name, kind in context.kinds.items() if kind.lists and _is_read(context, name)]
    outcomes = runner.run_all([Flow(kind.name, kind.everything(context.place)) for kind in kinds])
    listings: dict[str, Listing] = {}
    for kind, outcome in outcomes.items():
        if outcome.error is not None and not isinstance(outcome.error, _UNREAD):
            raise outcome.error
        listings[kind] = Listing(untold=_why(outcome.error)) if outcome.error else Listing(outcome.value())
    return replace(seen, listings=listings)


def applied_objects(context: Context, desired: Mapping[Address, Desired]) -> dict[Address, Desired]:
    """The ledger's rows as objects to be made, with what the manifest says about them beside their fields.

    Rows of an apply that did not finish are left out: nobody knows what they are to be.
    """
    found: dict[Address, Desired] = {}
    for address, row in context.ledger.rows.items():
        kind = context.kinds.get(address.kind)
        if kind is None or row.intent is not None:
            continue
        stated = desired.get(address)
        name: Mapping[str, Json] = {kind.schema.name_field: row.name} if kind.schema.name_field and row.name else {}
        found[address] = Desired(
            address,
            {**name, **row.applied},
            lifecycle=stated.lifecycle if stated else row.lifecycle,
            position=stated.position if stated else None,
        )
    return found


class _Look(NamedTuple):
    """A survey, the plan of the manifest, and the plan that would make live again what was applied."""

    survey: Survey
    wanted: Plan
    drifted: Plan


def _look(survey: Survey, applied: Mapping[Address, Desired]) -> _Look:
    """Both plans of a survey: what the manifest finds settled needs no second look.

    Other values that secrets have by now are the manifest's affair, and no drift.
    """
    wanted = decide(survey)
    settled = {change.address: change for change in wanted.changes if change.settled and change.address in applied}
    then = replace(survey, desired=applied, fingerprints={})
    return _Look(survey, wanted, decide(then, Permissions(only=frozenset(applied)), settled))


def _mentions(context: Context, applied: Iterable[Desired]) -> dict[Address, Sequence[Mention]]:
    found: dict[Address, Sequence[Mention]] = {}
    for one in applied:
        if mentions := list(context.kinds[one.address.kind].mentions(one.fields, context.place)):
            found[one.address] = mentions
    return found


def _is_read(context: Context, kind: str) -> bool:
    """Whether the manifest's target says where objects of a kind are."""
    target, known = context.manifest.target, context.kinds.get(kind)
    if known is None:
        return False
    return target.opensearch is not None if known.service is Service.OPENSEARCH else target.aws is not None


def _certain(runner: Runner, survey: Survey, applied: Mapping[Address, Desired], timestamp: Callable[[], str]) -> _Look:
    """The survey and its plans, with what differs looked at again where a service may have shown it as it was.

    What was applied just now is looked at until it does not differ any more, or time is up.
    """
    look = _look(survey, applied)
    now = confirmed(runner, survey, look.drifted)
    if now is not survey:
        look = _look(now, applied)

    def again(seen: _Look, doubted: Sequence[Address]) -> _Look:
        return _look(_again(runner, seen.survey, [applied[address] for address in doubted]), applied)

    return until_certain(
        look,
        lambda seen: _young(seen.drifted, timestamp()),
        again,
        runner,
        "what was applied just now to be shown",
        _PATIENCE,
    )


def _again(runner: Runner, survey: Survey, doubted: Sequence[Desired]) -> Survey:
    """The survey with some objects as they are seen now."""
    kinds, place = survey.context.kinds, survey.context.place
    names = {one.address: kinds[one.address.kind].schema.service_name(one.address.name, one.fields) for one in doubted}
    flows = [Flow(address, kinds[address.kind].look(Sought(name), place)) for address, name in names.items()]
    readings = dict(survey.readings)
    for address, outcome in runner.run_all(flows).items():
        readings[address.kind] = _with(kinds[address.kind], readings[address.kind], names[address], outcome.value())
    return replace(survey, readings=readings)


def _young(drifted: Plan, now: str) -> list[Address]:
    """What differs, was applied a moment ago, and may be shown as it was before."""
    kinds, rows = drifted.context.kinds, drifted.context.ledger.rows
    return [
        change.address
        for change in drifted.changes
        if kinds[change.address.kind].settles
        and (change.action is not Action.NO_OP or change.reason)
        and seconds_between(rows[change.address].applied_at, now) < _YOUNG
    ]


def _with(kind: Kind, reading: Reading, name: str, again: Reading) -> Reading:
    """A reading with the object of a name as it was seen now."""
    others = tuple(live for live in reading.lives if kind.key(live.name) != kind.key(name))
    return replace(reading, lives=(*others, *again.lives))


def _why(error: Exception) -> str:
    """Why something could not be read, in the service's words."""
    return str(error)
