"""Deciding: from what was seen to a plan. Pure: the same survey gives the same plan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences, dotted, replacement
from reconciler.errors import Problem, Severity
from reconciler.manifest.load import Lifecycle
from reconciler.manifest.moves import ends
from reconciler.manifest.templates import Template, Value, references
from reconciler.model.change import Action, Change, FieldChange
from reconciler.model.kind import Kind, Reading
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired, Live, Row
from reconciler.model.schema import is_known
from reconciler.plan.hidden import hidden
from reconciler.plan.known import Attributes
from reconciler.plan.plan import Context, Plan
from reconciler.plan.preflight import missing_grants
from reconciler.plan.safety import lockout, too_many_deletes
from reconciler.plan.survey import Survey
from reconciler.references import Graph, graph, ordered, resolved, without_circles


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the person at the terminal allows.

    Addresses to adopt (or all), adopted objects to delete, how many deletions (None: any number), losing one's own
    access, and the addresses to look at alone (None: all).
    """

    adopt: frozenset[Address] = frozenset()
    adopt_all: bool = False
    include_adopted: bool = False
    max_deletes: int | None = None
    allow_lockout: bool = False
    only: frozenset[Address] | None = None

    def may_adopt(self, desired: Desired) -> bool:
        """Whether an object that exists already may be taken over."""
        return desired.adopt or self.adopt_all or desired.address in self.adopt


def decide(
    survey: Survey, permissions: Permissions = Permissions(), decided: Mapping[Address, Change] = MappingProxyType({})
) -> Plan:
    """The plan that brings what is live to what is desired, with everything that stands in its way.

    `decided` are objects of which it is known already what has to be done.
    """
    context = survey.context
    attributes = Attributes(context.kinds, context.place, survey.desired)
    edges = graph(survey.desired, context.kinds, attributes.lookup)
    gone = [row for row in context.ledger.rows.values() if row.address not in survey.desired]
    wanted = [row for row in gone if permissions.only is None or row.address in permissions.only]
    sharing = Sharing(context, survey.desired.values(), [row.address for row in wanted])
    decision = _Decision(survey, permissions, attributes, edges, sharing)
    changes = [
        decision.taken(decided[address]) if address in decided else _with_move(decision.change(survey.desired[address]))
        for address in ordered(edges)
    ]
    moves = ends(context.manifest.moved)
    removals = {row.address: _without_move(decision.removal(row), moves) for row in wanted}
    back = _removal_edges(removals, context.ledger.rows.values())
    removed = [removals[address] for address in ordered(back) if address in removals]
    plan = Plan(context, (*changes, *removed), {**edges, **back}, decision.problems, survey.objects)
    return checked(plan, survey, permissions)


def checked(plan: Plan, survey: Survey, permissions: Permissions) -> Plan:
    """The plan with what stands in the way of it as a whole, by what its context knows of the caller."""
    found = [*missing_grants(plan, survey.mapped), *hidden(plan, survey.readings)]
    found += [] if permissions.max_deletes is None else too_many_deletes(plan, permissions.max_deletes)
    found += [] if permissions.allow_lockout else lockout(plan)
    return replace(plan, obstacles=found)


def _with_move(change: Change) -> Change:
    if change.moved_from is None:
        return change
    return replace(change, notes=(f"moved from {change.moved_from}", *change.notes))


def _without_move(change: Change, moves: Mapping[str, str]) -> Change:
    new = moves.get(str(change.address))
    if new is None:
        return change
    return replace(change, notes=(f"not moved to {new}, which is another object", *change.notes))


def recorded(fields: Mapping[str, Value]) -> Mapping[str, Json]:
    """Fields as the ledger keeps them: secrets by name."""
    return {name: _recorded(value) for name, value in fields.items()}


