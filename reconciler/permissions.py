"""What identities must be allowed for a command on a manifest, out of what its kinds declare.

An identity's needs are rendered as an IAM policy and as a role of OpenSearch Security. Nothing live is looked at.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.kinds._aws import secret_arn
from reconciler.ledger import INDEX
from reconciler.manifest.load import BasicAuth, ManagedSecret, Manifest, Query, SecretSource
from reconciler.manifest.templates import Value, references
from reconciler.model.kind import Grants, Kind, Place
from reconciler.model.objects import Address, Desired
from reconciler.model.request import Service
from reconciler.plan.known import Attributes
from reconciler.plan.survey import stated_place, with_target
from reconciler.references import resolve, resolved
from reconciler.verify.guard import NEEDED
from reconciler.verify.temporary import family

CLUSTER = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:monitor/main",))
"""What every command takes that asks OpenSearch: what it is, and who calls, which needs no action."""

READ_LEDGER = Grants(iam=("es:ESHttpGet",), opensearch=("indices:data/read/search",))
"""What reading the ledger takes, on its index."""

WRITE_LEDGER = Grants(
    iam=("es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut"),
    opensearch=(
        "indices:admin/create", "indices:admin/mapping/put", "indices:data/read/get", "indices:data/write/bulk",
        "indices:data/write/bulk[s]", "indices:data/write/delete", "indices:data/write/index",
    ),
)  # fmt: skip
"""What writing the ledger and its lock takes besides."""

PREDICT = Grants(iam=("es:ESHttpPost",), opensearch=("cluster:admin/opensearch/ml/predict",))
"""What a test query takes that asks a model."""

SEARCH = Grants(iam=("es:ESHttpPost",), opensearch=("indices:data/read/search",))
"""What a test query takes that searches, on what it searches."""

READ_SECRET = "secretsmanager:GetSecretValue"  # noqa: S105  (an action)
ASSUME = "sts:AssumeRole"
_OF_THE_CLUSTER = ("cluster:", "indices:admin/index_template/")
_BULK = "indices:data/write/bulk"
_SIDS: Mapping[str, str] = {ASSUME: "AssumeRoles", "iam:PassRole": "PassRoles", READ_SECRET: "ReadSecrets"}
_SIDS_OF_RESOURCES: Mapping[str, str] = {
    "domain": "Domain",
    "role": "Roles",
    "policy": "Policies",
    "secret": "Secrets",
    "*": "Listings",
}


class Purpose(StrEnum):
    """The commands that permissions are for."""

    DRIFT = "drift"
    PLAN = "plan"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class Wish:
    """What permissions are for: a command, whether the ledger is on the domain, and which of its options are given."""

    purpose: Purpose
    ledger: bool = True
    unmanaged: bool = False
    verify: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """An action to be allowed on a resource: an ARN in IAM, an index in OpenSearch, "" for its cluster."""

    action: str
    resource: str = ""

    @property
    def in_opensearch(self) -> bool:
        """Whether OpenSearch decides about it rather than IAM."""
        return self.action.startswith(("cluster:", "indices:"))


@dataclass(frozen=True, slots=True)
class Needs:
    """What one identity needs. `also_map_to` are security roles of OpenSearch's own, for what no permission is for."""

    permissions: frozenset[Permission] = frozenset()
    also_map_to: frozenset[str] = frozenset()

    @property
    def iam_policy(self) -> Mapping[str, Json] | None:
        """The IAM policy that allows it, None where IAM is not asked."""
        statements = list(_statements(one for one in self.permissions if not one.in_opensearch))
        return {"Version": "2012-10-17", "Statement": statements} if statements else None

    @property
    def opensearch_role(self) -> Mapping[str, Json] | None:
        """The role that allows it, as `PUT _plugins/_security/api/roles/NAME` takes it; None where there is none."""
        own = sorted(one for one in self.permissions if one.in_opensearch)
        if not own:
            return None
        on_indices = _together(one for one in own if one.resource)
        return {
            "cluster_permissions": [one.action for one in own if not one.resource],
            "index_permissions": [
                {"index_patterns": indices, "allowed_actions": actions} for indices, actions in on_indices
            ],
        }


@dataclass(frozen=True, slots=True)
class Needed:
    """What all identities need: the caller, the roles that sign in its place by their ARNs, whoever becomes the caller.

    `first` is for whoever assumes `target.aws.assume_role`, None where that is not stated; `notes` are what can not be
    told.
    """

    caller: Needs
    signers: Mapping[str, Needs] = field(default_factory=dict)
    first: Needs | None = None
    notes: tuple[str, ...] = ()


