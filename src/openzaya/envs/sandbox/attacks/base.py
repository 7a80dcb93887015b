"""What an attack on the sandbox is, and the bait that it is after.

An attack is a program that says BROKEN if it got what it wanted and HELD if it was stopped; one
that says neither did not run, and proves nothing. Where the damage shows outside, the bait notices.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.job import Call, Input, Program, Run, Status

PRELUDE = """\
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"@NONCE@", 0, 0, 0)  # the name that is looked for outside afterwards
def told(broken, why=""):
    print("BROKEN" if broken else "HELD", why, flush=True)
"""
LIMITS = LimitsConfig(cpu_seconds=5, wall_seconds=20)
RIGHT_SUM = Call((2, 3))
"""The input of checker attacks; 5 would be right, and they do not know how to add."""


@dataclass(frozen=True, slots=True)
class Bait:
    """Things outside the sandbox that an attack may try to reach."""

    folder: Path
    secret: str
    nonce: str
    port: int
    victim: int
    listener: socket.socket = field(repr=False)
    files: frozenset[str] = frozenset()

    def fill(self, code: str) -> str:
        for mark, value in (
            ("@NONCE@", self.nonce), ("@BAIT@", str(self.folder)), ("@PORT@", str(self.port)),
            ("@VICTIM@", str(self.victim)), ("@SECRET@", self.secret),
        ):  # fmt: skip
            code = code.replace(mark, value)
        return code

    def damage(self) -> str:
        """What an attack did out here; "" for nothing."""
        if (self.folder / "secret").read_text() != self.secret:
            return "a file outside was changed"
        if frozenset(os.listdir(self.folder)) != self.files:
            return "a file was made outside"
        if not Path(f"/proc/{self.victim}").exists():
            return "a process outside was killed"
        with contextlib.suppress(BlockingIOError):
            self.listener.accept()[0].close()
            return "a connection came in"
        left = self.processes()
        return f"{len(left)} processes were left behind" if left else ""

    def processes(self) -> list[int]:
        """Processes of an attack that live now."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{name}/comm").read_text().strip() == self.nonce:
                        found.append(int(name))
        return found


@contextlib.contextmanager
def bait() -> Iterator[Bait]:
    """Fresh bait, readable by everyone, so that only the sandbox can keep it away."""
    secret = secrets.token_hex(8)
    nonce = f"zaya{secrets.token_hex(5)}"
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bait-")))
        folder.chmod(0o777)
        (folder / "secret").write_text(secret)
        (folder / "secret").chmod(0o666)
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        unix = held.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "socket"))
        unix.listen()
        (folder / "socket").chmod(0o777)
        abstract = held.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{nonce}")
        abstract.listen()
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
        victim = held.enter_context(subprocess.Popen(sleeper))
        files = frozenset(os.listdir(folder))
        made = Bait(folder, secret, nonce, listener.getsockname()[1], victim.pid, listener, files)
        try:
            yield made
        finally:
            victim.kill()
            for pid in made.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


Judge = Callable[[Sequence[Run]], str]
"""Runs of an attack -> "" if the sandbox held, else what went wrong."""


def by_words(runs: Sequence[Run]) -> str:
    """For attacks that report on themselves."""
    for run in runs:
        if b"BROKEN" in run.stdout:
            return run.stdout.decode("utf-8", "replace").strip()[:200]
    if not runs or b"HELD" not in runs[-1].stdout:
        return f"the attack did not run: {runs[-1].status if runs else ''} {runs[-1:]}"[:300]
    return ""


def by_status(*allowed: Status) -> Judge:
    """For attacks that are to be stopped from outside."""

    def judge(runs: Sequence[Run]) -> str:
        if b"BROKEN" in runs[0].stdout:
            return runs[0].stdout.decode("utf-8", "replace").strip()[:200]
        if runs[0].status not in allowed:
            return f"ended as {runs[0].status} {runs[0].reason}"
        return ""

    return judge


def by_answer(runs: Sequence[Run]) -> str:
    """For candidates that cannot add: whatever they do, their answer is not 5."""
    right = [run for run in runs if run.status is Status.OK and run.returned and run.value == 5]
    failed = [run for run in runs if run.status is Status.FAILED]
    return "passed for right" if right else "the sandbox failed" if failed else ""


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to misuse a sandbox."""

    name: str
    kind: str
    code: str
    judge: Judge = by_words
    inputs: tuple[Input, ...] = (b"",)
    entry: str | None = None
    language: str = "python"
    limits: LimitsConfig = LIMITS
    quick: bool = True
    """Part of the self-test at start."""
    control: bool = True
    """Safe, and bound to succeed, as a plain process of this machine's user."""

    def program(self, bait: Bait) -> Program:
        code = textwrap.dedent(self.code)
        if self.language == "cpp":
            return Program("cpp", bait.fill(code))
        return Program("python", bait.fill(PRELUDE + code), self.entry)
