"""AWS's query protocol from the service's side: forms come in, XML goes out.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

_NUMBERS = frozenset({"MaxItems", "MaxSessionDuration", "DurationSeconds"})
_DOCUMENTS = frozenset({"AssumeRolePolicyDocument", "PolicyDocument"})


def decoded(form: bytes) -> tuple[str, dict[str, Any]]:
    """The operation a form asks for, and its parameters as boto3 takes them."""
    root: dict[str, Any] = {}
    for path, value in parse_qsl(form.decode(), keep_blank_values=True):
        *outer, name = path.split(".")
        place = root
        for one in outer:
            place = place.setdefault(one, {})
        place[name] = int(value) if name in _NUMBERS else value
    operation = str(root.pop("Action"))
    root.pop("Version", None)
    return operation, {name: _listed(value) for name, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    members = value.get("member")
    if isinstance(members, dict):
        return [_listed(one) for _, one in sorted(members.items(), key=lambda pair: int(pair[0]))]
    return {name: _listed(one) for name, one in value.items()}


def encoded(value: Any) -> str:
    """A value as XML. Policy documents are URL-encoded JSON, as IAM has them."""
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{_member(name, one)}</{name}>" for name, one in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{encoded(one)}</member>" for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def _member(name: str, value: Any) -> str:
    if name in _DOCUMENTS:
        return quote(json.dumps(value, separators=(",", ":")), safe="")
    return encoded(value)


def result(operation: str, inside: str) -> bytes:
    """A whole answer around the XML of its result."""
    return (
        f'<{operation}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><{operation}Result>{inside}'
        f"</{operation}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def refusal(code: str, reason: str) -> bytes:
    """A whole answer that says no."""
    about = encoded({"Type": "Sender", "Code": code, "Message": reason})
    return f"<ErrorResponse><Error>{about}</Error><RequestId>0</RequestId></ErrorResponse>".encode()