_Where: TypeAlias = Callable[[str], Iterable[str]]
"""What an action is to be allowed on."""


def needed(wish: Wish, manifest: Manifest, desired: Mapping[Address, Desired], kinds: Mapping[str, Kind]) -> Needed:
    """What the identities that take part in a command need, as far as the manifest tells. `*` is what it does not."""
    stated = stated_place(manifest.target)
    place = replace(
        stated, region=stated.region or "*", account_id=stated.account_id or "*", domain=stated.domain or "*"
    )
    targeted = {address: with_target(one, place) for address, one in desired.items()}
    known = Attributes(kinds, place, targeted)
    objects = [resolved(one, known.lookup) for one in targeted.values()]
    needs = _Needing(wish, manifest, kinds, place, known)
    signers: dict[str, list[Needs]] = defaultdict(list)
    for one in objects:
        for signer in kinds[one.address.kind].signers(one.fields) if wish.purpose is not Purpose.DRIFT else ():
            signers[signer] += needs.of_signer(one)
    aws = manifest.target.aws
    return Needed(
        _all([*needs.of_command(), *needs.of_objects(objects)]),
        {signer: _all(parts) for signer, parts in sorted(signers.items())},
        Needs(frozenset({Permission(ASSUME, aws.assume_role)})) if aws is not None and aws.assume_role else None,
        tuple(needs.notes()),
    )


