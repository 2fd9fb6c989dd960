"""The gateway without sockets: signatures, the AWS API's rules, the domain's admission, the models."""

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from moto.core.utils import utcnow

from reconciler.sandbox.endpoints import Models
from reconciler.sandbox.gateway import signature
from reconciler.sandbox.gateway.account import Account, Caller, Key
from reconciler.sandbox.gateway.aws import AwsApi
from reconciler.sandbox.gateway.domain import Admitted, SelfManaged
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.gateway.managed import Managed
from reconciler.sandbox.gateway.plugins import with_ml_commons
from reconciler.sandbox.gateway.signature import Fault, verify
from reconciler.sandbox.outside import Outside
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, DOMAIN_ARN

KEY_ID, SECRET, API_KEY = "AKIAAUTOMATION", "automation-secret", "sk-sandbox"
AUTOMATION = Credentials(KEY_ID, SECRET)
ROLES = f"arn:aws:iam::{ACCOUNT}:role"


def signed(
    method: str,
    url: str,
    credentials: Credentials,
    *,
    body: bytes = b"",
    service: str = "es",
    region: str = "us-east-1",
    headers: Mapping[str, str] | None = None,
) -> Incoming:
    """A request as botocore signs it."""
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    SigV4Auth(credentials, service, region).add_auth(request)
    scheme, _, rest = url.partition("://")
    host, slash, target = rest.partition("/")
    path, _, query = target.partition("?")
    sent = {name.lower(): value for name, value in request.headers.items()} | {"host": host}
    return Incoming(method, scheme, slash + path or "/", query, sent, body)


@pytest.fixture
def account() -> Account:
    return Account(KEY_ID, SECRET)


