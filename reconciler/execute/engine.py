"""Carrying out a plan: each change as one flow, in the order of the graph, with the ledger kept as it goes."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from reconciler import ledger as ledger_store
from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences, dotted
from reconciler.execute.leftovers import cleaning, leftovers, unproved
from reconciler.execute.ownership import released, with_ledger
from reconciler.execute.proof import PROOF, prover, question
from reconciler.execute.report import Progress, Report, Result, Status
from reconciler.execute.work import FAIL_FAST, beside, filled, known_attributes, noted, sharing, told, write
from reconciler.ledger import lock as locks
from reconciler.ledger.lock import Holder, Lock
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind, Made, NotProved, Proof, Work
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Live, Row, Sought
from reconciler.model.request import Request, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened, NotYet, Steps, Stopped, unstopped, until
from reconciler.plan import history
from reconciler.plan.decide import needed, recorded
from reconciler.plan.plan import Plan
from reconciler.plan.secrets import secrets_of, to_read
from reconciler.redaction import Redaction
from reconciler.references import Graph, without_circles
from reconciler.runner import Flow, Outcome, Runner

_NEW_ROLE = 120.0
_NEW_RIGHTS = 60.0
_AT_LEISURE = 3.0  # seconds a row may wait for others: its intent is there, and nobody waits for it
_FEW = 4  # objects of a kind that are read again one by one, by id; more are read by pages, which may be stale


@dataclass(frozen=True, slots=True)
class Edge:
    """What comes from outside: the time as ISO 8601 in UTC, a fresh id, a secret's value, the monotonic time.

    `lock` is the manifest's: its number tells the ledger late writes of earlier holders from ours. `is_gone` says of
    somebody who holds a lock that he will not come back. `redaction` keeps secrets out of the history.
    """

    timestamp: Callable[[], str]
    new_id: Callable[[], str]
    read_secret: Callable[[str], str]
    monotonic: Callable[[], float]
    lock: Lock
    is_gone: Callable[[Holder], bool]
    redaction: Redaction

    @property
    def fence(self) -> int:
        """What the ledger's rows are written with."""
        return self.lock.seq_no


_Phase: TypeAlias = tuple[Address, str]
_INTENT, _MAIN, _ROW, _CLEANUP = "intent", "main", "row", "cleanup"
_PHASES_IN_TURN = (_MAIN, _CLEANUP)
_ANEW = (Action.CREATE, Action.REPLACE)


