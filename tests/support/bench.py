"""What the commands do, over a world: plan, apply and destroy manifests that are given as plain mappings."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TypeAlias

from reconciler.canonical.json import Json
from reconciler.drift.classify import reported
from reconciler.drift.guard import looking_only
from reconciler.drift.look import listed, looked
from reconciler.drift.report import Report as DriftReport
from reconciler.execute import Edge, Report, Result, execute
from reconciler.kinds import load_kinds
from reconciler.ledger import Ledger
from reconciler.ledger import lock as locks
from reconciler.ledger.lock import Holder, Lock
from reconciler.manifest.load import (
    AwsTarget,
    Declared,
    EnvironmentSecret,
    Lifecycle,
    ManagedSecret,
    Manifest,
    OpenSearchTarget,
    Query,
    SecretSource,
    SigV4Auth,
    Target,
)
from reconciler.manifest.moves import Moved
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import Value, parse
from reconciler.model.change import Action, Change
from reconciler.model.kind import Kind
from reconciler.model.objects import Address, Desired
from reconciler.model.steps import Steps
from reconciler.plan.decide import Permissions
from reconciler.plan.looking import planned
from reconciler.plan.moves import read_ledger
from reconciler.plan.plan import Plan
from reconciler.plan.secrets import Secrets, to_read
from reconciler.plan.settle import settled
from reconciler.plan.survey import Question, introduce
from reconciler.runner import Runner, reading_only
from tests.support.account import ACCOUNT
from tests.support.exchange import Faults, WorldExchange, nothing
from tests.support.world import World

Sections: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Json]]]
"""A manifest's objects: fields by name by kind, references as text."""