class Aws:
    """The AWS endpoint, asked in the query protocol."""

    def __init__(self, account: Account) -> None:
        self._api = AwsApi(account)

    def __call__(self, action: str, by: Credentials = AUTOMATION, **parameters: Any) -> Answer:
        given = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in parameters.items()}
        service = "sts" if action in {"AssumeRole", "GetCallerIdentity"} else "iam"
        version = "2011-06-15" if service == "sts" else "2010-05-08"
        body = urlencode({"Action": action, "Version": version, **given}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = signed("POST", "http://127.0.0.1:1/", by, body=body, service=service, headers=headers)
        return asyncio.run(self._api.handle(request))

    def assume(self, role: str, by: Credentials = AUTOMATION, **parameters: str) -> Credentials:
        answer = self("AssumeRole", by, RoleArn=role, RoleSessionName="session", **parameters)
        assert answer.status == 200, answer.body
        return Credentials(text(answer, "AccessKeyId"), text(answer, "SecretAccessKey"), text(answer, "SessionToken"))

    def role(self, name: str, trust: dict[str, Any] | None = None, *statements: dict[str, Any], path: str = "/") -> str:
        """Make a role that `trust` (by default the automation user) may assume; returns its ARN."""
        principal = trust or {"AWS": AUTOMATION_ARN}
        made = self("CreateRole", RoleName=name, Path=path, AssumeRolePolicyDocument=trusting(principal))
        assert made.status == 200, made.body
        if statements:
            document = {"Version": "2012-10-17", "Statement": list(statements)}
            put = self("PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=document)
            assert put.status == 200, put.body
        return f"{ROLES}{path}{name}"


def trusting(principal: Any, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def allowing(action: Any, resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def text(answer: Answer, element: str) -> str:
    tree = ElementTree.fromstring(answer.body)  # noqa: S314  (made by ourselves)
    found = [node.text for node in tree.iter() if node.tag.rpartition("}")[2] == element]
    assert found, answer.body
    return found[0] or ""


def refused(answer: Answer, status: int, code: str) -> str:
    assert (answer.status, text(answer, "Code")) == (status, code), answer.body
    return text(answer, "Message")


@pytest.fixture
def aws(account: Account) -> Aws:
    return Aws(account)


# --- signatures

CALLER = Caller(AUTOMATION_ARN, AUTOMATION_ARN, ACCOUNT)
LONG_LIVED = Key(CALLER, KEY_ID, SECRET, None, None)


def check(request: Incoming, key: Key = LONG_LIVED, services: tuple[str, ...] = ("es",)) -> Caller | Fault:
    return verify(request, {key.access_key_id: key}.get, services=services, region="us-east-1")


names = st.text(alphabet="abZ09-_.~ /:*,é&=+%'", min_size=1, max_size=8)


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]),
    segments=st.lists(names, max_size=4),
    query=st.lists(st.tuples(names, names | st.just("")), max_size=4),
    body=st.binary(max_size=64),
)
def test_what_botocore_signs_is_verified(
    method: str, segments: list[str], query: list[tuple[str, str]], body: bytes
) -> None:
    path = "/".join(quote(segment, safe="-_.~") for segment in segments if segment not in {".", ".."})
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    url = f"https://localhost:9200/{path}" + (f"?{encoded}" if encoded else "")
    assert check(signed(method, url, AUTOMATION, body=body)) == CALLER


@given(
    change=st.sampled_from(
        [
            {"method": "DELETE"},
            {"raw_path": "/y"},
            {"raw_query": "a=2"},
            {"body": b"{}"},
            {"headers": {"host": "elsewhere"}},
            {"headers": {"content-type": "text/plain"}},
            {"headers": {"x-amz-content-sha256": "0" * 64}, "body": b"other"},
        ]
    )
)
def test_what_was_changed_afterwards_is_not(change: dict[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    request = signed("PUT", "https://localhost/x?a=1", AUTOMATION, body=b"[]", headers=headers)
    assert check(request) == CALLER
    if "headers" in change:
        change = change | {"headers": {**request.headers, **change["headers"]}}
    assert check(dataclasses.replace(request, **change)) is Fault.MISMATCH


def test_a_query_must_be_signed_in_its_encoded_form() -> None:
    assert check(signed("GET", "https://localhost/_search?q=a:b", AUTOMATION)) is Fault.MISMATCH
    assert check(signed("GET", "https://localhost/_search?q=a%3Ab", AUTOMATION)) == CALLER


def test_wrong_secret_key_service_region() -> None:
    url = "https://localhost/"
    assert check(signed("GET", url, Credentials(KEY_ID, "other"))) is Fault.MISMATCH
    assert check(signed("GET", url, Credentials("AKIAOTHER", SECRET))) is Fault.UNKNOWN_KEY
    assert check(signed("GET", url, AUTOMATION, service="s3")) is Fault.OTHER_SERVICE
    assert check(signed("GET", url, AUTOMATION, region="eu-west-1")) is Fault.OTHER_REGION
    assert check(Incoming("GET", "https", "/", "", {"host": "x"}, b"")) is Fault.MISSING
    broken = {"host": "x", "authorization": "AWS4-HMAC-SHA256 Credential=x", "x-amz-date": "20260101T000000Z"}
    assert check(Incoming("GET", "https", "/", "", broken, b"")) is Fault.INCOMPLETE


def test_a_session_needs_its_token_and_ends() -> None:
    session = Key(CALLER, "ASIA1", SECRET, "token", utcnow() + timedelta(minutes=1))
    over = dataclasses.replace(session, expires=utcnow() - timedelta(seconds=1))
    good = signed("GET", "https://localhost/", Credentials("ASIA1", SECRET, "token"))
    assert check(good, session) == CALLER
    assert check(good, over) is Fault.EXPIRED
    for token in (None, "other"):
        assert check(signed("GET", "https://localhost/", Credentials("ASIA1", SECRET, token)), session) is (
            Fault.UNKNOWN_KEY
        )
    assert check(signed("GET", "https://localhost/", Credentials(KEY_ID, SECRET, "token"))) is Fault.UNKNOWN_KEY


@pytest.mark.parametrize(("minutes", "accepted"), [(-6, False), (-4, True), (4, True), (6, False)])
def test_the_callers_clock(minutes: int, accepted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    request = signed("GET", "https://localhost/", AUTOMATION)
    signed_at = datetime.strptime(request.headers["x-amz-date"] + "+0000", SIGV4_TIMESTAMP + "%z")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":  # noqa: ARG003
            moved = signed_at + timedelta(minutes=minutes)
            return cls.fromtimestamp(moved.timestamp(), moved.tzinfo)

    monkeypatch.setattr(signature, "datetime", Clock)
    assert (check(request) == CALLER) is accepted


# --- the AWS API


def test_unsigned_and_badly_signed_calls(aws: Aws, account: Account) -> None:
    api = AwsApi(account)
    unsigned = Incoming("POST", "http", "/", "", {"host": "x"}, b"Action=ListRoles&Version=2010-05-08")
    refused(asyncio.run(api.handle(unsigned)), 403, "MissingAuthenticationToken")
    refused(aws("ListRoles", Credentials("AKIAX", "x")), 403, "InvalidClientTokenId")
    refused(aws("ListRoles", Credentials(KEY_ID, "x")), 403, "SignatureDoesNotMatch")


def test_the_trust_policy_decides_who_assumes_a_role(aws: Aws) -> None:
    mine = aws.role("mine", path="/team/")
    aws.assume(mine)
    others = aws.role("others", {"Service": "es.amazonaws.com"})
    message = refused(aws("AssumeRole", RoleArn=others, RoleSessionName="session"), 403, "AccessDenied")
    assert message == f"User: {AUTOMATION_ARN} is not authorized to perform: sts:AssumeRole on resource: {others}"
    refused(aws("AssumeRole", RoleArn=f"{ROLES}/absent", RoleSessionName="session"), 403, "AccessDenied")


def test_a_trust_in_the_account_leaves_it_to_identity_policies(aws: Aws) -> None:
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    target = aws.role("target", root)
    may = aws.assume(aws.role("may", None, allowing("sts:AssumeRole", target)))
    may_not = aws.assume(aws.role("may-not", None, allowing("sts:AssumeRole", f"{ROLES}/other")))
    aws.assume(target, may)
    refused(aws("AssumeRole", may_not, RoleArn=target, RoleSessionName="session"), 403, "AccessDenied")


def test_an_external_id_is_asked_for(aws: Aws) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "42"}}
    document = trusting({"AWS": AUTOMATION_ARN}, Condition=condition)
    aws("CreateRole", RoleName="guarded", AssumeRolePolicyDocument=document)
    aws.assume(f"{ROLES}/guarded", ExternalId="42")
    refused(aws("AssumeRole", RoleArn=f"{ROLES}/guarded", RoleSessionName="session"), 403, "AccessDenied")


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"}, f'"AWS":"arn:aws:iam::{ACCOUNT}:user/nobody"'),
        ({"AWS": f"{ROLES}/absent"}, f'"AWS":"{ROLES}/absent"'),
        ({"AWS": f"{ROLES}/*"}, f'"AWS":"{ROLES}/*"'),
        ({"AWS": [AUTOMATION_ARN, "AROAABSENT"]}, '"AWS":"AROAABSENT"'),
        ({"Service": "opensearch"}, '"SERVICE":"opensearch"'),
    ],
)
def test_principals_must_exist(aws: Aws, principal: dict[str, Any], shown: str) -> None:
    aws.role("other")
    created = aws("CreateRole", RoleName="r", AssumeRolePolicyDocument=trusting(principal))
    assert refused(created, 400, "MalformedPolicyDocument") == f"Invalid principal in policy: {shown}"
    updated = aws("UpdateAssumeRolePolicy", RoleName="other", PolicyDocument=trusting(principal))
    refused(updated, 400, "MalformedPolicyDocument")


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": ACCOUNT},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        {"AWS": f"{ROLES}/team/there"},
        {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/there/session"},
        {"Service": ["es.amazonaws.com", "opensearchservice.amazonaws.com"]},
    ],
)
def test_principals_that_exist(aws: Aws, principal: Any) -> None:
    aws.role("there", path="/team/")
    assert aws("CreateRole", RoleName="r", AssumeRolePolicyDocument=trusting(principal)).status == 200


