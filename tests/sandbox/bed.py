"""How the tests of this stage reach a running sandbox."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from reconciler.sandbox.lifecycle import SandboxInfo
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, REGION


@dataclass(frozen=True)
class Bed:
    """A running sandbox and how a test reaches it."""

    name: str
    info: SandboxInfo
    env: Mapping[str, str] = field(repr=False)

    @property
    def automation(self) -> Credentials:
        """The access key of the user `automation`."""
        return Credentials(self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"])

    def aws(self, service: str, by: Credentials | None = None) -> Any:
        """A boto3 client of the sandbox's account."""
        who = by or self.automation
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            aws_access_key_id=who.access_key,
            aws_secret_access_key=who.secret_key,
            aws_session_token=who.token,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def assume(self, role_arn: str) -> Credentials:
        """A session of a role that trusts the user `automation`."""
        got = self.aws("sts").assume_role(RoleArn=role_arn, RoleSessionName="session")["Credentials"]
        return Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])

    def ask(
        self,
        method: str,
        path: str,
        *,
        by: Credentials | tuple[str, str] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request to the domain: signed with credentials, or with a name and password, or as nobody.

        `content` is sent as JSON, a text as the lines of a bulk request.
        """
        url = f"{self.env['OPENSEARCH_URL']}{path}"
        if isinstance(content, str):
            lines = {"Content-Type": "application/x-ndjson", **(headers or {})}
            request = httpx.Request(method, url, content=content, headers=lines)
        else:
            request = httpx.Request(method, url, json=content, headers=headers)
        if isinstance(by, Credentials):
            kept = {name: value for name, value in request.headers.items() if name == "content-type"}
            signing = AWSRequest(method=method, url=url, data=request.content, headers=kept)
            SigV4Auth(by, "es", REGION).add_auth(signing)
            request.headers.update(dict(signing.headers.items()))
        with self.client() as client:
            return client.send(request, auth=by if isinstance(by, tuple) else None)

    def client(self) -> httpx.Client:
        """A client that trusts the sandbox's authority."""
        trust = ssl.create_default_context(cafile=self.env["CURL_CA_BUNDLE"])
        return httpx.Client(verify=trust, timeout=60, trust_env=False)

    @property
    def master(self) -> tuple[str, str]:
        """The name and password of the internal master user."""
        return self.env["OPENSEARCH_USERNAME"], self.env["OPENSEARCH_PASSWORD"]

    def role(self, name: str, *statements: Mapping[str, Any], trust: Any = None, path: str = "/") -> str:
        """Make a role with an inline policy, trusting the user `automation` by default; returns its ARN."""
        principal = trust or {"AWS": AUTOMATION_ARN}
        iam = self.aws("iam")
        document = policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
        iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=document)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
        return f"arn:aws:iam::{ACCOUNT}:role{path}{name}"


def policy(*statements: Mapping[str, Any]) -> str:
    """A policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
