"""The AWS account of a sandbox, kept by moto in this process: identities, keys, policies, secrets.

moto answers the API calls; what the gateway must know to judge them is read from
moto's own objects.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from moto.core.config import default_user_config
from moto.core.model_instances import reset_model_data
from moto.core.utils import utcnow
from moto.iam.exceptions import NotFoundException
from moto.iam.models import Group, IAMBackend, ManagedPolicy, Role, User, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import FakeSecret, secretsmanager_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from werkzeug.test import Client

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.history import History
from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.gateway.policies import Question, Verdict, judge_identity
from reconciler.sandbox.gateway.switches import Switches
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION, DOMAIN_ARN, PARTITION, REGION

SERVICES = ("iam", "sts", "secretsmanager")
SESSION = "opensearch-service"  # the session name of roles that the domain assumes

_SESSION_SECONDS = 3600
_SERVICE_ROLES = {
    "es.amazonaws.com": "AWSServiceRoleForAmazonElasticsearchService",
    "opensearchservice.amazonaws.com": "AWSServiceRoleForAmazonOpenSearchService",
}
_AUTOMATION_POLICY: Json = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iam:*", "sts:AssumeRole", "sts:GetCallerIdentity", "secretsmanager:*"],
            "Resource": "*",
        },
        {"Effect": "Allow", "Action": "es:ESHttp*", "Resource": f"{DOMAIN_ARN}/*"},
    ],
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request: `arn` as AWS names him (user, or role session), `principal` the IAM ARN behind that."""

    arn: str
    principal: str
    account: str
    session: str = ""

    @property
    def is_role(self) -> bool:
        """Whether the caller is a session of a role."""
        return bool(self.session)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key: what to verify a signature with; a session's has a token and an end (UTC, naive as moto's)."""

    caller: Caller
    access_key_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    expires: datetime | None

    @property
    def has_expired(self) -> bool:
        """Whether the session is over."""
        return self.expires is not None and self.expires <= utcnow()


class Account:
    """One AWS account, with the user `automation` in it, whose access key is given."""

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        default_user_config["iam"]["load_aws_managed_policies"] = True  # they exist, as in a real account
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._moto = Client(DomainDispatcherApplication(create_backend_app))
        self._sessions: dict[str, Key] = {}
        self._chance = random.Random(0)  # noqa: S311  (nothing secret)
        self.switches = Switches()
        self.reset()

    def reset(self) -> None:
        """Bring the account back to what it began with, all switches off."""
        self.switches = Switches()
        reset_model_data()  # moto keeps every object it ever made, those it deleted too
        self._iam(ACCOUNT).reset()
        self._history = History(self._iam(ACCOUNT))
        self._sts().reset()
        secretsmanager_backends[ACCOUNT].reset()
        self._sessions.clear()
        iam = self._iam(ACCOUNT)
        user = iam.create_user(REGION, AUTOMATION)
        iam.put_user_policy(AUTOMATION, "automation", json.dumps(_AUTOMATION_POLICY))
        self.give_unique_id(AUTOMATION)
        key = user.create_access_key(prefix="AKIA")
        key.access_key_id, key.secret_access_key = self._access_key_id, self._secret_access_key
        iam.access_keys[self._access_key_id] = key

    def configure(self, switches: Mapping[str, Json]) -> None:
        """Turn switches, named as in `Switches`; ValueError says what is wrong with one."""
        self.switches = self.switches.changed(switches)
        self._chance.seed(0)

    def throttles(self) -> bool:
        """Whether the next call comes too soon. The sequence begins anew whenever a switch is turned."""
        return self.switches.throttle > 0 and self._chance.random() < self.switches.throttle

    def remember(self) -> None:
        """Before something is changed: keep what decisions and reads are still to see for a while."""
        self._history.remember(self.switches.longest_delay_s)

    def as_decided(self) -> AbstractContextManager[None]:
        """The account as decisions see it, which are late by the propagation delay."""
        return self._history.ago(self.switches.propagation_delay_s)

    def as_read(self) -> AbstractContextManager[None]:
        """The account as reads show it."""
        return self._history.ago(self.switches.reads_delay_s)

    def call(self, request: Incoming) -> Answer:
        """The answer of moto to an API call."""
        response = self._moto.open(
            request.raw_path,
            method=request.method,
            query_string=request.raw_query,
            data=request.body,
            headers=dict(request.headers),
        )
        return Answer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items() if name.lower() != "content-length"},
            response.get_data(),
        )

    def key(self, access_key_id: str) -> Key | None:
        """The access key of that id, if there is one that is active; an expired session's is found too."""
        if found := self._sessions.get(access_key_id):
            return found
        for assumed in reversed(self._sts().assumed_roles):
            if assumed.access_key_id == access_key_id:
                return self._sessions.setdefault(access_key_id, _session_key(assumed))
        user = self._iam(ACCOUNT).get_user_from_access_key_id(access_key_id)
        if user is None:
            return None
        key = user.get_access_key_by_id(access_key_id)
        if key.status != "Active":
            return None
        return Key(Caller(user.arn, user.arn, ACCOUNT), access_key_id, key.secret_access_key, None, None)

    def role(self, arn: str) -> Role | None:
        """The role of that ARN (with its path)."""
        try:
            return self._iam(_account_of(arn)).get_role_by_arn(arn)
        except NotFoundException:
            return None

    def roles(self) -> Iterable[Role]:
        """All roles."""
        return self._iam(ACCOUNT).get_roles()

    def role_named(self, name: str) -> Role | None:
        """The role of that name."""
        return next((role for role in self.roles() if role.name == name), None)

    def arn_of_role(self, name: str) -> str | None:
        """The ARN of the role of that name."""
        return role.arn if (role := self.role_named(name)) else None

    def role_names(self) -> Iterable[str]:
        """The names of all roles."""
        return (role.name for role in self.roles())

    def user_names(self) -> Iterable[str]:
        """The names of all users."""
        return (user.name for user in self._iam(ACCOUNT).users.values())

    def policy_names(self) -> Iterable[str]:
        """The names of the account's own managed policies."""
        own = f"arn:{PARTITION}:iam::{ACCOUNT}:"
        return (policy.name for arn, policy in self._iam(ACCOUNT).managed_policies.items() if arn.startswith(own))

    def has_policy(self, arn: str) -> bool:
        """Whether a managed policy of that ARN exists."""
        return arn in self._iam(ACCOUNT).managed_policies

    def has_older_versions(self, policy_arn: str) -> bool:
        """Whether a managed policy has versions besides its default one."""
        return len(self._iam(ACCOUNT).managed_policies[policy_arn].versions) > 1

    def is_attached(self, policy_arn: str) -> bool:
        """Whether a managed policy is attached to anybody, or bounds him."""
        iam = self._iam(ACCOUNT)
        owners: list[Role | User | Group] = [*iam.get_roles(), *iam.users.values(), *iam.groups.values()]
        bounds = any(role.permissions_boundary_arn == policy_arn for role in iam.get_roles())
        return bounds or any(policy_arn in owner.managed_policies for owner in owners)

    def has_keys(self, user_name: str) -> bool:
        """Whether a user has access keys."""
        user = self._iam(ACCOUNT).users.get(user_name)
        return bool(user and user.access_keys)

    def arn_of_secret(self, name_or_arn: str, region: str) -> str | None:
        """The ARN, with the suffix that the service gives it, of a secret."""
        found = secretsmanager_backends[ACCOUNT][region].secrets.get(name_or_arn)
        return found.arn if found else None

    def is_to_be_deleted(self, secret: str, region: str) -> bool:
        """Whether a secret was deleted, and can still be had back."""
        found = secretsmanager_backends[ACCOUNT][region].secrets.get(secret)
        return bool(found and found.is_deleted())

    def clear_description(self, secret: str, region: str) -> None:
        """Take the description of a secret away."""
        found = secretsmanager_backends[ACCOUNT][region].secrets.get(secret)
        if isinstance(found, FakeSecret):
            found.description = ""

    def has_principal(self, arn: str) -> bool:
        """Whether a user or role of that ARN exists. Of other accounts nothing is known, so theirs do."""
        return _account_of(arn) != ACCOUNT or arn in self.unique_ids()

    def unique_ids(self) -> Mapping[str, str]:
        """The unique ids (`AROA...`, `AIDA...`) of users and roles by their ARNs."""
        owners: list[Role | User] = [*self.roles(), *self._iam(ACCOUNT).users.values()]
        return {owner.arn: owner.id for owner in owners}

    def arn_of_unique_id(self, unique_id: str) -> str | None:
        """The ARN of the user or role that has that unique id."""
        return next((arn for arn, known in self.unique_ids().items() if known == unique_id), None)

    def give_unique_id(self, user_name: str) -> tuple[str, str]:
        """Give a user a unique id as AWS makes them; returns moto's and the new one."""
        user = self._iam(ACCOUNT).users[user_name]
        old, user.id = user.id, f"AIDA{user.id[:17].upper()}"
        return old, user.id

    @staticmethod
    def service_role_name(service: str, suffix: str) -> str | None:
        """The name of a service's linked role, where it is known."""
        name = _SERVICE_ROLES.get(service)
        return f"{name}_{suffix}" if name and suffix else name

    def name_service_role(self, service: str, suffix: str) -> tuple[str, str]:
        """Give the newest role, a service-linked one, the name that the service gives it; returns the old and it."""
        role = list(self.roles())[-1]
        old, role.name = role.name, self.service_role_name(service, suffix) or role.name
        role.path = f"/aws-service-role/{service}/"
        return old, role.name

    def end_sessions(self, role_arn: str) -> None:
        """A role's sessions end with it."""
        self._sessions = {name: key for name, key in self._sessions.items() if key.caller.principal != role_arn}
        sts = self._sts()
        sts.assumed_roles[:] = [one for one in sts.assumed_roles if one.role_arn != role_arn]

    def allows(self, principal: str, question: Question) -> Verdict:
        """What the identity policies of a user or role say, within the permissions boundary where there is one."""
        verdict = judge_identity(self._identity_policies(principal), question)
        role = self.role(principal)
        boundary = role.permissions_boundary_arn if role else None
        if boundary and verdict is Verdict.ALLOWED:
            policy = self._iam(ACCOUNT).managed_policies.get(boundary)
            return judge_identity([_document(policy)] if policy else [], question)
        return verdict

    def session(self, role_arn: str) -> Key:
        """Credentials of a session of a role for the domain itself, whatever the trust policy says."""
        for key in reversed(self._sessions.values()):
            if key.caller.principal == role_arn and key.caller.session == SESSION and not key.has_expired:
                return key
        assumed = self._sts().assume_role(REGION, SESSION, role_arn, "", _SESSION_SECONDS, "")
        return self._sessions.setdefault(assumed.access_key_id, _session_key(assumed))

    def _identity_policies(self, principal: str) -> Sequence[str]:
        iam = self._iam(_account_of(principal))
        if role := self.role(principal):
            return _policies(role)
        user = next((user for user in iam.users.values() if user.arn == principal), None)
        if user is None:
            return []
        return [*_policies(user), *(text for group in iam.get_groups_for_user(user.name) for text in _policies(group))]

    @staticmethod
    def _iam(account: str) -> IAMBackend:
        backend: IAMBackend = iam_backends[account][PARTITION]
        return backend

    @staticmethod
    def _sts() -> STSBackend:
        return sts_backends[ACCOUNT][PARTITION]


def _policies(owner: Role | User | Group) -> Sequence[str]:
    return [*owner.policies.values(), *map(_document, owner.managed_policies.values())]


def _document(policy: ManagedPolicy) -> str:
    return next(version.document for version in policy.versions if version.version_id == policy.default_version_id)


def _account_of(arn: str) -> str:
    match arn.split(":", 5):
        case [_, _, _, _, account, _] if account:
            return account
        case _:
            return ACCOUNT


def _session_key(assumed: AssumedRole) -> Key:
    caller = Caller(assumed.arn, assumed.role_arn, assumed.account_id, assumed.session_name)
    return Key(caller, assumed.access_key_id, assumed.secret_access_key, assumed.session_token, assumed.expiration)
