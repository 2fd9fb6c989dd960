"""The models under their public host names: what they check, and the shapes of what they answer."""

import asyncio
import json
import math
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.models import iam_backends

from reconciler.sandbox.endpoints import Models
from reconciler.sandbox.endpoints.embedding import embed
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.http import Incoming
from reconciler.sandbox.prepared import prepare
from reconciler.sandbox.settings import ACCOUNT, SAGEMAKER_ENDPOINT, SECRET_ARN, SECRET_KEY

API_KEY = "sk-sandbox"
REGION = "us-east-1"
R1 = "us.deepseek.r1-v1:0"
BEDROCK = f"https://bedrock-runtime.{REGION}.amazonaws.com/model"
SAGEMAKER = f"https://runtime.sagemaker.{REGION}.amazonaws.com/endpoints/{SAGEMAKER_ENDPOINT}/invocations"
HELLO = [{"role": "user", "content": "hello"}]
HOSTS = {
    "api.deepseek.com": "/v1/chat/completions",
    "api.openai.com": "/v1/chat/completions",
    "api.cohere.com": "/v2/embed",
    "api.cohere.ai": "/v1/embed",
}


@pytest.fixture(scope="module")
def account() -> Account:
    return Account("AKIAAUTOMATION", "secret")


@pytest.fixture
def models(account: Account) -> Models:
    return Models(account, API_KEY)


def session(account: Account, name: str, action: str, resource: Any) -> Credentials:
    """A session of a role that may do one thing."""
    iam = iam_backends[ACCOUNT]["aws"]
    if all(role.name != name for role in iam.get_roles()):
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        iam.create_role(name, json.dumps({"Version": "2012-10-17", "Statement": []}), "/", "", "", [], "3600")
        iam.put_role_policy(name, "p", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    key = account.session(f"arn:aws:iam::{ACCOUNT}:role/{name}")
    return Credentials(key.access_key_id, key.secret, key.token)


@pytest.fixture
def invoker(account: Account) -> Credentials:
    return session(account, "invoker", "*", "*")


def ask(models: Models, request: Incoming) -> tuple[int, Any, str]:
    answer = asyncio.run(models.handle(request))
    return answer.status, json.loads(answer.body), answer.headers.get("x-amzn-errortype", "")


def signed(url: str, by: Credentials, body: Any, service: str = "bedrock") -> Incoming:
    content = json.dumps(body).encode()
    request = AWSRequest(method="POST", url=url, data=content)
    SigV4Auth(by, service, REGION).add_auth(request)
    host, _, path = url.removeprefix("https://").partition("/")
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": host}
    return Incoming("POST", "https", f"/{path}", "", headers, content)


def keyed(host: str, body: Any, path: str = "", key: str | None = API_KEY) -> Incoming:
    headers = {"host": host} | ({"authorization": f"Bearer {key}"} if key is not None else {})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Incoming("POST", "https", path or HOSTS[host], "", headers, content)


# --- Bedrock


def test_converse(models: Models, invoker: Credentials) -> None:
    body = {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "hello"}, {"text": "there"}]}],
        "inferenceConfig": {"maxTokens": 10},
    }
    status, answer, _ = ask(models, signed(f"{BEDROCK}/{R1}/converse", invoker, body))
    assert status == 200
    assert answer["output"]["message"] == {
        "role": "assistant",
        "content": [{"text": "You asked: Be brief. hello there"}],
    }
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {"inputTokens": 4, "outputTokens": 6, "totalTokens": 10}


@pytest.mark.parametrize(
    "messages", [[], None, [{"role": "assistant", "content": [{"text": "x"}]}]], ids=["empty", "none", "assistant"]
)
def test_a_conversation_begins_with_the_user(models: Models, invoker: Credentials, messages: Any) -> None:
    status, answer, code = ask(models, signed(f"{BEDROCK}/{R1}/converse", invoker, {"messages": messages}))
    assert (status, code) == (400, "ValidationException")
    assert "must start with a user message" in answer["message"]


