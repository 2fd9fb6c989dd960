"""Secrets: which of them a command needs, and their values, read through the runner like everything else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.load import PASSWORD_ADDRESS, EnvironmentSecret, FileSecret, ManagedSecret, SecretSource
from reconciler.manifest.templates import Value, references
from reconciler.model.change import Action, Change
from reconciler.model.request import Request, Service, ServiceFailure
from reconciler.model.steps import Steps, call
from reconciler.redaction import Redaction
from reconciler.runner import Flow, Runner

_HINTS: Mapping[str, str] = {
    "AccessDeniedException": "allow the caller secretsmanager:GetSecretValue on it, and kms:Decrypt on its key",
    "ResourceNotFoundException": "correct `secret_id`, or store the secret first",
    "InvalidRequestException": "restore the secret, or name another one",
    "DecryptionFailure": "allow the caller kms:Decrypt on the secret's key",
}


@dataclass(frozen=True, slots=True)
class _Unread:
    """Why there is no value, and what to do."""

    reason: str
    hint: str


@dataclass
class Secrets:
    """The secrets of one command, by name. Values are kept in memory only; `redaction` knows those that were read.

    `sources` says where each is kept, `positions` where that is declared; `environment` are the variables.
    """

    sources: Mapping[str, SecretSource]
    environment: Mapping[str, str]
    positions: Mapping[str, Position] = field(default_factory=dict)
    redaction: Redaction = field(default_factory=Redaction)
    _values: dict[str, str] = field(default_factory=dict, repr=False)
    _unread: dict[str, _Unread] = field(default_factory=dict)

    def flows(self, names: Iterable[str]) -> Sequence[Flow[str, None]]:
        """Flows that read those of the named that are not known yet, what is kept together once. They never fail."""
        kept: dict[SecretSource | None, list[str]] = {}
        for name in sorted(set(names) - self._values.keys()):
            source = self.sources.get(name)
            place = ManagedSecret(source.secret_id) if isinstance(source, ManagedSecret) else source
            kept.setdefault(place, []).append(name)
        return [Flow(f"secrets {', '.join(together)}", self._read(place, together)) for place, together in kept.items()]

    def need(self, runner: Runner, names: Iterable[str]) -> None:
        """Read all of the named. ReconcilerError with what is wrong with each that can not be read.

        Stopped when the runner was asked to stop before they were read.
        """
        wanted = sorted(names)
        for outcome in runner.run_all(self.flows(wanted)).values():
            outcome.value()
        if unread := [self._problem(name) for name in wanted if name not in self._values]:
            raise ReconcilerError(unread)

    def read(self, name: str) -> str:
        """The value of a secret that was read before. ReconcilerError when it was not, or could not be."""
        if name not in self._values:
            raise ReconcilerError([self._problem(name)])
        return self._values[name]

    def peek(self, name: str) -> str | None:
        """The value of a secret, or None when it was not read."""
        return self._values.get(name)

    def _read(self, place: SecretSource | None, names: Sequence[str]) -> Steps[None]:
        text = yield from self._text(place)
        for name in names:
            source = self.sources.get(name)
            key = source.key if isinstance(source, ManagedSecret) else ""
            value = _picked(text, key) if isinstance(text, str) else text
            if value == "":
                value = _Unread("it is empty", "give it a value")
            if isinstance(value, str):
                self._values[name] = value
                self.redaction.learn(value)
            else:
                self._unread[name] = value

    def _text(self, place: SecretSource | None) -> Steps[str | _Unread]:
        match place:
            case EnvironmentSecret(variable):
                value = self.environment.get(variable)
                return _Unread(f"the environment variable {variable} is not set", "set it") if value is None else value
            case FileSecret(path):
                return _in_file(path)
            case ManagedSecret(secret_id):
                return (yield from _managed(secret_id))
            case None:
                return _Unread("it is not declared", "declare it under `secrets`")

    def _problem(self, name: str) -> Problem:
        why = self._unread.get(name, _Unread("it was not read before it was needed", "report this"))
        address = name if name == PASSWORD_ADDRESS else f"secrets.{name}"
        return Problem("secret-unreadable", why.reason, self.positions.get(name), address, why.hint)


def secrets_of(fields: Mapping[str, Value]) -> list[str]:
    """The names of the secrets in `fields`."""
    return sorted({reference.name for _, reference in references(fields) if reference.namespace == "secret"})


def to_read(change: Change) -> frozenset[str]:
    """The secrets that an apply of the change sends, or whose fingerprints the ledger does not have yet."""
    if change.desired is None:
        return frozenset()
    fields = change.desired.fields
    anew = change.action in (Action.CREATE, Action.REPLACE)
    sent = fields if anew else {name: value for name, value in fields.items() if name in change.changed_fields}
    known = change.row.fingerprints if change.row is not None else {}
    return frozenset(secrets_of(sent)) | (frozenset(secrets_of(fields)) - known.keys())


def _in_file(path: str) -> str | _Unread:
    try:
        return Path(path).read_text("utf-8").removesuffix("\n")
    except OSError as error:
        return _Unread(f"the file {path} can not be read: {error.strerror}", "check the path and who may read it")
    except ValueError:
        return _Unread(f"the file {path} is not UTF-8 text", "store the secret as text")


def _managed(secret_id: str) -> Steps[str | _Unread]:
    """The text of a secret of AWS Secrets Manager.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    """
    try:
        answer = yield from call(Request(Service.SECRETS, "GetSecretValue", {"SecretId": secret_id}))
    except ServiceFailure as failure:
        if failure.answer is None:
            return _Unread(f"Secrets Manager does not answer: {failure.reason}", "check the network, and try again")
        code = failure.answer.code
        return _Unread(f"{secret_id}: {code}: {failure.reason}", _HINTS.get(code, "try again"))
    except ReconcilerError as error:
        return _Unread(str(error), error.problems[0].hint)
    text = answer.body.get("SecretString") if isinstance(answer.body, Mapping) else None
    return text if isinstance(text, str) else _Unread(f"{secret_id} has no text", "store the secret as text")


def _picked(text: str, key: str) -> str | _Unread:
    """The value under `key` of a JSON object; all of the text when there is no key."""
    if not key:
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping):
        return _Unread("it is not a JSON object", "leave out `key`, or store a JSON object")
    value = found.get(key)
    if not isinstance(value, str):
        return _Unread(f"it has no text under the key {key!r}", "correct `key`")
    return value
