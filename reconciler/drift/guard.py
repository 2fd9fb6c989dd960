"""The guard of drift: it looks with one identity, and whatever could change anything is refused before it is sent."""

from collections.abc import Mapping

from reconciler.model.request import Request, Service
from reconciler.runner import WriteRefused

_METHODS = frozenset({"GET", "HEAD"})
_READING: Mapping[Service, tuple[str, ...]] = {
    Service.IAM: ("Get", "List"),
    Service.STS: ("GetCallerIdentity",),
    Service.SECRETS: ("GetSecretValue", "Describe", "List"),
}


def looking_only(request: Request) -> None:
    """WriteRefused for everything but reading operations of AWS and HTTP GET and HEAD, and for other identities.

    Searches are GET with a body, so that an identity that may do nothing but read is enough. Roles are not assumed:
    what they see may be more than whoever looks after drift should.
    """
    if request.identity is not None:
        raise WriteRefused(f"{request.label} is signed as {request.identity}, and drift looks as the caller alone")
    allowed = request.method in _METHODS if request.method else request.operation.startswith(_reading(request))
    if not allowed:
        raise WriteRefused(f"{request.label} is no reading, and drift only reads")


def _reading(request: Request) -> tuple[str, ...]:
    return _READING.get(request.service, ())
