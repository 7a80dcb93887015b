"""The one way to get a sandbox: build the backend, let it prove itself, or refuse."""

from __future__ import annotations

import os
import sys
import threading

from openzaya.config.sandbox import SandboxConfig
from openzaya.envs.sandbox.bubblewrap import Bubblewrap
from openzaya.envs.sandbox.folders import cache_folder
from openzaya.envs.sandbox.job import Backend
from openzaya.envs.sandbox.local import MISSING, Local
from openzaya.envs.sandbox.pool import Sandbox
from openzaya.envs.sandbox.remote import Piston, SandboxFusion
from openzaya.envs.sandbox.selftest import passed_before, remember, self_test
from openzaya.errors import EnvError

BACKENDS = {"bubblewrap": Bubblewrap, "piston": Piston, "sandboxfusion": SandboxFusion}
_LOCK = threading.Lock()
_OPEN: dict[tuple[int, str], Sandbox] = {}
_DEFAULT = [SandboxConfig()]


def use(config: SandboxConfig) -> None:
    """The config of sandboxes that are opened without one: a run's `sandbox` table."""
    _DEFAULT[0] = config


def open_sandbox(config: SandboxConfig | None = None) -> Sandbox:
    """The sandbox of this process for `config`. The first call takes seconds: the self-test, once
    per boot. EnvError where none can be built or an attack succeeds, unless `unsafe_local`."""
    config = config or _DEFAULT[0]
    with _LOCK:
        key = os.getpid(), config.model_dump_json()  # a fork has no threads of its parent
        if key not in _OPEN:
            _OPEN[key] = _open(config)
        return _OPEN[key]


def _open(config: SandboxConfig) -> Sandbox:
    try:
        return Sandbox(proven(BACKENDS[config.backend](config), config), config)
    except EnvError as error:
        if not config.unsafe_local:
            raise EnvError(
                str(error), f"{error.hint}; or trust the code: sandbox.unsafe_local=true"
            ) from None
        print(f"UNSAFE: {error}; code runs without a sandbox. Missing:", file=sys.stderr)
        for guarantee in MISSING:
            print(f"UNSAFE:   {guarantee}", file=sys.stderr)
        return Sandbox(Local(), config)


def proven(backend: Backend, config: SandboxConfig) -> Backend:
    """`backend`, if it holds. EnvError names the attacks that succeeded."""
    folder = cache_folder(config.folder)
    if passed_before(backend, folder):
        return backend
    bad = self_test(backend)
    if bad:
        names = ", ".join(list(bad)[:5]) + (", ..." if len(bad) > 5 else "")
        first = next(iter(bad.values()))
        raise EnvError(
            f"the sandbox does not hold: {names} ({first})",
            "run untrusted code on a machine whose kernel isolates it",
        )
    remember(backend, folder)
    return backend