def test_converse_takes_the_permission_of_invoke(models: Models, account: Account) -> None:
    by = session(account, "converser", "bedrock:Converse", "*")
    status, answer, code = ask(models, signed(f"{BEDROCK}/{R1}/converse", by, {"messages": []}))
    assert (status, code) == (403, "AccessDeniedException")
    assert "is not authorized to perform: bedrock:InvokeModel on resource" in answer["message"]


def test_the_permission_is_for_exactly_this_model(models: Models, account: Account) -> None:
    other = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
    by = session(account, "titan", "bedrock:InvokeModel", other)
    assert ask(models, signed(f"{BEDROCK}/{R1}/invoke", by, {"prompt": "x"}))[0] == 403
    url = f"{BEDROCK}/amazon.titan-embed-text-v2%3A0/invoke"
    status, answer, _ = ask(models, signed(url, by, {"inputText": "hello", "dimensions": 256}))
    assert (status, len(answer["embedding"]), answer["inputTextTokenCount"]) == (200, 256, 1)


def test_r1_is_served_by_its_profile_only(models: Models, invoker: Credentials) -> None:
    status, answer, code = ask(models, signed(f"{BEDROCK}/deepseek.r1-v1:0/invoke", invoker, {"prompt": "hello"}))
    assert (status, code) == (400, "ValidationException")
    assert "on-demand throughput isn\u2019t supported" in answer["message"]
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{R1}".replace("/", "%2F")
    assert ask(models, signed(f"{BEDROCK}/{profile}/invoke", invoker, {"prompt": "hello"}))[0] == 200


def test_cohere_on_bedrock(models: Models, invoker: Credentials) -> None:
    url = f"{BEDROCK}/cohere.embed-english-v3/invoke"
    texts = {"texts": ["one", "two"], "input_type": "search_document"}
    status, answer, _ = ask(models, signed(url, invoker, texts))
    assert (status, [len(vector) for vector in answer["embeddings"]]) == (200, [1024, 1024])
    status, answer, _ = ask(models, signed(url, invoker, {"texts": ["one"]}))
    assert (status, "required key [input_type] not found" in answer["message"]) == (400, True)
    assert ask(models, signed(f"{BEDROCK}/cohere.embed-english-v3/converse", invoker, {}))[0] == 400


# --- SageMaker


def test_sagemaker_names_what_is_wrong(models: Models, account: Account, invoker: Credentials) -> None:
    status, answer, code = ask(models, signed(SAGEMAKER, invoker, {"prompt": "hello"}, "sagemaker"))
    assert (status, code, answer["OriginalStatusCode"]) == (424, "ModelError", 422)
    assert "missing field `inputs`" in answer["message"]
    other = SAGEMAKER.replace(SAGEMAKER_ENDPOINT, "deepseek-r2")
    status, answer, code = ask(models, signed(other, invoker, {"inputs": "hello"}, "sagemaker"))
    assert (status, code) == (400, "ValidationError")
    assert answer["message"] == f"Endpoint deepseek-r2 of account {ACCOUNT} not found."
    assert ask(models, signed(SAGEMAKER, invoker, {"inputs": "x"}, "bedrock"))[::2] == (
        403,
        "InvalidSignatureException",
    )
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/other"
    by = session(account, "other-endpoint", "sagemaker:InvokeEndpoint", arn)
    status, answer, code = ask(models, signed(SAGEMAKER, by, {"inputs": "x"}, "sagemaker"))
    assert (status, code) == (403, "AccessDeniedException")
    assert f"sagemaker:InvokeEndpoint on resource: {arn[:-5]}{SAGEMAKER_ENDPOINT}" in answer["message"]


# --- those with a key


