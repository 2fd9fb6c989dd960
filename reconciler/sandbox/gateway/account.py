"""The AWS account of a sandbox, kept by moto in this process: identities, keys, policies, secrets.

moto answers the API calls; what the gateway must know to judge them is read from moto's own objects.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from moto.core.config import default_user_config
from moto.core.utils import utcnow
from moto.iam.exceptions import NotFoundException
from moto.iam.models import Group, IAMBackend, ManagedPolicy, Role, User, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from werkzeug.test import Client

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.gateway.policies import Question, Verdict, judge_identity
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION, DOMAIN_ARN, PARTITION, REGION

SERVICES = ("iam", "sts", "secretsmanager")
SESSION = "opensearch-service"  # the session name of roles that the domain assumes

_SESSION_SECONDS = 3600
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
        self.reset()

    def reset(self) -> None:
        """Bring the account back to what it began with."""
        self._iam(ACCOUNT).reset()
        self._sts().reset()
        secretsmanager_backends[ACCOUNT].reset()
        self._sessions.clear()
        iam = self._iam(ACCOUNT)
        user = iam.create_user(REGION, AUTOMATION)
        iam.put_user_policy(AUTOMATION, "automation", json.dumps(_AUTOMATION_POLICY))
        key = user.create_access_key(prefix="AKIA")
        key.access_key_id, key.secret_access_key = self._access_key_id, self._secret_access_key
        iam.access_keys[self._access_key_id] = key

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

    def arn_of_role(self, name: str) -> str | None:
        """The ARN of the role of that name."""
        return next((role.arn for role in self._iam(ACCOUNT).get_roles() if role.name == name), None)

    def arn_of_secret(self, name_or_arn: str, region: str) -> str | None:
        """The ARN, with the suffix that the service gives it, of a secret."""
        found = secretsmanager_backends[ACCOUNT][region].secrets.get(name_or_arn)
        return found.arn if found else None

    def has_principal(self, arn: str) -> bool:
        """Whether a user or role of that ARN exists. Of other accounts nothing is known, so theirs do."""
        if _account_of(arn) != ACCOUNT:
            return True
        return self.role(arn) is not None or any(user.arn == arn for user in self._iam(ACCOUNT).users.values())

    def has_unique_id(self, unique_id: str) -> bool:
        """Whether a user or role has that unique id (`AROA...`, `AIDA...`)."""
        iam = self._iam(ACCOUNT)
        ids = {role.id for role in iam.get_roles()} | {user.id for user in iam.users.values()}
        return unique_id in ids

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
        return iam_backends[account][PARTITION]

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