class _Decision:
    """One pass over the objects in dependency order: what is known grows with every object decided."""

    def __init__(
        self, survey: Survey, permissions: Permissions, attributes: Attributes, edges: Graph, sharing: "Sharing"
    ) -> None:
        self.problems: list[Problem] = []
        self._survey = survey
        self._context = survey.context
        self._permissions = permissions
        self._attributes = attributes
        self._edges = edges
        self._seen = _Seen(survey)
        self._sharing = sharing

    def taken(self, change: Change) -> Change:
        """What has to be done about an object, as it was decided before."""
        if change.live is not None:
            self._attributes.learn(change.address, change.live.attributes)
        return change

    def change(self, desired: Desired) -> Change:
        """What has to be done about one object of the manifest."""
        address = desired.address
        kind = self._context.kinds[address.kind]
        row = self._context.ledger.rows.get(address)
        desired = resolved(desired, self._attributes.lookup)
        fields = desired.fields
        if row is not None and self._unreadable(kind, row, desired):
            self._attributes.learn(address, {"id": row.id})
            return Change(address, Action.NO_OP, reason="can not be read", desired=desired, row=row)
        live = self._find(kind, desired, row)
        strays = self._strays(kind, row, desired)
        if live is None and strays:
            live, *strays = strays
        if live is None:
            return self._creation(desired, row)
        row = _ours(kind, row, live)
        owned = self._owned(kind, live, row)
        if not owned and not self._may_take(kind, desired, live):
            return Change(address, Action.NO_OP, reason="not ours", desired=desired, live=live)
        versions = self._versions(kind, desired, live, row if owned else None)
        found = differences(kind.schema, versions, desired.lifecycle.ignore)
        notes = self._notes(kind, desired, live, row, found)
        in_use = kind.schema.replaced_in_use and live.id in self._seen.used
        in_place = in_use and kind.schema.edited_in_use(desired.fields)
        if not owned:
            # Whether it has the credential can not be told, nor who else counts on the one it has.
            shown = tuple(change for change in found if not change.write_only)
            hidden = sorted({change.field for change in found if change.write_only})
            found, notes = shown, (*notes, *(f"({name} not compared)" for name in hidden))
        why = replacement(kind.schema, found, fields)
        why = why or (kind.remade(found, fields, self._context.place) if found else "")
        disruption = ""
        if found and not why and in_place:
            disruption = "edited in place: what uses it does not answer meanwhile"
        elif found and not why and in_use:
            why = "it is in use, and a connector in use is not edited"
        if why and not owned:
            differing = ", ".join(sorted({change.field for change in found}))
            hint = f"state {differing} as it is, or remove the object yourself"
            self._complain("not-ours", desired, f"it can not be taken over, for it would be replaced: {why}", hint)
            return Change(address, Action.NO_OP, found, "not ours", desired, live)
        if not why:
            self._attributes.learn(address, live.attributes)
        action = _action(owned, found or strays, why)
        self._check_fitness(kind, desired, action, found)
        refused = list(kind.refused(found, live))
        for fault in refused:
            self._complain(fault.code, desired, f"{dotted(fault.path)}: {fault.message}", fault.hint)
        if action is Action.REPLACE and not kind.schema.server_made_ids:
            disruption = "removed before it is made anew: there is none meanwhile"
        if action is Action.REPLACE and not refused:
            self._check_replacement(kind, desired, why)
        for stray in strays:
            notes = (*notes, f"{stray.name!r}, which it was, is removed")
            if desired.lifecycle.prevent_destroy:
                message = f"{stray.name!r}, which it was, would be removed"
                self._complain("prevented", desired, message, "remove prevent_destroy to allow it")
        self._check_exclusive(kind, desired, found)
        if found and live.guarded:
            self._complain("guarded", desired, f"it is {live.guarded}; the service does not let it be changed", "")
        return Change(
            address,
            action,
            found,
            why or ("" if owned else "exists and is taken over"),
            desired,
            live,
            row,
            record=self._outdated(desired, live, row),
            adopts=not owned,
            namesakes=self._namesakes(kind, desired),
            strays=tuple(strays),
            notes=notes,
            disruption=disruption,
        )

    def removal(self, row: Row) -> Change:
        """What has to be done about an object that is ours and no longer in the manifest."""
        kind = self._context.kinds.get(row.address.kind)
        if kind is None:
            self.problems.append(
                Problem(
                    "unknown-kind",
                    f"the ledger has {row.address}, a kind this version does not know",
                    address=str(row.address),
                )
            )
            return Change(row.address, Action.NO_OP, row=row)
        if self._unreadable(kind, row, None):
            return Change(row.address, Action.NO_OP, reason="can not be read", row=row)
        live = self._find(kind, None, row)
        strays = self._strays(kind, row, None)
        if (live is None or not self._owned(kind, live, row)) and strays:
            live, *strays = strays
        if live is None:
            return Change(row.address, Action.FORGET, reason="it is gone already", row=row)
        if not kind.schema.server_made_ids and not kind.schema.shared and self._seen.claimant(kind, live.name):
            address = self._seen.claimant(kind, live.name)
            return Change(row.address, Action.FORGET, reason=f"it is {address} now", row=row)
        if not self._owned(kind, live, row):
            return Change(row.address, Action.FORGET, reason="another object has its name now", row=row)
        if row.lifecycle.prevent_destroy:
            message = "it is no longer in the manifest, and its lifecycle says prevent_destroy"
            hint = "declare it again, or give it up with `reconciler forget`"
            self.problems.append(Problem("prevented", message, address=str(row.address), hint=hint))
            return Change(row.address, Action.NO_OP, reason="prevent_destroy", live=live, row=row)
        if row.lifecycle.on_remove == "forget":
            return Change(row.address, Action.FORGET, reason="its lifecycle says so", live=live, row=row)
        if row.adopted and not self._permissions.include_adopted and not kind.schema.shared:
            return Change(row.address, Action.FORGET, reason="adopted, so it is left in place", live=live, row=row)
        row = _ours(kind, row, live) or row
        reason = "no longer in the manifest" if self._survey.desired else ""
        leaving = self._versions(kind, Desired(row.address, {}), live, row)
        found = differences(kind.schema, leaving) if kind.schema.shared else ()
        return Change(row.address, Action.DELETE, found, reason, live=live, row=row, strays=tuple(strays))

    def _check_replacement(self, kind: Kind, desired: Desired, why: str) -> None:
        """Complain of a replacement that is forbidden, can not be made, or leaves users where the plan may not go."""
        address = desired.address
        if desired.lifecycle.prevent_destroy:
            self._complain("prevented", desired, f"it would be replaced: {why}", "remove prevent_destroy to allow it")
        if not kind.replaceable:
            message = f"{why}, and a second one can not be made beside it to replace it"
            self._complain("wrong-value", desired, message, "state it, or remove the object and all that uses it first")
        if self._permissions.only is None:
            return
        rows = self._context.ledger.rows.values()
        users = sorted(str(one.address) for one in rows if str(address) in one.depends_on)
        left = [user for user in users if Address.parse(user) not in self._permissions.only]
        if left:
            message = f"it would be replaced ({why}), and {', '.join(left)} would still use the old one"
            self._complain("usage", desired, message, "add " + " ".join(f"--target {user}" for user in left))

    def _check_fitness(self, kind: Kind, desired: Desired, action: Action, found: Sequence[FieldChange]) -> None:
        """Complain of what is to be sent and the domain, being of its version, does not take."""
        changed = {change.field for change in found}
        whole = action in (Action.CREATE, Action.REPLACE)
        sent = {name: value for name, value in desired.fields.items() if whole or name in changed}
        for fault in kind.unfit(sent, self._context.place):
            self._complain(fault.code, desired, f"{dotted(fault.path)}: {fault.message}", fault.hint)

    def _check_exclusive(self, kind: Kind, desired: Desired, found: Sequence[FieldChange]) -> None:
        """Complain of members that an exclusive list would throw out though another manifest states them."""
        if desired.fields.get("membership") != "exclusive":
            return
        leaving = {(change.field, change.before) for change in found if change.after is None}
        for row in self._sharing.rows(desired.address):
            theirs = {(name, entry) for name, value in row.applied.items() for entry in entries(value)} & leaving
            if theirs and row.manifest != self._context.manifest.name:
                listed = ", ".join(sorted(f"{entry} ({name})" for name, entry in theirs))
                message = f"its exclusive membership would throw out what the manifest {row.manifest} states: {listed}"
                self._complain("owned-by-other", desired, message, "state them here too, or let the list be additive")

    def _unreadable(self, kind: Kind, row: Row, desired: Desired | None) -> bool:
        """Whether the object that the ledger knows is there and can not be read, which is complained of."""
        why = self._survey.readings.get(kind.name, Reading()).unreadable.get(row.id) if row.id else None
        if why is None:
            return False
        message = f"the object with id {row.id} can not be read: {why}"
        hint = "run as an identity that may read it; it is not made again"
        position = desired.position if desired else None
        self.problems.append(Problem("unreadable", message, position, str(row.address), hint))
        return True

    def _find(self, kind: Kind, desired: Desired | None, row: Row | None) -> Live | None:
        name = kind.schema.service_name(desired.address.name, desired.fields) if desired else (row.name if row else "")
        if not kind.schema.server_made_ids:
            return next(iter(self._seen.named(kind, name)), None)
        names = dict.fromkeys((name, *(row.names if row else ())))
        made = [
            live
            for one in names
            for live in self._seen.free(kind, one, row)
            if row is not None and _made(kind, row, live)
        ]
        if made:
            return self._only(made, desired, str(row.address) if row else "")
        if row is not None and row.id:
            by_id = self._seen.by_id(kind, row.id)
            if by_id is not None or desired is None:
                return by_id
        named = self._seen.free(kind, name, row)
        return self._only(named, desired, str(desired.address)) if named and desired is not None else None

    def _strays(self, kind: Kind, row: Row | None, desired: Desired | None) -> list[Live]:
        """Objects of ours under the other names that the address went by, if names are all they are known by."""
        if row is None or kind.schema.server_made_ids or kind.schema.shared:
            return []
        name = kind.schema.service_name(row.address.name, desired.fields) if desired else row.name
        others = [one for one in row.names if kind.key(one) != kind.key(name) and not self._seen.claimant(kind, one)]
        return [live for one in others for live in self._seen.named(kind, one) if self._owned(kind, live, row)]

    def _only(self, lives: Sequence[Live], desired: Desired | None, address: str) -> Live:
        if len(lives) > 1:
            listed = ", ".join(live.id for live in lives)
            message = f"{len(lives)} objects are called {lives[0].name!r}: {listed}"
            position = desired.position if desired else None
            self.problems.append(Problem("ambiguous", message, position, address, "remove or rename all but one"))
        return lives[0]

    def _namesakes(self, kind: Kind, desired: Desired) -> tuple[str, ...]:
        if not kind.schema.server_made_ids:
            return ()
        name = kind.schema.service_name(desired.address.name, desired.fields)
        return tuple(live.id for live in self._seen.named(kind, name))

    def _owned(self, kind: Kind, live: Live, row: Row | None) -> bool:
        if kind.schema.shared:
            return True
        if live.mark:
            # Without a ledger there is nothing that a mark could be of.
            return bool(self._context.ledger.id) and live.mark == self._context.mark
        if row is None:
            return False
        return _made(kind, row, live) or (bool(row.id) and row.id == live.id)

    def _may_take(self, kind: Kind, desired: Desired, live: Live) -> bool:
        marked, _, ledger = live.mark.partition("/")
        owner = marked or self._seen.owners.get((kind.name, live.id), "")
        if owner and owner != self._context.manifest.name:
            self._complain("owned-by-other", desired, f"it belongs to the manifest {owner}", "remove it there first")
            return False
        if live.guarded:
            self._complain("guarded", desired, f"it is {live.guarded} and can not be ours", "leave it to its owner")
            return False
        if self._permissions.may_adopt(desired):
            return True
        what = f"{live.name!r}" + (f" ({live.id})" if live.id else "")
        message = f"{what} exists already, and this manifest did not make it"
        if marked:
            message = f"{what} exists already, and its mark is of another ledger of this manifest's name, {ledger}"
        self._complain(
            "not-ours", desired, message, f"take it over with --adopt {desired.address}, or choose another name"
        )
        return False

    def _creation(self, desired: Desired, row: Row | None) -> Change:
        unset = {
            name for name in desired.fields if self._context.kinds[desired.address.kind].schema.rule.member(name).local
        }
        found = tuple(
            FieldChange(
                (name,), None, value, write_only=name in self._context.kinds[desired.address.kind].schema.write_only
            )
            for name, value in desired.fields.items()
            if name not in unset
        )
        self._check_fitness(self._context.kinds[desired.address.kind], desired, Action.CREATE, found)
        reason = "it is gone" if row is not None and row.intent is None else ""
        namesakes = self._namesakes(self._context.kinds[desired.address.kind], desired)
        return Change(
            desired.address, Action.CREATE, found, reason, desired, None, row, record=True, namesakes=namesakes
        )

    def _versions(self, kind: Kind, desired: Desired, live: Live, row: Row | None) -> Versions:
        applied = row.applied if row is not None and row.applied else None
        prior = (row.prior or {}) if row is not None else {}
        now, sent = self._survey.fingerprints, row.fingerprints if row is not None else {}
        rotated = frozenset(name for name in desired.secrets if name in now and sent.get(name) not in (None, now[name]))
        return Versions(
            desired.fields,
            live.fields,
            applied,
            prior,
            self._sharing.entries(desired.address),
            rotated,
        )

    def _outdated(self, desired: Desired, live: Live, row: Row | None) -> bool:
        if row is None or row.outdated or row.intent is not None or row.id != live.id:
            return True
        if _end(row.lifecycle) != _end(desired.lifecycle) or row.depends_on != needed(self._edges, desired.address):
            return True
        if not all(name in row.fingerprints for name in desired.secrets):
            return True
        # What is equal to the row, which is plain JSON, has no template inside.
        return row.applied != desired.fields and (
            not all(is_known(_named(value)) for value in desired.fields.values())
            or row.applied != recorded(desired.fields)
        )

    def _notes(
        self,
        kind: Kind,
        desired: Desired,
        live: Live,
        row: Row | None,
        found: Sequence[FieldChange],
    ) -> tuple[str, ...]:
        notes = []
        sent = row.fingerprints if row is not None else {}
        unread = [name for name in desired.secrets if name in sent and name not in self._survey.fingerprints]
        if unread:
            notes.append(f"secret not read: {', '.join(unread)}")
        if kind.schema.shared:
            for name, value in desired.fields.items():
                if kind.schema.rule.member(name).additive:
                    leaving = {change.before for change in found if change.path == (name,)}
                    present = entries(live.fields.get(name))
                    stay = sum(entry not in entries(value) and entry not in leaving for entry in present)
                    if stay:
                        notes.append(
                            f"{name}: {stay} {'entry of others stays' if stay == 1 else 'entries of others stay'}"
                        )
        return tuple(notes)

    def _complain(self, code: str, desired: Desired, message: str, hint: str) -> None:
        self.problems.append(
            Problem(code, message, desired.position, str(desired.address), hint, severity=Severity.ERROR)
        )


