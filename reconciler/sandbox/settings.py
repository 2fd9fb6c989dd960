"""What one sandbox is: the choices and secrets it is started with, and where it serves once it runs.

Both are files in the sandbox's state folder, readable by its owner only, so that no secret is in the arguments or
the environment of a process.
"""

import json
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reconciler.sandbox.security import new_password, user_names

PARTITION = "aws"
ACCOUNT = "123456789012"
REGION = "us-east-1"
DOMAIN = "search-demo"
DOMAIN_ARN = f"arn:{PARTITION}:es:{REGION}:{ACCOUNT}:domain/{DOMAIN}"
AUTOMATION = "automation"
AUTOMATION_ARN = f"arn:{PARTITION}:iam::{ACCOUNT}:user/{AUTOMATION}"
# what the manifests presuppose: a SageMaker endpoint, and a secret whose key `SECRET_KEY` holds the models' API key
SAGEMAKER_ENDPOINT = "deepseek-r1"
SECRET = "deepseek-api"  # noqa: S105  (its name)
SECRET_KEY = "my_deepseek_key"  # noqa: S105  (its name)
SECRET_ARN = f"arn:{PARTITION}:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}-Bed000"

_KEY_ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox behaves.

    `flavour` is `aws` or `self-managed`. `trust_proxy_headers` lets callers of a self-managed domain say who they are
    by `x-proxy-user`, `x-proxy-roles` and `x-forwarded-for`, as the recorded exchanges do; it opens the domain to
    anyone on this machine.
    """

    flavour: str = "aws"
    trust_proxy_headers: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What a sandbox is started with. `node_folder` is apart from the state folder where the node's user needs that."""

    name: str
    options: Options
    node_folder: Path
    passwords: Mapping[str, str] = field(repr=False)
    access_key_id: str
    secret_access_key: str = field(repr=False)
    model_api_key: str = field(repr=False)
    control_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running sandbox serves, as URLs; `authority` is the certificate to trust for https."""

    domain: str
    aws: str
    models: str
    control: str
    authority: Path


def new_settings(name: str, options: Options, node_folder: Path) -> Settings:
    """Settings with new secrets."""
    return Settings(
        name=name,
        options=options,
        node_folder=node_folder,
        passwords={user: new_password() for user in user_names(options.flavour)},
        access_key_id="AKIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        model_api_key=f"sk-{secrets.token_hex(16)}",
        control_token=secrets.token_urlsafe(24),
    )


def write_settings(settings: Settings, path: Path) -> None:
    """Write the settings to a file of the owner's only."""
    _write(path, asdict(settings))


def read_settings(path: Path) -> Settings:
    """The settings in a file written by `write_settings`; raises FileNotFoundError when there is none."""
    raw = json.loads(path.read_text())
    return Settings(**{**raw, "options": Options(**raw["options"]), "node_folder": Path(raw["node_folder"])})


def write_endpoints(endpoints: Endpoints, path: Path) -> None:
    """Write the endpoints to a file of the owner's only."""
    _write(path, asdict(endpoints))


def read_endpoints(path: Path) -> Endpoints:
    """The endpoints in a file written by `write_endpoints`; raises FileNotFoundError when there is none."""
    raw = json.loads(path.read_text())
    return Endpoints(**{**raw, "authority": Path(raw["authority"])})


def _write(path: Path, content: Mapping[str, object]) -> None:
    """Write in one step: a reader sees the old content or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=1, default=str)
    partial.replace(path)
