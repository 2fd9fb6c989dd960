"""A domain or container of one's own, which `RECONCILER_TEST_ENDPOINT` names, in place of a sandbox.

`OPENSEARCH_USERNAME` and `OPENSEARCH_PASSWORD` are those of an administrator, `OPENSEARCH_CA_FILE` is the authority of
its certificate where that is not a public one, and `DEEPSEEK_API_KEY` and `OPENAI_API_KEY` keys that its models' hosts
take.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx
import pytest

ENDPOINT = "RECONCILER_TEST_ENDPOINT"
_PASSED_ON = ("OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD", "OPENSEARCH_CA_FILE", "DEEPSEEK_API_KEY", "OPENAI_API_KEY")


class Domain(Protocol):
    """What a test needs of a sandbox that may be somebody's own domain too."""

    @property
    def env(self) -> Mapping[str, str]:
        """The variables with which the reconciler works against it."""

    @property
    def master(self) -> tuple[str, str]:
        """The name and password of an administrator."""

    def client(self) -> httpx.Client:
        """A client that trusts its certificate."""


@dataclass(frozen=True)
class Elsewhere:
    """The domain that the environment names."""

    env: Mapping[str, str] = field(repr=False)

    @property
    def master(self) -> tuple[str, str]:
        return self.env["OPENSEARCH_USERNAME"], self.env["OPENSEARCH_PASSWORD"]

    def client(self) -> httpx.Client:
        ca_file = self.env.get("OPENSEARCH_CA_FILE")
        return httpx.Client(verify=ssl.create_default_context(cafile=ca_file), timeout=60, trust_env=False)


def elsewhere() -> Elsewhere:
    """The domain that the environment names; the test is not run when it names none."""
    url = os.environ.get(ENDPOINT, "").rstrip("/")
    if not url:
        pytest.skip(f"{ENDPOINT} is not set")
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return Elsewhere({**passed_on, "OPENSEARCH_URL": url, "RECONCILER_VAR_opensearch_endpoint": url})
