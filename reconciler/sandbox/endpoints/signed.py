"""What AWS's model services have in common: who signed, what he may do, the shape of errors."""

from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.iam_rules import context_of, unauthorised
from reconciler.sandbox.gateway.policies import Question
from reconciler.sandbox.gateway.signature import Fault, verify

_CODES: Mapping[Fault, str] = {
    Fault.MISSING: "MissingAuthenticationTokenException",
    Fault.INCOMPLETE: "IncompleteSignatureException",
    Fault.UNKNOWN_KEY: "UnrecognizedClientException",
    Fault.EXPIRED: "ExpiredTokenException",
}


def signer(account: Account, request: Incoming, service: str, region: str) -> Caller | Answer:
    """Who signed a request for a service in a region, or the answer that refuses the signature."""
    caller = verify(request, account.key, services=(service,), region=region)
    if not isinstance(caller, Fault):
        return caller
    return aws_error(403, _CODES.get(caller, "InvalidSignatureException"), caller.value)


def refusal(account: Account, caller: Caller, action: str, resource: str, region: str) -> Answer | None:
    """The answer to a caller whose policies do not allow him the call; None when they do."""
    message = unauthorised(account, caller, Question(action, resource, context_of(caller, region)))
    return aws_error(403, "AccessDeniedException", message) if message else None


def aws_error(status: int, code: str, message: str, **more: Json) -> Answer:
    """An error in the form of AWS's JSON services: its code is in a header."""
    answer = json_answer(status, {"message": message, **more})
    return Answer(answer.status, {**answer.headers, "x-amzn-errortype": code}, answer.body)
