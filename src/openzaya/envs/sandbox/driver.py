"""What runs inside the sandbox: process 1, which runs one program on input after input.

Standard library only, no import of ours: its text is handed to the interpreter. It speaks with the
parent over descriptor 0 in frames (four bytes of length, JSON), and gives each input to a fresh
process with fresh pipes, limits and scratch folders, all of whose descendants it kills before it
answers. Candidates never hold its descriptors. It makes itself undumpable, so that its memory
and descriptors cannot be opened through /proc; as process 1 it cannot be killed from inside.
"""

# ruff: noqa: SIM105  (contextlib and typing would cost a fifth of the start)
from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHANNEL = 0
PR_SET_DUMPABLE = 4
WATCH_SECONDS = 0.02
PRELOADED = (
    "__future__", "array", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal",
    "fractions", "functools", "hashlib", "heapq", "itertools", "math", "operator", "random", "re",
    "statistics", "string", "threading", "typing",
)  # fmt: skip
"""Loaded once where the text of a program names them, instead of once for every input."""
DEEPEST = 200
"""Nesting of a value that is still told."""


def encode(value: Any, depth: int = 0) -> Any:
    """`value` as JSON that keeps types apart; TypeError for what is no plain data.

    A subclass is told as its base, by the base's own methods: what it claims of itself does not
    count.
    """
    if depth > DEEPEST:
        raise TypeError("a value nested too deep")
    below = depth + 1
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        number = int.__add__(value, 0)
        return number if abs(number) < 1 << 53 else {"i": hex(number)}
    if isinstance(value, float):
        return {"f": float.hex(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(v, below) for v in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": [encode(v, below) for v in tuple.__iter__(value)]}
    if isinstance(value, dict):
        return {"d": [[encode(k, below), encode(v, below)] for k, v in dict.items(value)]}
    if isinstance(value, set):
        return {"s": [encode(v, below) for v in set.__iter__(value)]}
    if isinstance(value, frozenset):
        return {"z": [encode(v, below) for v in frozenset.__iter__(value)]}
    if isinstance(value, bytes):
        return {"b": bytes.hex(value)}
    if isinstance(value, complex):
        return {"c": [encode(value.real, below), encode(value.imag, below)]}
    raise TypeError(f"a {type(value).__name__}, which is no plain value")


def decode(told: Any) -> Any:
    """The value that `encode` told; ValueError or TypeError for anything else."""
    if isinstance(told, list):
        return [decode(v) for v in told]
    if not isinstance(told, dict):
        if isinstance(told, float):
            raise ValueError("a bare float")
        return told
    ((kind, body),) = told.items()
    if kind == "i":
        return int(body, 16)
    if kind == "f":
        return float.fromhex(body)
    if kind == "t":
        return tuple(decode(v) for v in body)
    if kind == "d":
        return {decode(k): decode(v) for k, v in body}
    if kind == "s":
        return {decode(v) for v in body}
    if kind == "z":
        return frozenset(decode(v) for v in body)
    if kind == "b":
        return bytes.fromhex(body)
    if kind == "c":
        real, imag = body
        return complex(decode(real), decode(imag))
    raise ValueError(f"no kind {kind!r}")


def read_exactly(fd: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive(fd: int) -> Any:
    return json.loads(read_exactly(fd, int.from_bytes(read_exactly(fd, 4), "big")))


def send(fd: int, message: Any) -> None:
    body = json.dumps(message).encode()
    view = memoryview(len(body).to_bytes(4, "big") + body)
    while view:
        view = view[os.write(fd, view) :]


def limit_self(limits: dict[str, Any]) -> None:
    """rlimits of a candidate, hard and soft: it cannot raise them again. Of processor time the soft
    one comes a second earlier: dying of SIGXCPU tells what happened."""
    mb = 1 << 20
    cpu = math.ceil(limits["cpu_seconds"])
    for kind, value in (
        (resource.RLIMIT_CPU, cpu + 1),
        (resource.RLIMIT_AS, limits["memory_mb"] * mb),
        (resource.RLIMIT_FSIZE, limits["file_mb"] * mb),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, limits["stack_mb"] * mb),
        (resource.RLIMIT_NPROC, limits["processes"]),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu, hard), hard))


