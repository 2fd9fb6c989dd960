"""Connectors of ML Commons: how a model that runs elsewhere is called.

https://docs.opensearch.org/latest/ml-commons-plugin/api/connector-apis/index/
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, TypeVar

from reconciler.canonical.json import Json
from reconciler.kinds._ml_commons import ROOT, TO_SEE, MlKind, assumed, picked, sent
from reconciler.manifest.templates import Value
from reconciler.model.identity import assume
from reconciler.model.kind import Fault, Grants, Made, Place, Siblings, Work
from reconciler.model.objects import Address, Desired, Live
from reconciler.model.request import Request, Service, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened, NotYet, Steps, call, call_all, until

T = TypeVar("T")

# A key kept in Secrets Manager is `${credential.secretArn.<key>}`: the name is what stands first.
_CREDENTIAL = re.compile(r"\$\{credential\.(\w+)")
_LOOKS = 10
"""How often a model is looked at before it is told to deploy once more."""

_IN_USE = re.compile(r"please undeploy the models first: \[(.*)\]")
_PARAMETER = re.compile(r"\$\{parameters\.(\w+)")
_KEYS_OF_AWS = ("access_key", "secret_key", "session_token")
_OF_THE_SERVICE = ("roleArn", "secretArn", "externalAccountRoleArn")
_SENT = ("name", "description", "version", "protocol", "parameters", "credential", "actions", "client_config")


class Connectors(MlKind):
    """A connector is made and changed under the identity in `sign_as`."""

    collection = "connectors"
    hiding = "plugins.ml_commons.connector_access_control_enabled"
    answers: ClassVar[Mapping[str, Json]] = {f"POST {ROOT}/connectors/_create": {"connector_id": "(known after apply)"}}
    to_read = Grants(
        iam=("es:ESHttpGet",),
        opensearch=("cluster:admin/opensearch/ml/connectors/search", "cluster:admin/opensearch/ml/connectors/get"),
    )
    to_plan = Grants(iam=(*TO_SEE.iam, "sts:AssumeRole"), opensearch=TO_SEE.opensearch)
    to_list = Grants(TO_SEE.iam, ("cluster:admin/opensearch/ml/connectors/search", *TO_SEE.opensearch))
    to_write = Grants(
        iam=("es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete", "iam:PassRole"),
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
        return (yield from _entitled(work, lambda: self.post(work, "_create", body, "connector_id", identity=identity)))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        identity = yield from _identity(work)
        undeployed: set[str] = set()
        try:
            yield from self._put(work, identity, undeployed)
        except Exception:
            # Why it can not be changed matters more than what comes of deploying them again.
            with suppress(Failed, NeverHappened, ServiceFailure):
                yield from _deployed(undeployed)
            raise
        yield from _deployed(undeployed)
        return Made(work.live.id, work.live.attributes)

    def _put(self, work: Work, identity: str | None, undeployed: set[str]) -> Steps[None]:
        """Send what changed. Models that keep it from being changed are undeployed first, and noted, where the
        manifest wants that and they are its own.
        """

        def probe() -> Steps[bool | NotYet]:
            try:
                yield from _entitled(work, lambda: self.put(work, self.changes(work, *_SENT), identity))
            except ServiceFailure as failure:
                using = _using(failure)
                if not using or not self.schema.edited_in_use(work.fields):
                    raise
                if others := sorted(using - work.users):
                    message = f"models that are not of this manifest use it: {', '.join(others)}"
                    raise Failed("connector-in-use", message) from failure
                # A prediction may deploy them again at any moment, so this is part of each further attempt.
                yield from call_all(
                    Request(Service.OPENSEARCH, f"POST {ROOT}/models/{{id}}/_undeploy", {"id": one})
                    for one in sorted(using)
                )
                undeployed.update(using)
                return NotYet(failure.reason)
            return True

        yield from until(f"{work.address} changeable", probe, patience=60)

    def delete(self, work: Work) -> Steps[None]:
        signer = yield from _still(work.row.applied.get("sign_as") if work.row else None)
        try:
            yield from self.remove(work, signer)
        except ServiceFailure as failure:
            # It may be let in no more: the mapping that admitted it is changed before the connector goes.
            if signer is None or failure.answer is None or failure.answer.code != "403":
                raise
            yield from self.remove(work)

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """Placeholders that nothing fills: keys of the credential, and of the parameters where a URL needs them.

        And what this flavour of OpenSearch does not take as a credential, or from who signs.
        """
        credential, parameters = fields.get("credential"), fields.get("parameters")
        keys = list(credential) if isinstance(credential, Mapping) else []
        named = parameters if isinstance(parameters, Mapping) else {}
        signed = fields.get("protocol") == "aws_sigv4"
        if place.managed:
            yield from _for_the_service(keys)
            if not place.signs and "sign_as" not in fields:
                message = "requests go with a name and a password, which can not hand the role in the credential on"
                hint = "state target.opensearch.auth: sigv4, or a role in `sign_as`"
                yield Fault("pass-role", (), message, hint)
        elif place.self_managed:
            yield from _for_ones_own(keys, signed=signed)
        for name in ("service_name", "region") if signed else ():
            if name not in {*named, *keys}:
                yield Fault("missing-key", ("parameters",), f"aws_sigv4 needs the parameter {name}", "add it")
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

    def withheld(self, live: Live, place: Place) -> Mapping[str, Sequence[str]]:
        """The keys of its credential that its actions name, and those by which the service signs, or calls at all."""
        named = dict.fromkeys(_CREDENTIAL.findall(json.dumps(live.fields.get("actions"))))
        signs = live.fields.get("protocol") == "aws_sigv4"
        if place.managed:
            named["roleArn"] = None
        elif signs:
            named |= dict.fromkeys(("access_key", "secret_key"))
        return {"credential": tuple(named) or ("key",)}

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        if action == "sts:AssumeRole":
            return self.signers(fields)
        if action == "iam:PassRole":
            credential = fields.get("credential")
            role = credential.get("roleArn") if isinstance(credential, Mapping) else None
            return (role,) if isinstance(role, str) else ()
        return super().resources(action, name, fields, place)

    def signers(self, fields: Mapping[str, Value]) -> tuple[str, ...]:
        signer = fields.get("sign_as")
        return (signer,) if isinstance(signer, str) else ()

    def depends_on(self, desired: Desired, others: Siblings) -> Iterable[Address]:
        """The settings that trust its endpoint, and the mappings that admit the role it is signed as."""
        for settings in others.of("cluster_settings"):
            yield settings.address
        signer = desired.fields.get("sign_as")
        if signer is not None:
            for mapping in others.listing("role_mappings", "backend_roles", str(signer)):
                yield mapping.address


def _for_the_service(keys: Collection[str]) -> Iterator[Fault]:
    """What Amazon OpenSearch Service has against the keys of a credential."""
    if "roleArn" not in keys:
        message = "Amazon OpenSearch Service wants roleArn, the role that it calls the model as"
        hint = "add it; a key of the model's is kept in Secrets Manager, and named by secretArn"
        yield Fault("missing-credential", ("credential",), message, hint)
    for key in _KEYS_OF_AWS:
        if key in keys:
            yield Fault(
                "wrong-value", ("credential", key), "Amazon OpenSearch Service takes no access keys", "remove it"
            )


def _for_ones_own(keys: Collection[str], *, signed: bool) -> Iterator[Fault]:
    """What a cluster of one's own has against the keys of a credential."""
    for key in _OF_THE_SERVICE:
        if key in keys:
            hint = "give the keys themselves; where this is a domain of the service, state target.opensearch.domain"
            yield Fault(
                "wrong-value", ("credential", key), "only Amazon OpenSearch Service knows what to do with it", hint
            )
    for key in ("access_key", "secret_key") if signed else ():
        if key not in keys:
            yield Fault("missing-credential", ("credential",), f"aws_sigv4 needs {key}", "add it, by reference")


