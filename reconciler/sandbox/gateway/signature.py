"""Verifies AWS Signature Version 4 by computing it again with botocore's own signer.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from urllib.parse import quote, unquote_plus

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path

from reconciler.sandbox.gateway.account import Caller, Key
from reconciler.sandbox.gateway.http import Incoming

SKEW = timedelta(minutes=5)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


class Fault(Enum):
    """Why a signature is not accepted, in AWS's words."""

    MISSING = "Missing Authentication Token"
    INCOMPLETE = (
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a "
        "'X-Amz-Date' or a 'Date' header."
    )
    UNKNOWN_KEY = "The security token included in the request is invalid."
    EXPIRED = "The security token included in the request is expired"
    MISMATCH = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )
    SKEWED = "Signature not yet current or expired: check the clock of the caller."
    OTHER_SERVICE = "Credential should be scoped to correct service."
    OTHER_REGION = "Credential should be scoped to a valid region."


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is for."""

    access_key_id: str
    region: str
    service: str


def scope_of(request: Incoming) -> Scope | None:
    """What the request claims to be signed for, unverified; None when it is not signed this way."""
    claimed = _AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
    return claimed and Scope(claimed["key"], claimed["region"], claimed["service"])


def is_signed(request: Incoming) -> bool:
    """Whether the request has a signature at all, good or bad."""
    return request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256")


def verify(
    request: Incoming, find_key: Callable[[str], Key | None], *, services: tuple[str, ...], region: str | None = None
) -> Caller | Fault:
    """Who signed `request` for one of `services` (and `region`, where it matters), or why that is not known."""
    if not is_signed(request):
        return Fault.MISSING
    claimed = _AUTHORIZATION.fullmatch(request.headers["authorization"].strip())
    if claimed is None or "x-amz-date" not in request.headers or "host" not in claimed["headers"].split(";"):
        return Fault.INCOMPLETE
    if claimed["service"] not in services:
        return Fault.OTHER_SERVICE
    if region is not None and claimed["region"] != region:
        return Fault.OTHER_REGION
    key = find_key(claimed["key"])
    if key is None or request.headers.get("x-amz-security-token") != key.token:
        return Fault.UNKNOWN_KEY
    try:
        signed_at = datetime.strptime(request.headers["x-amz-date"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        return Fault.INCOMPLETE
    if abs(datetime.now(UTC) - signed_at) > SKEW:
        return Fault.SKEWED
    if key.has_expired:
        return Fault.EXPIRED
    expected = _signature(request, claimed, key)
    return key.caller if hmac.compare_digest(expected, claimed["signature"]) else Fault.MISMATCH


def _signature(request: Incoming, claimed: re.Match[str], key: Key) -> str:
    headers = HTTPHeaders()
    for name in claimed["headers"].split(";"):
        headers[name] = request.headers.get(name, "")
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret), claimed["service"], claimed["region"])
    canonical = "\n".join(
        [
            request.method,
            quote(normalize_url_path(request.raw_path), safe="/~"),
            _canonical_query(request.raw_query),
            signer.canonical_headers(headers) + "\n",
            signer.signed_headers(headers),
            sha256(request.body).hexdigest(),  # never the hash that a header claims
        ]
    )
    dated = AWSRequest()
    dated.context["timestamp"] = request.headers["x-amz-date"]
    return str(signer.signature(signer.string_to_sign(dated, canonical), dated))


def _canonical_query(raw: str) -> str:
    pairs = [part.partition("=") for part in raw.split("&") if part]
    encoded = sorted((_encode(name), _encode(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encode(text: str) -> str:
    return quote(unquote_plus(text), safe="-_.~")
