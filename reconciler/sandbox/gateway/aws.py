"""The AWS endpoint: IAM, STS and Secrets Manager at one URL. Signatures and rules are judged, then moto answers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4
from xml.sax.saxutils import escape

from reconciler.sandbox.gateway.account import SERVICES, Account, Caller
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.iam_effects import EFFECTS, orphan
from reconciler.sandbox.gateway.iam_rules import refusal
from reconciler.sandbox.gateway.operation import Operation, Refusal
from reconciler.sandbox.gateway.paging import WHOLE, Page, cut, page_of
from reconciler.sandbox.gateway.signature import Fault, scope_of, verify

_QUERY_CODES: Mapping[Fault, tuple[str, int]] = {
    Fault.MISSING: ("MissingAuthenticationToken", 403),
    Fault.INCOMPLETE: ("IncompleteSignature", 400),
    Fault.UNKNOWN_KEY: ("InvalidClientTokenId", 403),
    Fault.EXPIRED: ("ExpiredToken", 403),
    Fault.MISMATCH: ("SignatureDoesNotMatch", 403),
    Fault.SKEWED: ("SignatureDoesNotMatch", 403),
    Fault.OTHER_SERVICE: ("SignatureDoesNotMatch", 403),
    Fault.OTHER_REGION: ("SignatureDoesNotMatch", 403),
}
_JSON_CODES: Mapping[Fault, tuple[str, int]] = {
    Fault.MISSING: ("MissingAuthenticationTokenException", 400),
    Fault.INCOMPLETE: ("IncompleteSignatureException", 400),
    Fault.UNKNOWN_KEY: ("UnrecognizedClientException", 400),
    Fault.EXPIRED: ("ExpiredTokenException", 400),
    Fault.MISMATCH: ("InvalidSignatureException", 400),
    Fault.SKEWED: ("InvalidSignatureException", 400),
    Fault.OTHER_SERVICE: ("InvalidSignatureException", 400),
    Fault.OTHER_REGION: ("InvalidSignatureException", 400),
}
_JSON_NAMES = {"AccessDenied": "AccessDeniedException", "Throttling": "ThrottlingException"}


class AwsApi:
    """Answers the calls to the account's services."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request."""
        speaks_json = "x-amz-target" in request.headers
        caller = verify(request, self._account.key, services=SERVICES)
        if isinstance(caller, Fault):
            code, status = (_JSON_CODES if speaks_json else _QUERY_CODES)[caller]
            return _error(Refusal(code, caller.value, status), speaks_json=speaks_json)
        operation = _operation(request, caller)
        if self._account.throttles():
            return _error(Refusal("Throttling", "Rate exceeded", 400), speaks_json=speaks_json)
        answer = self._read(request, operation) if operation.reads else self._write(request, operation)
        if isinstance(answer, Refusal):
            return _error(answer, speaks_json=speaks_json)
        wrong = speaks_json and 400 <= answer.status < 500
        return replace(answer, status=400) if wrong else answer  # the only one that services speaking JSON have

    def _read(self, request: Incoming, operation: Operation) -> Answer | Refusal:
        with self._account.as_read():
            if refused := refusal(operation, self._account):
                return refused
            page = page_of(operation)
            if not isinstance(page, Page):
                return page or self._account.call(request)
            pairs = {name: value for name, value in operation.parameters.items() if name != "Marker"}
            whole = replace(request, raw_query="", body=urlencode({**pairs, **WHOLE}).encode())
            answer = self._account.call(whole)
        return cut(answer, operation, page) if answer.status == HTTPStatus.OK else answer

    def _write(self, request: Incoming, operation: Operation) -> Answer | Refusal:
        account = self._account
        if refused := refusal(operation, account):
            return refused
        account.remember()
        before = account.unique_ids()
        answer = account.call(request)
        if answer.status != HTTPStatus.OK:
            return answer
        if operation.action in EFFECTS:
            answer = EFFECTS[operation.action](operation, account, answer)
        for arn in before.keys() - account.unique_ids().keys():
            orphan(account, arn, before[arn])
            account.end_sessions(arn)
        return answer


def _operation(request: Incoming, caller: Caller) -> Operation:
    scope = scope_of(request)
    assert scope is not None
    if target := request.headers.get("x-amz-target"):
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            body = {}
        given = {key: value for key, value in body.items() if isinstance(value, str)} if isinstance(body, dict) else {}
        return Operation(scope.service, target.rpartition(".")[2], given, caller, scope.region)
    pairs = {**request.query, **dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))}
    return Operation(scope.service, pairs.get("Action", ""), pairs, caller, scope.region)


def _error(refused: Refusal, *, speaks_json: bool) -> Answer:
    request_id = str(uuid4())
    if speaks_json:
        refused = Refusal(_JSON_NAMES.get(refused.code, refused.code), refused.message, 400)
        answer = json_answer(
            refused.status, {"__type": refused.code, "message": refused.message, "Message": refused.message}
        )
        return Answer(
            answer.status, {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": request_id}, answer.body
        )
    body = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(refused.code)}</Code><Message>{escape(refused.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Answer(refused.status, {"content-type": "text/xml", "x-amzn-requestid": request_id}, body.encode())