def module(name: str) -> dict[str, Any]:
    """The namespace of a fresh module: dataclasses and typing look it up by its name."""
    made = types.ModuleType(name)
    sys.modules[name] = made
    return made.__dict__


def call_program(code: str, entry: str, request: dict[str, Any], fd: int) -> None:
    """In the candidate's process: load the program, call its entry, tell what it returned."""
    args, kwargs = decode(request["args"]), decode(request["kwargs"])
    space = module("program")
    exec(compile(code, "<program>", "exec"), space)
    value = eval(entry, space)(*args, **kwargs)
    send(fd, {"value": encode(value)})


def run_program(code: str) -> None:
    """In the candidate's process: a program that reads and writes the standard streams."""
    space = module("__main__")
    try:
        exec(compile(code, "<program>", "exec"), space)
    except SystemExit:
        pass
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    import atexit

    atexit._run_exitfuncs()


def candidate(job: Any, request: Any, limits: dict[str, Any], value_fd: int) -> None:
    """Everything that the child does after the fork. Never returns."""
    try:
        os.setpgid(0, 0)
        limit_self(limits)
        if job["argv"]:
            os.closerange(3, 256)
            os.execv(job["argv"][0], job["argv"])
        sys.argv = ["program"]
        if job["entry"] is None:
            run_program(job["code"])
        else:
            call_program(job["code"], job["entry"], request, value_fd)
        sys.stdout.flush()
    except BaseException as error:
        try:
            name = type(error).__name__
            send(value_fd, {"error": f"{name}: {str(error)[:500]}" if str(error) else name})
            sys.stdout.flush()
        except BaseException:
            pass
    finally:
        os._exit(0)


def held_memory() -> int:
    """Bytes of memory of its own that the candidate and its descendants hold."""
    pages = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            try:
                with open(f"/proc/{name}/statm") as file:
                    fields = file.read().split()
            except OSError:
                continue
            if len(fields) > 2:
                pages += int(fields[1]) - int(fields[2])
    return pages * resource.getpagesize()


