"""The sandbox on this machine: bubblewrap, an unprivileged user, a seccomp filter, rlimits.

One bubblewrap per program; the driver inside runs it on input after input. Root first becomes
another user, since the kernel's limit on processes does not bind root whatever its namespace says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import driver, seccomp
from openzaya.envs.sandbox.diagnose import explain, need
from openzaya.envs.sandbox.folders import cache_folder, interpreter
from openzaya.envs.sandbox.job import Accept, Input, Program, Run, Status
from openzaya.envs.sandbox.read import Lost, read_run
from openzaya.envs.sandbox.session import Session, request
from openzaya.errors import EnvError

NOBODY = 65534
START_SECONDS = 60.0
COMPILER = ("-std=c++20", "-O2", "-w")
COMPILING = LimitsConfig(
    cpu_seconds=30, wall_seconds=90, memory_mb=2048, processes=16, scratch_mb=64, file_mb=64,
    output_kb=64, open_files=64,
)  # fmt: skip
BINARIES_MB = 128
DRIVER = Path(driver.__file__).read_text(encoding="utf-8")


class Bubblewrap:
    """A `Backend`. EnvError where this machine cannot build it, with what mends that."""

    def __init__(self, config: SandboxConfig) -> None:
        self.bwrap = need("bwrap", "bubblewrap")
        self.setpriv = need("setpriv", "util-linux") if os.geteuid() == 0 else None
        self.folder = cache_folder(config.folder)
        self.python = interpreter(self.folder)
        self.filter = seccomp.program()
        self._worked = False
        self._binaries: OrderedDict[str, tuple[bytes | None, str]] = OrderedDict()
        self._lock, self._header_lock = threading.Lock(), threading.Lock()
        version = subprocess.run([self.bwrap, "--version"], capture_output=True, text=True)
        told = [version.stdout, self.python.version, DRIVER, self.filter.hex(), *COMPILER]
        told += [*self.command(LimitsConfig(), "0", compiling=True), str(os.geteuid())]
        self._fingerprint = (
            "bubblewrap-" + hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
        )

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def execute(
        self, program: Program, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        binary = None
        if program.language == "cpp":
            binary, reason = self.compile(program.code)
            if binary is None:
                return [Run(Status.ERROR, reason=reason) for _ in inputs[:1]]
        runs: list[Run] = []
        while len(runs) < len(inputs):
            clean = self._some(program, binary, inputs, limits, accept, runs)
            if clean:
                break
        return runs

    def _some(
        self,
        program: Program,
        binary: bytes | None,
        inputs: Sequence[Input],
        limits: LimitsConfig,
        accept: Accept,
        runs: list[Run],
    ) -> bool:
        """Append runs until all are done or one leaves the sandbox unusable (False)."""
        seed = hashlib.blake2b(program.code.encode("utf-8", "replace"), digest_size=4).digest()
        job = {
            "code": program.code, "entry": program.entry, "product": None,
            "argv": None if binary is None else ["/program"],
            "limits": limits.model_dump(), "scratch": ["/tmp", "/dev/shm"],
        }  # fmt: skip
        try:
            with self._session(job, limits, str(int.from_bytes(seed, "big")), binary) as session:
                while len(runs) < len(inputs):
                    number = len(runs)
                    try:
                        answer = session.ask(request(inputs[number]), limits.wall_seconds)
                    except Lost as error:
                        runs.append(Run(Status.KILLED, reason=str(error)))
                        return not accept(number, runs[-1])
                    called = program.entry is not None and binary is None
                    runs.append(read_run(answer, limits, called))
                    if not accept(number, runs[-1]):
                        return True
                    if answer.get("clean") is not True:
                        return False
        except Lost as error:
            runs.append(Run(Status.FAILED, reason=str(error)))
        return True

    def compile(self, code: str) -> tuple[bytes | None, str]:
        """(the program, what the compiler said), compiled inside a sandbox of its own."""
        key = hashlib.blake2b(code.encode("utf-8", "replace"), digest_size=16).hexdigest()
        with self._lock:
            if key in self._binaries:
                self._binaries.move_to_end(key)
                return self._binaries[key]
        argv = [need("g++", "g++"), *COMPILER, "-I", "/header", "program.cpp", "-o", "program"]
        self.header()
        job = {
            "code": "", "entry": None, "product": "/tmp/program", "argv": argv,
            "limits": COMPILING.model_dump(), "scratch": ["/tmp", "/dev/shm"],
        }  # fmt: skip
        try:
            with self._session(job, COMPILING, "0", None, compiling=True) as session:
                files = {"/tmp/program.cpp": code}
                answer = session.ask({"stdin": "", "files": files}, COMPILING.wall_seconds)
        except Lost as error:
            return None, f"not compiled: {error}"
        product = answer.get("product")
        binary = bytes.fromhex(product) if isinstance(product, str) else None
        said = "" if binary else f"not compiled: {str(answer.get('stderr', ''))[:1000]}"
        if binary is None and answer.get("why") == "timeout":
            return None, "not compiled in time"  # not kept: the machine may have been busy
        with self._lock:
            self._binaries[key] = binary, said
            held = sum(len(b or b"") for b, _ in self._binaries.values())
            while held > BINARIES_MB << 20:
                _, (old, _) = self._binaries.popitem(last=False)
                held -= len(old or b"")
        return binary, said

    def header_folder(self) -> Path:
        compiler = shutil.which("g++") or ""
        changed = os.stat(compiler).st_mtime_ns if compiler else 0
        told = f"bits/stdc++.h {os.path.realpath(compiler)} {changed} {' '.join(COMPILER)}"
        key = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
        return self.folder / f"header-{key}"

    def header(self) -> None:
        """Precompile the all-in-one header, once: it saves most of a compilation.

        Made outside, by the same compiler with the same flags, from the system's own header.
        """
        compiler, home = need("g++", "g++"), self.header_folder()
        with self._header_lock:
            if not home.is_dir():
                building = Path(tempfile.mkdtemp(dir=self.folder))
                (building / "bits").mkdir()
                source, out = building / "all.h", building / "bits" / "stdc++.h.gch"
                source.write_text("#include <bits/stdc++.h>\n")
                command = [compiler, *COMPILER, "-x", "c++-header", str(source), "-o", str(out)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    shutil.rmtree(building)
                    said = (done.stderr.strip() or "it said nothing").splitlines()[0][:200]
                    raise EnvError(
                        f"g++ cannot compile its standard headers: {said}", "apt-get install g++"
                    )
                out.chmod(0o644)
                for part in (building, building / "bits"):
                    part.chmod(0o755)
                with contextlib.suppress(OSError):  # another process was faster
                    building.rename(home)

    def command(
        self, limits: LimitsConfig, seed: str, *, program_fd: int | None = None,
        filter_fd: int | None = None, compiling: bool = False,
    ) -> list[str]:  # fmt: skip
        """The whole command line: every layer but rlimits, which the driver sets."""
        scratch = str(limits.scratch_mb << 20)
        mounts = [("/usr/lib", "/usr/lib"), ("/usr/lib64", "/usr/lib64"), ("/usr/lib32",) * 2]
        if compiling:
            mounts += [(p, p) for p in ("/usr/bin", "/usr/include", "/usr/libexec")]
            mounts.append((str(self.header_folder()), "/header"))
        mounts += [(str(copy), str(inside)) for copy, inside in self.python.mounts]
        command = [
            self.bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
            "--new-session", "--as-pid-1", "--clearenv", "--cap-drop", "ALL",
            "--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox",
        ]  # fmt: skip
        for outside, inside in mounts:
            if os.path.exists(outside):
                command += ["--ro-bind", outside, inside]
        for name in ("lib", "lib64", "lib32", *(("bin",) if compiling else ())):
            if os.path.islink(f"/{name}"):
                command += ["--symlink", f"usr/{name}", f"/{name}"]
            elif os.path.isdir(f"/{name}") and name != "bin":
                command += ["--ro-bind", f"/{name}", f"/{name}"]
        command += [
            "--proc", "/proc", "--dev", "/dev",
            "--size", scratch, "--tmpfs", "/tmp", "--size", scratch, "--tmpfs", "/dev/shm",
        ]  # fmt: skip
        if program_fd is not None:
            command += ["--perms", "0555", "--ro-bind-data", str(program_fd), "/program"]
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
        for name, value in (("PATH", "/usr/bin"), ("LANG", "C.UTF-8"), ("HOME", "/tmp"),
                            ("PYTHONHASHSEED", seed)):  # fmt: skip
            command += ["--setenv", name, value]
        if filter_fd is not None:
            command += ["--seccomp", str(filter_fd)]
        # -I would ignore the hash seed as well. The environment is ours, so -s -P do the rest.
        command += [str(self.python.executable), "-s", "-P", "-S", "-X", "utf8", "-c", DRIVER]
        if self.setpriv is None:
            return command
        user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        return [self.setpriv, *user, "--inh-caps=-all", "--no-new-privs", *command]

    @contextlib.contextmanager
    def _session(
        self,
        job: Mapping[str, Any],
        limits: LimitsConfig,
        seed: str,
        binary: bytes | None,
        *,
        compiling: bool = False,
    ) -> Iterator[Session]:
        """A sandbox that has its job; killed with all in it at the end."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as open_files:
            open_files.enter_context(ours)
            filter_fd = open_files.enter_context(_held(self.filter)).fileno()
            fds = [filter_fd]
            program_fd = None
            if binary is not None:
                program_fd = open_files.enter_context(_held(binary)).fileno()
                fds.append(program_fd)
            complaints = open_files.enter_context(tempfile.TemporaryFile())
            command = self.command(
                limits, seed, program_fd=program_fd, filter_fd=filter_fd, compiling=compiling
            )
            with theirs:
                try:
                    process = subprocess.Popen(
                        command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                        stderr=complaints, pass_fds=fds, env={}, cwd="/",
                    )  # fmt: skip
                except OSError as error:  # out of processes or memory
                    raise Lost(f"the sandbox does not start: {error.strerror}") from None
            try:
                session = Session(ours)
                try:
                    session.receive(START_SECONDS)
                except Lost:
                    process.kill()
                    process.wait()
                    complaints.seek(0)
                    error = explain(complaints.read().decode("utf-8", "replace"))
                    if self._worked:  # a machine that is short of something, not one that cannot
                        raise Lost(str(error)) from None
                    raise error from None
                self._worked = True
                session.send(job, START_SECONDS)
                yield session
            finally:
                process.kill()
                process.wait()


def _held(data: bytes) -> Any:
    """A file in memory that holds `data`, open at its start."""
    file = os.fdopen(os.memfd_create("sandbox"), "w+b")
    file.write(data)
    file.flush()
    file.seek(0)
    return file
