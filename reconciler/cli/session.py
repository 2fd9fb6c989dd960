"""Wiring: from options to a loaded manifest, live transports and a runner."""

import json
import os
import resource
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from reconciler import lint, references
from reconciler.canonical.json import Json
from reconciler.cli import saved_plan
from reconciler.cli.interrupts import Interrupts
from reconciler.cli.options import Load
from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.kinds import load_kinds
from reconciler.manifest.events import parse
from reconciler.manifest.load import (
    PASSWORD_ADDRESS,
    BasicAuth,
    EnvironmentSecret,
    ManagedSecret,
    Manifest,
    SecretSource,
    SigV4Auth,
)
from reconciler.manifest.load import load as load_manifest
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.source import merge_problems, read_source
from reconciler.manifest.templates import Reference
from reconciler.manifest.variables import Inputs
from reconciler.model.kind import Kind
from reconciler.model.objects import Address, Desired
from reconciler.model.request import Request, Service
from reconciler.plan.decide import Permissions
from reconciler.plan.saved import Saved
from reconciler.plan.secrets import Secrets
from reconciler.plan.survey import desired_objects, stated_place
from reconciler.runner import Counts, Observer, Runner, anything, reading_only
from reconciler.verify import proving

_READING_PATIENCE = 15.0  # seconds; whoever only looks can look again
_PASSWORD = EnvironmentSecret("OPENSEARCH_PASSWORD")
_OWN_CREDENTIALS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Subject:
    """What a command works on: the manifest, its objects, what may be adopted, and the saved plan it came from.

    `ledger` is the file of the ledger, None where it is on the domain.
    """

    manifest: Manifest
    desired: Mapping[Address, Desired]
    permissions: Permissions
    ledger: Path | None = None
    saved: Saved | None = None


def kinds() -> Mapping[str, Kind]:
    """All kinds of this version."""
    return load_kinds(load_schemas(schemas_folder()))


def schemas_folder() -> Path:
    """Where the schemas are: in the installed package, or beside it in a checkout."""
    return _carried("schemas")


def examples_folder() -> Path:
    """Where the example manifests are, likewise."""
    return _carried("manifests")


def _carried(folder: str) -> Path:
    package = Path(__file__).resolve().parents[1]
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder


def subject(load: Load, known: Mapping[str, Kind]) -> Subject:
    """Load and check what the options name. ReconcilerError with everything that is wrong."""
    schemas = load_schemas(schemas_folder())
    saved = saved_plan.read(load, schemas_folder() / "formats" / "saved-plan.schema.json")
    if saved is not None:
        saved_plan.check(saved, known, schemas, _targets(saved.manifest, saved.desired, known))
        return Subject(saved.manifest, saved.desired, saved.permissions, saved.ledger, saved)
    manifest = load_manifest(load.paths, schemas, Inputs(given(load), os.environ))
    desired = desired_objects(manifest, known)
    declared = {Address(one.kind, one.name): one for one in manifest.objects}

    def locate(address: Address, path: tuple[str | int, ...], reference: Reference) -> Position | None:
        one = declared[address]
        # A name the schema fills in from the address stands nowhere.
        return one.reference_position(path, reference) if path and path[0] in one.fields else one.position

    def place(address: Address, path: tuple[str | int, ...]) -> Position | None:
        one = declared[address]
        return one.value_position_of(path) if path and path[0] in one.fields else one.position

    found = [
        *references.problems(desired, known, locate),
        *lint.problems(desired, known, stated_place(manifest.target), place),
        *_unanswerable(manifest, desired, known),
        *_targets(manifest, desired, known),
    ]
    if found:
        raise ReconcilerError(merge_problems(found))
    permissions = _permissions(load, desired, known)
    if permissions.only is not None:
        desired = {address: one for address, one in desired.items() if address in permissions.only}
    ledger = load.ledger
    if ledger is None and manifest.target.opensearch is None:
        ledger = Path(f"{manifest.name}.ledger.json")
    return Subject(manifest, desired, permissions, ledger)


