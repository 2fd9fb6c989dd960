"""The domain endpoint: lets callers in, asks ML Commons (emulated), passes the rest to the real node.

How callers are let in is the flavour's `Admission`: `SelfManaged` here, `reconciler.sandbox.gateway.managed` for
Amazon OpenSearch Service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.plugins import with_ml_commons
from reconciler.sandbox.gateway.upstream import Node
from reconciler.sandbox.protocol import MlCommons, MlRequest

PROXY_HEADERS = frozenset({"x-proxy-user", "x-proxy-roles", "x-forwarded-for"})
IDENTITY_HEADERS = PROXY_HEADERS | {"authorization"}


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller let in; `auth_headers` make the node see him."""

    auth_headers: Mapping[str, str]


class Admission(Protocol):
    """Who may come in, and how the domain shows itself."""

    def admit(self, request: Incoming) -> Admitted | Answer:
        """The caller, or the answer that turns him away."""
        ...

    def present(self, request: Incoming, answer: Answer, /) -> Answer:
        """The answer of the node as this kind of domain shows it."""
        ...


class SelfManaged:
    """A node reached directly: the Security plugin alone decides. Proxy headers count only if `trusts_proxies`."""

    def __init__(self, *, trusts_proxies: bool) -> None:
        self._identifying = IDENTITY_HEADERS if trusts_proxies else frozenset({"authorization"})

    def admit(self, request: Incoming) -> Admitted | Answer:
        """Everyone: the node judges what the request says of its sender."""
        return Admitted({name: value for name, value in request.headers.items() if name in self._identifying})

    def present(self, _request: Incoming, answer: Answer) -> Answer:
        """The answer as it is."""
        return answer


class Domain:
    """Answers all requests at the domain endpoint. `ml_commons` may be exchanged while it serves."""

    def __init__(self, node: Node, admission: Admission, ml_commons: MlCommons) -> None:
        self._node = node
        self._admission = admission
        self.ml_commons = ml_commons

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request."""
        admitted = self._admission.admit(request)
        if isinstance(admitted, Answer):
            return admitted
        headers = {name: value for name, value in request.headers.items() if name not in IDENTITY_HEADERS}
        try:
            answer = await self._ml(request, headers, admitted) or await self._node.forward(
                request.method, request.target, {**headers, **admitted.auth_headers}, request.body
            )
        except ConnectionError as error:
            return json_answer(503, {"message": str(error)})
        return self._admission.present(request, with_ml_commons(request, answer))

    async def _ml(self, request: Incoming, headers: Mapping[str, str], admitted: Admitted) -> Answer | None:
        response = await self.ml_commons.handle(
            MlRequest(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=headers,
                body=request.content,
                auth_headers=admitted.auth_headers,
            )
        )
        if response is None:
            return None
        return Answer(response.status, {"content-type": response.content_type}, response.body)
