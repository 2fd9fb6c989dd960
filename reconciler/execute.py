"""Carrying out a plan: each change as one flow, in the order of the graph, with the ledger kept as it goes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeAlias

from reconciler import ledger as ledger_store
from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences, dotted
from reconciler.manifest.templates import Value, references
from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Made, Work
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired, Row, Sought
from reconciler.model.request import Request
from reconciler.model.steps import Call, Failed, NeverHappened, NotYet, Reply, Steps, until
from reconciler.plan.decide import Attributes, others_entries, recorded, secrets_of, sharing
from reconciler.plan.plan import Context, Plan
from reconciler.references import resolve
from reconciler.runner import Flow, Outcome, Runner

_FAIL_FAST = 5.0


class Status(StrEnum):
    """How far a change came."""

    DONE = "done"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one change. `waits_for` are the addresses that kept it from starting."""

    change: Change
    status: Status
    error: Exception | None = None
    seconds: float = 0.0
    waits_for: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What an apply did, in the plan's order. `differing` says what was not as planned when read again."""

    results: tuple[Result, ...]
    differing: Mapping[Address, str] = field(default_factory=dict)
    attributes: Attributes | None = None
    stopped: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether everything was done, and is as planned."""
        return all(result.status is Status.DONE for result in self.results) and not self.differing


class Progress(Protocol):
    """Who wants to know how an apply goes on."""

    def started(self, change: Change) -> None:
        """Work on a change began."""

    def ended(self, result: Result) -> None:
        """A change is done or failed."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What comes from outside: the time as ISO 8601 in UTC, a fresh id, a secret's value, the monotonic time."""

    timestamp: Callable[[], str]
    new_id: Callable[[], str]
    read_secret: Callable[[str], str]
    monotonic: Callable[[], float]


_Phase: TypeAlias = tuple[Address, str]
_MAIN, _CLEANUP = "main", "cleanup"


def execute(runner: Runner, plan: Plan, edge: Edge, progress: Progress) -> Report:
    """Carry the plan out. The first error stops what depends on it and nothing else."""
    if not plan.work:
        return Report(())
    return _Execution(runner, with_ledger(runner, plan, edge), edge, progress).run()


def calls(plan: Plan) -> Iterable[tuple[Change, tuple[Request, ...]]]:
    """The requests of each change as `execute` would send them, for `plan --calls`. The ledger's are left out.

    The steps are run against services that do as they are told; what only they know reads `(known after apply)`.
    """
    attributes = known_attributes(plan)
    for change in plan.pending:
        if change.action is Action.FORGET:
            continue
        kind = plan.context.kinds[change.address.kind]
        steps = _write(plan, change, attributes, _FAIL_FAST)
        requests: list[Request] = []
        try:
            step = next(steps)
            while True:
                sent = step.requests if isinstance(step, Call) else ()
                requests += sent
                step = steps.send(Reply(tuple(kind.answer(request, change.live) for request in sent), 0.0))
        except StopIteration as end:
            attributes.learn(change.address, end.value.attributes)
        yield change, tuple(requests)


def with_ledger(runner: Runner, plan: Plan, edge: Edge) -> Plan:
    """The plan with a ledger that exists: it is made where there is none yet."""
    context = plan.context
    if context.ledger.id:
        return plan
    fresh = replace(context.ledger, id=edge.new_id(), cluster=context.cluster.uuid, account=context.place.account_id)
    there = runner.run(ledger_store.create(fresh))
    return replace(plan, context=replace(context, ledger=there))


