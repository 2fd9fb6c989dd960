"""The contract of a kind: what to send, said as steps. The engine does everything else."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.change import Change, FieldChange
from reconciler.model.membership import Membership, complete, entries, membership
from reconciler.model.objects import Address, Desired, Live, Row, Sought
from reconciler.model.request import Answer, Request, Service
from reconciler.model.schema import Schema
from reconciler.model.steps import Steps


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects live: what kinds and `${target.x}` may know of account and domain."""

    region: str = ""
    account_id: str = ""
    partition: str = "aws"
    domain: str = ""
    endpoint: str = ""
    managed: bool = False  # Amazon OpenSearch Service rather than a cluster of one's own
    version: str = ""  # of OpenSearch, as it says itself; "" while it was not asked
    signs: bool = False  # requests to the domain are signed as the AWS caller, not sent with a name and a password
    sees_all: bool = True  # nobody's objects are hidden from the caller

    @property
    def domain_arn(self) -> str:
        """The ARN of the domain, "" when account, region or domain are not known."""
        if not (self.region and self.account_id and self.domain):
            return ""
        return f"arn:{self.partition}:es:{self.region}:{self.account_id}:domain/{self.domain}"

    @property
    def self_managed(self) -> bool:
        """Whether it is a cluster of one's own, as far as its address tells."""
        return bool(self.endpoint) and not self.managed

    @property
    def security_rest_role(self) -> str:
        """The least security role that may use the Security REST API."""
        return "security_manager" if self.managed else "security_rest_api_access"

    def since(self, major: int, minor: int) -> bool:
        """Whether OpenSearch is known to be of this version or a later one."""
        return bool(self.version) and self._number >= (major, minor)

    def before(self, major: int, minor: int) -> bool:
        """Whether OpenSearch is known to be older than this version."""
        return bool(self.version) and self._number < (major, minor)

    @property
    def _number(self) -> tuple[int, int]:
        major, _, rest = self.version.partition(".")
        minor = rest.partition(".")[0].partition("-")[0]
        return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the tool is: its ARN and account in AWS, its name and roles in OpenSearch; "" where unknown."""

    arn: str = ""
    account: str = ""
    user: str = ""
    roles: tuple[str, ...] = ()
    backend_roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a kind found: all live objects that match, and why some could not be read, by id or name.

    `hidden` says why others that match may be there all the same, "" where none can be.
    """

    lives: tuple[Live, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What is known of an object once it was written: its id and the attributes others may refer to."""

    id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind is told when it has to write one object.

    `name` is the service's name; `fields` are the desired fields, references filled in, secrets still as
    templates; `changed` are the top-level fields that differ; `mark` is the ownership mark to put on objects that
    can carry one; `others` are, by field, the entries of shared values that others count on (a field they state
    without entries is there too); `users` are the ids of the manifest's own objects that use it, where it is to be
    edited although it is in use; `patience` is how many seconds a role may take to become assumable, `grace` how many
    a refusal is waited out because rights were changed just before.
    """

    address: Address
    name: str
    place: Place
    fields: Mapping[str, Value] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    live: Live | None = None
    row: Row | None = None
    mark: str = ""
    others: Mapping[str, frozenset[str]] = field(default_factory=dict)
    users: frozenset[str] = frozenset()
    patience: float = 120.0
    grace: float = 0.0

    def membership(self, name: str, live: Iterable[str], desired: Iterable[str]) -> Membership:
        """Which entries of one shared list to add and which to remove."""
        if self.fields.get("membership") == "exclusive":
            return complete(live, desired)
        applied = entries(self.row.applied.get(name)) if self.row else ()
        prior = entries((self.row.prior or {}).get(name)) if self.row else ()
        return membership(live, desired, applied, prior, self.others.get(name, frozenset()))


@dataclass(frozen=True, slots=True)
class Proof:
    """How to show that a new object works before those who use the old one are pointed at it.

    `name` is that of whatever is made for it and removed again; `id` is the new object's; `user` is one of those that
    will use it; `question` is the body of a query of the manifest's own to one of them, None where it has none.
    """

    name: str
    id: str
    user: Live
    place: Place
    question: Value = None


class NotProved(Exception):
    """A new object does not work, so that nobody was pointed at it and it is gone again. `why` is what came of it."""

    def __init__(self, why: Exception) -> None:
        super().__init__(f"the new one does not work: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Grants:
    """What an identity must be allowed: IAM actions, OpenSearch actions, and whether the Security REST API.

    What the actions are to be allowed on says `Kind.resources`.
    """

    iam: tuple[str, ...] = ()
    opensearch: tuple[str, ...] = ()
    security_rest: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a path inside an object: a problem's code, what it is, what to do."""

    code: str
    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Mention:
    """An entry of a list that names an object of another kind: the field, the entry, that kind and its object's name.

    The entry is the other object's ARN.
    """

    field: str
    entry: str
    kind: str
    name: str


class Siblings:
    """The objects of a manifest, by kind, and by what their lists name."""

    def __init__(self, desired: Iterable[Desired]) -> None:
        self._kinds: dict[str, list[Desired]] = {}
        self._listing: dict[tuple[str, str], dict[str, list[Desired]]] = {}
        for one in desired:
            self._kinds.setdefault(one.address.kind, []).append(one)

    def of(self, kind: str) -> Sequence[Desired]:
        """All objects of a kind."""
        return self._kinds.get(kind, ())

    def listing(self, kind: str, field: str, entry: str) -> Sequence[Desired]:
        """The objects of a kind that name `entry` in the list `field`."""
        if (kind, field) not in self._listing:
            found = self._listing[kind, field] = {}
            for one in self.of(kind):
                for listed in entries(one.fields.get(field)):
                    found.setdefault(listed, []).append(one)
        return self._listing[kind, field].get(entry, ())


class Kind(ABC):
    """One kind of object. A kind yields requests and never sends them; it holds no state."""

    service: ClassVar[Service] = Service.OPENSEARCH
    """Who keeps its objects."""

    marks: ClassVar[bool] = False
    """Whether its objects carry the ownership mark themselves, so that it says whose they are."""

    settles: ClassVar[bool] = False
    """Whether whatever is read may show an object as it was a moment ago, so that it has to be read again later."""

    lists: ClassVar[bool] = False
    """Whether what `everything` names can be somebody's or nobody's, each by the service's name, so that it is counted
    how much of it manifests own."""

    one_at_a_time: ClassVar[bool] = False
    """Whether its objects share a value that is read, changed and written as a whole, so that two must not meet."""

    lags: ClassVar[bool] = False
    """Whether `read` may show an object as it was a moment ago, which `look` by its id never does."""

    hides: ClassVar[bool] = False
    """Whether the service may hide its objects from those who do not see all."""

    at_once: ClassVar[int] = 0
    """How many of its objects may be worked on at the same time; 0 is as many as there are."""

    entitles: ClassVar[bool] = False
    """Whether its objects decide what others may do, which the services take a while to know."""

    replaceable: ClassVar[bool] = True
    """Whether a new object can be made while the old one is there."""

    proves: ClassVar[bool] = False
    """Whether an object of it, made for a moment, shows that what its like use works: it has `prove` and `unprove`."""

    to_read: ClassVar[Grants] = Grants()
    """What `read` and `look` take, which is all that drift does."""

    to_plan: ClassVar[Grants] = Grants()
    """What a plan takes besides, to see what the service hides from the caller."""

    to_list: ClassVar[Grants | None] = None
    """What `everything` takes, None where that is what `read` does."""

    to_write: ClassVar[Grants] = Grants()
    """What writing takes besides, of whoever signs: see `signers`."""

    answers: ClassVar[Mapping[str, Json]] = {}
    """By operation, the body of a successful answer, for `plan --calls`."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @property
    def name(self) -> str:
        """The kind's name, which is its section in a manifest."""
        return self.schema.kind

    @abstractmethod
    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        """All live objects that have a sought id or a sought name, in as few requests as the service allows."""

    def look(self, sought: Sought, place: Place) -> Steps[Reading]:
        """One object, read in the way that is never stale."""
        return self.read([sought], place)

    def everything(self, place: Place) -> Steps[Reading]:
        """All objects there are, whoever made them, as far as names, ids, marks and guards go."""
        yield from ()
        return Reading()

    @abstractmethod
    def create(self, work: Work) -> Steps[Made]:
        """Make the object. Nobody made it before: the caller has looked."""

    @abstractmethod
    def update(self, work: Work) -> Steps[Made]:
        """Bring `work.live` to `work.fields`; only `work.changed` differ."""

    @abstractmethod
    def delete(self, work: Work) -> Steps[None]:
        """Remove `work.live`, or for shared objects what `work.row` says is ours in it."""

    def release(self, work: Work) -> Steps[None]:
        """Take our mark off `work.live`, which is left as it is."""
        yield from ()

    def prove(self, proof: Proof) -> Steps[None]:
        """Use the new object as `proof.user` will, by another like it that is removed again, come what may."""
        yield from ()

    def unprove(self, name: str, place: Place) -> Steps[None]:
        """Remove what a proof of that name left because it was cut short."""
        yield from ()

    def key(self, name: str) -> str:
        """What tells two names apart: the service takes names of equal keys for the same."""
        return name

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """What is wrong with desired fields beyond what the schema can say, as far as the manifest alone tells.

        `place` is what the manifest's target says of it.
        """
        return ()

    def unfit(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """What of fields that are to be sent the domain refuses, by its version. The plan stops at it."""
        return ()

    def remade(self, changes: Iterable[FieldChange], fields: Mapping[str, Value], place: Place) -> str:
        """Why differences need a new object where the schema does not say so, "" where an update makes them.

        `fields` are the desired ones.
        """
        return ""

    def refused(self, changes: Iterable[FieldChange], live: Live) -> Iterable[Fault]:
        """Which differences no update can make, where a new object must not take the place of `live`, which is there.

        The plan stops at them; `path` is the difference's.
        """
        return ()

    def attributes(self, name: str, fields: Mapping[str, Value], place: Place) -> Mapping[str, str]:
        """The attributes that are known before the object exists."""
        return {}

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        """What an action of its grants is to be allowed on, for the object of the service's `name` with these fields.

        ARNs for IAM's actions, names of indices for those of OpenSearch that are about indices, nothing where it is
        the cluster. `place` has `*` where it is not known.
        """
        return (f"{place.domain_arn}/*",) if action.startswith("es:") else ()

    def signers(self, fields: Mapping[str, Value]) -> tuple[str, ...]:
        """The ARNs of the roles that an object with these fields is written as, instead of as the caller."""
        return ()

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """What `desired` needs that its references do not say. `others` are all objects of the manifest."""
        return ()

    def shuts_out(self, change: Change, caller: Caller) -> str:
        """How a change of one of its objects takes the caller's own access away, "" where it does not."""
        return ""

    def mentions(self, fields: Mapping[str, Value], place: Place) -> Iterable[Mention]:
        """The objects of other kinds that an object with these fields names by their ARNs."""
        return ()

    def orphans(self, live: Live) -> Iterable[tuple[str, str]]:
        """What the object itself shows to be left of others that are gone: the field, and the entry in it."""
        return ()

    def withheld(self, live: Live, place: Place) -> Mapping[str, Sequence[str]]:
        """What the service never shows of an object: by field, the keys in it, none where it is one text."""
        return dict.fromkeys(sorted(self.schema.write_only), ())

    def automatic(self, live: Live) -> frozenset[str]:
        """The fields that the service filled in by itself where nobody may state them."""
        return frozenset()

    def undeployed(self, change: FieldChange) -> bool:
        """Whether a difference from what was applied means that the object stopped serving."""
        return False

    def prior(self, live: Live, fields: Iterable[str], elders: Sequence[Row] = ()) -> Mapping[str, Json] | None:
        """For shared kinds: the values of `fields` to go back to when we leave; None when it was not there.

        `elders` are the rows that share the object already: what is there by their hand was not there before.
        """
        if any(row.prior is None for row in elders):
            return None
        return {name: self.before(name, live.fields.get(name), elders) for name in fields}

    def before(self, name: str, value: Json, elders: Sequence[Row]) -> Json:
        """A field's value as it was before the `elders` came."""
        rule = self.schema.rule.member(name)
        for row in elders:
            applied, prior = row.applied.get(name), (row.prior or {}).get(name)
            if rule.additive and value is not None:
                added = set(entries(applied)) - set(entries(prior))
                value = [entry for entry in entries(value) if entry not in added]
            elif applied is not None and rule.canonical(applied) == rule.canonical(value):
                value = prior
        return value

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        """The answer of a service that does as it is told, for `plan --calls`.

        `live` is the object at work, `before` are the requests sent for it so far.
        """
        return Answer(200, self.answers.get(request.operation, {}))