@dataclass
class Session:
    """Live transports and the runners that use them, for one command. The ledger is on the domain or in a file.

    `reading` is asked before each request of the reader.
    """

    manifest: Manifest
    ledger_file: Path | None = None
    observer: Observer | None = None
    reading: Callable[[Request], None] = reading_only
    started: float = field(default_factory=time.monotonic)
    interrupts: Interrupts = field(default_factory=Interrupts)
    counts: Counts = field(default_factory=Counts)
    _guard: Callable[[Request], None] = anything
    _kept: Any = None

    @cached_property
    def reader(self) -> Runner:
        """A runner that refuses to write."""
        return self._counting(
            Runner(self._exchange, guard=self.reading, observer=self.observer, patience=_READING_PATIENCE)
        )

    @cached_property
    def writer(self) -> Runner:
        """A runner that may write."""
        return self._counting(Runner(self._exchange, guard=self._guarded, observer=self.observer))

    @cached_property
    def prover(self) -> Runner:
        """A runner that asks test queries, and may write to temporary indices only."""
        return self._counting(Runner(self._exchange, guard=proving, observer=self.observer, patience=_READING_PATIENCE))

    @cached_property
    def keeper(self) -> Runner:
        """A runner of its own for the thread that keeps the lock."""
        from reconciler.transports.exchange import Threads

        self._kept = Threads(self._transports, self.secrets.read, self.secrets.redaction, width=1)
        return self._counting(Runner(self._kept, patience=30.0))

    def _counting(self, runner: Runner) -> Runner:
        """The runner, counting together with the others."""
        runner.counts = self.counts
        return runner

    def sign_in(self) -> None:
        """Read the password that OpenSearch is asked with, if it is. ReconcilerError when it can not be had."""
        name = self._password_name
        if name is not None:
            self.secrets.need(self.reader, [name])

    def guard_writes(self, guard: Callable[[Request], None]) -> None:
        """Ask `guard` before each write."""
        self._guard = guard

    def _guarded(self, request: Request) -> None:
        self._guard(request)

    @cached_property
    def secrets(self) -> Secrets:
        """The manifest's secrets, the password for OpenSearch among them."""
        sources: dict[str, SecretSource] = {PASSWORD_ADDRESS: self._password, **self.manifest.secrets}
        found = Secrets(sources, os.environ, self.manifest.secret_positions)
        for variable in _OWN_CREDENTIALS:
            found.redaction.learn(os.environ.get(variable, ""))
        return found

    @property
    def _password(self) -> SecretSource:
        target = self.manifest.target.opensearch
        auth = target.auth if target is not None else None
        return (auth.password if isinstance(auth, BasicAuth) else None) or _PASSWORD

    @property
    def _password_name(self) -> str | None:
        """The name of the password's secret, None where OpenSearch is not asked with one."""
        target = self.manifest.target.opensearch
        if target is None or isinstance(target.auth, SigV4Auth):
            return None
        declared = (name for name, source in self.manifest.secrets.items() if source == self._password)
        return next(declared, PASSWORD_ADDRESS)

    @property
    def region(self) -> str:
        """The region of the target or the environment."""
        return self._aws.region if self.manifest.target.aws is not None else ""

    @property
    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.started

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self.counts.total

    def close(self) -> None:
        """End the threads that send requests."""
        for exchange in self._exchanges():
            exchange.close()

    def leave(self) -> None:
        """End without waiting for answers that nobody wants any more."""
        for exchange in self._exchanges():
            exchange.leave()

    def _exchanges(self) -> list[Any]:
        return [one for one in (self.__dict__.get("_exchange"), self._kept) if one is not None]

    def write_stats(self, path: Path) -> None:
        """Write what the command cost: requests by service and operation, wall and CPU seconds, peak memory in MiB."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        counts = self.counts
        figures: Json = {
            "requests": {"total": counts.total, "reads": counts.reads, "writes": counts.writes},
            "operations": dict(sorted(counts.operations.items())),
            "wall_seconds": round(self.seconds, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_memory_mib": round(usage.ru_maxrss / 1024, 1),
        }
        path.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")

    @cached_property
    def _identities(self) -> Any:
        from reconciler.transports.aws import Identities

        return Identities()

    @cached_property
    def _aws(self) -> Any:
        from reconciler.transports.aws import Aws

        assert self.manifest.target.aws is not None
        return Aws(self.manifest.target.aws, self._identities)

    @cached_property
    def _exchange(self) -> Any:
        from reconciler.transports.exchange import Threads

        return Threads(self._transports, self.secrets.read, self.secrets.redaction)

    @cached_property
    def _transports(self) -> dict[Service, Any]:
        from reconciler.transports.ledger_file import LedgerFile

        transports: dict[Service, Any] = {}
        if self.manifest.target.aws is not None:
            transports |= dict.fromkeys((Service.IAM, Service.STS, Service.SECRETS), self._aws)
        if self.manifest.target.opensearch is not None:
            transports[Service.OPENSEARCH] = transports[Service.LEDGER] = self._opensearch()
        if self.ledger_file is not None:
            transports[Service.LEDGER] = LedgerFile(self.ledger_file)
        return transports

    def _opensearch(self) -> Any:
        from reconciler.transports.opensearch import Endpoint, OpenSearch

        target = self.manifest.target.opensearch
        assert target is not None
        if not target.endpoint:
            problem = Problem(
                "no-endpoint", "the target names no endpoint", address="target.opensearch", hint="state `endpoint`"
            )
            raise ReconcilerError([problem])
        ca_file = target.ca_file or os.environ.get("OPENSEARCH_CA_FILE")
        endpoint = Endpoint(target.endpoint, ca_file, target.verify_certs, target.timeout or 60.0)
        return OpenSearch(endpoint, self._signing(), self.secrets.redaction)

    def _signing(self) -> Callable[[str | None], Any]:
        from reconciler.transports.opensearch import signer

        target = self.manifest.target.opensearch
        auth = target.auth if target is not None else None
        if isinstance(auth, SigV4Auth):

            def sign(identity: str | None) -> Any:
                found = self._aws.credentials() if identity is None else self._identities.source(identity)
                return signer(found, self.region)

            return sign
        user = (auth.username if auth else None) or os.environ.get("OPENSEARCH_USERNAME", "")
        password = self._password_name
        assert password is not None
        if self._password == _PASSWORD and not (user and os.environ.get(_PASSWORD.variable)):
            hint = "state target.opensearch.auth, or set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD"
            problem = Problem(
                "not-authenticated",
                "no user name and password for OpenSearch",
                address="target.opensearch.auth",
                hint=hint,
            )
            raise ReconcilerError([problem])
        return lambda identity: (user, self.secrets.read(password))


def _unanswerable(manifest: Manifest, desired: Mapping[Address, Desired], known: Mapping[str, Kind]) -> list[Problem]:
    """References of test queries and their documents to what is not declared."""
    stated = [(one.position, f"verify.queries.{one.name}", one.body) for one in manifest.verify]
    stated += [(one.position, f"verify.documents.{one.name}", one.stated) for one in manifest.documents]
    return [
        Problem("unknown-reference", message, position, address, hint)
        for position, address, value in stated
        for message, hint in references.unknown(value, desired, known)
    ]


def timestamp() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment() -> str:
    """The time as `timestamp` gives it, to the millisecond: what the ledger's documents are ordered by."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """An id nobody else has: twelve hexadecimal digits."""
    return uuid.uuid4().hex[:12]


