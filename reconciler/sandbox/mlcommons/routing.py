"""Which handler answers a request: a table of method, path and action."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from reconciler.sandbox.mlcommons.answers import PlainRefusal, answer
from reconciler.sandbox.mlcommons.security import Caller, Security
from reconciler.sandbox.protocol import MlRequest, MlResponse

BASE = "/_plugins/_ml"
ACTION = "cluster:admin/opensearch/ml/"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a handler, with the caller and what the path holds."""

    request: MlRequest
    caller: Caller
    action: str
    arguments: Mapping[str, str]
    security: Security

    def argument(self, name: str) -> str:
        """A part of the path."""
        return self.arguments[name]

    async def permit(self) -> Caller:
        """The caller, if his roles grant the action of the route; else a 403. To be asked after the body is parsed."""
        await self.security.require(self.caller, self.action)
        return self.caller


Handler = Callable[[Call], Awaitable[MlResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is relative to `/_plugins/_ml`, with `{names}`; `action` is the cluster permission that it takes."""

    method: str
    path: str
    action: str
    handler: Handler


class Routes:
    """The routes of all families."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(tuple(route.path.strip("/").split("/")), route) for route in routes]
        # fixed segments win over named ones
        self._routes.sort(key=lambda entry: [segment.startswith("{") for segment in entry[0]])

    def find(self, request: MlRequest) -> tuple[Route, dict[str, str]] | None:
        """The route of a request and its arguments; None when the path is not known; refuses other methods with 405."""
        segments = request.path.removeprefix(BASE).strip("/").split("/")
        allowed: list[str] = []
        for pattern, route in self._routes:
            arguments = _match(pattern, segments)
            if arguments is None:
                continue
            if route.method == request.method:
                return route, arguments
            allowed.append(route.method)
        if not allowed:
            return None
        reason = (
            f"Incorrect HTTP method for uri [{request.path}] and method [{request.method}], "
            f"allowed: [{', '.join(sorted(set(allowed)))}]"
        )
        raise PlainRefusal(answer({"error": reason, "status": 405}, 405))


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    arguments: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            arguments[expected.strip("{}")] = segment
        elif expected != segment:
            return None
    return arguments