def needed(edges: Graph, address: Address) -> tuple[str, ...]:
    """What an object depends on, as its row has it."""
    return tuple(sorted(str(one) for one in edges.get(address, ())))


class Sharing:
    """Which rows and desired objects share their values: by address, for the kinds whose objects are shared.

    `leaving` are the addresses that the plan removes.
    """

    def __init__(self, context: Context, desired: Iterable[Desired], leaving: Iterable[Address]) -> None:
        touched = set(leaving)
        self._kinds = context.kinds
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._desired: dict[tuple[str, str], list[Desired]] = {}
        self._staying: dict[tuple[str, str], list[Row]] = {}
        self._manifest = context.manifest.name
        for row in (*context.ledger.others, *context.ledger.rows.values()):
            if (value := self.value(row.address)) is not None:
                self._rows.setdefault(value, []).append(row)
        for one in desired:
            touched.add(one.address)
            if (value := self.value(one.address)) is not None:
                self._desired.setdefault(value, []).append(one)
        for value, rows in self._rows.items():
            # Our own rows that the plan leaves alone count as others' do.
            self._staying[value] = [row for row in rows if row.manifest != self._manifest or row.address not in touched]

    def rows(self, address: Address) -> Sequence[Row]:
        """The rows of other manifests, and our other rows, that share the object's values."""
        value = self.value(address)
        same = self._rows.get(value, ()) if value is not None else ()
        return [row for row in same if row.manifest != self._manifest or row.address != address]

    def entries(self, address: Address) -> Mapping[str, frozenset[str]]:
        """By field, the entries of a shared object that rows of others list, or other objects of ours want."""
        value = self.value(address)
        if value is None:
            return {}
        theirs = [row.applied for row in self._staying.get(value, ())]
        ours = [one.fields for one in self._desired.get(value, ()) if one.address != address]
        found: dict[str, frozenset[str]] = {}
        for fields in (*theirs, *ours):
            for name, stated in fields.items():
                found[name] = found.get(name, frozenset()) | frozenset(entries(stated))
        return found

    def value(self, address: Address) -> tuple[str, str] | None:
        """What all who share it name: one object, or the one value behind all objects of the kind."""
        kind = self._kinds.get(address.kind)
        if kind is None or not kind.schema.shared:
            return None
        return address.kind, "" if kind.one_at_a_time else address.name


