"""Deciding: from what was seen to a plan. Pure: the same survey gives the same plan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.canonical.json import Json
from reconciler.diff import Versions, differences, replacement
from reconciler.errors import Problem, Severity
from reconciler.manifest.load import Lifecycle
from reconciler.manifest.templates import Reference, Template, Value, references
from reconciler.model.change import Action, Change, FieldChange
from reconciler.model.kind import Kind, Place, Reading
from reconciler.model.membership import entries
from reconciler.model.objects import Address, Desired, Live, Row
from reconciler.model.schema import is_known
from reconciler.plan.plan import Context, Plan
from reconciler.plan.preflight import missing_grants
from reconciler.plan.safety import lockout, too_many_deletes
from reconciler.plan.survey import Survey
from reconciler.references import Graph, graph, ordered, resolve


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


def decide(survey: Survey, permissions: Permissions = Permissions()) -> Plan:
    """The plan that brings what is live to what is desired, with everything that stands in its way."""
    decision = _Decision(survey, permissions)
    context = survey.context
    edges = graph(survey.desired, context.kinds)
    changes = [decision.change(survey.desired[address]) for address in ordered(edges)]
    gone = [row for row in context.ledger.rows.values() if row.address not in survey.desired]
    removals = [decision.removal(row) for row in gone if permissions.only is None or row.address in permissions.only]
    back = _removal_edges(removals, context.ledger.rows.values())
    removed = [change for address in ordered(back) for change in removals if change.address == address]
    plan = Plan(context, (*changes, *removed), {**edges, **back}, decision.problems, survey.objects)
    found = [*plan.problems, *missing_grants(plan)]
    found += [] if permissions.max_deletes is None else too_many_deletes(plan, permissions.max_deletes)
    found += [] if permissions.allow_lockout else lockout(plan)
    return replace(plan, problems=found)


def recorded(fields: Mapping[str, Value]) -> Mapping[str, Json]:
    """Fields as the ledger keeps them: secrets by name."""
    return {name: _recorded(value) for name, value in fields.items()}


def secrets_of(fields: Mapping[str, Value]) -> list[str]:
    """The names of the secrets in `fields`."""
    return sorted({reference.name for _, reference in references(fields) if reference.namespace == "secret"})


class Attributes:
    """What references to objects are worth, as far as it is known. Filled in as objects are seen or made."""

    def __init__(self, kinds: Mapping[str, Kind], place: Place, desired: Mapping[Address, Desired]) -> None:
        self._desired = desired
        self._made: dict[Address, Mapping[str, str]] = {}
        for address, one in desired.items():
            kind = kinds[address.kind]
            self._made[address] = kind.attributes(kind.schema.service_name(address.name, one.fields), one.fields, place)

    def learn(self, address: Address, attributes: Mapping[str, str]) -> None:
        """Take what became known of an object."""
        self._made[address] = {**self._made.get(address, {}), **attributes}

    def lookup(self, reference: Reference) -> str | None:
        """The value of a reference to an object, or None while it is not known."""
        address = Address(reference.namespace, reference.name)
        known = self._made.get(address, {}).get(reference.attribute)
        if known is not None or address not in self._desired:
            return known
        stated = resolve(self._desired[address].fields.get(reference.attribute), self.lookup)
        return stated if isinstance(stated, str) else None


class _Decision:
    """One pass over the objects in dependency order: what is known grows with every object decided."""

    def __init__(self, survey: Survey, permissions: Permissions) -> None:
        self.problems: list[Problem] = []
        self._survey = survey
        self._context = survey.context
        self._permissions = permissions
        self._attributes = Attributes(survey.context.kinds, survey.context.place, survey.desired)
        self._used = _used(survey)

    def change(self, desired: Desired) -> Change:
        """What has to be done about one object of the manifest."""
        address = desired.address
        kind = self._context.kinds[address.kind]
        row = self._context.ledger.rows.get(address)
        fields = {name: resolve(value, self._attributes.lookup) for name, value in desired.fields.items()}
        desired = replace(desired, fields=fields)
        live = self._find(kind, desired, row)
        if live is None:
            return self._creation(desired, row)
        row = _ours(kind, row, live)
        owned = self._owned(kind, live, row)
        if not owned and not self._may_take(kind, desired, live):
            return Change(address, Action.NO_OP, reason="not ours", desired=desired, live=live)
        versions = self._versions(kind, fields, live, row if owned else None, address)
        found = differences(kind.schema, versions, desired.lifecycle.ignore)
        why = replacement(kind.schema, found, fields)
        if found and not why and kind.schema.replaced_in_use and live.id in self._used:
            why = "it is in use, and a connector in use is not edited"
        if not why:
            self._attributes.learn(address, live.attributes)
        action = _action(owned, found, why)
        if action is Action.REPLACE and desired.lifecycle.prevent_destroy:
            self._complain("prevented", desired, f"it would be replaced: {why}", "remove prevent_destroy to allow it")
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
            notes=self._notes(kind, desired, live, found),
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
        live = self._find(kind, None, row)
        if live is None:
            return Change(row.address, Action.FORGET, reason="it is gone already", row=row)
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
        nothing: Mapping[str, Value] = {}
        leaving = self._versions(kind, nothing, live, row, row.address)
        found = differences(kind.schema, leaving) if kind.schema.shared else ()
        return Change(row.address, Action.DELETE, found, reason, live=live, row=row)

    def _find(self, kind: Kind, desired: Desired | None, row: Row | None) -> Live | None:
        reading = self._survey.readings.get(kind.name, Reading())
        if row is not None and row.id and row.id in reading.unreadable:
            self.problems.append(
                Problem(
                    "unreadable",
                    f"the object with id {row.id} can not be read: {reading.unreadable[row.id]}",
                    desired.position if desired else None,
                    str(row.address),
                    "run as an identity that may read it; it is not made again",
                )
            )
            return None
        name = kind.schema.service_name(desired.address.name, desired.fields) if desired else (row.name if row else "")
        if not kind.schema.server_made_ids:
            return next((live for live in reading.lives if live.name.casefold() == name.casefold()), None)
        free = [live for live in reading.lives if not self._another_ours(kind, live, row)]
        named = [live for live in free if live.name == name]
        made = [live for live in free if row is not None and live.name in (name, row.name) and _made(row, live)]
        if made:
            return self._only(made, desired, str(row.address) if row else "")
        if row is not None and row.id:
            by_id = next((live for live in reading.lives if live.id == row.id), None)
            if by_id is not None or desired is None:
                return by_id
        return self._only(named, desired, str(desired.address)) if named and desired is not None else None

    def _only(self, lives: Sequence[Live], desired: Desired | None, address: str) -> Live:
        if len(lives) > 1:
            listed = ", ".join(live.id for live in lives)
            message = f"{len(lives)} objects are called {lives[0].name!r}: {listed}"
            position = desired.position if desired else None
            self.problems.append(Problem("ambiguous", message, position, address, "remove or rename all but one"))
        return lives[0]

    def _namesakes(self, kind: Kind, desired: Desired) -> tuple[str, ...]:
        name = kind.schema.service_name(desired.address.name, desired.fields)
        reading = self._survey.readings.get(kind.name, Reading())
        return tuple(live.id for live in reading.lives if kind.schema.server_made_ids and live.name == name)

    def _another_ours(self, kind: Kind, live: Live, row: Row | None) -> bool:
        """Whether an id belongs to another address of this manifest."""
        rows = self._context.ledger.rows.values()
        return any(
            other.id == live.id and other.address.kind == kind.name and (row is None or other.address != row.address)
            for other in rows
        )

    def _owned(self, kind: Kind, live: Live, row: Row | None) -> bool:
        if kind.schema.shared:
            return True
        if live.mark:
            manifest, _, ledger = live.mark.partition("/")
            return manifest == self._context.manifest.name and ledger in (self._context.ledger.id or ledger,)
        if row is None:
            return False
        return _made(row, live) or (bool(row.id) and row.id == live.id)

    def _may_take(self, kind: Kind, desired: Desired, live: Live) -> bool:
        owner = live.mark.partition("/")[0] or next(
            (
                row.manifest
                for row in self._context.ledger.others
                if row.address.kind == kind.name and row.id and row.id == live.id
            ),
            "",
        )
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
        reason = "it is gone" if row is not None and row.intent is None else ""
        namesakes = self._namesakes(self._context.kinds[desired.address.kind], desired)
        return Change(
            desired.address, Action.CREATE, found, reason, desired, None, row, record=True, namesakes=namesakes
        )

    def _versions(
        self, kind: Kind, fields: Mapping[str, Value], live: Live, row: Row | None, address: Address
    ) -> Versions:
        applied = row.applied if row is not None and row.applied else None
        prior = (row.prior or {}) if row is not None else {}
        rotated = frozenset(name for name in secrets_of(fields) if name in self._survey.rotated)
        return Versions(
            fields,
            live.fields,
            applied,
            prior,
            others_entries(self._context, address, self._survey.desired.values()),
            rotated,
        )

    def _outdated(self, desired: Desired, live: Live, row: Row | None) -> bool:
        if row is None or row.intent is not None or row.id != live.id:
            return True
        if not all(is_known(_named(value)) for value in desired.fields.values()):
            return True
        if _end(row.lifecycle) != _end(desired.lifecycle):
            return True
        return row.applied != recorded(desired.fields) or bool(set(secrets_of(desired.fields)) - set(row.fingerprints))

    def _notes(self, kind: Kind, desired: Desired, live: Live, found: Sequence[FieldChange]) -> tuple[str, ...]:
        notes = []
        unread = sorted(set(secrets_of(desired.fields)) & self._survey.unread)
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


def others_entries(context: Context, address: Address, desired: Iterable[Desired]) -> Mapping[str, frozenset[str]]:
    """By field, the entries of a shared object that other manifests' rows list, or other objects of ours want."""
    theirs = [row.applied for row in context.ledger.others if _meets(context, row.address, address)]
    ours = [one.fields for one in desired if one.address != address and _meets(context, one.address, address)]
    found: dict[str, frozenset[str]] = {}
    for fields in (*theirs, *ours):
        for name, value in fields.items():
            found[name] = found.get(name, frozenset()) | frozenset(entries(value))
    return found