def test_identity_policies_decide_calls(aws: Aws) -> None:
    reader = aws.assume(aws.role("reader", None, allowing(["iam:Get*", "iam:ListRoles"])))
    assert aws("GetRole", reader, RoleName="reader").status == 200
    message = refused(aws("DeleteRole", reader, RoleName="reader"), 403, "AccessDenied")
    assert message == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/session is not authorized to perform: iam:DeleteRole "
        f"on resource: {ROLES}/reader because no identity-based policy allows the iam:DeleteRole action"
    )
    assert aws("GetCallerIdentity", reader).status == 200


def test_the_calls_own_condition_keys(aws: Aws) -> None:
    def make(by: Credentials, name: str, **tags: str) -> Answer:
        given = {f"Tags.member.1.{part}": value for key, text in tags.items() for part, value in _tag(key, text)}
        return aws("CreateRole", by, RoleName=name, AssumeRolePolicyDocument=trusting({"AWS": ACCOUNT}), **given)

    def _tag(key: str, value: str) -> tuple[tuple[str, str], ...]:
        return ("Key", key), ("Value", value)

    tagged = {"Condition": {"StringEquals": {"aws:RequestTag/Team": "search"}}}
    own = {"Condition": {"StringEquals": {"iam:ResourceTag/Team": "search"}}}
    allowed = (allowing("iam:CreateRole") | tagged, allowing("iam:TagRole") | tagged, allowing("iam:DeleteRole") | own)
    by = aws.assume(aws.role("by", None, *allowed))
    refused(make(by, "untagged"), 403, "AccessDenied")
    refused(make(by, "other", team="sales"), 403, "AccessDenied")
    assert make(by, "mine", Team="search").status == 200
    make(AUTOMATION, "theirs", Team="sales")
    refused(aws("DeleteRole", by, RoleName="theirs"), 403, "AccessDenied")
    assert aws("DeleteRole", by, RoleName="mine").status == 200
    creator = aws.assume(aws.role("creator", None, allowing("iam:CreateRole")))
    assert "iam:TagRole" in refused(make(creator, "tagged", Team="search"), 403, "AccessDenied")


