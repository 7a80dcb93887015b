"""The attack list: nothing on it succeeds, nothing is left behind, and outside it works."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import Program, Status
from openzaya.envs.sandbox.attacks import ATTACKS, Attack, Bait, bait
from openzaya.envs.sandbox.bubblewrap import Bubblewrap
from openzaya.envs.sandbox.local import Local
from openzaya.envs.sandbox.selftest import try_attack

QUICK = [attack for attack in ATTACKS if attack.quick]
SLOW = [attack for attack in ATTACKS if not attack.quick]
PRINTING = [a for a in ATTACKS if a.control and a.entry is None and a.language == "python"]
CHECKED = [attack for attack in ATTACKS if attack.control and attack.entry is not None]
KINDS = {"resources", "network", "files", "kernel", "exit", "checker", "timing"}
WIDE = LimitsConfig(
    cpu_seconds=60, wall_seconds=120, memory_mb=8192, processes=1000, output_kb=65536,
    file_mb=4096, scratch_mb=4096, open_files=4096,
)  # fmt: skip


@pytest.fixture
def prey(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bait]:
    monkeypatch.setenv("OPENZAYA_CANARY", "1")
    with bait() as made:
        yield made


def files_of(prey: Bait) -> list[str]:
    """Files of an attack: it marks them with its nonce."""
    folders = ("/tmp", "/dev/shm", "/var/tmp", "/", str(prey.folder))
    return [f"{f}/{n}" for f in folders for n in os.listdir(f) if prey.nonce in n]


def children() -> set[str]:
    """Sandboxes that this process started and that still live."""
    task = Path(f"/proc/{os.getpid()}/task")
    pids = [p for t in task.iterdir() for p in (t / "children").read_text().split()]
    return {p for p in pids if "bwrap" in Path(f"/proc/{p}/cmdline").read_text()}


def holds(backend: Bubblewrap, attack: Attack, prey: Bait) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    assert try_attack(backend, attack, prey) == ""
    assert prey.damage() == ""
    assert prey.processes() == []
    assert files_of(prey) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert children() == set()


def test_every_class_has_attacks() -> None:
    assert {attack.kind for attack in ATTACKS} == KINDS
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", QUICK, ids=lambda a: a.name)
def test_the_sandbox_holds(attack: Attack, bubblewrap: Bubblewrap, prey: Bait) -> None:
    holds(bubblewrap, attack, prey)


@pytest.mark.slow
@pytest.mark.parametrize("attack", SLOW, ids=lambda a: a.name)
def test_the_sandbox_holds_slowly(attack: Attack, bubblewrap: Bubblewrap, prey: Bait) -> None:
    holds(bubblewrap, attack, prey)


def outside(attack: Attack, prey: Bait, folder: Path, tail: str = "") -> tuple[int, str]:
    """The attack as a plain process, as a system without a sandbox would run it: (code, words)."""
    program = attack.program(prey)
    path = folder / "attack.py"
    path.write_text(program.code + tail)
    read = os.open(prey.folder / "secret", os.O_RDONLY)
    try:
        done = subprocess.run(
            [sys.executable, path], cwd=folder, capture_output=True, text=True, timeout=60,
            pass_fds=[read], check=False,
        )  # fmt: skip
    finally:
        os.close(read)
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("attack", PRINTING, ids=lambda a: a.name)
def test_outside_it_works(attack: Attack, prey: Bait) -> None:
    """Negative control: what is stopped above is a real attack."""
    with tempfile.TemporaryDirectory() as folder:
        words = ""
        for _ in attack.inputs:
            words += outside(attack, prey, Path(folder))[1]
    assert "BROKEN" in words


@pytest.mark.parametrize("attack", CHECKED, ids=lambda a: a.name)
def test_a_test_that_asserts_in_process_is_fooled(
    attack: Attack, prey: Bait, tmp_path: Path
) -> None:
    """Negative control of the verdicts: the exit code of such a test says success."""
    assert outside(attack, prey, tmp_path, "\nassert solve(2, 3) == 5\n")[0] == 0


def test_a_daemon_outlives_a_process_group(prey: Bait) -> None:
    """Negative control of what is left behind: without namespaces it stays."""
    (daemon,) = [attack for attack in ATTACKS if attack.name == "daemon"]
    Local().execute(daemon.program(prey), [b""], WIDE, lambda *_: True)
    assert prey.processes()
    assert "left behind" in prey.damage()


@pytest.mark.parametrize("name", ["memory-heap", "fork-bomb", "large-file", "descriptors"])
def test_without_its_limit_it_works(name: str, bubblewrap: Bubblewrap, prey: Bait) -> None:
    """Negative control of the rlimits, in the sandbox itself."""
    (attack,) = [attack for attack in ATTACKS if attack.name == name]
    runs = bubblewrap.execute(attack.program(prey), [b""], WIDE, lambda *_: True)
    assert "BROKEN" in attack.judge(runs)


@pytest.mark.parametrize(
    "name", ["trace", "dangerous-calls", "memory-in-kernel-objects", "sockets-of-all-families"]
)
def test_without_the_filter_it_works(name: str, prey: Bait) -> None:
    """Negative control of seccomp, in the sandbox itself."""

    class Unfiltered(Bubblewrap):
        def __init__(self) -> None:
            super().__init__(SandboxConfig())
            self.filter = bytes.fromhex("06000000") + (0x7FFF0000).to_bytes(4, "little")  # allow

    (attack,) = [attack for attack in ATTACKS if attack.name == name]
    limits = LimitsConfig(cpu_seconds=2, wall_seconds=4)  # who is traced stops at any signal
    runs = Unfiltered().execute(attack.program(prey), [b""], limits, lambda *_: True)
    assert "BROKEN" in attack.judge(runs)


def test_an_attack_that_does_not_run_proves_nothing(bubblewrap: Bubblewrap, prey: Bait) -> None:
    attack = Attack("broken", "files", "syntax error")
    assert "did not run" in try_attack(bubblewrap, attack, prey)


def test_the_filter_is_on_and_the_user_is_nobody(bubblewrap: Bubblewrap) -> None:
    code = "print(open('/proc/self/status').read())"
    (run,) = bubblewrap.execute(Program("python", code), [b""], LimitsConfig(), lambda *_: True)
    fields = dict(
        line.split(":\t", 1) for line in run.stdout.decode().splitlines() if ":\t" in line
    )
    assert fields["Seccomp"] == "2"
    assert fields["NoNewPrivs"] == "1"
    assert set(fields["Uid"].split()) == {"65534"}


def test_parent_death_ends_the_sandbox(bubblewrap: Bubblewrap, prey: Bait) -> None:
    """A trainer that is killed leaves no candidate running."""
    code = (
        "from openzaya.config.sandbox import *\n"
        "from openzaya.envs.sandbox.bubblewrap import Bubblewrap\n"
        "from openzaya.envs.sandbox.job import Program\n"
        f"code = {attack_sleeping(prey)!r}\n"
        "Bubblewrap(SandboxConfig()).execute(Program('python', code), [b''],"
        " LimitsConfig(wall_seconds=60), lambda *_: True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_until(lambda: bool(prey.processes()))
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not prey.processes())


def attack_sleeping(prey: Bait) -> str:
    return Attack("sleeper", "resources", "time.sleep(60)").program(prey).code


def wait_until(condition) -> None:
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_states_are_told_apart(bubblewrap: Bubblewrap) -> None:
    limits = LimitsConfig(cpu_seconds=1, wall_seconds=2)
    for code, status in (
        ("while True: print('x' * 1000)", Status.KILLED),
        ("import time; time.sleep(9)", Status.TIMEOUT),
        ("x = bytearray(1 << 31)", Status.KILLED),
        ("1 / 0", Status.ERROR),
        ("print(1)", Status.OK),
    ):
        (run,) = bubblewrap.execute(Program("python", code), [b""], limits, lambda *_: True)
        assert run.status is status, (code, run)