class _Execution:
    """One apply: what is done, what waits for what, what became known."""

    def __init__(self, runner: Runner, plan: Plan, edge: Edge, progress: Progress) -> None:
        self._runner = runner
        self._plan = plan
        self._context = plan.context
        self._edge = edge
        self._progress = progress
        self._attributes = known_attributes(plan)
        self._changes = {change.address: change for change in plan.work}
        self._results: dict[Address, Result] = {}
        self._rows: dict[Address, Row] = dict(plan.context.ledger.rows)
        self._began: dict[Address, float] = {}
        self._after = self._graph()
        self._ended: set[_Phase] = set()
        self._lost: set[_Phase] = set()
        self._started: set[_Phase] = set()
        # A role that is being made may take a while to be assumable; one that stood before does not.
        makes_roles = any(change.live is None and self._kind(change).marks for change in plan.pending)
        self._patience = 120.0 if makes_roles else _FAIL_FAST

    def run(self) -> Report:
        self._runner.drive(self._startable(), self._done)
        for change in self._plan.work:
            if (change.address, _MAIN) in self._ended:
                # Its old self is still used by something that failed: the next apply removes it.
                self._results.setdefault(change.address, Result(change, Status.DONE))
            elif change.address not in self._results:
                waits_for = tuple(sorted({a for a, _ in self._after[(change.address, _MAIN)] if self._failed(a)}))
                self._results[change.address] = Result(change, Status.NOT_STARTED, waits_for=waits_for)
        results = tuple(self._results[change.address] for change in self._plan.work)
        done = [result.change for result in results if result.status is Status.DONE]
        differing = self._look_again(done)
        self._record(results, differing)
        return Report(results, differing, self._attributes, self._runner.stopping)

    def _kind(self, change: Change) -> Kind:
        return self._context.kinds[change.address.kind]

    def _failed(self, address: Address) -> bool:
        result = self._results.get(address)
        return result is None or result.status is not Status.DONE

    def _graph(self) -> dict[_Phase, set[_Phase]]:
        """What each phase waits for. An old object is removed after everything that used it was re-pointed."""
        after: dict[_Phase, set[_Phase]] = {
            (address, _MAIN): {(one, _MAIN) for one in self._nearest(address)} for address in self._changes
        }
        for address, change in self._changes.items():
            if _leftovers(change) and change.desired is not None:
                users = {(user, _MAIN) for user, other in self._changes.items() if self._uses(other, address)}
                after[(address, _CLEANUP)] = users | {(address, _MAIN)}
        return after

    def _uses(self, user: Change, address: Address) -> bool:
        """Whether the object needs the one at `address`, or did when it was applied last."""
        used = user.row is not None and str(address) in user.row.depends_on
        return user.address != address and (
            used or (user.desired is not None and address in self._plan.graph[user.address])
        )

    def _nearest(self, address: Address) -> set[Address]:
        """The changed addresses that `address` depends on, through unchanged ones too."""
        found: set[Address] = set()
        seen: set[Address] = set()
        ahead = list(self._plan.graph.get(address, ()))
        while ahead:
            one = ahead.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in self._changes:
                found.add(one)
            else:
                ahead += self._plan.graph.get(one, ())
        return found

    def _startable(self) -> list[Flow[_Phase, Made]]:
        ready = []
        for phase, before in self._after.items():
            if phase not in self._started and before <= self._ended and self._has_turn(phase):
                self._started.add(phase)
                ready.append(Flow(phase, self._steps(*phase)))
        return ready

    def _has_turn(self, phase: _Phase) -> bool:
        """Whether no other object is at work that the phase must not meet."""
        kind = phase[0].kind
        under_way = self._started - self._ended - self._lost
        return not self._context.kinds[kind].one_at_a_time or all(address.kind != kind for address, _ in under_way)

    def _done(self, flow: Flow[_Phase, Made], outcome: Outcome[Made]) -> Iterable[Flow[_Phase, Made]]:
        address, phase = flow.key
        change = self._changes[address]
        seconds = self._edge.monotonic() - self._began.get(address, self._edge.monotonic())
        if outcome.error is not None:
            self._lost.add(flow.key)
            self._results[address] = Result(change, Status.FAILED, outcome.error, seconds)
        else:
            self._ended.add(flow.key)
            last = phase == _CLEANUP or (address, _CLEANUP) not in self._after
            if last:
                self._results[address] = Result(change, Status.DONE, seconds=seconds)
        if address in self._results:
            self._progress.ended(self._results[address])
        return self._startable()

    def _steps(self, address: Address, phase: str) -> Steps[Made]:
        change = self._changes[address]
        if phase == _CLEANUP:
            return (yield from self._clean_up(change))
        self._began[address] = self._edge.monotonic()
        self._progress.started(change)
        if change.action is Action.FORGET:
            assert change.row is not None
            yield from self._remove_old(change, change.row)
            yield from ledger_store.remove(change.row)
            return Made()
        if change.action is Action.NO_OP:
            assert change.live is not None
            yield from self._write_row(change, Made(change.live.id, change.live.attributes))
            return Made()
        if not self._kind(change).marks or change.action is Action.ADOPT:
            yield from ledger_store.write([self._intent(change)])
        made = yield from _write(self._plan, change, self._attributes, self._patience)
        self._attributes.learn(address, {**made.attributes, **({"id": made.id} if made.id else {})})
        if change.action is Action.DELETE:
            assert change.row is not None
            yield from self._remove_old(change, change.row)
            yield from ledger_store.remove(change.row)
        else:
            yield from self._write_row(change, made)
        return made

    def _clean_up(self, change: Change) -> Steps[Made]:
        row = self._rows[change.address]
        yield from self._remove_old(change, row)
        yield from ledger_store.write([replace(row, intent=None)])
        return Made()

    def _remove_old(self, change: Change, row: Row) -> Steps[None]:
        """Remove what earlier replacements left."""
        kind = self._kind(change)
        for old in _leftovers(change):
            if old == row.id:
                continue
            found = yield from kind.look(Sought(row.name, old), self._context.place)
            for live in found.lives:
                if live.id == old:
                    yield from kind.delete(Work(change.address, row.name, self._context.place, live=live, row=row))

    def _intent(self, change: Change) -> Row:
        """The row with what is about to be done, and all that could be taken for what it will have made."""
        row = change.row or Row(change.address, self._context.manifest.name, name=self._name(change))
        earlier = row.intent.get("seen") if row.intent is not None else None
        seen = dict.fromkeys((*change.namesakes, *([change.live.id] if change.live else []), *entries(earlier)))
        intent: dict[str, Json] = {
            "action": str(change.action),
            "seen": list(seen),
            "old": list(_leftovers(change)),
            "at": self._edge.timestamp(),
        }
        if change.desired is not None:
            intent["fields"] = recorded(_resolved(change, self._attributes))
        return replace(
            row,
            id=change.live.id if change.live else row.id,
            prior=_prior(self._context, change),
            adopted=row.adopted or change.adopts,
            intent=intent,
        )

    def _name(self, change: Change) -> str:
        schema = self._kind(change).schema
        if change.desired is not None:
            return schema.service_name(change.address.name, change.desired.fields)
        return change.row.name if change.row else change.address.name

    def _write_row(self, change: Change, made: Made) -> Steps[None]:
        assert change.desired is not None
        fields = _resolved(change, self._attributes)
        row = change.row
        left = [old for old in _leftovers(change) if old != made.id]
        fresh = Row(
            address=change.address,
            manifest=self._context.manifest.name,
            id=made.id,
            name=self._name(change),
            applied=recorded(fields),
            prior=_prior(self._context, change),
            adopted=(row.adopted if row else False) or change.adopts,
            depends_on=tuple(sorted(str(one) for one in self._plan.graph.get(change.address, ()))),
            fingerprints=self._fingerprints(fields),
            lifecycle=change.desired.lifecycle,
            intent={"action": "clean-up", "old": left} if left else None,
            applied_at=self._edge.timestamp(),
        )
        yield from ledger_store.write([fresh])
        self._rows[change.address] = fresh

    def _fingerprints(self, fields: Mapping[str, Value]) -> Mapping[str, str]:
        salt = self._context.ledger.id
        return {name: ledger_store.fingerprint(self._edge.read_secret(name), salt) for name in secrets_of(fields)}

    def _look_again(self, changes: Iterable[Change]) -> dict[Address, str]:
        """Read what was written once more: what is not as planned, by address."""
        changed = [change for change in changes if change.action not in (Action.NO_OP, Action.FORGET)]
        flows = [Flow(change.address, self._as_planned(change)) for change in changed]
        outcomes = self._runner.run_all(flows)
        differing: dict[Address, str] = {}
        for address, outcome in outcomes.items():
            if isinstance(outcome.error, NeverHappened):
                differing[address] = outcome.error.last_seen
            elif outcome.error is not None:
                differing[address] = f"could not be read again: {outcome.error}"
        return differing

    def _as_planned(self, change: Change) -> Steps[bool]:
        kind = self._kind(change)
        row = self._rows.get(change.address) or change.row
        fields = _resolved(change, self._attributes) if change.desired else {}
        sought = Sought(self._name(change), row.id if row else "", frozenset(fields))

        def probe() -> Steps[bool | NotYet]:
            reading = yield from kind.look(sought, self._context.place)
            live = next((one for one in reading.lives if not sought.id or one.id == sought.id), None)
            if change.action is Action.DELETE:
                return NotYet("it is still there") if live is not None and not kind.schema.shared else True
            if live is None:
                return NotYet("it is not there")
            others = others_entries(self._context, change.address, _desired(self._plan))
            versions = Versions(
                fields, live.fields, row.applied if row else None, (row.prior or {}) if row else {}, others
            )
            ignore = change.desired.lifecycle.ignore if change.desired else ()
            found = differences(kind.schema, versions, ignore)
            return NotYet("differs in " + ", ".join(dotted(one.path) for one in found)) if found else True

        return (yield from until(f"{change.address} as planned", probe, patience=20))

    def _record(self, results: Iterable[Result], differing: Mapping[Address, str]) -> None:
        """One document of history. That it can not be written changes nothing of what was done."""
        body: list[Json] = [
            {"address": str(one.change.address), "action": str(one.change.action), "status": str(one.status)}
            for one in results
            if one.change.action is not Action.NO_OP
        ]
        if not body:
            return
        by = self._context.caller.arn or self._context.caller.user
        summary: Json = {"changes": body, "not_as_planned": {str(one): text for one, text in differing.items()}}
        record = ledger_store.record(self._context.manifest.name, self._edge.timestamp(), by, summary)
        self._runner.run_all([Flow("history", record)])


