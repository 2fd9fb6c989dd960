"""What a failure means: a service's error, matched to its cause and its remedy.

The strings are the services' own; their stable parts are matched, never whole messages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.model.objects import Address
from reconciler.model.request import Answer, Request, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened


@dataclass(frozen=True, slots=True)
class Place:
    """What failed: the object, where the manifest has it, who asked, and where people are pointed for a remedy, and OpenSearch's endpoint."""

    address: Address | None = None
    position: Position | None = None
    caller: str = ""
    mapping: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class _Finding:
    code: str
    message: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A regular expression over the service's reason, the codes it goes with ("" is any), and what it means."""

    expression: str
    codes: frozenset[str]
    finding: _Finding


def _pattern(expression: str, codes: str, code: str, message: str, cause: str, fix: str) -> _Pattern:
    return _Pattern(expression, frozenset(codes.split()), _Finding(code, message, cause, fix))


_ML_MAPPING = "add it to role_mappings.ml_full_access.backend_roles"
_PATTERNS = (
    _pattern(
        r"no permissions for \[cluster:admin/opensearch/ml/", "403", "not-mapped", "the Security plugin refuses it",
        "the identity is mapped to no security role that allows this; ml_full_access does", _ML_MAPPING,
    ),
    _pattern(
        r"no permissions for \[", "403", "not-mapped", "the Security plugin refuses it",
        "the identity is mapped to no security role that allows this", "map it to a role with the action named",
    ),
    _pattern(
        r"No permission to access REST API", "403", "not-mapped", "the Security REST API refuses it",
        "the caller is mapped neither to all_access nor to security_manager", "map the caller to one of them",
    ),
    _pattern(
        r"not authorized to perform: iam:PassRole", "", "pass-role", "the signer may not pass the connector's role",
        "whoever signs the creation of a connector needs iam:PassRole on its role", "grant iam:PassRole on that ARN to the signer",
    ),
    _pattern(
        r"User: anonymous is not authorized", "", "domain-refused", "the domain refuses unsigned requests",
        "the request carried no AWS signature", "set target.opensearch.auth to sigv4",
    ),
    _pattern(
        r"not authorized to perform: es:", "", "domain-refused", "IAM refuses it in front of the domain",
        "the identity's policies do not allow the verb on the domain", "grant the action on <domain ARN>/*",
    ),
    _pattern(
        r"not authorized to perform: sts:AssumeRole", "", "not-assumable", "the role can not be assumed",
        "its trust policy does not name the caller, or the caller lacks sts:AssumeRole", "correct the trust policy",
    ),
    _pattern(
        r"[Tt]rusted connector endpoint", "400", "untrusted-endpoint", "the connector's endpoint is not trusted",
        "no pattern of plugins.ml_commons.trusted_connector_endpoints_regex matches the URL",
        "add a pattern under cluster_settings",
    ),
    _pattern(
        r"Missing credential|empty Role ARN|credential is null", "400", "missing-credential",
        "the credential is not what this domain wants",
        "Amazon OpenSearch Service wants roleArn; elsewhere aws_sigv4 wants access_key and secret_key", "correct `credential`",
    ),
    _pattern(
        r"models are still using this connector", "", "connector-in-use", "models use the connector",
        "a connector that models use can be neither changed nor removed", "move or remove the models it lists",
    ),
    _pattern(
        r"name you provided is already being used", "400", "name-taken", "the name is taken",
        "names of model groups are unique on a domain", "adopt the object, or choose another name",
    ),
    _pattern(
        r"Security not initialized|SERVICE_UNAVAILABLE", "503", "unreachable", "OpenSearch is not ready",
        "the node is starting or has lost its peers", "try again in a moment",
    ),
    _pattern(r"no handler found for uri \[/_plugins/_ml", "400", "no-ml-commons", "the domain has no ML Commons", "the plugin is not installed", "use a domain with ML Commons"),
    _pattern(r"\[plugins\.ml_commons\.\S+\], not recognized", "400", "no-ml-commons", "the setting is not known", "ML Commons is not installed, or is of another version", "check the name and the version"),
    _pattern(r"nvalid principal", "MalformedPolicyDocument", "bad-principal", "a principal does not exist", "IAM does not know an ARN in the trust policy", "create it first, or correct the ARN"),
    _pattern(r"", "MalformedPolicyDocument", "bad-policy", "IAM refuses the policy", "the document is not a valid policy", "correct it"),
    _pattern(r"", "LimitExceeded", "iam-limit", "a limit of IAM is reached", "the quota named", "make it smaller, or ask AWS for more"),
    _pattern(r"", "EntityAlreadyExists", "name-taken", "the name is taken", "an object of that name exists in the account", "adopt it, or choose another name"),
    _pattern(
        r"", "ExpiredToken ExpiredTokenException InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch",
        "expired-credentials", "the AWS credentials are not accepted",
        "they have expired, were deleted or are of another partition", "sign in again",
    ),
    _pattern(r"security token included in the request is (expired|invalid)|signature we calculated", "403", "expired-credentials", "the AWS credentials are not accepted", "they have expired, were deleted, or do not fit", "sign in again"),
    _pattern(r"", "401", "not-authenticated", "OpenSearch does not accept the caller", "user name or password are wrong, or the domain wants signed requests", "check target.opensearch.auth"),
    _pattern(r"", "AccessDenied AccessDeniedException UnauthorizedOperation", "missing-grant", "AWS refuses it", "the caller's policies do not allow the action", "grant it to the caller"),
    _pattern(r"", "Throttling ThrottlingException RequestLimitExceeded 429", "throttled", "the service is throttling", "too many requests", "try again later"),
    _pattern(r"an HTML page", "", "not-opensearch", "the endpoint answers with a web page", "it is Dashboards, a sign-in page or a proxy, not OpenSearch", "correct target.opensearch.endpoint"),
    _pattern(r"", "not-json BadAnswer", "bad-answer", "the answer is not JSON", "a proxy in between, or an answer cut off", "try again; check what stands between"),
)  # fmt: skip