def execute(runner: Runner, plan: Plan, edge: Edge, progress: Progress) -> Report:
    """Carry the plan out. The first error stops what depends on it and nothing else.

    Where the runner is asked to stop, changes that wrote something are carried on to their end, and no others.
    """
    if not plan.work:
        return Report(())
    return _Execution(runner, with_ledger(runner, plan, edge.new_id), edge, progress).run()


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
        self._took: dict[Address, float] = {}
        self._sharing = sharing(plan)
        self._proofs: dict[Address, str] = {}
        self._ended: set[_Phase] = set()
        self._after = self._graph()
        self._unmet = {phase: len(before) for phase, before in self._after.items()}
        self._followers: dict[_Phase, list[_Phase]] = defaultdict(list)
        for phase, before in self._after.items():
            for one in before:
                self._followers[one].append(phase)
        # Objects that share one value take turns: by what they share, who waits and who is at work.
        self._waiting: dict[str, deque[_Phase]] = defaultdict(deque)
        self._at_work: Counter[str] = Counter()
        self._made: dict[Address, Made] = {}
        # A role that was just made or changed may take a while to be assumable; one that stood before does not.
        self._patience = _NEW_ROLE if any(self._kind(change).settles for change in plan.pending) else FAIL_FAST

    def run(self) -> Report:
        self._runner.drive(self._ready(phase for phase, unmet in self._unmet.items() if not unmet), self._done)
        for change in self._plan.work:
            if (change.address, _MAIN) in self._ended:
                # Its old self is still used by something that failed: the next apply removes it.
                self._results.setdefault(change.address, Result(change, Status.DONE))
            elif change.address not in self._results:
                waits_for = tuple(sorted({a for a, _ in self._after[(change.address, _INTENT)] if self._failed(a)}))
                self._results[change.address] = Result(change, Status.NOT_STARTED, waits_for=waits_for)
        self._withdraw()
        results = tuple(self._results[change.address] for change in self._plan.work)
        done = [result.change for result in results if result.status is Status.DONE]
        differing = self._look_again(done)
        stopped = self._runner.stopping
        self._record(results, differing)
        return Report(results, differing, self._attributes, stopped)

    def _kind(self, change: Change) -> Kind:
        return self._context.kinds[change.address.kind]

    def _failed(self, address: Address) -> bool:
        result = self._results.get(address)
        return result is None or result.status is not Status.DONE

    def _graph(self) -> dict[_Phase, set[_Phase]]:
        """What each phase waits for.

        An old object is removed after everything that used it was pointed at the new one. Of what was made anew itself
        the old one still uses it, so that goes first.
        """
        after: dict[_Phase, set[_Phase]] = {
            (address, _INTENT): {(one, _MAIN) for one in self._nearest(address)} for address in self._changes
        }
        users: dict[Address, set[_Phase]] = defaultdict(set)
        for user, change in self._changes.items():
            for used in self._uses(change):
                users[used].add((user, _MAIN))
        for address, change in self._changes.items():
            after[(address, _MAIN)] = {(address, _INTENT)}
            after[(address, _ROW)] = {(address, _MAIN)}
            if leftovers(change) and change.desired is not None:
                after[(address, _CLEANUP)] = users[address] | {(address, _ROW)}
        replaced = [address for address, phase in after if phase == _CLEANUP]
        for address, needed_before in self._used_before(replaced).items():
            for one in needed_before:
                after[(one, _CLEANUP)].add((address, _CLEANUP))
        return after

    def _used_before(self, replaced: Collection[Address]) -> Graph:
        """Of objects that are made anew: which of the others each needed when it was applied last."""
        edges: dict[Address, frozenset[Address]] = {}
        for address in replaced:
            row = self._changes[address].row
            before = {Address.parse(text) for text in row.depends_on} if row is not None else set()
            edges[address] = frozenset(before.intersection(replaced) - {address})
        return without_circles(edges)

    def _uses(self, user: Change) -> set[Address]:
        """What the object needs, or did when it was applied last."""
        before = {Address.parse(text) for text in user.row.depends_on} if user.row is not None else set()
        now = self._plan.graph[user.address] if user.desired is not None else frozenset()
        return (before | now) - {user.address}

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

    def _ready(self, phases: Iterable[_Phase]) -> list[Flow[_Phase, Made]]:
        """The flows that may start now that nothing keeps `phases` from it."""
        flows = []
        for phase in phases:
            if self._turns(phase):
                self._waiting[phase[0].kind].append(phase)
            else:
                # Nobody waits for a row, and what was written has to be noted whatever comes.
                flows.append(Flow(phase, self._steps(*phase), to_the_end=phase[1] == _ROW))
        for kind, waiting in self._waiting.items():
            while waiting and self._at_work[kind] < self._turns(waiting[0]):
                self._at_work[kind] += 1
                phase = waiting.popleft()
                flows.append(Flow(phase, self._steps(*phase)))
        return flows

    def _turns(self, phase: _Phase) -> int:
        """How many of the phase's kind may be at work at once; 0 is as many as there are."""
        kind = self._context.kinds[phase[0].kind]
        return (1 if kind.one_at_a_time else kind.at_once) if phase[1] in _PHASES_IN_TURN else 0

    def _done(self, flow: Flow[_Phase, Made], outcome: Outcome[Made]) -> Iterable[Flow[_Phase, Made]]:
        address, phase = flow.key
        change = self._changes[address]
        seconds = self._edge.monotonic() - self._began.get(address, self._edge.monotonic())
        if self._turns(flow.key):
            self._at_work[address.kind] -= 1
        following: list[_Phase] = []
        if isinstance(outcome.error, Stopped):
            # An old self that is still there is removed by the next apply.
            self._results[address] = Result(change, Status.DONE if phase == _CLEANUP else Status.NOT_STARTED)
        elif outcome.error is not None:
            self._results[address] = Result(change, Status.FAILED, outcome.error, seconds)
        else:
            self._ended.add(flow.key)
            if phase == _MAIN:
                self._took[address] = seconds
            for one in self._followers[flow.key]:
                self._unmet[one] -= 1
                if not self._unmet[one]:
                    following.append(one)
            if phase == (_CLEANUP if (address, _CLEANUP) in self._after else _ROW):
                # Its row may have waited for others.
                self._results[address] = Result(change, Status.DONE, seconds=self._took.get(address, seconds))
        if address in self._results:
            self._progress.ended(self._results[address])
        return self._ready(following)

    def _steps(self, address: Address, phase: str) -> Steps[Made]:
        change = self._changes[address]
        if phase == _CLEANUP:
            return (yield from self._clean_up(change))
        if phase == _ROW:
            return (yield from self._note(change, self._made[address]))
        if phase == _INTENT:
            return (yield from self._intend(change))
        self._began[address] = self._edge.monotonic()
        self._progress.started(change)
        kind = self._kind(change)
        if change.action is Action.FORGET:
            assert change.row is not None
            yield from self._remove_old(change, change.row)
            if change.live is not None:
                yield from released(kind, self._context.place, self._context.mark, change.row)
            return self._know(change, Made())
        if change.action is Action.NO_OP:
            assert change.live is not None
            there = Made(change.live.id, change.live.attributes)
            if unproved(change):
                yield from self._prove(change, there)
            return self._know(change, there)
        work = self._told(change)
        written: list[Request] = []
        turn: Lock | None = None
        try:
            turn = yield from self._turn(change)
            made = yield from noted(write(kind, change, work), written)
        except Exception as error:
            yield from unstopped(self._end_turn(turn))
            if not written:
                yield from unstopped(self._back(change, self._rows.get(address)))
            elif not (isinstance(error, ServiceFailure) and error.may_have_happened):
                yield from unstopped(self._at_rest(change))
            raise
        yield from unstopped(self._end_turn(turn))
        if address in self._proofs:
            yield from self._prove(change, made)
        if change.action is Action.DELETE:
            assert change.row is not None
            yield from self._remove_old(change, change.row)
        return self._know(change, made)

    def _told(self, change: Change) -> Work:
        return told(self._plan, change, self._attributes, self._sharing, self._patience, self._grace(change.address))

    def _intend(self, change: Change) -> Steps[Made]:
        """Note in the ledger what is about to be done."""
        yield from self._unprove(change)
        if change.action in (Action.FORGET, Action.NO_OP):
            return Made()
        replaces = change.action is Action.REPLACE and beside(self._kind(change), change, self._told(change))
        # What an earlier apply made to replace another may be changed once more before anybody is pointed at it.
        proves = replaces or (change.action is Action.UPDATE and bool(unproved(change)))
        if proves and prover(self._plan, change) is not None:
            self._proofs[change.address] = unproved(change) or f"{PROOF}{self._edge.new_id()}"
        try:
            yield from ledger_store.write([self._intent(change)], self._edge.fence)
        except Exception:
            yield from unstopped(self._back(change, self._rows.get(change.address)))
            raise
        return Made()

    def _withdraw(self) -> None:
        """Take the intents back of what was not begun after all, for it was asked to stop."""
        noted = [change for change in self._plan.work if (change.address, _INTENT) in self._ended]
        idle = [
            change
            for change in noted
            if self._results[change.address].status is Status.NOT_STARTED
            and change.action not in (Action.FORGET, Action.NO_OP)
        ]
        backs = [self._back(change, self._rows.get(change.address)) for change in idle]
        self._runner.run_all([Flow(number, back, to_the_end=True) for number, back in enumerate(backs)])

    def _know(self, change: Change, made: Made) -> Made:
        """What others may need of it is known from now on."""
        self._attributes.learn(change.address, {**made.attributes, **({"id": made.id} if made.id else {})})
        self._made[change.address] = made
        return made

    def _note(self, change: Change, made: Made) -> Steps[Made]:
        """Note in the ledger what was done. Until then the intent tells of it."""
        if change.action in (Action.DELETE, Action.FORGET):
            assert change.row is not None
            yield from ledger_store.remove(change.row, self._edge.fence)
        else:
            yield from self._write_row(change, made)
        return made

    def _turn(self, change: Change) -> Steps[Lock | None]:
        """The lock of a list that others change too: of two who change it neither undoes what the other did."""
        value = self._sharing.value(change.address)
        if value is None:
            return None
        own = self._edge.lock.holder

        def is_gone(holder: Holder) -> bool:
            # We hold the manifest's lock, so whoever else took a turn for it was killed.
            return self._edge.is_gone(holder) or (holder.manifest == own.manifest and holder.token != own.token)

        holder = replace(own, since=self._edge.timestamp())
        name = ":".join(("list", *value))
        return (yield from locks.acquire(name, holder, _NEW_ROLE, is_gone, locks.TURN))

    def _end_turn(self, turn: Lock | None) -> Steps[None]:
        """Give the lock of a list back. Where that fails it is free after its lease."""
        if turn is not None:
            with suppress(Failed, ServiceFailure):
                yield from locks.release(turn)

    def _prove(self, change: Change, made: Made) -> Steps[None]:
        """Show that what was just made works before others are pointed at it. Else it goes, and NotProved is raised."""
        user = prover(self._plan, change)
        if user is None or user.live is None:
            return
        kind, proving = self._kind(change), self._kind(user)
        name = self._proofs.get(change.address) or unproved(change)
        asked = question(self._plan, user, self._attributes)
        try:
            yield from proving.prove(Proof(name, made.id, user.live, self._context.place, asked))
        except (Failed, NeverHappened, ServiceFailure) as error:
            # Where the successor can not be taken back, the intent tells the next apply of it.
            with suppress(Failed, NeverHappened, ServiceFailure):
                applied = recorded(filled(change, self._attributes))
                sought = Sought(self._name(change), made.id, signers=kind.signers(applied))
                found = yield from kind.look(sought, self._context.place)
                row = replace(self._rows[change.address], applied=applied)
                for live in found.lives:
                    yield from kind.delete(Work(change.address, live.name, self._context.place, live=live, row=row))
                if not (isinstance(error, ServiceFailure) and error.may_have_happened):
                    before = self._rows.get(change.address)
                    if before is not None and unproved(change):
                        before = replace(before, intent=cleaning(change, before.id))
                    yield from self._back(change, before)
            raise NotProved(error) from error

    def _unprove(self, change: Change) -> Steps[None]:
        """Remove what the proof of an earlier apply left because it was cut short."""
        left = unproved(change)
        for kind in self._context.kinds.values() if left else ():
            if kind.proves:
                yield from kind.unprove(left, self._context.place)

    def _grace(self, address: Address) -> float:
        """How long a refusal is waited out: rights that this apply gives are not known everywhere at once."""
        if any(one.code == "not-mapped" and one.address.startswith(f"{address}.") for one in self._plan.obstacles):
            return 0.0  # no right is on its way
        before = (self._changes[one] for one in self._nearest(address))
        gives = any(self._kind(one).entitles and one.action is not Action.NO_OP for one in before)
        return _NEW_RIGHTS if gives else 0.0

    def _back(self, change: Change, row: Row | None) -> Steps[None]:
        """Put the row back as it was before the intent: nothing was written, or it was undone.

        That this fails is not told: the intent that stays is no harm to the next apply, and the refusal matters more.
        """
        fresh = row or Row(change.address, self._context.manifest.name)
        with suppress(Failed, ServiceFailure):
            yield from (
                ledger_store.write([row], self._edge.fence)
                if row is not None
                else ledger_store.remove(fresh, self._edge.fence)
            )

    def _at_rest(self, change: Change) -> Steps[None]:
        """Say that nothing is under way any more, so that the next apply need not wait for it."""
        intent = self._intent(change)
        with suppress(Failed, ServiceFailure):
            yield from ledger_store.write(
                [replace(intent, intent={**(intent.intent or {}), "at": ""})], self._edge.fence
            )

    def _clean_up(self, change: Change) -> Steps[Made]:
        row = self._rows[change.address]
        yield from self._remove_old(change, row)
        yield from ledger_store.write([replace(row, intent=None)], self._edge.fence)
        return Made()

    def _remove_old(self, change: Change, row: Row) -> Steps[None]:
        """Remove what earlier replacements left."""
        kind = self._kind(change)
        signers = tuple(one for known in (change.row, row) if known is not None for one in kind.signers(known.applied))
        for old in leftovers(change):
            if old.id == row.id:
                continue
            found = yield from kind.look(replace(old, signers=signers), self._context.place)
            if found.unreadable:
                reason = next(iter(found.unreadable.values()))
                raise Failed("unreadable", f"the old object, id {old.id}, can not be read, so it is left: {reason}")
            for live in found.lives:
                if live.id == old.id:
                    yield from kind.delete(Work(change.address, live.name, self._context.place, live=live, row=row))

    def _intent(self, change: Change) -> Row:
        """The row with what is about to be done, and all that could be taken for what it will have made."""
        row = change.row or Row(change.address, self._context.manifest.name, name=self._name(change))
        earlier = row.intent.get("seen") if row.intent is not None else None
        seen = dict.fromkeys((*change.namesakes, *([change.live.id] if change.live else []), *entries(earlier)))
        intent: dict[str, Json] = {
            "action": str(change.action),
            "name": self._name(change),
            "seen": list(seen),
            "old": [{"name": old.name, "id": old.id} for old in leftovers(change)],
            "at": self._edge.timestamp(),
        }
        if change.desired is not None:
            fields = filled(change, self._attributes)
            intent["fields"] = recorded(fields)
            intent["fingerprints"] = self._fingerprints(change, fields) if change.action in _ANEW else {}
            intent["sends"] = sorted(change.changed_fields & self._kind(change).schema.write_only)
        if change.address in self._proofs:
            intent["proof"] = self._proofs[change.address]
        return replace(
            row,
            id=change.live.id if change.live else row.id,
            prior=self._prior(change),
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
        fields = filled(change, self._attributes)
        row = change.row
        fresh = Row(
            address=change.address,
            manifest=self._context.manifest.name,
            id=made.id,
            name=self._name(change),
            applied=recorded(fields),
            prior=self._prior(change),
            adopted=((row.adopted if row else False) or change.adopts) and change.action not in _ANEW,
            depends_on=needed(self._plan.graph, change.address),
            fingerprints=self._fingerprints(change, fields),
            lifecycle=change.desired.lifecycle,
            intent=cleaning(change, made.id),
            applied_at=self._edge.timestamp(),
            moved_from=change.moved_from,
        )
        yield from ledger_store.write([fresh], self._edge.fence, _AT_LEISURE)
        self._rows[change.address] = fresh

    def _fingerprints(self, change: Change, fields: Mapping[str, Value]) -> Mapping[str, str]:
        """The secrets' fingerprints: of what was sent just now, and otherwise of what was sent last."""
        read, salt = to_read(change), self._context.ledger.id
        known = change.row.fingerprints if change.row is not None else {}
        return {
            name: ledger_store.fingerprint(self._edge.read_secret(name), salt) if name in read else known[name]
            for name in secrets_of(fields)
        }

    def _prior(self, change: Change) -> Mapping[str, Json] | None:
        """What was there before us, for shared kinds: kept from the row, and seen now for fields that are new."""
        kind = self._kind(change)
        if not kind.schema.shared:
            return None
        if change.desired is None or change.live is None:
            return change.row.prior if change.row else None
        elders = self._sharing.rows(change.address)
        names = [name for name in change.desired.fields if not kind.schema.rule.member(name).local]
        if change.row is not None:
            known = change.row.prior
            if known is None:
                return None
            new = [name for name in names if name not in known]
            return {**known, **(kind.prior(change.live, new, elders) or {})}
        return kind.prior(change.live, names, elders)

    def _look_again(self, changes: Iterable[Change]) -> dict[Address, str]:
        """Read what was written once more: what is not as planned, by address."""
        groups: dict[Kind, list[Change]] = defaultdict(list)
        for change in changes:
            if change.action not in (Action.NO_OP, Action.FORGET):
                groups[self._kind(change)].append(change)
        flows: list[Flow[tuple[Address, ...], Mapping[Address, str]]] = []
        for kind, group in groups.items():
            parts = [[one] for one in group] if len(group) <= _FEW else [group]
            flows += [Flow(tuple(one.address for one in part), self._as_planned(kind, part)) for part in parts]
        differing: dict[Address, str] = {}
        for addresses, outcome in self._runner.run_all(flows).items():
            if isinstance(outcome.error, Stopped):
                continue
            if outcome.error is not None:
                differing |= dict.fromkeys(addresses, f"could not be read again: {outcome.error}")
            else:
                differing |= outcome.value()
        return differing

    def _as_planned(self, kind: Kind, changes: Iterable[Change]) -> Steps[Mapping[Address, str]]:
        """Read objects of a kind until they are as planned: what is not so in the end, and how."""
        left = {change.address: change for change in changes}
        seen: dict[Address, str] = {}

        def probe() -> Steps[bool | NotYet]:
            sought = [self._sought(change) for change in left.values()]
            place = self._context.place
            reading = yield from (kind.look(sought[0], place) if len(sought) == 1 else kind.read(sought, place))
            for one, change in zip(sought, tuple(left.values()), strict=True):
                if one.id in reading.unreadable:
                    raise Failed("unreadable", reading.unreadable[one.id])
                named = (live for live in reading.lives if kind.key(live.name) == kind.key(one.name))
                known = (live for live in reading.lives if live.id == one.id)
                seen[change.address] = yield from self._differing(change, next(known if one.id else named, None))
                if not seen[change.address]:
                    del left[change.address]
            return NotYet("; ".join(dict.fromkeys(seen[address] for address in left))) if left else True

        listed = str(next(iter(left))) if len(left) == 1 else f"{len(left):,} {kind.name}"
        with suppress(NeverHappened):
            yield from until(f"{listed} as planned", probe, patience=20)
        return {address: seen[address] for address in left}

    def _sought(self, change: Change) -> Sought:
        row = self._rows.get(change.address) or change.row
        fields = filled(change, self._attributes) if change.desired else {}
        signers = self._kind(change).signers(fields or (row.applied if row else {}))
        return Sought(self._name(change), row.id if row else "", frozenset(fields), signers)

    def _differing(self, change: Change, live: Live | None) -> Steps[str]:
        """What is not as planned in an object that was read again, or ""."""
        kind = self._kind(change)
        row = self._rows.get(change.address) or change.row
        if change.action is Action.DELETE:
            return "it is still there" if live is not None and not kind.schema.shared else ""
        if live is None:
            return "it is not there"
        fields = filled(change, self._attributes) if change.desired else {}
        others = self._sharing.entries(change.address)
        versions = Versions(fields, live.fields, row.applied if row else None, (row.prior or {}) if row else {}, others)
        ignore = change.desired.lifecycle.ignore if change.desired else ()
        found = differences(kind.schema, versions, ignore)
        if found and kind.schema.shared:
            # Somebody who wrote the same list whole, at the same moment, took our entries out: they go in again.
            again = replace(change, live=live, row=row, fields=found)
            turn = yield from self._turn(change)
            try:
                yield from kind.update(told(self._plan, again, self._attributes, self._sharing))
            except Exception:
                yield from unstopped(self._end_turn(turn))
                raise
            yield from unstopped(self._end_turn(turn))
        return "differs in " + ", ".join(dotted(one.path) for one in found) if found else ""

    def _record(self, results: Iterable[Result], differing: Mapping[Address, str]) -> None:
        """One document of history. That it can not be written changes nothing of what was done."""
        changes = [
            {**history.entry(one.change, self._attributes), **_became(one)}
            for one in results
            if one.change.action is not Action.NO_OP or one.change.moved_from is not None
        ]
        if not changes:
            return
        by = self._context.caller.arn or self._context.caller.user
        summary: Json = {
            "changes": history.bounded(changes),
            "not_as_planned": {str(one): text for one, text in differing.items()},
            "stopped": self._runner.stopping,
        }
        body = self._edge.redaction.json(summary)
        record = ledger_store.record(self._context.manifest.name, self._edge.timestamp(), by, body)
        self._runner.run_all([Flow("history", record, to_the_end=True)])


def _became(result: Result) -> dict[str, Json]:
    """What became of a change, as the ledger's history keeps it."""
    told: dict[str, Json] = {"status": str(result.status), "seconds": round(result.seconds, 3)}
    told |= {"error": history.cut(str(result.error))} if result.error is not None else {}
    return {**told, **({"waits_for": [str(one) for one in result.waits_for]} if result.waits_for else {})}