@dataclass(frozen=True)
class _Needing:
    """The parts of what is needed, each by itself."""

    wish: Wish
    manifest: Manifest
    kinds: Mapping[str, Kind]
    place: Place
    known: Attributes

    def of_command(self) -> Iterator[Needs]:
        """What the caller needs whatever the objects are."""
        if self.manifest.target.opensearch is not None:
            yield self._allowed(CLUSTER, self._on())
            if self.wish.ledger:
                yield self._allowed(READ_LEDGER, self._on(INDEX))
            if self.wish.ledger and self.wish.purpose is Purpose.APPLY:
                yield self._allowed(WRITE_LEDGER, self._on(INDEX))
        if self.wish.unmanaged:
            yield from self._of_listings()
        if self.wish.purpose is Purpose.APPLY and self.wish.verify:
            yield from self._of_queries()

    def of_objects(self, objects: Sequence[Desired]) -> Iterator[Needs]:
        """What the caller needs for the manifest's objects, and for the secrets in them."""
        for one in objects:
            kind, where = self.kinds[one.address.kind], self._where(one)
            yield self._allowed(kind.to_read, where)
            if self.wish.purpose is Purpose.DRIFT:
                yield from self._of_mentions(one)
                continue
            yield self._allowed(kind.to_plan, where)
            if self.wish.purpose is Purpose.APPLY and not kind.signers(one.fields):
                yield self._allowed(kind.to_write, where)
        yield from self._of_secrets({name for one in objects for name in one.secrets})

    def of_signer(self, one: Desired) -> Iterator[Needs]:
        """What a role needs that an object is written as: it also sees what the caller may not be shown."""
        kind, where = self.kinds[one.address.kind], self._where(one)
        yield self._allowed(kind.to_read, where)
        if self.wish.purpose is Purpose.APPLY:
            yield self._allowed(kind.to_write, where)

    def notes(self) -> Iterator[str]:
        """What the manifest does not tell."""
        for query in self._queries():
            if query.kind == "raw":
                asked = f"{_method(query)} {query.body.get('path', '/')}"
                yield f"verify.queries.{query.name} asks {asked}, which has to be allowed, too"

    def _where(self, one: Desired) -> _Where:
        kind = self.kinds[one.address.kind]
        name = kind.schema.service_name(one.address.name, one.fields)
        return lambda action: kind.resources(action, name, one.fields, self.place)

    def _on_all(self, kind: Kind) -> _Where:
        return lambda action: kind.resources(action, "*", {}, self.place)

    def _on(self, *indices: str) -> _Where:
        return lambda action: (f"{self.place.domain_arn}/*",) if action.startswith("es:") else indices

    def _allowed(self, grants: Grants, where: _Where) -> Needs:
        # Who comes with a name and a password is unknown to IAM.
        iam = [action for action in grants.iam if self.place.signs or not action.startswith("es:")]
        found = {Permission(action, one) for action in iam for one in where(action)}
        for action in grants.opensearch:
            on: Iterable[str] = ("",) if action == _BULK or action.startswith(_OF_THE_CLUSTER) else where(action)
            found |= {Permission(action, one) for one in on}
        return Needs(frozenset(found), frozenset({self.place.security_rest_role} if grants.security_rest else ()))

    def _of_mentions(self, one: Desired) -> Iterator[Needs]:
        """Drift looks whether what an object names by its ARN is there."""
        if self.manifest.target.aws is None:
            return
        for mention in self.kinds[one.address.kind].mentions(one.fields, self.place):
            kind, entry = self.kinds[mention.kind], mention.entry
            listed = {action for action in kind.to_read.iam if "*" in kind.resources(action, entry, {}, self.place)}
            yield Needs(frozenset(Permission(one, "*" if one in listed else entry) for one in kind.to_read.iam))

    def _of_listings(self) -> Iterator[Needs]:
        target = self.manifest.target
        for kind in self.kinds.values():
            there = target.opensearch if kind.service is Service.OPENSEARCH else target.aws
            if kind.lists and there is not None:
                yield self._allowed(kind.to_list or kind.to_read, self._on_all(kind))

    def _of_secrets(self, names: Iterable[str]) -> Iterator[Needs]:
        target = self.manifest.target.opensearch
        sources: list[SecretSource | None] = [self.manifest.secrets.get(name) for name in names]
        if target is not None and isinstance(target.auth, BasicAuth):
            sources.append(target.auth.password)
        for source in sources:
            if isinstance(source, ManagedSecret):
                secret = source.secret_id
                arn = secret if secret.startswith("arn:") else secret_arn(secret, self.place)
                yield Needs(frozenset({Permission(READ_SECRET, arn)}))

    def _queries(self) -> Sequence[Query]:
        return self.manifest.verify if self.wish.purpose is Purpose.APPLY and self.wish.verify else ()

    def _of_queries(self) -> Iterator[Needs]:
        for query in self._queries():
            if query.kind == "predict":
                yield self._allowed(PREDICT, self._on())
            elif query.kind == "raw":
                yield self._allowed(Grants(iam=(f"es:ESHttp{_method(query).capitalize()}",)), self._on())
            elif "documents" in query.body:
                yield self._allowed(NEEDED, self._on(f"{family(self.manifest.name)}*"))
            else:
                searched = str(resolve(query.body.get("index", "*"), self.known.lookup)).split(",")
                yield self._allowed(SEARCH, self._on(*searched))
            if self._asks_a_model(query.body.get("pipeline")):
                yield self._allowed(PREDICT, self._on())

    def _asks_a_model(self, pipeline: Value) -> bool:
        """Whether a search pipeline of the manifest's own has a model in it."""
        name = resolve(pipeline, self.known.lookup)
        return any(
            reference.namespace == "models"
            for one in self.manifest.objects
            if one.kind == "search_pipelines" and one.name == name
            for _, reference in references(one.fields)
        )


def _method(query: Query) -> str:
    return str(query.body.get("method", "GET"))


def _all(parts: Iterable[Needs]) -> Needs:
    found = list(parts)
    permissions = frozenset(permission for one in found for permission in one.permissions)
    return Needs(permissions, frozenset(role for one in found for role in one.also_map_to))


def _together(permissions: Iterable[Permission]) -> list[tuple[list[str], list[str]]]:
    """Resources on which the same is allowed, and the actions that are."""
    actions: dict[str, set[str]] = defaultdict(set)
    for one in permissions:
        actions[one.resource].add(one.action)
    resources: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for resource in sorted(actions):
        resources[tuple(sorted(actions[resource]))].append(resource)
    return [(same, list(allowed)) for allowed, same in resources.items()]


def _statements(permissions: Iterable[Permission]) -> Iterator[Mapping[str, Json]]:
    sections: dict[str, list[Permission]] = defaultdict(list)
    for one in permissions:
        sections[_SIDS.get(one.action) or _SIDS_OF_RESOURCES[_kind_of(one.resource)]].append(one)
    for sid, section in sorted(sections.items()):
        for number, (resources, actions) in enumerate(_together(section), 1):
            name = sid if number == 1 else f"{sid}{number}"
            yield {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}


def _kind_of(arn: str) -> str:
    """The kind of what an ARN names: `role`, `secret`; `*` of `*`."""
    return arn if arn == "*" else arn.split(":")[5].partition("/")[0]