def _permissions(load: Load, desired: Mapping[Address, Desired], known: Mapping[str, Kind]) -> Permissions:
    adopt = frozenset(address(text, "--adopt: ") for text in load.adopt)
    targets = frozenset(address(text, "--target: ") for text in load.target)
    only = _needed(targets, references.graph(desired, known)) if targets else None
    return Permissions(adopt, load.adopt_all, load.include_adopted, load.max_deletes, load.allow_lockout, only)


def _needed(targets: frozenset[Address], edges: references.Graph) -> frozenset[Address]:
    """The targets and all they depend on."""
    found: set[Address] = set()
    ahead = list(targets)
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += edges.get(one, ())
    return frozenset(found)


def address(text: str, where: str = "") -> Address:
    """The address somebody gave; ReconcilerError when it is none. `where` stands before what is wrong."""
    try:
        return Address.parse(text)
    except ValueError as error:
        raise ReconcilerError([Problem("usage", f"{where}{error}", hint="write kind.name")]) from None


def given(load: Load) -> dict[str, Json]:
    """The values of variables that the options give: text from --var, JSON from files."""
    values: dict[str, Json] = {}
    for path in load.var_file:
        document = parse(read_source(path, str(path)))
        if document.problems:
            raise ReconcilerError(document.problems)
        if not isinstance(document.value, Mapping):
            message = "a file of variables holds one mapping of names to values"
            raise ReconcilerError(
                [Problem("wrong-type", message, document.position(()), hint="write `name: value` lines")]
            )
        values |= document.value
    for text in load.var:
        name, equals, value = text.partition("=")
        if not equals:
            raise ReconcilerError([Problem("usage", f"--var {text} has no value", hint="write --var name=value")])
        values[name] = value
    return values


def _targets(manifest: Manifest, desired: Mapping[Address, Desired], known: Mapping[str, Kind]) -> list[Problem]:
    """Objects whose service the target does not name: one problem for each service."""
    domain = [one for one in desired.values() if known[one.address.kind].service is Service.OPENSEARCH]
    account = [one for one in desired.values() if known[one.address.kind].service is not Service.OPENSEARCH]
    found = []
    for objects, target, name in (
        (account, manifest.target.aws, "aws"),
        (domain, manifest.target.opensearch, "opensearch"),
    ):
        if objects and target is None:
            message = f"{objects[0].address} needs target.{name}, which the manifest does not state"
            found.append(
                Problem("no-target", message, objects[0].position, str(objects[0].address), f"state target.{name}")
            )
    managed = [name for name, source in manifest.secrets.items() if isinstance(source, ManagedSecret)]
    if managed and manifest.target.aws is None:
        message = "it is kept in Secrets Manager, and there is no target.aws to ask"
        positions = manifest.secret_positions
        found += [
            Problem("no-target", message, positions.get(name), f"secrets.{name}", "state target.aws")
            for name in managed
        ]
    signed = manifest.target.opensearch is not None and isinstance(manifest.target.opensearch.auth, SigV4Auth)
    if signed and manifest.target.aws is None:
        message = "target.opensearch.auth is sigv4, and there is no target.aws to sign as"
        found.append(Problem("no-target", message, address="target.opensearch.auth", hint="state target.aws"))
    return found