@pytest.mark.parametrize("host", HOSTS)
def test_a_key_is_wanted(models: Models, host: str) -> None:
    for key in (None, "", "sk-wrong", API_KEY + "x"):
        status, answer, _ = ask(models, keyed(host, {}, key=key))
        assert status == 401
        assert API_KEY not in json.dumps(answer).replace(API_KEY + "x", "")


def test_deepseek_errors(models: Models) -> None:
    host = "api.deepseek.com"
    cases: list[tuple[Any, int, str]] = [
        (b"{", 400, "Failed to parse the request body as JSON"),
        ({"model": "deepseek-chat"}, 422, "missing field `messages` at line 1 column 26"),
        ({"messages": HELLO}, 422, "missing field `model`"),
        ({"model": "deepseek-chat", "messages": [{"content": "x"}]}, 422, "messages[0]: missing field `role`"),
        ({"model": "deepseek-chat", "messages": [{"role": "me"}]}, 422, "unknown variant `me`, expected one of"),
        ({"model": "deepseek-chat", "messages": []}, 400, "Empty input messages"),
        ({"model": "gpt-4", "messages": HELLO}, 400, "Model Not Exist"),
    ]
    for body, wanted, message in cases:
        status, answer, _ = ask(models, keyed(host, body))
        assert (status, message in answer["error"]["message"]) == (wanted, True), answer


def test_openai(models: Models) -> None:
    host = "api.openai.com"
    status, answer, _ = ask(models, keyed(host, {"model": "gpt-4o", "messages": HELLO}))
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "You asked: hello")
    status, answer, _ = ask(models, keyed(host, {"model": "gpt-9", "messages": HELLO}))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert ask(models, keyed(host, {"model": "gpt-4o"}))[1]["error"]["param"] == "messages"
    assert ask(models, keyed(host, {"model": "gpt-4o"}, "/v1/nothing"))[0] == 404


def test_openai_embeddings(models: Models) -> None:
    def embedded(**body: Any) -> tuple[int, Any]:
        return ask(models, keyed("api.openai.com", body, "/v1/embeddings"))[:2]

    status, answer = embedded(model="text-embedding-3-small", input=["a b", "c"])
    assert status == 200
    assert [(one["index"], len(one["embedding"])) for one in answer["data"]] == [(0, 1536), (1, 1536)]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert len(embedded(model="text-embedding-3-small", input="a", dimensions=8)[1]["data"][0]["embedding"]) == 8
    assert embedded(model="text-embedding-ada-002", input="a", dimensions=8)[0] == 400
    assert embedded(model="text-embedding-3-small", input=[])[0] == 400
    assert embedded(model="other", input="a")[0] == 404


def test_cohere(models: Models) -> None:
    body = {"model": "embed-english-light-v3.0", "texts": ["a"], "input_type": "search_query"}
    status, answer, _ = ask(models, keyed("api.cohere.ai", body))
    assert (status, len(answer["embeddings"][0]), answer["response_type"]) == (200, 384, "embeddings_floats")
    status, answer, _ = ask(models, keyed("api.cohere.com", body | {"embedding_types": ["float"]}))
    assert (status, len(answer["embeddings"]["float"][0])) == (200, 384)
    assert ask(models, keyed("api.cohere.com", body))[0] == 400
    status, answer, _ = ask(models, keyed("api.cohere.ai", {"model": "embed-english-v3.0", "texts": ["a"]}))
    assert (status, "valid input_type must be provided" in answer["message"]) == (400, True)
    assert ask(models, keyed("api.cohere.ai", body | {"model": "x"}))[0] == 404


@given(st.text(), st.integers(1, 64))
def test_embeddings_are_unit_vectors_of_the_words(text: str, size: int) -> None:
    vector = embed(text, size)
    assert len(vector) == size
    assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-4)
    assert vector == embed(" ".join(reversed(text.split())), size)


# --- steering