def test_sessions_that_a_trust_policy_names_die_with_their_role(aws: Aws) -> None:
    aws.role("ci")
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/session"
    target = aws.role("target", {"AWS": session})
    aws.assume(target, aws.assume(f"{ROLES}/ci"))
    aws("DeleteRole", RoleName="ci")
    again = aws.assume(aws.role("ci"))
    refused(aws("AssumeRole", again, RoleArn=target, RoleSessionName="session"), 403, "AccessDenied")
    assert "AROA" in text(aws("GetRole", RoleName="target"), "AssumeRolePolicyDocument")


def test_an_explicit_deny_is_named(aws: Aws) -> None:
    deny = {"Effect": "Deny", "Action": "iam:GetRole", "Resource": "*"}
    role = aws.assume(aws.role("r", None, allowing("iam:*"), deny))
    message = refused(aws("GetRole", role, RoleName="r"), 403, "AccessDenied")
    assert message.endswith("with an explicit deny in an identity-based policy")


def test_attached_policies_and_boundaries(aws: Aws) -> None:
    read_only = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    aws.role("attached")
    assert aws("AttachRolePolicy", RoleName="attached", PolicyArn=read_only).status == 200
    session = aws.assume(f"{ROLES}/attached")
    assert aws("ListRoles", session).status == 200
    bounded = aws.role("bounded", None, allowing("iam:*"))
    assert aws("PutRolePermissionsBoundary", RoleName="bounded", PermissionsBoundary=read_only).status == 200
    inside = aws.assume(bounded)
    assert aws("ListRoles", inside).status == 200
    refused(aws("DeleteRole", inside, RoleName="attached"), 403, "AccessDenied")


def test_reset_keeps_the_key_and_forgets_the_rest(aws: Aws, account: Account) -> None:
    session = aws.assume(aws.role("r", None, allowing("iam:*")))
    account.reset()
    refused(aws("ListRoles", session), 403, "InvalidClientTokenId")
    refused(aws("GetRole", RoleName="r"), 404, "NoSuchEntity")
    assert aws("GetCallerIdentity").status == 200


def secrets_call(account: Account, operation: str, by: Credentials, **parameters: str) -> Answer:
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"secretsmanager.{operation}"}
    body = json.dumps(parameters).encode()
    request = signed("POST", "http://127.0.0.1:1/", by, body=body, service="secretsmanager", headers=headers)
    return asyncio.run(AwsApi(account).handle(request))


def test_secrets(aws: Aws, account: Account) -> None:
    made = json.loads(secrets_call(account, "CreateSecret", AUTOMATION, Name="key", SecretString="s").body)
    reader = aws.assume(aws.role("reader", None, allowing("secretsmanager:GetSecretValue", made["ARN"])))
    assert json.loads(secrets_call(account, "GetSecretValue", reader, SecretId="key").body)["SecretString"] == "s"
    answer = secrets_call(account, "DeleteSecret", reader, SecretId=made["ARN"])
    assert (answer.status, json.loads(answer.body)["__type"]) == (400, "AccessDeniedException")
    wrong = secrets_call(account, "GetSecretValue", Credentials(KEY_ID, "wrong"), SecretId="key")
    assert (wrong.status, json.loads(wrong.body)["__type"]) == (400, "InvalidSignatureException")


