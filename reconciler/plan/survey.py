"""Looking: who calls, what answers, what the ledger says, and what is live. Nothing here writes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlsplit

from reconciler import ledger as ledger_store
from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.ledger import Ledger
from reconciler.manifest.load import Manifest, OpenSearchTarget, SigV4Auth, Target
from reconciler.manifest.templates import Reference, Value
from reconciler.model.kind import Caller, Kind, Place, Reading
from reconciler.model.objects import Address, Desired, Row, Sought
from reconciler.model.request import Request, Service
from reconciler.model.steps import Failed, Steps, call
from reconciler.plan import mapped
from reconciler.plan.known import Attributes
from reconciler.plan.mapped import Mapped
from reconciler.plan.moves import read_ledger
from reconciler.plan.plan import Cluster, Context
from reconciler.plan.secrets import Secrets
from reconciler.references import place_value, resolved
from reconciler.runner import Flow, Runner

T = TypeVar("T")
_MAPPED = "mapped"  # among what is read; no kind is called so
_SERVICE = re.compile(r"\.es\.amazonaws\.com(\.cn)?$|\.aos\.[a-z0-9-]+\.on\.aws$")
"""How the hosts of Amazon OpenSearch Service's own endpoints end."""

_ADMIN = "all_access"  # the security role that ML Commons hides nothing from

