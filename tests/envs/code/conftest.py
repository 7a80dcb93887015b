"""The sandbox of these tests."""

from __future__ import annotations

import pytest

from openzaya.envs.sandbox import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return open_sandbox()
