"""The outside world of the domain: the calls that connectors make.

Public host names lead to the sandbox's own servers (models, AWS); loopback addresses are called for real; any other
host does not exist. Calls to AWS are signed with a session of the role named, which must trust OpenSearch.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from reconciler.sandbox.endpoints import Models
from reconciler.sandbox.gateway.account import SERVICES, Account
from reconciler.sandbox.gateway.http import json_answer
from reconciler.sandbox.gateway.iam_rules import SERVICE_PRINCIPALS, trusts_domain
from reconciler.sandbox.journal import Journal

TIMEOUT = 30.0  # seconds for one call
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Outside:
    """See `reconciler.sandbox.protocol.ModelEndpoints`; `models_url` and `aws_url` are the sandbox's own servers."""

    def __init__(
        self, account: Account, models: Models, *, models_url: str, aws_url: str, journal: Journal | None = None
    ) -> None:
        self._account = account
        self._journal = journal
        self._models = models
        self._models_url = models_url
        self._aws_url = aws_url
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        sign_with_role: str | None,
        service: str | None,
        region: str | None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Make one call; see the protocol."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            base = self._base(host)
        except ConnectionError as error:
            self._note(f"{method} {url}", "", str(error))
            raise
        if sign_with_role is not None:
            if not trusts_domain(self._account, sign_with_role):
                message = (
                    f"User: {SERVICE_PRINCIPALS[0]} is not authorized to perform: sts:AssumeRole "
                    f"on resource: {sign_with_role}"
                )
                self._note(f"{method} {url}", sign_with_role, message)
                refused = json_answer(403, {"Message": message})
                return refused.status, refused.headers, refused.body
            headers = self._signed(method, url, headers, body, sign_with_role, service or "", region or "")
        sent = {name.lower(): value for name, value in headers.items()}
        if base is not None:
            sent["host"] = parts.netloc
        target = httpx.URL(base or f"{parts.scheme}://{parts.netloc}").copy_with(
            raw_path=f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}".encode()
        )
        try:
            answer = await self._http.request(method, target, headers=sent, content=body)
        except httpx.TimeoutException as error:
            raise TimeoutError(f"{host} did not answer within {TIMEOUT:g} s") from error
        except httpx.TransportError as error:
            raise ConnectionError(f"{host} can not be reached: {error}") from error
        return answer.status_code, dict(answer.headers), answer.content

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def _base(self, host: str) -> str | None:
        """Where calls to `host` go, None for itself. Raises ConnectionError for a host that does not exist."""
        if host in _LOOPBACK:
            return None
        if self._models.has_host(host):
            return self._models_url
        if host.endswith(".amazonaws.com") and host.partition(".")[0] in SERVICES:
            return self._aws_url
        raise ConnectionError(f"{host}: Name or service not known")

    def _note(self, call: str, role: str, reason: str) -> None:
        if self._journal is not None:
            self._journal.add_connector_refusal(call, role, reason)

    def _signed(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, role: str, service: str, region: str
    ) -> Mapping[str, str]:
        key = self._account.session(role)
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        SigV4Auth(Credentials(key.access_key_id, key.secret, key.token), service, region).add_auth(request)
        return dict(request.headers.items())