# --- the domain's admission

DOMAIN_URL = "https://127.0.0.1:9200"
CREATE = f"{DOMAIN_URL}/_plugins/_ml/connectors/_create"


def turned_away(admitted: Admitted | Answer) -> tuple[int, dict[str, str]]:
    assert isinstance(admitted, Answer)
    return admitted.status, json.loads(admitted.body)


def test_a_role_comes_in_as_its_arn_with_its_path(aws: Aws, account: Account) -> None:
    role = aws.role("cc", None, allowing("es:ESHttpGet", f"{DOMAIN_ARN}/*"), path="/team/")
    admitted = Managed(account).admit(signed("GET", f"{DOMAIN_URL}/_search", aws.assume(role)))
    assert isinstance(admitted, Admitted)
    assert admitted.auth_headers == {"x-forwarded-for": "127.0.0.1", "x-proxy-user": role, "x-proxy-roles": role}


def test_a_user_comes_in_by_name_only(account: Account) -> None:
    admitted = Managed(account).admit(signed("GET", f"{DOMAIN_URL}/", AUTOMATION))
    assert isinstance(admitted, Admitted)
    assert admitted.auth_headers == {"x-forwarded-for": "127.0.0.1", "x-proxy-user": AUTOMATION_ARN}


def test_iam_decides_each_verb(aws: Aws, account: Account) -> None:
    session = aws.assume(aws.role("cc", None, allowing("es:ESHttpPost", f"{DOMAIN_ARN}/*")))
    managed = Managed(account)
    assert isinstance(managed.admit(signed("POST", f"{DOMAIN_URL}/x", session)), Admitted)
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
        status, body = turned_away(managed.admit(signed(method, f"{DOMAIN_URL}/x", session)))
        who, action = f"arn:aws:sts::{ACCOUNT}:assumed-role/cc/session", f"es:ESHttp{method.capitalize()}"
        why = f"because no identity-based policy allows the {action} action"
        assert (status, body) == (403, {"Message": f"User: {who} is not authorized to perform: {action} {why}"})


def test_the_bare_domain_arn_is_not_enough(aws: Aws, account: Account) -> None:
    session = aws.assume(aws.role("cc", None, allowing("es:*", DOMAIN_ARN)))
    assert turned_away(Managed(account).admit(signed("GET", f"{DOMAIN_URL}/", session)))[0] == 403


def test_pass_role(aws: Aws, account: Account) -> None:
    invoke = aws.role("invoke", {"Service": "es.amazonaws.com"})
    es = allowing("es:ESHttp*", f"{DOMAIN_ARN}/*")
    may = aws.assume(aws.role("may", None, es, allowing("iam:PassRole", invoke)))
    may_not = aws.assume(aws.role("may-not", None, es))
    body = json.dumps({"name": "c", "credential": {"roleArn": invoke}}).encode()
    managed = Managed(account)
    assert isinstance(managed.admit(signed("POST", CREATE, may, body=body)), Admitted)
    status, said = turned_away(managed.admit(signed("POST", CREATE, may_not, body=body)))
    assert status == 403
    assert f"is not authorized to perform: iam:PassRole on resource: {invoke}" in said["Message"]
    basic = Incoming("POST", "https", "/_plugins/_ml/connectors/_create", "", {"authorization": "Basic eA=="}, body)
    assert turned_away(managed.admit(basic)) == (
        403,
        {"Message": "User: anonymous is not authorized to perform: iam:PassRole"},
    )


def test_unsigned_and_badly_signed_requests(account: Account) -> None:
    managed = Managed(account)
    proxied = {"x-proxy-user": "admin", "x-proxy-roles": "admin", "x-forwarded-for": "127.0.0.1"}
    status, body = turned_away(managed.admit(Incoming("GET", "https", "/", "", proxied, b"")))
    assert (status, body["Message"]) == (
        403,
        "User: anonymous is not authorized to perform: es:ESHttpGet "
        "because no resource-based policy allows the es:ESHttpGet action",
    )
    status, body = turned_away(managed.admit(signed("GET", f"{DOMAIN_URL}/", Credentials("AKIAX", "x"))))
    assert (status, body) == (403, {"message": "The security token included in the request is invalid."})


