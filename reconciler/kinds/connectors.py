"""Connectors of ML Commons: how a model that runs elsewhere is called.

https://docs.opensearch.org/latest/ml-commons-plugin/api/connector-apis/index/
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, TypeVar

from reconciler.canonical.json import Json
from reconciler.kinds._ml_commons import ROOT, MlKind, assumed, picked, sent
from reconciler.manifest.templates import Value
from reconciler.model.identity import assume
from reconciler.model.kind import Fault, Grants, Made, Work
from reconciler.model.objects import Address, Desired
from reconciler.model.request import ServiceFailure
from reconciler.model.steps import NeverHappened, NotYet, Steps, until

T = TypeVar("T")

# A key kept in Secrets Manager is `${credential.secretArn.<key>}`: the name is what stands first.
_CREDENTIAL = re.compile(r"\$\{credential\.(\w+)")
_PARAMETER = re.compile(r"\$\{parameters\.(\w+)")
_SENT = ("name", "description", "version", "protocol", "parameters", "credential", "actions", "client_config")


class Connectors(MlKind):
    """A connector is made and changed under the identity in `sign_as`."""

    collection = "connectors"
    hiding = "plugins.ml_commons.connector_access_control_enabled"
    answers: ClassVar[Mapping[str, Json]] = {f"POST {ROOT}/connectors/_create": {"connector_id": "(known after apply)"}}
    to_read = Grants(
        iam=("es:ESHttpGet", "sts:AssumeRole"),
        opensearch=("cluster:admin/opensearch/ml/connectors/search", "cluster:admin/opensearch/ml/connectors/get"),
    )
    to_write = Grants(
        iam=("es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete", "iam:PassRole", "sts:AssumeRole"),
        opensearch=(
            "cluster:admin/opensearch/ml/create_connector",
            "cluster:admin/opensearch/ml/connectors/update",
            "cluster:admin/opensearch/ml/connectors/delete",
        ),
    )

    def fields(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        return picked(source, "name", "description", "version", "protocol", "parameters", "actions", "client_config")

    def create(self, work: Work) -> Steps[Made]:
        identity = yield from _identity(work)
        body = {"version": "1", "description": "", **sent(work, *_SENT), "name": work.name}
        return (yield from _entitled(work, lambda: self.post("_create", body, "connector_id", identity=identity)))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        identity = yield from _identity(work)
        yield from _entitled(work, lambda: self.put(work, self.changes(work, *_SENT), identity))
        return Made(work.live.id, work.live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        signer = yield from _still(work.row.applied.get("sign_as") if work.row else None)
        try:
            yield from self.remove(work, signer)
        except ServiceFailure as failure:
            # It may be let in no more: the mapping that admitted it is changed before the connector goes.
            if signer is None or failure.answer is None or failure.answer.code != "403":
                raise
            yield from self.remove(work)

    def check(self, fields: Mapping[str, Value]) -> Iterable[Fault]:
        """Placeholders that nothing fills: keys of the credential, and of the parameters where a URL needs them."""
        credential, parameters = fields.get("credential"), fields.get("parameters")
        keys = list(credential) if isinstance(credential, Mapping) else []
        named = parameters if isinstance(parameters, Mapping) else {}
        actions = fields.get("actions")
        for index, action in enumerate(actions if isinstance(actions, Sequence) else ()):
            if not isinstance(action, Mapping):
                continue
            headers = action.get("headers")
            for header, value in headers.items() if isinstance(headers, Mapping) else ():
                for used in _CREDENTIAL.findall(str(value)):
                    if used not in keys:
                        yield Fault(
                            "unknown-reference",
                            ("actions", index, "headers", header),
                            f"the credential has no {used}",
                            _has(keys),
                        )
            for used in _PARAMETER.findall(str(action.get("url"))):
                if used not in named:
                    yield Fault(
                        "unknown-reference",
                        ("actions", index, "url"),
                        f"the parameters have no {used}",
                        _has(list(named)),
                    )

    def signers(self, fields: Mapping[str, Value]) -> tuple[str, ...]:
        signer = fields.get("sign_as")
        return (signer,) if isinstance(signer, str) else ()

    def depends_on(self, desired: Desired, everything: Mapping[str, Sequence[Desired]]) -> Iterable[Address]:
        """The settings that trust its endpoint, and the mappings that admit the role it is signed as."""
        signer = desired.fields.get("sign_as")
        for settings in everything.get("cluster_settings", ()):
            yield settings.address
        for mapping in everything.get("role_mappings", ()):
            members = mapping.fields.get("backend_roles")
            if signer is not None and isinstance(members, list | tuple) and signer in members:
                yield mapping.address


def _still(signer: Json) -> Steps[str | None]:
    """The role that made a connector, where it can still be assumed; else None, which is the caller."""
    if not isinstance(signer, str):
        return None
    return signer if (yield from assumed(signer)) else None


def _has(keys: Sequence[str]) -> str:
    return f"there are {', '.join(keys)}" if keys else "there are none"


def _identity(work: Work) -> Steps[str | None]:
    """The role that signs, once it is proved that it can be assumed; None for the caller."""
    signer = work.fields.get("sign_as")
    if not isinstance(signer, str):
        return None
    yield from assume(signer, work.patience)
    return signer


def _entitled(work: Work, write: Callable[[], Steps[T]]) -> Steps[T]:
    """What `write` comes to. Where rights were changed just before, a refusal may mean that they are not known yet.

    A refused request was not carried out, so that it may be sent again.
    """
    refusal: ServiceFailure | None = None

    def probe() -> Steps[T | NotYet]:
        nonlocal refusal
        try:
            return (yield from write())
        except ServiceFailure as failure:
            if not work.grace or failure.answer is None or failure.answer.status != 403:
                raise
            refusal = failure
            return NotYet(failure.reason)

    try:
        return (yield from until(f"{work.address} allowed", probe, patience=work.grace, every=1.0))
    except NeverHappened:
        assert refusal is not None
        raise refusal from None


KIND = Connectors
