"""A backend must stop the attack list on this machine before it may run what a model wrote."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.attacks import ATTACKS, Attack, Bait, bait
from openzaya.envs.sandbox.job import Backend, Call, Program

AT_ONCE = 2
HARMLESS = (
    (Program("python", "def solve(a, b): return a + b", "solve"), Call((2, 3)), (5, b"")),
    (Program("python", "print(int(input()) + int(input()))"), b"2\n3\n", (None, b"5\n")),
)


def self_test(backend: Backend) -> dict[str, str]:
    """attack -> what it achieved, for those that succeeded; harmless programs must work too."""
    bad: dict[str, str] = {}
    for program, given, (value, stdout) in HARMLESS:
        run = backend.execute(program, [given], LimitsConfig(), lambda *_: True)[0]
        if (run.value, run.stdout) != (value, stdout):
            bad["harmless"] = f"2 + 3 is not 5: {run.status} {run.reason}"
            return bad
    with _canary(), bait() as prey, ThreadPoolExecutor(AT_ONCE) as threads:
        for harmless in (True, False):  # what would hurt an open machine waits for the rest
            attacks = [a for a in ATTACKS if a.quick and a.control is harmless]
            results = threads.map(lambda attack: try_attack(backend, attack, prey), attacks)
            for attack, result in zip(attacks, results, strict=True):
                if result:
                    bad[attack.name] = result
            if damage := prey.damage():
                bad["damage"] = damage
            if bad:
                return bad
    return bad


def try_attack(backend: Backend, attack: Attack, prey: Bait) -> str:
    """What went wrong, "" if the backend held."""
    runs = backend.execute(attack.program(prey), attack.inputs, attack.limits, lambda *_: True)
    return attack.judge(runs)


def passed_before(backend: Backend, folder: Path) -> bool:
    """Whether this backend, unchanged, held since the machine was started."""
    try:
        kept = json.loads(_record(backend, folder).read_text())
    except (OSError, ValueError):
        return False
    return kept == _circumstances(backend)


def remember(backend: Backend, folder: Path) -> None:
    path = _record(backend, folder)
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(_circumstances(backend)))
    new.replace(path)


def _record(backend: Backend, folder: Path) -> Path:
    return folder / f"held-{backend.fingerprint}.json"


def _circumstances(backend: Backend) -> dict[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "boot": boot.read_text().strip() if boot.exists() else "",
        "kernel": platform.release(),
        "user": str(os.geteuid()),
        "python": sys.version,
        "backend": backend.fingerprint,
        "attacks": str(hash_of_attacks()),
    }


def hash_of_attacks() -> int:
    return zlib.crc32("".join(a.name + a.code + repr(a.limits) for a in ATTACKS).encode())


@contextlib.contextmanager
def _canary() -> Iterator[None]:
    """A variable of our environment that no candidate may see."""
    os.environ["OPENZAYA_CANARY"] = "1"
    try:
        yield
    finally:
        del os.environ["OPENZAYA_CANARY"]