@pytest.mark.parametrize(
    ("settings", "accepted"),
    [
        ({"persistent": {"plugins.ml_commons.memory_feature_enabled": True}}, True),
        ({"persistent": {"plugins": {"ml_commons": {"memory_feature_enabled": True}}}}, False),
        ({"transient": {"a.b": None}, "persistent": {"a": {"b": 1}}}, False),
    ],
)
def test_settings_are_flat_on_the_managed_service(account: Account, settings: Any, accepted: bool) -> None:
    request = signed("PUT", f"{DOMAIN_URL}/_cluster/settings", AUTOMATION, body=json.dumps(settings).encode())
    admitted = Managed(account).admit(request)
    assert isinstance(admitted, Admitted) is accepted
    if not accepted:
        assert turned_away(admitted) == (
            401,
            {"Message": "Your request: '/_cluster/settings' payload is not allowed."},
        )


@pytest.mark.parametrize("trusts", [True, False])
def test_a_self_managed_domain_trusts_proxy_headers_only_when_told(trusts: bool) -> None:
    headers = {"x-proxy-user": "u", "x-forwarded-for": "127.0.0.1", "authorization": "Basic eA==", "accept": "*/*"}
    admitted = SelfManaged(trusts_proxies=trusts).admit(Incoming("GET", "https", "/", "", headers, b""))
    assert isinstance(admitted, Admitted)
    kept = {"authorization", "x-proxy-user", "x-forwarded-for"} if trusts else {"authorization"}
    assert set(admitted.auth_headers) == kept


# --- what the domain shows


def test_ml_commons_is_shown_among_the_plugins() -> None:
    plugins = [{"name": "opensearch-job-scheduler"}, {"name": "opensearch-security"}]
    nodes = json_answer(200, {"nodes": {"n": {"plugins": plugins, "modules": [{"name": "reindex"}]}}})
    shown = json.loads(with_ml_commons(Incoming("GET", "https", "/_nodes", "", {}, b""), nodes).body)
    assert {plugin["name"] for plugin in shown["nodes"]["n"]["plugins"]} == {
        "opensearch-job-scheduler",
        "opensearch-ml",
        "opensearch-security",
    }
    assert shown["nodes"]["n"]["modules"] == [{"name": "reindex"}]
    listed = Answer(
        200, {"content-type": "text/plain"}, b"n opensearch-job-scheduler 2.19.4.0\nn opensearch-security 1\n"
    )
    rows = with_ml_commons(Incoming("GET", "https", "/_cat/plugins", "", {}, b""), listed).body.decode().splitlines()
    assert [row.split()[1] for row in rows] == ["opensearch-job-scheduler", "opensearch-ml", "opensearch-security"]


def test_other_answers_are_left_alone() -> None:
    answer = json_answer(200, {"name": "opensearch-job-scheduler"})
    assert with_ml_commons(Incoming("GET", "https", "/docs/_doc/1", "", {}, b""), answer) is answer


# --- the models

R1 = "us.deepseek.r1-v1:0"
R1_MODEL = "arn:aws:bedrock:us-east-1::foundation-model/deepseek.r1-v1:0"
R1_PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{R1}"


def ask(account: Account, request: Incoming) -> tuple[int, Any, str]:
    answer = asyncio.run(Models(account, API_KEY).handle(request))
    return answer.status, json.loads(answer.body), answer.headers.get("x-amzn-errortype", "")


def bedrock(by: Credentials, model: str = R1, body: Any = None, region: str = "us-east-1") -> Incoming:
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{model}/invoke"
    sent = json.dumps({"prompt": "hello"} if body is None else body).encode()
    return signed("POST", url, by, body=sent, service="bedrock", region=region)


def test_bedrock(aws: Aws, account: Account) -> None:
    session = aws.assume(aws.role("invoke", None, allowing("bedrock:InvokeModel", [R1_MODEL, R1_PROFILE])))
    prompt = "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>What is\nOpenSearch?<\uff5cAssistant\uff5c>"
    status, body, _ = ask(account, bedrock(session, body={"prompt": prompt, "temperature": 0, "max_gen_len": 4000}))
    assert (status, body["generation"]) == (200, "You asked: What is OpenSearch?")