def problems(error: Exception, place: Place) -> tuple[Problem, ...]:
    """What to tell people of an error, whatever it is."""
    match error:
        case ReconcilerError():
            return error.problems
        case ServiceFailure():
            return (_failure(error, place),)
        case NeverHappened():
            return (_late(error, place),)
        case Failed():
            return (Problem(error.code, error.reason, place.position, _address(place)),)
        case _:
            text = f"{type(error).__name__}: {error}"
            return (Problem("internal", text, place.position, _address(place), "run again with --debug and report it"),)


def _failure(error: ServiceFailure, place: Place) -> Problem:
    request, answer = error.request, error.answer
    finding = _finding(answer, error)
    fix = finding.fix
    if finding.code == "not-mapped" and place.mapping and fix == _ML_MAPPING:
        fix = f"{_ML_MAPPING} ({place.mapping})"
    status = f" -> {answer.status if request.method else answer.code}" if answer else " -> no answer"
    signer = f"{request.identity} (assumed by {place.caller})" if request.identity else place.caller
    label = f"{request.method} {place.endpoint}{request.path}" if request.method else request.label
    facts = [("request", label + status), ("reason", error.reason)]
    facts += [("as", signer)] if signer else []
    facts += [("cause", finding.cause)] if finding.cause else []
    facts += [("fix", fix)] if fix else []
    return Problem(finding.code, finding.message, place.position, _address(place), facts=tuple(facts))


def _finding(answer: Answer | None, error: ServiceFailure) -> _Finding:
    if answer is None:
        if error.may_have_happened and not _never_sent(error):
            return _Finding("outcome-unknown", "the answer was lost", error.reason, "run the same command again: it looks first")
        return _Finding("unreachable", "the service does not answer", "", "check the endpoint and the network")
    reason = error.reason or ""
    for pattern in _PATTERNS:
        if (not pattern.codes or answer.code in pattern.codes) and re.search(pattern.expression, reason):
            return pattern.finding
    if answer.status >= 500:
        return _Finding("bad-answer", "the service failed", "a fault inside the service", "run the same command again")
    return _Finding("refused", "the service refuses it", "", "")


def _never_sent(error: ServiceFailure) -> bool:
    return any(text in error.reason for text in ("refused", "not known", "resolve", "Could not connect"))


def _late(error: NeverHappened, place: Place) -> Problem:
    code = "not-assumable" if "assumable" in error.waiting_for else "not-in-time"
    code = "connector-in-use" if "still using" in error.last_seen else code
    return Problem(code, str(error), place.position, _address(place), "run the same command again to go on")


def _address(place: Place) -> str:
    return str(place.address) if place.address else ""


