"""What Amazon OpenSearch Service does in front of a domain. Emulated.

Callers sign with SigV4 (service `es`); IAM and the domain's access policy decide first, in their own words, then the
Security plugin sees the caller as his IAM ARN: a user by name, a role by name and as backend role. Without an access
policy of its own the domain leaves it to identity policies, and Basic authentication goes through to internal users.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway import access_policy
from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.cluster_settings import is_allowed
from reconciler.sandbox.gateway.domain import Admitted
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.iam_rules import context_of, may_pass
from reconciler.sandbox.gateway.policies import Question
from reconciler.sandbox.gateway.signature import Fault, is_signed, verify
from reconciler.sandbox.settings import ACCOUNT, DOMAIN, DOMAIN_ARN, REGION

CLUSTER_NAME = f"{ACCOUNT}:{DOMAIN}"
SHOWN_VERSION = "2.19.0"  # the service names versions without their patch level

_CONNECTORS = "/_plugins/_ml/connectors/"
_REGISTER_MODEL = "/_plugins/_ml/models/_register"


class Managed:
    """Lets callers in as Amazon OpenSearch Service does."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def admit(self, request: Incoming) -> Admitted | Answer:
        """The caller by his signature or his Basic authorization, if IAM lets him do what he asks for."""
        if is_signed(request):
            caller = verify(request, self._account.key, services=("es",), region=REGION)
            if isinstance(caller, Fault):
                return json_answer(403, {"message": caller.value})
            headers = _proxy_headers(caller)
        elif request.headers.get("authorization", "").lower().startswith("basic "):
            caller = None
            headers = {"authorization": request.headers["authorization"]}
        elif self._account.switches.access_policy is None:
            return _refused(access_policy.anonymous(_action(request.method)))
        else:
            caller, headers = None, {}
        return self._refusal(request, caller) or Admitted(headers)

    def present(self, request: Incoming, answer: Answer) -> Answer:
        """The root page with the service's cluster name and version; all else as it is."""
        if request.raw_path != "/" or request.method != "GET" or answer.status != HTTPStatus.OK:
            return answer
        page = json.loads(answer.body)
        page["cluster_name"] = CLUSTER_NAME
        page["version"] |= {"number": SHOWN_VERSION, "build_hash": "unknown"}
        return Answer(answer.status, answer.headers, json.dumps(page, indent=2).encode())

    def _refusal(self, request: Incoming, caller: Caller | None) -> Answer | None:
        context = context_of(caller) if caller else {"aws:sourceip": ("127.0.0.1",)}
        question = Question(_action(request.method), f"{DOMAIN_ARN}{request.path}", context)
        if message := access_policy.refused(self._account, caller, question):
            return _refused(message)
        for role in _passed_roles(request):
            if caller is None:
                return _refused("User: anonymous is not authorized to perform: iam:PassRole")
            if message := may_pass(self._account, caller, role):
                return _refused(message)
        if request.method == "PUT" and request.path == "/_cluster/settings" and not is_allowed(_body(request)):
            return json_answer(401, {"Message": "Your request: '/_cluster/settings' payload is not allowed."})
        return None


def _action(method: str) -> str:
    return f"es:ESHttp{method.capitalize()}"


def _refused(message: str) -> Answer:
    return json_answer(403, {"Message": message})


def _proxy_headers(caller: Caller) -> Mapping[str, str]:
    headers = {"x-forwarded-for": "127.0.0.1", "x-proxy-user": caller.principal}
    return {**headers, "x-proxy-roles": caller.principal} if caller.is_role else headers


def _body(request: Incoming) -> Json:
    try:
        content: Json = json.loads(request.content)
    except ValueError:
        return None
    return content


def _passed_roles(request: Incoming) -> Sequence[str]:
    """The roles that a request hands to the service: those in the credential of a connector it writes."""
    writes_connector = request.method in ("POST", "PUT") and request.path.startswith(_CONNECTORS)
    if not writes_connector and (request.method, request.path) != ("POST", _REGISTER_MODEL):
        return ()
    body = _body(request)
    connector = body.get("connector", body) if isinstance(body, Mapping) else None
    credential = connector.get("credential") if isinstance(connector, Mapping) else None
    role = credential.get("roleArn") if isinstance(credential, Mapping) else None
    return (role,) if isinstance(role, str) else ()