def _still(signer: Json) -> Steps[str | None]:
    """The role that made a connector, where it can still be assumed; else None, which is the caller."""
    if not isinstance(signer, str):
        return None
    return signer if (yield from assumed(signer)) else None


def _using(failure: ServiceFailure) -> set[str]:
    """The models that keep a connector from being changed, by what the service says."""
    found = _IN_USE.search(failure.reason)
    return {one.strip() for one in found[1].split(",")} if found else set()


def _deployed(models: Iterable[str]) -> Steps[None]:
    """Deploy models again, and wait until they are."""
    for model in sorted(models):
        yield from _redeployed(model)


def _redeployed(model: str) -> Steps[None]:
    one, looks = {"id": model}, 0

    def probe() -> Steps[bool | NotYet]:
        nonlocal looks
        answer = yield from call(Request(Service.OPENSEARCH, f"GET {ROOT}/models/{{id}}", one))
        state = answer.body.get("model_state") if isinstance(answer.body, Mapping) else None
        if state == "DEPLOYED":
            return True
        if looks % _LOOKS == 0:
            # 409: a prediction is deploying it at this moment.
            deploy = Request(Service.OPENSEARCH, f"POST {ROOT}/models/{{id}}/_deploy", one, expect=frozenset({"409"}))
            yield from call(deploy)
        looks += 1
        return NotYet(str(state))

    yield from until(f"model {model} deployed", probe, patience=60)


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
