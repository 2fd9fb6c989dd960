"""AWS through boto3: credentials, IAM, STS and Secrets Manager, without retries of its own."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import boto3
import botocore.session
from botocore import exceptions, xform_name
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.utils import parse_timestamp

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.manifest.load import AwsTarget
from reconciler.model.request import Answer, Lost, NoAnswer, Request, Service

_CONFIG = Config(
    user_agent=f"reconciler/{version('reconciler')} boto3/{boto3.__version__}",  # else made anew for each request
    connect_timeout=10,
    read_timeout=60,
    retries={"total_max_attempts": 1},
    max_pool_connections=24,
    tcp_keepalive=True,
)
_MARGIN = timedelta(minutes=5)


class Identities:
    """Credentials by the ARN of the role they are for. They are kept here and shown to nobody."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Credentials, datetime]] = {}
        self._lock = threading.Lock()

    def keep(self, role_arn: str, found: Mapping[str, Any]) -> None:
        """Keep what AssumeRole answered."""
        credentials = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        with self._lock:
            self._known[role_arn] = (credentials, found["Expiration"])

    def get(self, role_arn: str) -> Credentials | None:
        """Credentials of a role that are good for some minutes more, or None."""
        with self._lock:
            found = self._known.get(role_arn)
        return found[0] if found and found[1] - datetime.now(UTC) > _MARGIN else None

    def source(self, role_arn: str) -> "RoleCredentials":
        """Credentials of a role as signers take them: looked up anew for each signature."""
        return RoleCredentials(self, role_arn)


class RoleCredentials:
    """What signs as a role, with the newest credentials there are."""

    def __init__(self, identities: Identities, role_arn: str) -> None:
        self._identities = identities
        self._role_arn = role_arn

    def get_frozen_credentials(self) -> Any:
        """Credentials that stay the same for one signature."""
        found = self._identities.get(self._role_arn)
        if found is None:
            message = f"the credentials of {self._role_arn} have run out"
            raise ReconcilerError([Problem("not-assumable", message, hint="run the same command again")])
        return found.get_frozen_credentials()


class Aws:
    """The AWS account of a manifest's target.

    Credentials come from boto3's own chain (environment, profiles, web identity, instance and container roles);
    `assume_role` of the target is assumed on top.
    """

    def __init__(self, target: AwsTarget, identities: Identities) -> None:
        self._target = target
        self._identities = identities
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._session: Any = self._open()

    @property
    def region(self) -> str:
        """The region of the target, else the one the environment gives, else ""."""
        return str(self._session.region_name or "")

    def credentials(self) -> Any:
        """The caller's credentials, refreshed as needed. ReconcilerError when there are none."""
        try:
            found = self._session.get_credentials()
        except exceptions.BotoCoreError as error:
            raise ReconcilerError([_no_credentials(str(error))]) from error
        if found is None:
            raise ReconcilerError([_no_credentials("boto3 found none in the environment, profiles or instance roles")])
        return found

    def send(self, request: Request) -> Answer:
        """Send a request of IAM, STS or Secrets Manager. An AssumeRole that is still good is answered from memory."""
        assumes = request.operation == "AssumeRole"
        role_arn = str(request.parameters.get("RoleArn", ""))
        if assumes and self._identities.get(role_arn) is not None:
            return Answer(200, {})
        try:
            method = getattr(self._client(request.service), xform_name(request.operation))
            found = method(**request.parameters)
        except exceptions.ClientError as error:
            about = error.response.get("Error", {})
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
            return Answer(status, None, str(about.get("Code", status)), str(about.get("Message", "")))
        except (
            exceptions.NoCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.TokenRetrievalError,
        ) as error:
            raise ReconcilerError([_no_credentials(str(error))]) from error
        except exceptions.NoRegionError as error:
            message = "no region is known"
            hint = "state target.aws.region or set AWS_REGION"
            raise ReconcilerError([Problem("no-region", message, address="target.aws.region", hint=hint)]) from error
        except (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.ProxyConnectionError,
        ) as error:
            raise NoAnswer(Lost.REFUSED, str(error)) from error
        except exceptions.ReadTimeoutError as error:
            raise NoAnswer(Lost.TIMEOUT, str(error)) from error
        except exceptions.HTTPClientError as error:
            raise NoAnswer(Lost.BROKEN, str(error)) from error
        except exceptions.ParamValidationError as error:
            return Answer(400, None, "ValidationError", str(error))
        except exceptions.BotoCoreError as error:
            return Answer(502, None, "BadAnswer", f"{type(error).__name__}: {error}")
        if assumes:
            self._identities.keep(role_arn, found["Credentials"])
            return Answer(200, {})
        return Answer(200, _plain({key: value for key, value in found.items() if key != "ResponseMetadata"}))

    def _open(self) -> boto3.Session:
        try:
            inner = botocore.session.Session(profile=self._target.profile)
            inner.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
            session = boto3.Session(botocore_session=inner, region_name=self._target.region)
        except exceptions.BotoCoreError as error:
            raise ReconcilerError([_no_credentials(str(error))]) from error
        if self._target.assume_role is None:
            return session
        return self._assumed(session, self._target.assume_role)

    def _assumed(self, source: boto3.Session, role_arn: str) -> boto3.Session:
        """A session of the target's own role, whose credentials are fetched anew before they expire."""
        from botocore.credentials import RefreshableCredentials

        sts = source.client("sts", config=_CONFIG, endpoint_url=self._target.endpoint_url)

        def fetch() -> dict[str, str]:
            try:
                found = sts.assume_role(RoleArn=role_arn, RoleSessionName="reconciler")["Credentials"]
            except (exceptions.ClientError, exceptions.BotoCoreError) as error:
                hint = "the caller needs sts:AssumeRole on it, and its trust policy has to name the caller"
                message = f"the role {role_arn} can not be assumed: {error}"
                problem = Problem("not-assumable", message, address="target.aws.assume_role", hint=hint)
                raise ReconcilerError([problem]) from error
            return {
                "access_key": found["AccessKeyId"],
                "secret_key": found["SecretAccessKey"],
                "token": found["SessionToken"],
                "expiry_time": found["Expiration"].isoformat(),
            }

        session: Any = botocore.session.get_session()
        session._credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "sts-assume-role")
        session.set_config_variable("region", source.region_name)
        return boto3.Session(botocore_session=session)

    def _client(self, service: Service) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    str(service), config=_CONFIG, endpoint_url=self._target.endpoint_url
                )
            return self._clients[service]


def _no_credentials(reason: str) -> Problem:
    hint = "sign in (`aws sso login`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return Problem("no-credentials", f"no usable AWS credentials: {reason}", hint=hint)


def _time(value: Any) -> datetime:
    """A time in an answer. Botocore's own way takes a third of the time that a listing of roles takes in all."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_timestamp(value)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _plain(value: Any) -> Json:
    """boto3's answer as JSON: times as ISO 8601 text."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int | float | bool) or value is None else str(value)
