"""Sandboxes for the tests of this stage: one of each flavour, started when first asked for, reset before each test.

`aws` and `self_managed` are what a test takes: a running sandbox as it was when it started. `aws_sandbox` and
`self_managed_sandbox` are the same without the reset.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import Options
from tests.sandbox.bed import Bed

_NAME = re.compile(r"test-(\d+)-.+")


@pytest.fixture(scope="session")
def aws_sandbox() -> Iterator[Bed]:
    """A sandbox with the AWS flavour's domain."""
    yield from _running("aws", Options("aws"))


@pytest.fixture(scope="session")
def self_managed_sandbox() -> Iterator[Bed]:
    """A sandbox with a self-managed domain that believes what callers say of themselves by proxy headers."""
    yield from _running("self-managed", Options("self-managed", trust_proxy_headers=True))


@pytest.fixture
def aws(aws_sandbox: Bed) -> Bed:
    """The AWS flavour, as it was when it started."""
    lifecycle.reset(aws_sandbox.name)
    return aws_sandbox


@pytest.fixture
def self_managed(self_managed_sandbox: Bed) -> Bed:
    """The self-managed flavour, as it was when it started."""
    lifecycle.reset(self_managed_sandbox.name)
    return self_managed_sandbox


def _running(kind: str, options: Options) -> Iterator[Bed]:
    _stop_leftovers()
    name = f"test-{os.getpid()}-{kind}"
    info = lifecycle.up(name, options)
    try:
        yield Bed(name, info, lifecycle.env(name))
    finally:
        lifecycle.down(name)


def _stop_leftovers() -> None:
    """Stop what a killed run of the tests has left."""
    for name in lifecycle.names():
        run = _NAME.fullmatch(name)
        if run and not Path(f"/proc/{run[1]}").exists():
            lifecycle.down(name)
