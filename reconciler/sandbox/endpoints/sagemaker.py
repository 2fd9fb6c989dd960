"""Amazon SageMaker's runtime: InvokeEndpoint of one endpoint, whose container generates text.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import re
from collections.abc import Mapping

from reconciler.sandbox.endpoints.provider import BROKEN, echo, read_object
from reconciler.sandbox.endpoints.signed import aws_error, refusal, signer
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.settings import ACCOUNT, PARTITION, SAGEMAKER_ENDPOINT

_LOGS = "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints"
_MISSING = "Failed to deserialize the JSON body into the target type: missing field `inputs`"  # what the container says


def _model_error(status: int, said: str) -> Answer:
    side = "client" if status < 500 else "server"
    where = f"See {_LOGS}/{SAGEMAKER_ENDPOINT} in account {ACCOUNT} for more information."
    return aws_error(
        424,
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{said}". {where}',
        ErrorCode=f"{side.upper()}_ERROR_FROM_MODEL",
        OriginalMessage=said,
        OriginalStatusCode=status,
    )


def _not_found(name: str) -> Answer:
    return aws_error(400, "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")


class SageMaker:
    """Serves the endpoint `SAGEMAKER_ENDPOINT`."""

    hosts = re.compile(r"runtime\.sagemaker\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
    troubles: Mapping[str, Answer] = {
        "throttled": aws_error(400, "ThrottlingException", "Rate exceeded"),
        "unauthorised": aws_error(403, "AccessDeniedException", "User is not authorized to perform this action"),
        "wrong-model": _not_found(SAGEMAKER_ENDPOINT),
        "error": _model_error(500, "CUDA out of memory"),
        "unavailable": aws_error(503, "ServiceUnavailable", "The service is unavailable. Try your call again."),
        "malformed": BROKEN,
    }

    def __init__(self, account: Account) -> None:
        self._account = account

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """Signature, then permission, then endpoint, then body."""
        route = re.fullmatch(r"/endpoints/(?P<name>[^/]+)/invocations", request.path)
        if route is None or request.method != "POST":
            return aws_error(404, "UnknownOperationException", "")
        region, name = host["region"], route["name"]
        caller = signer(self._account, request, "sagemaker", region)
        if isinstance(caller, Answer):
            return caller
        resource = f"arn:{PARTITION}:sagemaker:{region}:{ACCOUNT}:endpoint/{name.lower()}"
        if refused := refusal(self._account, caller, "sagemaker:InvokeEndpoint", resource, region):
            return refused
        if name.lower() != SAGEMAKER_ENDPOINT:
            return _not_found(name)
        body = read_object(request)
        inputs = body.get("inputs") if body else None
        if not isinstance(inputs, str):
            return _model_error(422, _MISSING)
        return json_answer(200, [{"generated_text": echo(inputs)}])