def test_bedrock_refuses(aws: Aws, account: Account) -> None:
    session = aws.assume(aws.role("invoke", None, allowing("bedrock:InvokeModel", [R1_MODEL, R1_PROFILE])))
    profile_only = aws.assume(aws.role("profile", None, allowing("bedrock:InvokeModel", R1_PROFILE)))
    status, body, code = ask(account, bedrock(profile_only))
    assert (status, code) == (403, "AccessDeniedException")
    assert f"is not authorized to perform: bedrock:InvokeModel on resource: {R1_MODEL}" in body["message"]
    assert ask(account, bedrock(session, "gpt"))[::2] == (400, "ValidationException")
    status, body, code = ask(account, bedrock(session, body={"inputs": "hello"}))
    assert (status, code) == (400, "ValidationException")
    assert "required key [prompt] not found" in body["message"]
    assert ask(account, bedrock(session, region="eu-west-1"))[::2] == (403, "InvalidSignatureException")
    assert ask(account, bedrock(Credentials("AKIAX", "x")))[::2] == (403, "UnrecognizedClientException")


def test_sagemaker(aws: Aws, account: Account) -> None:
    endpoint = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/deepseek-r1"
    session = aws.assume(aws.role("invoke", None, allowing("sagemaker:InvokeEndpoint", endpoint)))
    url = "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/deepseek-r1/invocations"
    request = signed("POST", url, session, body=b'{"inputs": "hello"}', service="sagemaker")
    assert ask(account, request)[:2] == (200, [{"generated_text": "You asked: hello"}])
    other = signed("POST", url.replace("-r1", "-v3"), session, body=b'{"inputs": "hello"}', service="sagemaker")
    assert ask(account, other)[::2] == (403, "AccessDeniedException")


def chat(key: str = API_KEY, **body: Any) -> Incoming:
    headers = {"host": "api.deepseek.com", "authorization": f"Bearer {key}"}
    return Incoming("POST", "https", "/v1/chat/completions", "", headers, json.dumps(body).encode())


def test_deepseek(account: Account) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    status, body, _ = ask(account, chat(model="deepseek-chat", messages=messages))
    assert status == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "You asked: Be brief. hello"}
    assert ask(account, chat(model="deepseek-chat", messages=messages))[1] == body
    status, body, _ = ask(account, chat(key="sk-wrong", model="deepseek-chat", messages=messages))
    assert (status, body["error"]["type"]) == (401, "authentication_error")
    assert ask(account, chat(model="gpt-4", messages=messages))[0] == 400
    assert ask(account, chat(model="deepseek-chat"))[0] == 422


def send(account: Account, url: str, role: str | None = None) -> tuple[int, Any]:
    """A connector's call while nothing is served."""

    async def call() -> tuple[int, Any]:
        models = Models(account, API_KEY)
        outside = Outside(account, models, models_url="http://127.0.0.1:1", aws_url="http://127.0.0.1:1")
        try:
            status, _, body = await outside.send(
                "POST", url, {}, b"", sign_with_role=role, service="bedrock", region="us-east-1"
            )
        finally:
            await outside.close()
        return status, json.loads(body)

    return asyncio.run(call())


def test_a_connector_finds_no_other_hosts(account: Account) -> None:
    with pytest.raises(ConnectionError, match=r"example\.com: Name or service not known"):
        send(account, "https://example.com/v1/chat/completions")


@pytest.mark.parametrize("service", ["lambda.amazonaws.com", "ec2.amazonaws.com"])
def test_a_connectors_role_must_trust_opensearch(aws: Aws, account: Account, service: str) -> None:
    role = aws.role("invoke", {"Service": service})
    status, body = send(account, "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/invoke", role)
    assert (status, body) == (
        403,
        {"Message": f"User: es.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: {role}"},
    )


@pytest.mark.parametrize("service", ["es.amazonaws.com", "opensearchservice.amazonaws.com"])
def test_both_names_of_the_service_are_trusted(aws: Aws, account: Account, service: str) -> None:
    role = aws.role("invoke", {"Service": service})
    with pytest.raises(ConnectionError, match="can not be reached"):
        send(account, "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/invoke", role)


def test_a_host_where_no_model_is(account: Account) -> None:
    assert ask(account, Incoming("POST", "https", "/", "", {"host": "example.com"}, b""))[0] == 404