CHAT = {"model": "deepseek-chat", "messages": HELLO}
TROUBLES = {
    "bedrock-runtime.us-east-1.amazonaws.com": {
        "throttled": 429,
        "unauthorised": 403,
        "wrong-model": 400,
        "error": 500,
    },
    "runtime.sagemaker.us-east-1.amazonaws.com": {"throttled": 400, "unauthorised": 403, "error": 424},
    "api.deepseek.com": {"throttled": 429, "unauthorised": 401, "wrong-model": 400, "balance": 402, "unavailable": 503},
    "api.openai.com": {"throttled": 429, "balance": 429, "wrong-model": 404, "error": 500},
    "api.cohere.ai": {"throttled": 429, "unauthorised": 401, "balance": 402, "wrong-model": 404},
}


@pytest.mark.parametrize("host", TROUBLES)
def test_each_provider_says_it_in_its_own_way(models: Models, host: str) -> None:
    for answer, wanted in TROUBLES[host].items():
        models.steer(host, answer)
        status, body, code = ask(models, keyed(host, CHAT, "/"))
        assert status == wanted, answer
        assert (bool(code), "error" in body, "message" in body) in {
            (True, False, True),  # AWS
            (False, True, False),  # OpenAI and DeepSeek
            (False, False, True),  # Cohere
        }


def test_sagemakers_throttling_can_be_recognised_by_its_header(models: Models) -> None:
    models.steer("runtime.sagemaker.us-east-1.amazonaws.com", "throttled")
    assert ask(models, keyed("runtime.sagemaker.us-east-1.amazonaws.com", {}, "/"))[2] == "ThrottlingException"


def test_answers_are_given_so_often_one_after_the_other(models: Models) -> None:
    models.steer("api.deepseek.com", "throttled", times=2)
    models.steer("api.deepseek.com", "balance")
    got = [ask(models, keyed("api.deepseek.com", CHAT))[0] for _ in range(4)]
    assert got == [429, 429, 402, 200]
    models.steer("api.deepseek.com", "error", times=None)
    assert [ask(models, keyed("api.deepseek.com", CHAT))[0] for _ in range(3)] == [500] * 3
    assert ask(models, keyed("api.openai.com", {"model": "gpt-4o", "messages": HELLO}))[0] == 200
    models.reset()
    assert ask(models, keyed("api.deepseek.com", CHAT))[0] == 200


def test_malformed_and_slow(models: Models) -> None:
    models.steer("api.deepseek.com", "malformed")
    answer = asyncio.run(models.handle(keyed("api.deepseek.com", CHAT)))
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    models.steer("api.deepseek.com", "slow", seconds=60)

    async def impatient() -> None:
        await asyncio.wait_for(models.handle(keyed("api.deepseek.com", CHAT)), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert ask(models, keyed("api.deepseek.com", CHAT))[0] == 200


@pytest.mark.parametrize(("host", "answer"), [("example.com", "error"), ("api.cohere.ai", "nonsense"), ("", "error")])
def test_what_can_not_be_steered(models: Models, host: str, answer: str) -> None:
    with pytest.raises(ValueError, match=r"no model is served|only balance, error"):
        models.steer(host, answer)


# --- what is prepared


def test_the_secret_has_the_key_under_its_arn(account: Account) -> None:
    account.reset()
    prepare(API_KEY)
    assert account.arn_of_secret("deepseek-api", REGION) == SECRET_ARN
    content = json.dumps({"SecretId": SECRET_ARN}).encode()
    headers = {
        "x-amz-target": "secretsmanager.GetSecretValue",
        "content-type": "application/x-amz-json-1.1",
        "host": f"secretsmanager.{REGION}.amazonaws.com",
        "authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/{REGION}/secretsmanager/aws4_request",
    }
    answer = account.call(Incoming("POST", "https", "/", "", headers, content))
    assert json.loads(json.loads(answer.body)["SecretString"]) == {SECRET_KEY: API_KEY}
