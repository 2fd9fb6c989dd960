"""The Security plugin's configuration of a sandbox: who may log in, how, and as what.

The predefined roles, action groups and tenants are the plugin's own, from its archive. Two flavours differ:
`aws` has what Amazon OpenSearch Service sets up (a master user, given as an IAM ARN, in `all_access` and
`security_manager`), `self-managed` the users that the recorded exchanges were made with.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import yaml

from reconciler.canonical.json import Json

FLAVOURS = ("aws", "self-managed")
PASSWORD_ITERATIONS = 1000  # a test bed: hashing must not dominate a start

# The hash function of the node; `hash_password` writes what this reads.
HASHING: Mapping[str, Json] = {
    "plugins.security.password.hashing.algorithm": "pbkdf2",
    "plugins.security.password.hashing.pbkdf2.function": "SHA256",
    "plugins.security.password.hashing.pbkdf2.iterations": PASSWORD_ITERATIONS,
    "plugins.security.password.hashing.pbkdf2.length": 256,
}

_USERS: Mapping[str, Mapping[str, Mapping[str, Json]]] = {
    "aws": {
        "master": {"description": "the fine-grained access control's internal master user"},
    },
    "self-managed": {
        "admin": {"reserved": True, "backend_roles": ["admin"], "description": "admin"},
        "kibanaserver": {"reserved": True},
        "master": {
            "backend_roles": ["admin"],
            "description": "an unreserved all_access user (like an AWS domain's fine-grained master user)",
        },
        "plain": {"description": "no role but own_index"},
        "mlread": {"opendistro_security_roles": ["ml_read_access"], "description": "ml_read_access only"},
    },
}


def user_names(flavour: str) -> tuple[str, ...]:
    """The internal users of a flavour, each of which needs a password."""
    return tuple(_USERS[flavour])


def new_password() -> str:
    """A password that the Security plugin's rules accept, also as part of a URL."""
    return f"Aa1-{secrets.token_urlsafe(18)}"


def hash_password(password: str, salt: bytes) -> str:
    """The PBKDF2 hash of a password in the form that the Security plugin's hasher reads and writes."""
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, PASSWORD_ITERATIONS, 32)
    parameters = PASSWORD_ITERATIONS << 32 | 256
    return f"$3${parameters}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def write_security(source: Path, target: Path, *, flavour: str, passwords: Mapping[str, str], master_arn: str) -> None:
    """Write the plugin's configuration files to `target`, starting from those of its archive in `source`.

    `passwords` holds one for each of `user_names(flavour)`. `master_arn` is the IAM user whom the aws flavour
    makes master user; the other flavour does not use it.
    """
    target.mkdir(parents=True)
    for path in source.glob("*.yml"):
        (target / path.name).write_bytes(path.read_bytes())
    users = {
        name: {"hash": hash_password(passwords[name], secrets.token_bytes(64)), **attributes}
        for name, attributes in _USERS[flavour].items()
    }
    _write(target / "internal_users.yml", {"_meta": _meta("internalusers"), **users})
    _write(target / "config.yml", {"_meta": _meta("config"), "config": {"dynamic": _DYNAMIC}})
    if flavour == "aws":
        _add_master(target, master_arn)


def _add_master(target: Path, master_arn: str) -> None:
    roles = yaml.safe_load((target / "roles.yml").read_text())
    mappings = yaml.safe_load((target / "roles_mapping.yml").read_text())
    roles["security_manager"] = {"reserved": True, "description": "Manage the Security plugin's configuration"}
    for role in ("all_access", "security_manager"):
        mappings[role] = {"reserved": False, "users": [master_arn, "master"]}
    _write(target / "roles.yml", roles)
    _write(target / "roles_mapping.yml", mappings)


def _meta(kind: str) -> Json:
    return {"type": kind, "config_version": 2}


def _write(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content))  # JSON is YAML


_DYNAMIC: Json = {
    "http": {
        "anonymous_auth_enabled": False,
        "xff": {"enabled": True, "internalProxies": r"127\.0\.0\.1"},
    },
    "authc": {
        "proxy": {
            "http_enabled": True,
            "transport_enabled": False,
            "order": 0,
            "http_authenticator": {
                "type": "proxy",
                "challenge": False,
                "config": {"user_header": "x-proxy-user", "roles_header": "x-proxy-roles", "roles_separator": ","},
            },
            "authentication_backend": {"type": "noop"},
        },
        "basic": {
            "http_enabled": True,
            "transport_enabled": True,
            "order": 1,
            "http_authenticator": {"type": "basic", "challenge": True},
            "authentication_backend": {"type": "intern"},
        },
    },
}
