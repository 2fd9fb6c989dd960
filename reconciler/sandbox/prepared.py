"""What there is in a sandbox's account from the beginning, because manifests presuppose it: the secret with the key."""

import json

from moto.secretsmanager.models import FakeSecret, secretsmanager_backends

from reconciler.sandbox.settings import ACCOUNT, REGION, SECRET, SECRET_ARN, SECRET_KEY

# after a reset it is the same secret
_VERSION = "5a1ad000-0000-4000-8000-000000000000"
_CREATED = 1_767_225_600  # 2026-01-01


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
        client_request_token=_VERSION,
        replica_regions=[],
        force_overwrite=False,
    )
    secret = backend.secrets[SECRET]
    assert isinstance(secret, FakeSecret)
    secret.arn = SECRET_ARN
    secret.created_date = secret.last_changed_date = _CREATED
