"""What there is in a sandbox's account from the beginning, because manifests presuppose it: the secret with the key."""

import json

from moto.secretsmanager.models import FakeSecret, secretsmanager_backends

from reconciler.sandbox.settings import ACCOUNT, REGION, SECRET, SECRET_ARN, SECRET_KEY


def prepare(api_key: str) -> None:
    """Put the secret into the account, under the ARN that is known beforehand."""
    backend = secretsmanager_backends[ACCOUNT][REGION]
    backend.create_secret(
        name=SECRET,
        secret_string=json.dumps({SECRET_KEY: api_key}),
        secret_binary=None,
        description="The key of the models' APIs",
        tags=None,
        kms_key_id=None,
        client_request_token=None,
        replica_regions=[],
        force_overwrite=False,
    )
    secret = backend.secrets[SECRET]
    assert isinstance(secret, FakeSecret)
    secret.arn = SECRET_ARN
