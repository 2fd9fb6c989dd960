"""The answers of ML Commons: JSON bodies, and errors in the shape OpenSearch gives them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.canonical.json import Json
from reconciler.sandbox.protocol import MlResponse


@dataclass(frozen=True, slots=True)
class Cause:
    """An exception of the server as it appears in an error body: its type, reason and extra fields."""

    type: str
    reason: str | None
    fields: Mapping[str, Json] = field(default_factory=dict)
    caused_by: "Cause | None" = None

    def body(self) -> dict[str, Json]:
        """The JSON object of this cause, with what caused it."""
        document: dict[str, Json] = {"type": self.type, "reason": self.reason, **self.fields}
        if self.caused_by is not None:
            document["caused_by"] = self.caused_by.body()
        return document


class Refusal(Exception):
    """A request that is answered with an error.

    `root` is what stands under `root_cause`, by default the error itself without its cause.
    """

    def __init__(self, status: int, cause: Cause, root: Cause | None = None) -> None:
        self.status = status
        self.cause = cause
        self.root = root or Cause(cause.type, cause.reason, cause.fields)
        super().__init__(cause.reason)

    def response(self) -> MlResponse:
        """The error as an answer."""
        return answer(
            {"error": {"root_cause": [self.root.body()], **self.cause.body()}, "status": self.status}, self.status
        )


class PlainRefusal(Exception):
    """A request that is answered with a body of its own shape, not OpenSearch's usual error."""

    def __init__(self, response: MlResponse) -> None:
        self.response = response
        super().__init__(response.body.decode("utf-8", "replace"))


def answer(body: Json, status: int = 200) -> MlResponse:
    """`body` as a JSON answer."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return MlResponse(status, text.encode("utf-8", "surrogatepass"), "application/json; charset=UTF-8")


def forwarded(status: int, body: Json) -> MlResponse:
    """An answer of the real node, passed on."""
    if isinstance(body, str):
        return MlResponse(status, body.encode(), "text/plain; charset=UTF-8")
    return answer(body, status)


def illegal_argument(reason: str) -> Refusal:
    """400 with Java's IllegalArgumentException, the way ML Commons reports most wrong input."""
    return Refusal(400, Cause("illegal_argument_exception", reason))


def status_error(status: int, reason: str) -> Refusal:
    """`status` with OpenSearchStatusException."""
    return Refusal(status, Cause("status_exception", reason))


def failure(kind: str, reason: str | None, status: int = 500) -> Refusal:
    """`status` with any other exception type, named as in the error body (`null_pointer_exception`)."""
    return Refusal(status, Cause(kind, reason))


def node_cause(body: Json) -> Cause:
    """The innermost cause in an error answer of the real node."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Cause("exception", str(error if error is not None else body))
    roots = error.get("root_cause")
    root = roots[0] if isinstance(roots, list) and roots and isinstance(roots[0], Mapping) else error
    fields = {key: value for key, value in root.items() if key not in ("type", "reason", "root_cause", "caused_by")}
    reason = root.get("reason")
    return Cause(str(root.get("type")), None if reason is None else str(reason), fields)


def node_refusal(status: int, body: Json) -> PlainRefusal:
    """An error answer of the real node, as the answer to the caller."""
    return PlainRefusal(forwarded(status, body))
