"""Fixtures for the tests of projects that use OpenSearch's ML Commons: a sandbox, reset before each test.

    def test_the_model_answers(opensearch_sandbox):
        subprocess.run(["reconciler", "apply", "--yes", "manifest.yaml"], env={**os.environ, **opensearch_sandbox.env})

The plugin does nothing until a test asks for a fixture. `--opensearch-sandbox-flavour` (or `opensearch_sandbox_flavour`
in the ini file) chooses between `aws`, the default, and `self-managed`; `--opensearch-sandbox-keep` leaves the sandbox
running for the next run, which then starts at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

_FLAVOURS = ("aws", "self-managed")


@dataclass(frozen=True, slots=True)
class OpenSearchSandbox:
    """A running sandbox: its name, the address of the domain, and the variables that `reconciler sandbox env` prints.

    What `reconciler.sandbox.lifecycle` does by name (`log`, `add_fault`, `steer`, `restart_node`, ...) works on it.
    """

    name: str
    flavour: str
    url: str
    ca_file: str
    env: Mapping[str, str] = field(repr=False)

    @property
    def master(self) -> tuple[str, str]:
        """The name and password of the domain's master user."""
        return self.env["OPENSEARCH_USERNAME"], self.env["OPENSEARCH_PASSWORD"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("opensearch-sandbox", "the reconciler's OpenSearch sandbox")
    group.addoption("--opensearch-sandbox-flavour", choices=_FLAVOURS, help="aws or self-managed")
    group.addoption("--opensearch-sandbox-keep", action="store_true", help="leave the sandbox running at the end")
    parser.addini("opensearch_sandbox_flavour", "aws or self-managed", default="aws")


@pytest.fixture(scope="session")
def opensearch_sandbox_session(request: pytest.FixtureRequest) -> Iterator[OpenSearchSandbox]:
    """A sandbox for all tests of the run, not reset between them."""
    from reconciler.sandbox import lifecycle
    from reconciler.sandbox.settings import Options

    flavour = request.config.getoption("--opensearch-sandbox-flavour") or request.config.getini(
        "opensearch_sandbox_flavour"
    )
    if flavour not in _FLAVOURS:
        raise pytest.UsageError(f"opensearch_sandbox_flavour is {' or '.join(_FLAVOURS)}, not {flavour!r}")
    keep = bool(request.config.getoption("--opensearch-sandbox-keep"))
    name = _name(request, flavour, keep=keep)
    info = lifecycle.up(name, Options(flavour=flavour))
    try:
        yield OpenSearchSandbox(
            name, flavour, info.endpoints.domain, str(info.endpoints.authority), lifecycle.env(name)
        )
    finally:
        if not keep:
            lifecycle.down(name)


@pytest.fixture
def opensearch_sandbox(opensearch_sandbox_session: OpenSearchSandbox) -> OpenSearchSandbox:
    """The sandbox, as it was when it started."""
    from reconciler.sandbox import lifecycle

    lifecycle.reset(opensearch_sandbox_session.name)
    return opensearch_sandbox_session


def _name(request: pytest.FixtureRequest, flavour: str, *, keep: bool) -> str:
    """A sandbox of its own for each run and each of its workers; with `keep`, one that the next run finds again."""
    import os

    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    return f"pytest-{worker}-{flavour}" if keep else f"pytest-{os.getpid()}-{worker}-{flavour}"