def sweep(pid: int) -> None:
    """Kill and reap whatever still lives; as process 1, with one signal to all there is."""
    if os.getpid() != 1:  # without isolation: the candidate's own group, and no more
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
        return
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def clear(folder: str) -> None:
    """Empty `folder`; OSError or RecursionError where a candidate left something unremovable."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                clear(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)


class Streams:
    """The pipes of one run, read and written without ever waiting for the candidate."""

    def __init__(self, stdin: bytes, cap: int) -> None:
        self.cap = cap
        self.poll = select.poll()
        self.outputs: dict[int, bytearray] = {}
        self.child: list[int] = []
        self.to_stdin, self.flooded = memoryview(stdin), False
        read, write = os.pipe()
        self.stdin: int | None = write
        self.child.append(read)
        self.named: list[int] = []
        for _ in range(3):  # stdout, stderr, value
            read, write = os.pipe()
            os.set_blocking(read, False)
            self.outputs[read] = bytearray()
            self.named.append(read)
            self.child.append(write)
            self.poll.register(read, select.POLLIN)
        os.set_blocking(self.stdin, False)
        self.feed()

    def take_over(self) -> None:
        """In the child: the pipes become descriptors 0 to 3, all others are closed."""
        high = [os.dup2(fd, 200 + i) for i, fd in enumerate(self.child)]
        for i, fd in enumerate(high):
            os.dup2(fd, i)
        os.closerange(4, 256)

    def in_parent(self) -> None:
        for fd in self.child:
            os.close(fd)
        if self.stdin is not None:
            self.poll.register(self.stdin, select.POLLOUT)

    def feed(self) -> None:
        try:
            while self.to_stdin and self.stdin is not None:
                self.to_stdin = self.to_stdin[os.write(self.stdin, self.to_stdin[: 1 << 16]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass
        self.end_stdin()

    def end_stdin(self) -> None:
        if self.stdin is not None:
            try:
                self.poll.unregister(self.stdin)
            except KeyError:
                pass
            os.close(self.stdin)
            self.stdin = None

    def drain(self, fd: int) -> bool:
        """Read what is there; False once the other side is closed."""
        while True:
            try:
                part = os.read(fd, 1 << 16)
            except BlockingIOError:
                return True
            if not part:
                return False
            self.outputs[fd] += part
            if len(self.outputs[fd]) > self.cap:
                self.flooded = True
                return True

    def handle(self, fd: int) -> None:
        if fd == self.stdin:
            self.feed()
        elif fd in self.outputs and not self.drain(fd):
            self.poll.unregister(fd)

    def close(self) -> None:
        self.end_stdin()
        for fd in self.outputs:
            if not self.flooded:
                self.drain(fd)
            os.close(fd)


def run_one(job: Any, request: Any) -> dict[str, Any]:
    """Run the program on one input: (fields of the answer)."""
    limits = job["limits"]
    stdin = bytes.fromhex(request.get("stdin", ""))
    streams = Streams(stdin, limits["output_kb"] << 10)
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.fork()
    if pid == 0:
        streams.take_over()
        candidate(job, request, limits, 3)
    ended = os.pidfd_open(pid)
    streams.in_parent()
    streams.poll.register(ended, select.POLLIN)
    deadline = started + limits["wall_seconds"]
    why, status, watch = "", None, started + WATCH_SECONDS
    while status is None and not why:
        now = time.monotonic()
        if now > deadline:
            why = "timeout"
            break
        events = streams.poll.poll(1000 * WATCH_SECONDS)
        for fd, _ in events:
            if fd == ended:
                _, status = os.waitpid(pid, 0)
            else:
                streams.handle(fd)
        if streams.flooded:
            why = "output"
        elif status is None and now > watch:
            watch = now + WATCH_SECONDS
            if os.getpid() == 1 and held_memory() > 2 * (limits["memory_mb"] << 20):
                why = "memory"
    sweep(pid)
    os.close(ended)
    streams.close()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    stdout, stderr, value = (streams.outputs[fd] for fd in streams.named)
    died = os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else 0
    deaf = died == signal.SIGKILL and cpu >= 0.5 * limits["cpu_seconds"]  # counted in ticks
    if died == signal.SIGXCPU or deaf:
        why = "timeout"
    answer = {
        "why": why or ("output" if streams.flooded else ""),
        "signal": died,
        "stdout": stdout[: streams.cap].hex(),
        "stderr": stderr[-2000:].decode("utf-8", "replace"),
        "value": value[: streams.cap].hex(),
        "cpu": cpu,
        "wall": time.monotonic() - started,
    }
    if job["product"]:
        answer["product"] = take_product(job["product"])
    return answer


def take_product(path: str) -> str | None:
    """A file that the run left (a compiled program), or None. Never a link out of the scratch."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(16 << 20).hex()


def main() -> None:
    """A job, then inputs until the parent hangs up. Each answer says whether all was cleaned."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    channel = os.dup(CHANNEL)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    send(channel, {"pid": os.getpid()})
    job = receive(channel)
    for name in PRELOADED:
        if job["argv"] is None and name in job["code"]:
            importlib.import_module(name)
    os.chdir(job["scratch"][0])
    while True:
        try:
            request = receive(channel)
        except EOFError:
            return
        for name, text in request.get("files", {}).items():
            with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:
                file.write(text)
        answer = run_one(job, request)
        try:
            for folder in job["scratch"]:
                clear(folder)
            answer["clean"] = True
        except (OSError, RecursionError):
            answer["clean"] = False
        send(channel, answer)


if __name__ == "__main__":
    main()
