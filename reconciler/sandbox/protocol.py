"""What the parts of the sandbox say to each other: requests for ML Commons, the node, the model endpoints.

The gateway knows who is calling, ML Commons (emulated, `reconciler.sandbox.mlcommons`) knows what to answer;
neither imports the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from reconciler.canonical.json import Json


@dataclass(frozen=True, slots=True)
class MlRequest:
    """One request of a caller that the gateway has already authenticated.

    `path` has no query and is percent-decoded; `query` holds the last value of each parameter; `headers` are the
    caller's own, names in lower case, without what identifies him; `auth_headers` are what to send to the
    real node to act as the caller (Basic authorization or the proxy headers).
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    auth_headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MlResponse:
    """The answer to one request, as it goes to the caller."""

    status: int
    body: bytes
    content_type: str = "application/json"


class NodeClient(Protocol):
    """The real OpenSearch node behind the gateway."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """Send one request; returns the status and the body, parsed when it is JSON.

        Acts as the sandbox's super user unless `headers` hold another identity (`MlRequest.auth_headers`).
        `path` may carry a query. `json` and `body` exclude each other.
        """
        ...


class ModelEndpoints(Protocol):
    """The outside world as seen by a connector: models, and AWS's Secrets Manager, under their public host names."""

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
        """Make the HTTP call of a connector; returns status, headers (names in lower case) and body.

        With `sign_with_role` (a role ARN) the call is signed by SigV4 for `service` in `region` with
        temporary credentials of that role, which must trust OpenSearch's service principal; a refusal to
        assume it is a 403 answer. Raises `ConnectionError` when the endpoint can not be reached and
        `TimeoutError` when it does not answer.
        """
        ...


class MlCommons(Protocol):
    """The emulated ML Commons plugin."""

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a request, or return None when it is not one of ML Commons's and the real node must answer."""
        ...
