"""Secrets, read where the manifest says they are kept, at the moment they are needed."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.load import EnvironmentSecret, FileSecret, ManagedSecret, SecretSource
from reconciler.model.request import Answer, NoAnswer, Request, Service


class Secrets:
    """The secrets of one manifest by name. Values are kept in memory only, for the length of one command.

    `ask` sends a request to Secrets Manager, or is None where the target has no AWS account.
    """

    def __init__(self, sources: Mapping[str, SecretSource], ask: Callable[[Request], Answer] | None) -> None:
        self._sources = sources
        self._ask = ask
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> str:
        """The value of a secret. ReconcilerError when it can not be had."""
        with self._lock:
            if name not in self._known:
                self._known[name] = self._fetch(name)
            return self._known[name]

    def peek(self, name: str) -> str | None:
        """The value, where planning may read it: from the environment or a file; None for all others."""
        if isinstance(self._sources.get(name), ManagedSecret):
            return None
        try:
            return self.read(name)
        except ReconcilerError:
            return None

    def hide(self, text: str) -> str:
        """The text with every secret that was read so far taken out."""
        for value in tuple(self._known.values()):
            for written in {value, json.dumps(value)[1:-1]}:
                text = text.replace(written, "***")
        return text

    def _fetch(self, name: str) -> str:
        source = self._sources.get(name)
        match source:
            case EnvironmentSecret(variable):
                value = os.environ.get(variable)
                if value is None:
                    raise _problem(name, f"the environment variable {variable} is not set", f"set {variable}")
            case FileSecret(path):
                try:
                    value = Path(path).read_text("utf-8").removesuffix("\n")
                except (OSError, UnicodeDecodeError) as error:
                    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                    raise _problem(name, f"the file {path} can not be read: {reason}", "check the path") from None
            case ManagedSecret(secret_id, key):
                value = self._managed(name, secret_id, key)
            case _:
                raise _problem(name, "it is not declared", "declare it under `secrets`")
        if not value:
            raise _problem(name, "it is empty", "give it a value")
        return value

    def _managed(self, name: str, secret_id: str, key: str) -> str:
        if self._ask is None:
            raise _problem(name, "it is kept in Secrets Manager, and the target has no AWS account", "state target.aws")
        try:
            found = self._ask(Request(Service.SECRETS, "GetSecretValue", {"SecretId": secret_id}))
        except NoAnswer as lost:
            raise _problem(name, f"Secrets Manager does not answer: {lost.reason}", "try again") from None
        if not found.ok:
            raise _problem(
                name, f"Secrets Manager: {found.code}: {found.reason}", "check the secret and the permissions"
            )
        text = found.body.get("SecretString") if isinstance(found.body, Mapping) else None
        if not isinstance(text, str):
            raise _problem(name, f"{secret_id} has no text", "store the secret as text")
        if not key:
            return text
        try:
            value = json.loads(text).get(key)
        except (ValueError, AttributeError):
            raise _problem(name, f"{secret_id} is not a JSON object", "leave out `key`, or store JSON") from None
        if not isinstance(value, str):
            raise _problem(name, f"{secret_id} has no key {key!r}", "correct `key`")
        return value


def _problem(name: str, message: str, hint: str) -> ReconcilerError:
    return ReconcilerError([Problem("secret-unreadable", message, address=f"secrets.{name}", hint=hint)])
