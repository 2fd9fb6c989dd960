"""The whole chain by hand, as the walk-throughs have it: roles, mapping, connector, model, answer."""

import json
import time
from typing import Any

import httpx
from botocore.credentials import Credentials

from reconciler.sandbox.settings import ACCOUNT, DOMAIN_ARN
from tests.sandbox.bed import Bed

ML = "/_plugins/_ml"
SERVICE = {"Service": "es.amazonaws.com"}
R1 = "us.deepseek.r1-v1:0"
R1_ARNS = [
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{R1}",
    "arn:aws:bedrock:us-east-1::foundation-model/deepseek.r1-v1:0",
]


def allow(action: Any, resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def creator(bed: Bed, invoke_role: str) -> Credentials:
    """A session of a mapped role that may pass `invoke_role`."""
    role = bed.role("create-connector", allow("es:ESHttp*", f"{DOMAIN_ARN}/*"), allow("iam:PassRole", invoke_role))
    mapping = "/_plugins/_security/api/rolesmapping/ml_full_access"
    assert bed.ask("PUT", mapping, by=bed.automation, content={"backend_roles": [role]}).is_success
    return bed.assume(role)


def deployed(bed: Bed, by: Credentials, connector: dict[str, Any]) -> str:
    """Create the connector and a model with it; returns the model's id once it is deployed."""
    created = bed.ask("POST", f"{ML}/connectors/_create", by=by, content=connector)
    assert created.status_code == 200, created.text
    model = {"name": connector["name"], "function_name": "remote", "connector_id": created.json()["connector_id"]}
    registered = bed.ask("POST", f"{ML}/models/_register?deploy=true", by=by, content=model).json()
    deadline = time.monotonic() + 20
    while (state := bed.ask("GET", f"{ML}/models/{registered['model_id']}", by=by).json()["model_state"]) != "DEPLOYED":
        assert time.monotonic() < deadline, state
    return str(registered["model_id"])


def predict(bed: Bed, by: Credentials, model: str, **parameters: Any) -> httpx.Response:
    return bed.ask("POST", f"{ML}/models/{model}/_predict", by=by, content={"parameters": parameters})


def bedrock_connector(role: str) -> dict[str, Any]:
    return {
        "name": "deepseek-r1",
        "description": "DeepSeek R1 on Bedrock",
        "version": "1",
        "protocol": "aws_sigv4",
        "credential": {"roleArn": role},
        "parameters": {"service_name": "bedrock", "region": "us-east-1", "model_id": R1, "max_gen_len": 4000},
        "actions": [
            {
                "action_type": "PREDICT",
                "method": "POST",
                "headers": {"content-type": "application/json"},
                "url": "https://bedrock-runtime.us-east-1.amazonaws.com/model/${parameters.model_id}/invoke",
                "request_body": '{"prompt": "${parameters.inputs}", "max_gen_len": ${parameters.max_gen_len}}',
            }
        ],
    }


def test_deepseek_r1_on_bedrock(aws: Bed) -> None:
    invoke = aws.role("invoke", allow("bedrock:InvokeModel", R1_ARNS), trust=SERVICE)
    by = creator(aws, invoke)
    model = deployed(aws, by, bedrock_connector(invoke))
    answer = predict(aws, by, model, inputs="hello")
    assert answer.status_code == 200
    assert answer.json()["inference_results"][0]["output"][0]["dataAsMap"]["generation"] == "You asked: hello"


def test_a_role_that_may_not_invoke_or_does_not_trust(aws: Bed) -> None:
    invoke = aws.role("invoke", allow("bedrock:InvokeModel", R1_ARNS[0]), trust=SERVICE)
    by = creator(aws, invoke)
    model = deployed(aws, by, bedrock_connector(invoke))
    refused = predict(aws, by, model, inputs="hello")
    assert refused.status_code == 403
    assert f"bedrock:InvokeModel on resource: {R1_ARNS[1]}" in refused.text
    other = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [other]})
    aws.aws("iam").update_assume_role_policy(RoleName="invoke", PolicyDocument=document)
    untrusted = predict(aws, by, model, inputs="hello")
    assert untrusted.status_code == 403
    assert f"is not authorized to perform: sts:AssumeRole on resource: {invoke}" in untrusted.text


def test_deepseek_chat_with_a_key_in_a_secret(aws: Bed) -> None:
    secrets = aws.aws("secretsmanager")
    secret = secrets.create_secret(
        Name="deepseek", SecretString=json.dumps({"my_deepseek_key": aws.env["DEEPSEEK_API_KEY"]})
    )["ARN"]
    invoke = aws.role(
        "invoke", allow(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], secret), trust=SERVICE
    )
    by = creator(aws, invoke)
    connector = {
        "name": "deepseek-chat",
        "description": "the DeepSeek API",
        "version": "1",
        "protocol": "http",
        "credential": {"secretArn": secret, "roleArn": invoke},
        "parameters": {"endpoint": "api.deepseek.com", "model": "deepseek-chat"},
        "actions": [
            {
                "action_type": "predict",
                "method": "POST",
                "headers": {
                    "Content-Type": "application/json",
                    "Authorization": "Bearer ${credential.secretArn.my_deepseek_key}",
                },
                "url": "https://${parameters.endpoint}/v1/chat/completions",
                "request_body": '{"model": "${parameters.model}", "messages": ${parameters.messages}}',
            }
        ],
    }
    trusted = {"plugins.ml_commons.trusted_connector_endpoints_regex": [r"^https://api\.deepseek\.com/.*$"]}
    assert aws.ask("PUT", "/_cluster/settings", by=aws.automation, content={"persistent": trusted}).is_success
    model = deployed(aws, by, connector)
    answer = predict(aws, by, model, messages=[{"role": "user", "content": "hello there"}])
    assert answer.status_code == 200, answer.text
    said = answer.json()["inference_results"][0]["output"][0]["dataAsMap"]["choices"][0]["message"]["content"]
    assert said == "You asked: hello there"