def known_attributes(plan: Plan) -> Attributes:
    """What references to the plan's objects are worth before anything is done."""
    context = plan.context
    desired = {change.address: change.desired for change in plan.changes if change.desired is not None}
    attributes = Attributes(context.kinds, context.place, desired)
    for change in plan.changes:
        if change.live is not None and change.action is not Action.REPLACE:
            attributes.learn(change.address, change.live.attributes)
    return attributes


def _resolved(change: Change, attributes: Attributes) -> Mapping[str, Value]:
    assert change.desired is not None
    return {name: resolve(value, attributes.lookup) for name, value in change.desired.fields.items()}


def _desired(plan: Plan) -> Iterable[Desired]:
    return (change.desired for change in plan.changes if change.desired is not None)


def _write(plan: Plan, change: Change, attributes: Attributes, patience: float) -> Steps[Made]:
    """The requests of one change, the ledger's apart."""
    context = plan.context
    kind = context.kinds[change.address.kind]
    fields = _resolved(change, attributes) if change.desired else (change.row.applied if change.row else {})
    unknown = [reference for _, reference in references(fields) if reference.namespace != "secret"]
    if unknown:
        raise Failed("unknown-reference", f"{change.address} needs {unknown[0]}, which is not known")
    name = (
        kind.schema.service_name(change.address.name, fields)
        if change.desired
        else (change.row.name if change.row else "")
    )
    work = Work(
        change.address,
        name,
        context.place,
        fields if change.desired else {},
        change.changed_fields,
        change.live,
        change.row,
        context.mark,
        others_entries(context, change.address, _desired(plan)),
        patience,
    )
    if change.action is Action.DELETE:
        yield from kind.delete(work)
        return Made()
    if change.action is Action.REPLACE:
        if not kind.schema.server_made_ids:
            yield from kind.delete(work)
        return (yield from kind.create(work))
    if change.action is Action.CREATE:
        return (yield from kind.create(work))
    return (yield from kind.update(work))


def _leftovers(change: Change) -> tuple[str, ...]:
    """Ids of objects that an earlier or this replacement leaves to be removed."""
    old = change.row.intent.get("old") if change.row and change.row.intent else None
    found = [str(one) for one in old] if isinstance(old, list) else []
    if change.action is Action.REPLACE and change.live is not None and change.live.id and change.live.id not in found:
        found.append(change.live.id)
    return tuple(found)


def _prior(context: Context, change: Change) -> Mapping[str, Json] | None:
    """What was there before us, for shared kinds: kept from the row, and seen now for fields that are new."""
    kind = context.kinds[change.address.kind]
    if not kind.schema.shared:
        return None
    if change.desired is None or change.live is None:
        return change.row.prior if change.row else None
    elders = sharing(context, change.address)
    names = [name for name in change.desired.fields if not kind.schema.rule.member(name).local]
    if change.row is not None:
        known = change.row.prior
        if known is None:
            return None
        new = [name for name in names if name not in known]
        return {**known, **(kind.prior(change.live, new, elders) or {})}
    return kind.prior(change.live, names, elders)