_TARGET_NEEDS = {
    "domain_arn": "target.opensearch.domain, and target.aws",
    "endpoint": "target.opensearch.endpoint",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen: the context, the desired objects, per kind what was read, the fingerprints of secrets.

    `fingerprints` are those that secrets have now, by name, as far as the ledger has any to compare them with and they
    could be read. `mapped` are the live mappings of security roles, None where nobody had to know them or may.
    """

    context: Context
    desired: Mapping[Address, Desired]
    readings: Mapping[str, Reading]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    mapped: Mapped | None = None

    @property
    def objects(self) -> int:
        """How many live objects were read."""
        return sum(len(reading.lives) for reading in self.readings.values())


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at: a manifest, its kinds, the region the environment gives, and the secrets."""

    manifest: Manifest
    kinds: Mapping[str, Kind]
    region: str = ""
    secrets: Secrets = field(default_factory=lambda: Secrets({}, {}))


def desired_objects(manifest: Manifest, kinds: Mapping[str, Kind]) -> dict[Address, Desired]:
    """The manifest's objects, each with the service's name filled in where the manifest leaves it to the address."""
    objects: dict[Address, Desired] = {}
    for one in manifest.objects:
        schema = kinds[one.kind].schema
        named: dict[str, Value] = {schema.name_field: one.name} if schema.name_field else {}
        address = Address(one.kind, one.name)
        objects[address] = Desired(
            address=address,
            fields={**named, **one.fields},
            depends_on=frozenset(Address.parse(text) for text in one.depends_on),
            adopt=one.adopt,
            lifecycle=one.lifecycle,
            position=one.position,
        )
    return objects


def introduce(runner: Runner, question: Question) -> Context:
    """Who calls, what answers, and what the ledger says: one round of requests, side by side.

    Who the caller is to the Security plugin is left for `acquainted`.
    """
    target = question.manifest.target
    flows: list[Flow[str, object]] = []
    if target.aws is not None:
        flows.append(Flow("caller", _caller()))
    if target.opensearch is not None:
        flows.append(Flow("cluster", find_cluster()))
    flows.append(Flow("ledger", read_ledger(question.manifest, question.kinds)))
    seen = _results(runner, flows)
    caller, cluster, found = seen.get("caller", Caller()), seen.get("cluster", Cluster()), seen["ledger"]
    assert isinstance(caller, Caller)
    assert isinstance(cluster, Cluster)
    assert isinstance(found, Ledger)
    place = _place(question, caller, cluster)
    _guard(question.manifest, caller, cluster, found)
    return Context(question.manifest, question.kinds, place, caller, cluster, found)


def acquainted(runner: Runner, context: Context) -> Context:
    """The context with what the Security plugin knows of the caller: its name, its roles, what it is shown."""
    if context.manifest.target.opensearch is None:
        return context
    user = runner.run(_user())
    caller = replace(context.caller, user=user.user, roles=user.roles, backend_roles=user.backend_roles)
    sees_all = not caller.user or _ADMIN in caller.roles
    return replace(context, caller=caller, place=replace(context.place, sees_all=sees_all))


def survey(runner: Runner, question: Question, context: Context, desired: Mapping[Address, Desired]) -> Survey:
    """Read everything the manifest and the ledger name, all kinds side by side, and the secrets to compare.

    That a secret can not be read is no error here.
    """
    seen, failed = surveyed(runner, question, context, desired)
    for error in failed.values():
        raise error
    return seen


def surveyed(
    runner: Runner,
    question: Question,
    context: Context,
    desired: Mapping[Address, Desired],
    also: Mapping[str, Sequence[Sought]] = {},
) -> tuple[Survey, Mapping[str, Exception]]:
    """As `survey`, and by kind why it could not be read. `also` is what else to look for, by kind."""
    resolved = {address: with_target(one, context.place) for address, one in desired.items()}
    if unknown := list(_unknown_target(resolved.values())):
        raise ReconcilerError(unknown)
    compared = _compared(context, resolved.values())
    flows: list[Flow[str, Reading | Mapped | None]] = [*question.secrets.flows(compared)]
    flows += [Flow(kind, steps) for kind, steps in _reads(context, resolved, also).items()]
    if _is_to_be_signed(context, resolved):
        flows.append(Flow(_MAPPED, mapped.read()))
    outcomes = runner.run_all(flows)
    failed = {kind: outcome.error for kind, outcome in outcomes.items() if outcome.error is not None}
    seen = {kind: outcome.value() for kind, outcome in outcomes.items() if kind not in failed}
    readings = {kind: found for kind, found in seen.items() if isinstance(found, Reading)}
    mappings = seen.get(_MAPPED)
    values = {name: question.secrets.peek(name) for name in compared}
    fingerprints = {
        name: ledger_store.fingerprint(value, context.ledger.id) for name, value in values.items() if value is not None
    }
    shown = Survey(context, resolved, readings, fingerprints, mappings if isinstance(mappings, Mapped) else None)
    return shown, failed


def unhidden(runner: Runner, seen: Survey) -> Survey:
    """The survey with the objects read once more that the service may have hidden from the caller."""
    kinds, reads = seen.context.kinds, _reads(seen.context, seen.desired)
    again = _results(runner, [Flow(kind, steps) for kind, steps in reads.items() if kinds[kind].hides])
    return replace(seen, readings={**seen.readings, **again})


def _reads(
    context: Context, desired: Mapping[Address, Desired], also: Mapping[str, Sequence[Sought]] = {}
) -> Mapping[str, Steps[Reading]]:
    sought = _sought(context, desired)
    for name, ones in also.items():
        sought.setdefault(name, []).extend(ones)
    return {kind: context.kinds[kind].read(ones, context.place) for kind, ones in sought.items()}


def _results(runner: Runner, flows: Sequence[Flow[str, T]]) -> Mapping[str, T]:
    """What the flows return, side by side. The first error is raised."""
    outcomes = runner.run_all(flows)
    failed = [outcome.error for outcome in outcomes.values() if outcome.error is not None]
    if failed:
        raise failed[0]
    return {key: outcome.value() for key, outcome in outcomes.items()}


def with_target(desired: Desired, place: Place) -> Desired:
    """The object with its `${target.x}` filled in."""

    def lookup(reference: Reference) -> str | None:
        return place_value(reference, place) if reference.namespace == "target" else None

    return resolved(desired, lookup)


def _unknown_target(desired: Iterable[Desired]) -> Iterator[Problem]:
    """References to what the target does not say, and nobody will ever know."""
    for one in desired:
        for path, reference in one.references:
            if reference.namespace == "target":
                needs = _TARGET_NEEDS.get(reference.name, f"target.aws.{reference.name}")
                message, hint = f"the target has no {reference.name}", f"state {needs}"
                yield Problem("unknown-reference", message, one.position, f"{one.address}.{path[0]}", hint)


def _sought(context: Context, desired: Mapping[Address, Desired]) -> dict[str, list[Sought]]:
    sought: dict[str, list[Sought]] = {}
    rows = context.ledger.rows
    known = Attributes(context.kinds, context.place, desired)
    for address in dict.fromkeys((*desired, *rows)):
        kind = context.kinds.get(address.kind)
        if kind is None:
            continue
        one, row = desired.get(address), rows.get(address)
        fields: Mapping[str, Value] = one.fields if one else (row.applied if row else {})
        name = kind.schema.service_name(address.name, fields) if one else (row.name if row else address.name)
        names = frozenset(fields) | frozenset(row.applied if row else ()) | frozenset(row.meant if row else ())
        signers = () if context.place.sees_all else _signers(kind, one, row, known)
        sought.setdefault(address.kind, []).append(Sought(name, row.id if row else "", names, signers))
        # What is known by its name alone, or was made and never heard of, may still go by an earlier name.
        earlier = row.names if row is not None and (row.intent is not None or not kind.schema.server_made_ids) else ()
        sought[address.kind] += [Sought(one, "", names, signers) for one in earlier if one != name]
    return sought


def _compared(context: Context, desired: Iterable[Desired]) -> list[str]:
    """The secrets of which the ledger knows what was sent last."""
    rows = context.ledger.rows
    pairs = ((name, rows.get(one.address)) for one in desired for name in one.secrets)
    return sorted({name for name, row in pairs if row and name in {**row.fingerprints, **row.meant_fingerprints}})


def _is_to_be_signed(context: Context, desired: Mapping[Address, Desired]) -> bool:
    """Whether an object that is not there yet is written as another role than the caller."""
    known = Attributes(context.kinds, context.place, desired)
    unmade = (one for address, one in desired.items() if address not in context.ledger.rows)
    return any(_signers(context.kinds[one.address.kind], one, None, known) for one in unmade)


def _signers(kind: Kind, one: Desired | None, row: Row | None, known: Attributes) -> tuple[str, ...]:
    """The roles that an object is to be written as, was, or may have been by a write that was never heard of."""
    desired = resolved(one, known.lookup).fields if one else {}
    versions = (desired, row.applied, row.meant) if row else (desired,)
    return tuple(dict.fromkeys(signer for fields in versions for signer in kind.signers(fields)))


def _caller() -> Steps[Caller]:
    answer = yield from call(Request(Service.STS, "GetCallerIdentity"))
    body = answer.body if isinstance(answer.body, Mapping) else {}
    arn, account = body.get("Arn"), body.get("Account")
    if not isinstance(arn, str) or not isinstance(account, str):
        raise Failed("bad-answer", "STS answered without saying who calls")
    return Caller(arn=arn, account=account)


def find_cluster() -> Steps[Cluster]:
    """The OpenSearch that answers; ReconcilerError when something else does."""
    answer = yield from call(Request(Service.OPENSEARCH, "GET /"))
    body = answer.body if isinstance(answer.body, Mapping) else {}
    version = body.get("version")
    if not isinstance(version, Mapping) or "number" not in version:
        problem = Problem(
            "not-opensearch", "the endpoint answers, but not as OpenSearch does", hint="check the endpoint"
        )
        raise ReconcilerError([problem])
    return Cluster(str(body.get("cluster_name", "")), str(body.get("cluster_uuid", "")), str(version["number"]))


def _user() -> Steps[Caller]:
    absent = frozenset({"400", "404"})  # a cluster without the Security plugin does not know the path
    answer = yield from call(Request(Service.OPENSEARCH, "GET /_plugins/_security/authinfo", expect=absent))
    if not answer.ok:
        return Caller()
    body = answer.body if isinstance(answer.body, Mapping) else {}
    if not isinstance(body.get("user_name"), str):
        raise Failed("bad-answer", "the Security plugin answered without saying who calls")
    return Caller(
        user=str(body["user_name"]),
        roles=_texts(body.get("roles")),
        backend_roles=_texts(body.get("backend_roles")),
    )


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def stated_place(target: Target) -> Place:
    """The place as far as a manifest states it."""
    aws, opensearch = target.aws, target.opensearch
    return Place(
        region=(aws and aws.region) or "",
        account_id=(aws and aws.account_id) or "",
        partition=(aws and aws.partition) or "aws",
        domain=(opensearch and opensearch.domain) or "",
        endpoint=(opensearch and opensearch.endpoint) or "",
        managed=opensearch is not None and _is_managed(opensearch),
        signs=opensearch is not None and isinstance(opensearch.auth, SigV4Auth),
    )


def _is_managed(target: OpenSearchTarget) -> bool:
    host = urlsplit(target.endpoint or "").hostname or ""
    return bool(target.domain) or isinstance(target.auth, SigV4Auth) or _SERVICE.search(host) is not None


def _place(question: Question, caller: Caller, cluster: Cluster) -> Place:
    target = question.manifest.target
    stated, partition = stated_place(target), caller.arn.split(":")[1] if caller.arn.count(":") > 1 else ""
    return replace(
        stated,
        region=stated.region or question.region,
        account_id=stated.account_id or caller.account,
        partition=(target.aws and target.aws.partition) or partition or "aws",
        version=cluster.version,
    )


def _guard(manifest: Manifest, caller: Caller, cluster: Cluster, found: Ledger) -> None:
    aws = manifest.target.aws
    if aws is not None and aws.account_id and caller.account and aws.account_id != caller.account:
        raise ReconcilerError(
            [
                Problem(
                    "wrong-account",
                    f"the manifest is for account {aws.account_id}, the credentials are of {caller.account}",
                    address="target.aws.account_id",
                    hint="use credentials of the right account, or correct the manifest",
                )
            ]
        )
    if found.account and caller.account and found.account != caller.account:
        message = f"the ledger is of account {found.account}, the credentials are of {caller.account}"
        raise ReconcilerError([Problem("wrong-account", message, hint="use credentials of the right account")])
    if found.cluster and cluster.uuid and found.cluster != cluster.uuid:
        raise ReconcilerError(
            [
                Problem(
                    "foreign-ledger",
                    f"the ledger on this domain belongs to another cluster ({found.cluster}); a snapshot brought it",
                    hint="look at what is there; `reconciler ledger rebind` makes it this cluster's",
                )
            ]
        )
