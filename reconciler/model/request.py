"""One API call as data, its answer, and what it means when the answer is an error.

A request never holds a secret: a body may contain templates such as `${secret.key}`, which the runner
fills in at the moment of sending.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote, urlencode

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value


class Service(StrEnum):
    """Who answers a request. LEDGER is the domain itself or, by choice, a file that answers the same calls."""

    IAM = "iam"
    STS = "sts"
    SECRETS = "secretsmanager"
    OPENSEARCH = "opensearch"
    LEDGER = "ledger"


class Repeat(StrEnum):
    """What is allowed after an answer was lost and the request may have been carried out."""

    SAFE = "safe"  # sending it twice does what sending it once does
    LOOK_FIRST = "look-first"  # whoever sent it has to look before sending it again


@dataclass(frozen=True, slots=True)
class Combine:
    """What is sent as one when several are ready together: requests of equal `key`, alike but for bodies and queries.

    `most` is how many go in the first of them, and how long the service takes decides about those that follow; None
    is no bound but that of size. `atomic` says that the service does all of it or nothing, so that one part that is
    refused makes it refuse the others too. `linger` is how many seconds one waits at most for others like it, while
    much else is under way; `leisure` is the same for what nobody waits for. `digest` makes of the body of an answer
    what all who asked are given, so that not each of them takes the whole of it apart.
    """

    key: str
    most: int | None = None
    atomic: bool = False
    linger: float = 0.0
    leisure: float = 0.0
    digest: Callable[[Json], Json] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One API call: service, operation, parameters.

    For AWS, `operation` is the API's name (`CreateRole`) and `parameters` are boto3's. For OpenSearch and
    the ledger, `operation` is a method and a path template (`GET /_plugins/_ml/models/{id}`), `parameters`
    fill the template, `query` follows it and `body` is sent as JSON (a tuple: as one JSON line each).

    `identity` is the ARN of the role that signs instead of the caller. `expect` lists error codes (an HTTP
    status or AWS's name) that the sender wants as an answer rather than as a failure. `combine` says which
    requests may go as one.
    """

    service: Service
    operation: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Value = None
    identity: str | None = None
    expect: frozenset[str] = frozenset()
    repeat: Repeat = Repeat.SAFE
    combine: Combine | None = None

    @property
    def method(self) -> str:
        """The HTTP method, or "" for AWS."""
        return self.operation.partition(" ")[0] if " " in self.operation else ""

    @property
    def path(self) -> str:
        """The HTTP path with its placeholders filled and the query behind it, or "" for AWS."""
        template = self.operation.partition(" ")[2]
        path = _PLACEHOLDER.sub(lambda match: quote(str(self.parameters[match[1]]), safe=""), template)
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def label(self) -> str:
        """How people are shown the request: `iam:CreateRole` or `PUT /_plugins/_ml/models/abc`."""
        return f"{self.method} {self.path}" if self.method else f"{self.service}:{self.operation}"


def joined(requests: Sequence[Request]) -> Request:
    """Requests of one `combine` key as one: lists and lines are joined, of requests without a body one is enough.

    What any of them asks for in its query is asked for all.
    """
    first = requests[0]
    if len(requests) == 1 or not isinstance(first.body, list | tuple):
        return first
    parts = [part for one in requests if isinstance(one.body, list | tuple) for part in one.body]
    query = {name: value for one in requests for name, value in one.query.items()}
    return replace(first, query=query, body=tuple(parts) if isinstance(first.body, tuple) else parts)


_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_READING_VERBS = ("Get", "List", "Describe", "Simulate", "AssumeRole")
_READING_POST = re.compile(
    r"POST /(?:(?:[^/_%?#\s][^/%?#\s]*/)?_(?:search|count)|_plugins/_ml/models/[^/%?#\s]+/_predict)(?:\?\S*)?"
)
"""The whole of a path counts, not its end: `POST /x/_doc/_search` makes a document."""


def writes(request: Request) -> bool:
    """Whether a request can change anything, judged by its operation alone.

    Reading are AWS's Get*, List*, Describe*, Simulate* and AssumeRole; HTTP GET and HEAD; searches and counts of
    documents, and predictions, by POST. Everything else writes.
    """
    if request.method:
        return request.method not in ("GET", "HEAD") and not _READING_POST.fullmatch(request.operation)
    return not request.operation.startswith(_READING_VERBS)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: the HTTP status, the decoded body, and for errors a code and a reason.

    `code` is AWS's error code, or for OpenSearch the status as text ("404"), and "" when all is well.
    """

    status: int
    body: Json = None
    code: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the service did what was asked."""
        return self.code == ""

    @property
    def missing(self) -> bool:
        """Whether the object asked for does not exist. Nothing but a 404 or AWS's own words means that."""
        return self.code in ("404", "NoSuchEntity", "ResourceNotFoundException")


class Lost(StrEnum):
    """Why a request has no answer."""

    REFUSED = "refused"  # never reached the service
    TIMEOUT = "timeout"
    BROKEN = "broken"  # the connection ended before the answer did


class NoAnswer(Exception):
    """A request that got no answer. Unless it was refused, the service may have carried it out."""

    def __init__(self, lost: Lost, reason: str) -> None:
        super().__init__(reason)
        self.lost = lost
        self.reason = reason


class ServiceFailure(Exception):
    """A request that failed for good: the answer was an error nobody expected, or there was none."""

    def __init__(self, request: Request, answer: Answer | None, reason: str) -> None:
        super().__init__(f"{request.label}: {reason}")
        self.request = request
        self.answer = answer
        self.reason = reason

    @property
    def may_have_happened(self) -> bool:
        """Whether the service may have carried the request out all the same."""
        return writes(self.request) and (self.answer is None or self.answer.status >= 500)
