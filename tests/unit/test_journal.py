"""The sandbox's log: it repeats nothing that a request brought as a secret."""

import base64
import json

import pytest

from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.journal import AWS, DOMAIN, MODELS, Journal

KEY = "sk-0123456789/abc+def="
BASIC = base64.b64encode(f"admin:{KEY}".encode()).decode()
CREATE: dict[str, object] = {"name": "c", "credential": {"roleArn": "arn:aws:iam::1:role/r", "key": KEY}}


def request(headers: dict[str, str] | None = None, body: object = None, path: str = "/x") -> Incoming:
    content = json.dumps(body).encode() if body is not None else b""
    return Incoming("POST", "https", path, "", {"host": "models", **(headers or {})}, content)


def refusal(reason: str) -> Answer:
    return Answer(401, {}, json.dumps({"error": {"type": "x", "reason": reason}}).encode())


REQUESTS: dict[str, tuple[str, Incoming]] = {
    "a bearer": (MODELS, request({"authorization": f"Bearer {KEY}"})),
    "a password": (DOMAIN, request({"authorization": f"Basic {BASIC}"})),
    "a key without a scheme": (MODELS, request({"authorization": KEY})),
    "a header of its own": (MODELS, request({"x-api-key": KEY})),
    "a connector's credential": (DOMAIN, request(body=CREATE, path="/_plugins/_ml/connectors/_create")),
    "a secret to keep": (AWS, request(body={"Name": "n", "SecretString": KEY})),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_what_came_as_a_secret_is_not_in_the_log(case: str) -> None:
    server, asked = REQUESTS[case]
    journal = Journal(lambda key_id: None)
    forms = [KEY, json.dumps({"k": KEY}), base64.b64encode(f"u:{KEY}".encode()).decode()]
    for form in forms:
        journal.add(server, asked, refusal(f"Incorrect key provided: {form}."), 1.0, "")
    # What a model said is told again by who asked it.
    journal.add(DOMAIN, request(), refusal(f"{'x' * 290} {KEY}"), 1.0, "")
    journal.add_connector_refusal(f"POST {case}", "", f"no host in {KEY}")
    told = json.dumps([dict(one.as_json()) for one in journal.last(10)])
    assert told.count("Incorrect key provided: ") == len(forms)
    assert told.count("***") >= len(forms) + 2
    assert KEY[:6] not in told
    assert base64.b64encode(KEY.encode()).decode()[4:12] not in told


def test_names_and_arns_stay() -> None:
    journal = Journal(lambda key_id: None)
    body = {"credential": {"roleArn": "arn:aws:iam::1:role/r", "key": "c"}}
    journal.add(DOMAIN, request(body=body), refusal("c may not pass arn:aws:iam::1:role/r"), 1.0, "")
    assert journal.last(1)[0].reason == "c may not pass arn:aws:iam::1:role/r"
