"""From what was seen to what is told: each difference gets its class. Pure: the same look gives the same report."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.diff import Versions, at, differences, mirrored, policy_path
from reconciler.drift.look import Listing, Seen
from reconciler.drift.report import Class, Coverage, Finding, Invisible, Report
from reconciler.model.change import Action, Change, FieldChange
from reconciler.model.kind import Kind
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired, Live, Row
from reconciler.model.schema import is_known
from reconciler.plan.decide import Sharing
from reconciler.plan.known import Attributes
from reconciler.plan.plan import Context
from reconciler.references import resolved

_ORDER = list(Class)
_CONTAINERS = ("array", "object")


def reported(seen: Seen) -> Report:
    """Everything that was found, in the order of the classes and of the manifest."""
    context = seen.survey.context
    pass_ = _Pass(seen)
    found = [*pass_.drift(), *pass_.pending(), *_unmanaged(context, seen.listings)]
    places = {address: index for index, address in enumerate((*seen.survey.desired, *context.ledger.rows))}
    found.sort(key=lambda one: (_ORDER.index(one.kind), places.get(one.address, -1), str(one.address)))
    rows = context.ledger.rows
    return Report(
        context,
        tuple(found),
        tuple(_invisible(context, seen.applied)),
        tuple(_coverage(context, name, one) for name, one in seen.listings.items()),
        len(rows),
        max((row.applied_at for row in rows.values()), default=""),
        tuple(pass_.notes),
        pass_.lives(one.address for one in found),
    )


class _Pass:
    """One pass over the objects. `notes` is what could not be looked into beside them."""

    def __init__(self, seen: Seen) -> None:
        self.notes: list[str] = []
        self._seen = seen
        self._context = seen.survey.context
        self._drifted = {change.address: change for change in seen.drifted.changes}
        self._wanted = {change.address: change for change in seen.wanted.changes}
        self._told: dict[Address, frozenset[str]] = {}  # fields of which something is told already
        self._untold: set[Address] = set()  # what is unknown, gone or another now: of it fields say nothing
        self._arns = {
            name: frozenset(live.attributes.get("arn", "") for live in reading.lives)
            for name, reading in seen.survey.readings.items()
        }

    def drift(self) -> Iterator[Finding]:
        """What is live and not as it was applied, and what could not be read."""
        for row in self._context.ledger.rows.values():
            for finding in self._of(row):
                self._told[row.address] = self._told.get(row.address, frozenset()) | {
                    change.field for change in finding.fields
                }
                yield finding

    def pending(self) -> Iterator[Finding]:
        """What the manifest states otherwise than it was applied. `drift` has to be gone through before."""
        context, desired = self._context, self._seen.survey.desired
        attributes = Attributes(context.kinds, context.place, desired)
        for address, known in context.ledger.rows.items():
            attributes.learn(address, {"id": known.id} if known.id else {})
        sharing = Sharing(context, desired.values(), [])
        for one in desired.values():
            row, wanted = context.ledger.rows.get(one.address), self._wanted.get(one.address)
            if wanted is not None and wanted.settled:
                continue
            if row is None:
                if not self._stands(one.address):
                    yield _pending(one, "it is in the manifest and was not applied yet")
            elif row.intent is not None:
                yield _pending(one, f"an apply that was to {row.intent.get('action')} it did not end")
            else:
                yield from self._pending(resolved(one, attributes.lookup), row, sharing)
        for address in context.ledger.rows:
            if address not in desired and address.kind in context.kinds and address not in self._untold:
                yield Finding(address, Class.PENDING, "it is no longer in the manifest")

    def lives(self, addresses: Iterable[Address]) -> Mapping[Address, Mapping[str, Json]]:
        """The live fields of objects, as far as they could be read."""
        changes = {one: self._drifted.get(one) for one in addresses}
        return {one: change.live.fields for one, change in changes.items() if change is not None and change.live}

    def _of(self, row: Row) -> Iterator[Finding]:
        kind = self._context.kinds.get(row.address.kind)
        stated = self._seen.survey.desired.get(row.address)
        position = stated.position if stated is not None else None

        def finding(what: Class, reason: str = "", fields: Sequence[FieldChange] = ()) -> Finding:
            return Finding(row.address, what, reason, tuple(fields), position)

        if kind is None:
            yield finding(Class.UNKNOWN, "this version does not know its kind")
            return
        if kind.name in self._seen.failed:
            self._untold.add(row.address)
            yield finding(Class.UNKNOWN, f"its kind can not be read: {self._seen.failed[kind.name]}")
            return
        unreadable = self._seen.survey.readings[kind.name].unreadable.get(row.id) if row.id else None
        if unreadable is not None:
            self._untold.add(row.address)
            yield finding(Class.UNKNOWN, unreadable)
            return
        change = self._drifted.get(row.address)
        if change is None:
            return  # an apply that did not end left it, and nobody knows what it is to be
        live = change.live
        if live is None:
            self._untold.add(row.address)
            if stated is not None:
                yield finding(Class.MISSING, "it is gone")
            return
        if row.id and live.id != row.id:
            self._untold.add(row.address)
            yield finding(Class.REPLACED, f"another object is called {live.name!r}: {live.id}, was {row.id}")
            return
        if change.reason == "not ours":
            yield finding(Class.CHANGED, f"its mark is of another: {live.mark}")
            return
        differing = self._still_differing(change)
        orphans = dict(kind.orphans(live))
        grouped: dict[Class, list[FieldChange]] = {}
        found = mirrored(kind.schema, differing, row.applied, live.fields)
        lacking = {one.path for one in found if one.before is not None}
        for one in found:
            what = self._class(kind, one, row, orphans)
            # What came where something went is a change.
            what = Class.CHANGED if what is Class.EXTRA and one.path in lacking else what
            grouped.setdefault(what, []).append(one)
        for one in self._gone(row.address, live):
            grouped.setdefault(Class.ORPHANED, []).append(one)
        for what, fields in grouped.items():
            left = [entry for field, entry in orphans.items() if any(one.field == field for one in fields)]
            reasons = {
                Class.UNKNOWN: "the service is not done with it",
                Class.ORPHANED: f"{', '.join(left)} is all that is left of who is gone" if left else "",
            }
            yield finding(what, reasons.get(what, ""), fields)

    def _still_differing(self, change: Change) -> Sequence[FieldChange]:
        """The differences from what was applied, without what is meanwhile as the manifest states it."""
        wanted = self._wanted.get(change.address)
        if wanted is None or wanted.live is None or wanted.reason == "not ours" or wanted.action is Action.DELETE:
            return change.fields
        return [one for one in change.fields if one.field in wanted.changed_fields]

    def _class(self, kind: Kind, change: FieldChange, row: Row, orphans: Mapping[str, str]) -> Class:
        rule = kind.schema.rule.member(change.field)
        if isinstance(change.after, str) and change.after in rule.settling:
            return Class.UNKNOWN
        if kind.undeployed(change):
            return Class.UNDEPLOYED
        if change.field in orphans:
            return Class.ORPHANED
        complete = rule.exclusive or (rule.additive and row.applied.get("membership") == "exclusive")
        root = policy_path(kind.schema, change.path)
        added = change.before is None and (not root or at(row.applied, root) is None)
        contained = rule.schema.get("type") in _CONTAINERS
        return Class.EXTRA if complete and added and contained else Class.CHANGED

    def _gone(self, address: Address, live: Live) -> Iterator[FieldChange]:
        """Entries of ours that are still there, and name what is there no more."""
        for one in self._seen.mentions.get(address, ()):
            if one.kind in self._seen.failed:
                why = self._seen.failed[one.kind]
                self.notes.append(f"{address}: whether {one.entry} is still there can not be told: {why}")
                continue
            is_left = one.entry in entries(live.fields.get(one.field))
            if is_left and one.entry not in self._arns.get(one.kind, {one.entry}):
                yield FieldChange((one.field,), one.entry, one.entry, text=f"{one.entry} is gone")

    def _stands(self, address: Address) -> bool:
        """Whether what is shared is as the manifest states it already, without having been applied."""
        wanted = self._wanted.get(address)
        return wanted is not None and wanted.live is not None and not wanted.reason and wanted.action is Action.NO_OP

    def _pending(self, desired: Desired, row: Row, sharing: Sharing) -> Iterator[Finding]:
        kind = self._context.kinds[desired.address.kind]
        wanted = self._wanted.get(desired.address)
        now, sent = self._seen.survey.fingerprints, row.fingerprints
        rotated = frozenset(name for name in desired.secrets if name in now and sent.get(name) not in (None, now[name]))
        versions = Versions(
            desired.fields, row.applied, row.applied, row.prior or {}, sharing.entries(desired.address), rotated
        )
        found = list(differences(kind.schema, versions, desired.lifecycle.ignore))
        if wanted is not None and wanted.live is not None and desired.address not in self._untold:
            found = [one for one in found if one.field in wanted.changed_fields]
            told = self._told.get(desired.address, frozenset()) | {one.field for one in found}
            found += [one for one in wanted.fields if one.field not in told and is_known(one.after)]
        reason = f"moved from {row.moved_from}" if row.moved_from is not None else ""
        if found or reason:
            yield _pending(desired, reason, found)


def _pending(desired: Desired, reason: str, fields: Iterable[FieldChange] = ()) -> Finding:
    return Finding(desired.address, Class.PENDING, reason, tuple(fields), desired.position)


def _invisible(context: Context, applied: Mapping[Address, Desired]) -> Iterator[Invisible]:
    for address, one in applied.items():
        for name in sorted(context.kinds[address.kind].schema.write_only & one.fields.keys()):
            yield Invisible(address, name)


def _unmanaged(context: Context, listings: Mapping[str, Listing]) -> Iterator[Finding]:
    for name, listing in listings.items():
        is_owned, kind = _ownership(context, context.kinds[name]), context.kinds[name]
        for live in sorted(_countable(listing), key=lambda one: (one.name, one.id)):
            if not is_owned(live):
                reason = live.id if kind.schema.server_made_ids else ""
                yield Finding(Address(name, live.name), Class.UNMANAGED, reason)


def _coverage(context: Context, name: str, listing: Listing) -> Coverage:
    if listing.untold:
        return Coverage(name, untold=listing.untold)
    lives, is_owned = _countable(listing), _ownership(context, context.kinds[name])
    return Coverage(name, sum(map(is_owned, lives)), len(lives), hidden=listing.reading.hidden)


def _countable(listing: Listing) -> Sequence[Live]:
    """What manifests could own: not what the service keeps for itself."""
    return [live for live in listing.reading.lives if not live.guarded]


def _ownership(context: Context, kind: Kind) -> Callable[[Live], bool]:
    """Whether a manifest owns an object, by the rows of all of them and by the mark on the object itself."""
    rows = [row for row in (*context.ledger.rows.values(), *context.ledger.others) if row.address.kind == kind.name]
    ids = {row.id for row in rows if row.id}
    names = {kind.key(row.name or row.address.name) for row in rows if not row.id}
    return lambda live: bool(live.mark) or live.id in ids or kind.key(live.name) in names