class _Seen:
    """What was seen, by what it is looked up with."""

    def __init__(self, survey: Survey) -> None:
        context = survey.context
        self.used = _used(survey)
        self.owners = {(row.address.kind, row.id): row.manifest for row in context.ledger.others if row.id}
        self._ids: dict[tuple[str, str], Live] = {}
        self._names: dict[tuple[str, str], list[Live]] = {}
        self._rows: dict[tuple[str, str], list[Address]] = {}
        self._claims: dict[tuple[str, str], Address] = {}
        for name, reading in survey.readings.items():
            for live in reading.lives:
                self._ids[name, live.id] = live
                self._names.setdefault((name, context.kinds[name].key(live.name)), []).append(live)
        for row in context.ledger.rows.values():
            if row.id:
                self._rows.setdefault((row.address.kind, row.id), []).append(row.address)
        for address, one in survey.desired.items():
            kind = context.kinds[address.kind]
            self._claims[address.kind, kind.key(kind.schema.service_name(address.name, one.fields))] = address

    def named(self, kind: Kind, name: str) -> Sequence[Live]:
        """The live objects of a name."""
        return self._names.get((kind.name, kind.key(name)), ())

    def by_id(self, kind: Kind, one: str) -> Live | None:
        """The live object of an id."""
        return self._ids.get((kind.name, one))

    def free(self, kind: Kind, name: str, row: Row | None) -> Sequence[Live]:
        """The live objects of a name that belong to no other address of this manifest."""
        own = row.address if row is not None else None
        return [
            live
            for live in self.named(kind, name)
            if all(address == own for address in self._rows.get((kind.name, live.id), ()))
        ]

    def claimant(self, kind: Kind, name: str) -> Address | None:
        """The address that wants this name in the service."""
        return self._claims.get((kind.name, kind.key(name)))