_ENGINE_KEYS = frozenset({"adopt", "lifecycle", "depends_on"})
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_TARGET = Target(
    AwsTarget(region="us-east-1", account_id=ACCOUNT),
    OpenSearchTarget("https://domain.test", "demo", SigV4Auth()),
)


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds with their real schemas."""
    return load_kinds(load_schemas(Path(__file__).parents[2] / "schemas"))


@cache
def _attributes() -> Mapping[str, Sequence[str]]:
    return {name: kind.schema.attributes for name, kind in kinds().items()}


def templated(value: Json) -> Value:
    """A manifest's value with its references as templates."""
    if isinstance(value, str):
        return parse(value, _attributes())
    if isinstance(value, Mapping):
        return {key: templated(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [templated(member) for member in value]
    return value


def desired(sections: Sections) -> dict[Address, Desired]:
    """A manifest's objects as planning takes them."""
    found = {}
    for kind, objects in sections.items():
        schema = kinds()[kind].schema
        for name, stated in objects.items():
            own = {key: templated(value) for key, value in stated.items() if key not in _ENGINE_KEYS}
            needed = stated.get("depends_on", ())
            lifecycle = stated.get("lifecycle")
            assert isinstance(needed, Sequence)
            address = Address(kind, name)
            found[address] = Desired(
                address,
                {**({schema.name_field: name} if schema.name_field else {}), **own},
                frozenset(Address.parse(str(one)) for one in needed),
                stated.get("adopt") is True,
                _lifecycle(lifecycle) if isinstance(lifecycle, dict) else Lifecycle(),
            )
    return found


def _lifecycle(stated: Mapping[str, Json]) -> Lifecycle:
    ignore = stated.get("ignore", ())
    assert isinstance(ignore, Sequence)
    on_remove, kept = str(stated.get("on_remove", "delete")), stated.get("prevent_destroy") is True
    return Lifecycle(on_remove, kept, tuple(str(one) for one in ignore))


def manifest(
    name: str,
    objects: Sequence[Declared] = (),
    verify: Sequence[Query] = (),
    moved: Mapping[str, str] = {},
) -> Manifest:
    """A manifest of no objects for the world's account and domain."""
    moves = tuple(Moved(old, new) for old, new in moved.items())
    return Manifest(name, _TARGET, tuple(objects), secrets={}, verify=tuple(verify), files=(), moved=moves)


@dataclass
class Seen:
    """A progress that remembers."""

    begun: list[Address] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def started(self, change: Change) -> None:
        self.begun.append(change.address)

    def ended(self, result: Result) -> None:
        self.results.append(result)


@dataclass
class Bench:
    """One manifest's owner. Each call is a process of its own: it knows what the world and its ledger say.

    `secrets` are the values of the manifest's secrets, `managed` those that are kept in Secrets Manager, by their id
    there; `queries` what it asks to verify, `moved` addresses that were left, with the new ones; `exchange` and
    `runner` are those of the last call.
    """

    world: World
    name: str = "chain"
    secrets: Mapping[str, str] = field(default_factory=dict)
    queries: Sequence[Query] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    managed: Mapping[str, str] = field(default_factory=dict)
    exchange: WorldExchange = field(init=False)
    runner: Runner = field(init=False)
    progress: Seen = field(init=False, default_factory=Seen)

    def plan(
        self,
        sections: Sections,
        permissions: Permissions = Permissions(),  # noqa: B008
        *,
        faults: Faults = nothing,
    ) -> Plan:
        """What would be done. Nothing is written."""
        self.exchange = WorldExchange(self.world, faults=faults)
        return self._plan(Runner(self.exchange, guard=reading_only), sections, permissions)

    def drift(self, sections: Sections, *, faults: Faults = nothing, everything: bool = False) -> DriftReport:
        """What is not as it was applied, looked at as the command does."""
        self.exchange = WorldExchange(self.world, faults=faults)
        runner = self.runner = Runner(self.exchange, guard=looking_only)
        question = Question(manifest(self.name, moved=self.moved), kinds(), "us-east-1", self._vault())
        seen = looked(runner, question, introduce(runner, question), desired(sections), self._timestamp)
        return reported(listed(runner, seen) if everything else seen)

    def apply(
        self,
        sections: Sections,
        permissions: Permissions = Permissions(),  # noqa: B008
        *,
        faults: Faults = nothing,
        seed: int | None = None,
    ) -> Report:
        """Plan and carry out, under the lock once there is a ledger. AssertionError when the plan has problems."""
        order = None if seed is None else random.Random(seed)
        self.exchange = WorldExchange(self.world, faults=faults, order=order)
        runner = self.runner = Runner(self.exchange, jitter=lambda: 0.5)
        plan = self._plan(runner, sections, permissions)
        keeper = Runner(WorldExchange(self.world))
        lock = self._locked(keeper)
        if lock is not None and keeper.run(self._ledger(lock)) != plan.context.ledger:
            plan = self._plan(runner, sections, permissions)
        plan = settled(plan, lambda: self._plan(runner, sections, permissions), runner, self._timestamp)
        assert not plan.errored, plan.problems
        report = self.carry_out(runner, plan)
        if lock is not None:
            keeper.run(locks.release(lock))
        return report

    def carry_out(self, runner: Runner, plan: Plan) -> Report:
        """Carry a plan out, with those secrets alone that it has to send."""
        self.progress = Seen()
        vault = self._vault()
        wanted = {name for change in plan.work for name in to_read(change)}
        vault.need(runner, wanted)
        if wanted:
            self.exchange.secrets = {name: vault.read(name) for name in wanted}
        edge = Edge(
            timestamp=self._timestamp,
            new_id=lambda: f"ledger-{next(self.world.ids)}",
            read_secret=vault.read,
            monotonic=lambda: self.world.now,
            lock=Lock(self.name, self._holder(), self.world.ledger.number(), 1),
            is_gone=lambda holder: False,
            redaction=vault.redaction,
        )
        return execute(runner, plan, edge, self.progress)

    def _locked(self, keeper: Runner) -> Lock | None:
        """The manifest's lock, taken over from whoever has it; None where there is no ledger yet."""
        if not self.world.ledger.exists:
            return None
        return keeper.run(locks.acquire(self.name, self._holder(), 0.0, lambda holder: True))

    def _ledger(self, lock: Lock) -> Steps[Ledger]:
        return read_ledger(manifest(self.name, moved=self.moved), kinds(), lock.holder.token)

    def _holder(self) -> Holder:
        return Holder("somebody", self._timestamp(), f"{self.name} {self.world.ledger.number()}", manifest=self.name)

    def _timestamp(self) -> str:
        return (_EPOCH + timedelta(seconds=self.world.now)).isoformat().replace("+00:00", "Z")

    def destroy(self, permissions: Permissions = Permissions(), *, seed: int | None = None) -> Report:  # noqa: B008
        """Apply a manifest without objects."""
        return self.apply({}, permissions, seed=seed)

    def _vault(self) -> Secrets:
        kept: dict[str, SecretSource] = {name: EnvironmentSecret(name) for name in self.secrets}
        return Secrets({**kept, **{name: ManagedSecret(one) for name, one in self.managed.items()}}, self.secrets)

    def _plan(self, runner: Runner, sections: Sections, permissions: Permissions) -> Plan:
        declared = manifest(self.name, verify=self.queries, moved=self.moved)
        question = Question(declared, kinds(), "us-east-1", self._vault())
        context = introduce(runner, question)
        return planned(runner, question, context, desired(sections), permissions)


def actions(plan: Plan) -> dict[str, Action]:
    """The plan's changes that do something, by address."""
    return {str(change.address): change.action for change in plan.pending}


def outcome(report: Report) -> list[str]:
    """What did not go well in a report, as text."""
    failed = [f"{one.change.address}: {one.status}: {one.error!r}" for one in report.results if one.status != "done"]
    return failed + [f"{address}: {text}" for address, text in report.differing.items()]
