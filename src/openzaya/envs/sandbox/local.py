"""Programs run without isolation: rlimits, a process group and a time limit, no more.

For `sandbox.unsafe_local=true` alone. A program here can read and write what its user can, talk to
the network, and leave processes behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.bubblewrap import COMPILER, DRIVER
from openzaya.envs.sandbox.job import Accept, Input, Program, Run, Status
from openzaya.envs.sandbox.read import Lost, read_run
from openzaya.envs.sandbox.session import Session, request

MISSING = (
    "files of this user can be read and changed",
    "the network can be reached",
    "processes can be left behind, and other processes of this user be killed or traced",
    "memory of all processes together is not limited",
    "system calls are not filtered",
)
"""The guarantees that this backend does not give."""


class Local:
    """A `Backend` for programs that are trusted."""

    fingerprint = f"unsafe-local-{sys.version_info.major}.{sys.version_info.minor}"

    def execute(
        self, program: Program, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        with _scratch() as scratch:
            folder = Path(scratch) / "scratch"
            folder.mkdir()
            argv = None
            if program.language == "cpp":
                said = _compile(program.code, Path(scratch))
                if said:
                    return [Run(Status.ERROR, reason=said) for _ in inputs[:1]]
                argv = [f"{scratch}/program"]
            job = {
                "code": program.code, "entry": program.entry, "product": None, "argv": argv,
                "limits": limits.model_dump() | {"processes": 100_000}, "scratch": [str(folder)],
            }  # fmt: skip
            return self._run(job, program.entry is not None, inputs, limits, accept)

    def _run(
        self, job: dict, called: bool, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        runs: list[Run] = []
        ours, theirs = socket.socketpair()
        environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "HOME": job["scratch"][0]}
        command = [sys.executable, "-s", "-P", "-S", "-X", "utf8", "-c", DRIVER]
        silent = subprocess.DEVNULL
        with ours, theirs:
            process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=silent, stderr=silent,
                env=environment, start_new_session=True,
            )  # fmt: skip
            theirs.close()
            session = Session(ours)
            try:
                session.receive(60)
                session.send(job, 60)
                for number, given in enumerate(inputs):
                    answer = session.ask(request(given), limits.wall_seconds)
                    runs.append(read_run(answer, limits, called))
                    if not accept(number, runs[-1]):
                        break
            except Lost as error:
                runs.append(Run(Status.FAILED, reason=str(error)))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                process.wait()
        return runs


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """A temporary folder. `rm` removes what Python's recursion cannot."""
    folder = tempfile.mkdtemp(prefix="unsafe-")
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", folder], check=False)


def _compile(code: str, folder: Path) -> str:
    """ "" or why there is no program."""
    compiler = shutil.which("g++")
    if compiler is None:
        return "g++ is not installed"
    (folder / "program.cpp").write_text(code, encoding="utf-8", errors="surrogatepass")
    command = [compiler, *COMPILER, "program.cpp", "-o", "program"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "not compiled in time"
    return "" if done.returncode == 0 else f"not compiled: {done.stderr[:1000]}"
