"""An AWS account, an OpenSearch domain and the ledger's index in memory: they answer what kinds and ledger ask.

Nothing that goes in or comes out is shared with the asker. What is emulated was measured on the real services; what
they were not asked yet they refuse, so that a new request fails a test rather than passes unseen.
"""

import copy
import itertools
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from reconciler.canonical.json import Json
from reconciler.kinds._aws import MARK
from reconciler.model.request import Answer, Request, Service
from tests.support.account import ACCOUNT, Account
from tests.support.collection import Delays
from tests.support.domain import Domain
from tests.support.index import Index
from tests.support.indices import shown
from tests.support.refusal import Doc, Refused
from tests.support.vault import Vault

_MAKES: Mapping[str, str] = {
    "CreateRole": "iam_roles",
    "CreatePolicy": "iam_policies",
    "CreateSecret": "secretsmanager_secrets",
    "POST /_plugins/_ml/connectors/_create": "connectors",
    "POST /_plugins/_ml/model_groups/_register": "model_groups",
    "POST /_plugins/_ml/models/_register": "models",
    "POST /_plugins/_ml/agents/_register": "agents",
}


class World:
    """All that a manifest can reach. `now` is its time in seconds; `made` counts by kind what was created."""

    def __init__(self, *, search: float = 0.0, deploy: float = 0.0, settling: float = 0.0, page: int = 100) -> None:
        self.now = 0.0
        self.made: Counter[str] = Counter()
        self.account = Account(settling=settling, page=page)
        self.domain = Domain(self.account.has, Delays(search, deploy))
        self.ledger = Index(self.domain.delays)
        self.vault = Vault(ACCOUNT)
        self.ids = itertools.count(1)  # of ledgers and proofs: no two the same
        self.secrets: dict[str, str] = {}  # that others keep in Secrets Manager, by id
        self._late: list[tuple[float, Request]] = []

    def advance(self, now: float) -> None:
        """Let the time go on to `now`, unless it is later already, and carry out what comes late."""
        due = sorted((one for one in self._late if one[0] <= now), key=lambda one: one[0])
        self._late = [one for one in self._late if one[0] > now]
        for moment, request in due:
            self.now = max(self.now, moment)
            self.send(request)
        self.now = max(self.now, now)

    def later(self, seconds: float, request: Request) -> None:
        """Carry a request out when so many seconds have gone by: nobody waits for its answer."""
        self._late.append((self.now + seconds, request))

    def copy(self) -> "World":
        """A world of its own that begins where this one is."""
        return copy.deepcopy(self)

    def send(self, request: Request) -> Answer:
        """Carry one request out. It must hold plain JSON only: a template that was not filled in is a TypeError."""
        named = {kind: len(objects) for kind, objects in _named(self.domain).items()}
        try:
            found = self._answer(request)
        except Refused as refusal:
            return Answer(refusal.status, {"error": refusal.reason}, refusal.code, refusal.reason)
        if request.operation in _MAKES and "reconciler-proof-" not in str(request.body):
            self.made[_MAKES[request.operation]] += 1
        for kind, objects in _named(self.domain).items():
            if len(objects) > named[kind]:
                self.made[kind] += len(objects) - named[kind]
        return Answer(200, json.loads(json.dumps(found)))

    def _answer(self, request: Request) -> Doc:
        body = json.loads(json.dumps(request.body))
        if request.service in (Service.IAM, Service.STS):
            return self.account.answer(request.operation, json.loads(json.dumps(dict(request.parameters))), self.now)
        if request.service is Service.SECRETS:
            return self._managed(request.operation, json.loads(json.dumps(dict(request.parameters))))
        path = request.path.partition("?")[0]
        if request.service is Service.LEDGER:
            return self.ledger.answer(request.method, path, request.query, body, self.now)
        return self.domain.answer(request.method, path, request.query, body, request.identity, self.now)

    def _managed(self, operation: str, asked: Mapping[str, Any]) -> Doc:
        if operation == "GetSecretValue" and asked["SecretId"] in self.secrets:
            return {"Name": asked["SecretId"], "SecretString": self.secrets[asked["SecretId"]]}
        return self.vault.operations()[operation](asked)

    def state(self) -> Json:
        """Everything there is but the ledger, without ids and times: equal states are the same to their users."""
        domain = self.domain
        names = {
            one: f"<{kind} {document['name']}>"
            for kind, collection in _collections(domain).items()
            for one, document in collection.items()
        } | {one["ARN"]: f"<secretsmanager_secrets {name}>" for name, one in self.vault.there.items()}
        roles = {
            name: {
                **{key: value for key, value in role.items() if key not in ("RoleId", "settled")},
                "attached": sorted(role["attached"]),
                "tags": {key: value for key, value in role["tags"].items() if key != MARK},
                "marked": MARK in role["tags"],
            }
            for name, role in self.account.roles.items()
        }
        policies = {
            name: {
                "document": one["versions"][one["default"]],
                "about": [one["PolicyName"], one["Path"], one["Description"]],
                "tags": {key: value for key, value in one["tags"].items() if key != MARK},
                "marked": MARK in one["tags"],
            }
            for name, one in self.account.managed.policies.items()
        }
        secrets = {
            name: {
                "Description": "",
                "KmsKeyId": "alias/aws/secretsmanager",
                **{key: value for key, value in one.items() if key not in ("ARN", "Tags")},
                "tags": {tag["Key"]: tag["Value"] for tag in one["Tags"] if tag["Key"] != MARK},
                "marked": any(tag["Key"] == MARK for tag in one["Tags"]),
            }
            for name, one in self.vault.there.items()
        }
        mappings = {
            name: {key: sorted(value) if isinstance(value, list) else value for key, value in mapping.items()}
            for name, mapping in domain.mappings.items()
        }
        named = {
            kind: {
                name: {key: _set(value) if isinstance(value, list) else value for key, value in one.items()}
                | {"description": one.get("description", "")}
                for name, one in objects.items()
            }
            for kind, objects in _named(domain).items()
        }
        named["index_templates"] = {name: _said(one) for name, one in named["index_templates"].items()}
        named["indices"] = {name: dict(shown(one)) for name, one in domain.indices.named.items()}
        settings = {
            key: sorted(value) if isinstance(value, list) else value for key, value in domain.persistent.items()
        }
        objects = {
            kind: sorted((_renamed(_stated(document), names) for document in collection.values()), key=_text)
            for kind, collection in _collections(domain).items()
        }
        found: Json = json.loads(
            json.dumps(
                {
                    "roles": roles,
                    "policies": policies,
                    "secrets": secrets,
                    "settings": settings,
                    "mappings": mappings,
                    **named,
                    **objects,
                },
                sort_keys=True,
            )
        )
        return found

    def rows(self, manifest: str) -> Json:
        """The ledger's rows of a manifest by address, without ids, times, and what depends on the order of things."""
        names = {
            one: f"<{kind} {document['name']}>"
            for kind, collection in _collections(self.domain).items()
            for one, document in collection.items()
        }
        roles = {role["RoleId"]: f"<iam_roles {role['RoleName']}>" for role in self.account.roles.values()}
        managed = self.account.managed.policies.values()
        policies = {one["PolicyId"]: f"<iam_policies {one['PolicyName']}>" for one in managed}
        secrets = {one["ARN"]: f"<secretsmanager_secrets {name}>" for name, one in self.vault.there.items()}
        made = self.domain.indices.named.items()
        indices = {one["settings"]["index.uuid"]: f"<indices {name}>" for name, one in made}
        found: Json = _renamed(
            {
                address: {key: value for key, value in row.items() if key not in ("at", "fingerprints", "prior")}
                for address, row in sorted(self.ledger.rows(manifest).items())
            },
            {**names, **roles, **policies, **secrets, **indices},
        )
        return found

    def intents(self, manifest: str) -> list[str]:
        """The addresses whose rows say that something was about to be done."""
        return [address for address, row in self.ledger.rows(manifest).items() if row["intent"] is not None]

    def count(self) -> Counter[str]:
        """How many objects there are by kind."""
        found = Counter({kind: len(collection) for kind, collection in _collections(self.domain).items()})
        found["iam_roles"] = len(self.account.roles)
        found["iam_policies"] = len(self.account.managed.policies)
        found["secretsmanager_secrets"] = len(self.vault.there)
        found.update({kind: len(objects) for kind, objects in _named(self.domain).items()})
        return found


