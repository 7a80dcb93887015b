"""The sandbox of these tests, and its backend alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openzaya.config.sandbox import SandboxConfig
from openzaya.envs.sandbox import Sandbox, open_sandbox
from openzaya.envs.sandbox.bubblewrap import Bubblewrap


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return open_sandbox()


@pytest.fixture(scope="session")
def bubblewrap() -> Iterator[Bubblewrap]:
    yield Bubblewrap(SandboxConfig())
