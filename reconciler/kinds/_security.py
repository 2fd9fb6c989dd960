"""What the kinds of OpenSearch Security have in common: one listing shows all objects of a kind."""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.model.request import Request, Service
from reconciler.model.steps import Failed, Steps, call

API = "/_plugins/_security/api"


def listing(collection: str) -> Steps[Mapping[str, Json]]:
    """All objects of a collection by name."""
    request = Request(Service.OPENSEARCH, f"GET {API}/{collection}")
    answer = yield from call(request)
    if not isinstance(answer.body, Mapping):
        raise Failed("bad-answer", f"{request.label} answered with something that is not an object")
    return answer.body


def guard(found: Mapping[str, Json]) -> str:
    """Why the service keeps an object from being changed, or ""."""
    return next((word for word in ("reserved", "hidden", "static") if found.get(word) is True), "")


def pointer(*parts: str) -> str:
    """The JSON Pointer of a place inside a collection (RFC 6901).

    Failed for what the service takes for another name: it reads `~01`, which is `~1`, as `/` (seen on 2.19.4).
    """
    for part in parts:
        if "~0" in part or "~1" in part:
            raise Failed("wrong-value", f"the service can not be told of a name with ~0 or ~1 in it: {part!r}")
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