def _end(lifecycle: Lifecycle) -> tuple[str, bool]:
    return lifecycle.on_remove, lifecycle.prevent_destroy


def _action(owned: bool, found: Sequence[object], why: str) -> Action:
    if why:
        return Action.REPLACE
    if not owned:
        return Action.ADOPT
    return Action.UPDATE if found else Action.NO_OP


def _ours(kind: Kind, row: Row | None, live: Live) -> Row | None:
    """The row with what a write that was never heard of may have left: all of it is ours.

    What the service never shows was sent with all of what was made anew; of a change it is not known to have been sent,
    nor to be still what was sent before. Who adopts does not send it.
    """
    if row is None:
        return None
    if not kind.schema.shared:
        intent = row.intent if row.intent is not None else {}
        adopting = intent.get("action") == Action.ADOPT
        sends = frozenset(entries(intent.get("sends")))
        unsent = frozenset() if adopting else kind.schema.write_only - sends
        meant = {name: value for name, value in row.meant.items() if name not in unsent}
        both = {name: _either(meant.get(name), row.applied.get(name)) for name in {**meant, **row.applied}}
        if _made(kind, row, live):
            sent = {name: value for name, value in row.meant.items() if name in kind.schema.write_only}
            return replace(row, applied={**both, **sent}, fingerprints=row.meant_fingerprints)
        uncertain = {name: _uncertain(both[name]) for name in sends & both.keys()}
        return replace(row, applied={**both, **uncertain})
    applied = dict(row.applied)
    for name, value in row.meant.items():
        rule = kind.schema.rule.member(name)
        if rule.additive:
            applied[name] = list(dict.fromkeys((*entries(applied.get(name)), *entries(value))))
        elif not rule.local and rule.canonical(live.fields.get(name)) == rule.canonical(value):
            applied[name] = value
    return replace(row, applied=applied)


