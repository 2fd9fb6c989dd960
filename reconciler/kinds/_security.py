"""What the kinds of OpenSearch Security have in common: all objects of a kind share one document.

One listing shows them all, and one PATCH changes as many as there are, or none where one of them is refused.
https://docs.opensearch.org/latest/security/access-control/api/
"""

from collections.abc import Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.request import Combine, Repeat, Request, Service
from reconciler.model.steps import Failed, Steps, call

_API = "/_plugins/_security/api"

# Each entry is checked against all roles: with a thousand of them 25 mappings took a 2-core node 4 s.
_AT_FIRST = 25


def listing(collection: str) -> Steps[Mapping[str, Json]]:
    """All objects of a collection by name, as they are at this moment."""
    operation = f"GET {_API}/{collection}"
    request = Request(Service.OPENSEARCH, operation, combine=Combine(operation))
    answer = yield from call(request)
    if not isinstance(answer.body, Mapping):
        raise Failed("bad-answer", f"{request.label} answered with something that is not an object")
    return answer.body


def patch(collection: str, operations: Sequence[Mapping[str, Value]], repeat: Repeat) -> Request:
    """The request that carries out JSON Patch operations (RFC 6902), with those of others that are ready.

    A conflict, 409, is an answer: somebody wrote the document at the same moment.
    """
    operation = f"PATCH {_API}/{collection}"
    return Request(
        Service.OPENSEARCH,
        operation,
        body=list(operations),
        expect=frozenset({"409"}),
        repeat=repeat,
        combine=Combine(operation, _AT_FIRST, atomic=True),
    )


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