def _said(template: Doc) -> Doc:
    """A template without what says nothing: which of that is shown depends on how it was written."""
    inner = {key: value for key, value in template.get("template", {}).items() if value}
    left = {key: value for key, value in template.items() if key != "template" and (key, value) != ("composed_of", [])}
    return {**left, "template": inner} if inner else left


def _named(domain: Domain) -> Mapping[str, Mapping[str, Doc]]:
    """The objects that are known by their names, by kind."""
    return {
        "security_roles": domain.roles,
        "internal_users": domain.security.users,
        "action_groups": domain.security.action_groups,
        "tenants": domain.security.tenants,
        "search_pipelines": domain.cluster.search_pipelines,
        "ingest_pipelines": domain.cluster.ingest_pipelines,
        "index_templates": domain.cluster.index_templates,
        "indices": domain.indices.named,
    }


def _collections(domain: Domain) -> Mapping[str, Mapping[str, Doc]]:
    return {
        "connectors": domain.connectors.documents,
        "model_groups": domain.groups.documents,
        "models": domain.models.documents,
        "agents": domain.agents.documents,
    }


def _stated(document: Doc) -> Doc:
    """A document with what it is silent about said, so that the same is said the same way; its name comes first."""
    defaults: Doc = {"name": document["name"], "description": ""}
    if "type" in document:
        defaults["app_type"] = ""
    if "model_state" in document:
        state = document["model_state"]
        defaults |= {"is_enabled": True, "state": "UNDEPLOYED" if state == "REGISTERED" else state}
    return {**defaults, **{key: value for key, value in document.items() if key != "model_state"}}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(member, names) for key, member in value.items()}
    if isinstance(value, list):
        return [_renamed(member, names) for member in value]
    return value


def _set(value: Any) -> Any:
    """Lists whose order and repetitions say nothing in one form, at every depth, without queries that are empty."""
    if isinstance(value, dict):
        return {key: _set(member) for key, member in value.items() if (key, member) != ("dls", "")}
    if isinstance(value, list):
        return [json.loads(text) for text in sorted({_text(_set(member)) for member in value})]
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