def _either(meant: Json, applied: Json) -> Json:
    """What was applied before, of a map with the keys that a later write meant to add."""
    if isinstance(meant, Mapping) and isinstance(applied, Mapping):
        return {**meant, **applied}
    return meant if applied is None else applied


def _uncertain(value: Json) -> Json:
    """A value of which only the keys are known: equal to none that a manifest may state."""
    return dict.fromkeys(value, "") if isinstance(value, Mapping) else ""


def _made(kind: Kind, row: Row, live: Live) -> bool:
    """Whether `live` is what a write made that was never heard of again: it was not there just before.

    Where objects carry a mark, what has none was made by somebody else.
    """
    if kind.marks or row.intent is None or row.intent.get("action") not in (Action.CREATE, Action.REPLACE):
        return False
    return live.id not in entries(row.intent.get("seen"))


def _used(survey: Survey) -> frozenset[str]:
    """All texts in live objects and in the ledger: an object whose id is among them is in use."""
    rows = (row.applied for row in survey.context.ledger.rows.values())
    lives = (live.fields for reading in survey.readings.values() for live in reading.lives)
    return frozenset(value for fields in (*rows, *lives) for value in fields.values() if isinstance(value, str))


def _removal_edges(removals: Iterable[Address], rows: Iterable[Row]) -> Graph:
    """Removals in reverse: an object goes after those that needed it went or need something else.

    Rows are of different times, and may together say what was never so at any.
    """
    edges: dict[Address, set[Address]] = {address: set() for address in removals}
    for row in rows:
        for text in row.depends_on:
            used = Address.parse(text)
            if used in edges:
                edges[used].add(row.address)
    return without_circles({address: frozenset(after) for address, after in edges.items()})


def _named(value: Value) -> Value:
    return _recorded(value) if not _unknown(value) else value


def _unknown(value: Value) -> bool:
    return any(reference.namespace != "secret" for _, reference in references(value))


def _recorded(value: Value) -> Json:
    if isinstance(value, Template):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _recorded(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_recorded(member) for member in value]
    return value