def sharing(context: Context, address: Address) -> Sequence[Row]:
    """The rows of other manifests, and our other rows, that share the object's values."""
    ours = (row for row in context.ledger.rows.values() if row.address != address)
    return [row for row in (*context.ledger.others, *ours) if _meets(context, row.address, address)]


def _meets(context: Context, one: Address, other: Address) -> bool:
    return one.kind == other.kind and (context.kinds[one.kind].one_at_a_time or one.name == other.name)


def _end(lifecycle: Lifecycle) -> tuple[str, bool]:
    return lifecycle.on_remove, lifecycle.prevent_destroy


def _action(owned: bool, found: Sequence[FieldChange], why: str) -> Action:
    if why:
        return Action.REPLACE
    if not owned:
        return Action.ADOPT
    return Action.UPDATE if found else Action.NO_OP


def _ours(kind: Kind, row: Row | None, live: Live) -> Row | None:
    """The row with what a write that was never heard of may have left: all of it is ours.

    What the service never shows is not known to have been sent.
    """
    if row is None:
        return None
    if not kind.schema.shared:
        meant = {name: value for name, value in row.meant.items() if name not in kind.schema.write_only}
        return replace(row, applied={**meant, **row.applied})
    applied = dict(row.applied)
    for name, value in row.meant.items():
        rule = kind.schema.rule.member(name)
        if rule.additive:
            applied[name] = list(dict.fromkeys((*entries(applied.get(name)), *entries(value))))
        elif not rule.local and rule.canonical(live.fields.get(name)) == rule.canonical(value):
            applied[name] = value
    return replace(row, applied=applied)


def _made(row: Row, live: Live) -> bool:
    """Whether `live` is what a write made that was never heard of again: it was not there just before."""
    if row.intent is None or row.intent.get("action") not in (Action.CREATE, Action.REPLACE):
        return False
    return live.id not in entries(row.intent.get("seen"))


def _used(survey: Survey) -> frozenset[str]:
    """All texts in live objects and in the ledger: an object whose id is among them is in use."""
    rows = (row.applied for row in survey.context.ledger.rows.values())
    lives = (live.fields for reading in survey.readings.values() for live in reading.lives)
    return frozenset(value for fields in (*rows, *lives) for value in fields.values() if isinstance(value, str))


def _removal_edges(removals: Iterable[Change], rows: Iterable[Row]) -> Graph:
    """Removals in reverse: an object goes after those that needed it went or need something else."""
    edges: dict[Address, set[Address]] = {change.address: set() for change in removals}
    for row in rows:
        for text in row.depends_on:
            needed = Address.parse(text)
            if needed in edges:
                edges[needed].add(row.address)
    return {address: frozenset(after) for address, after in edges.items()}


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
