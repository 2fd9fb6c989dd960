"""Secrets Manager, as the managed service asks it for the secret a connector names."""

import json

from reconciler.sandbox.mlcommons.answers import status_error
from reconciler.sandbox.mlcommons.values import document, string, string_map
from reconciler.sandbox.protocol import ModelEndpoints


class Secrets:
    """Reads secrets with the role of a connector."""

    def __init__(self, endpoints: ModelEndpoints) -> None:
        self._endpoints = endpoints

    async def read(self, secret_arn: str, role_arn: str) -> dict[str, str]:
        """The members of a secret that is a JSON object. Refuses with the service's status and message.

        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
        """
        parts = secret_arn.split(":")
        region = parts[3] if len(parts) > 3 else ""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"}
        status, _, content = await self._endpoints.send(
            "POST",
            f"https://secretsmanager.{region}.amazonaws.com/",
            headers,
            json.dumps({"SecretId": secret_arn}).encode(),
            sign_with_role=role_arn,
            service="secretsmanager",
            region=region,
        )
        text = content.decode("utf-8", "replace")
        if status != 200:
            raise status_error(status, f"Error from remote service: {text}")
        try:
            return string_map(json.loads(string(document(json.loads(text)).get("SecretString"))))
        except ValueError:
            return {}
