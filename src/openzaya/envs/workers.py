"""Processes for code that cannot be trusted to end, to leave global state alone or to survive.

A pool runs the functions of one module in child processes: `pool.call("score", task=..., ...)`.
A call that is not back in time kills its process; the next one gets a fresh process. Arguments
and results are JSON: a child that a foreign library corrupts cannot make its parent unpickle.
Children run with one PYTHONHASHSEED, so what depends on the order of a set is the same everywhere.

This contains accidents. It is no sandbox: code that a model wrote belongs into
`openzaya.envs.sandbox`, and nothing here may `eval` a model's text.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from typing import Any

START_SECONDS = 120.0
"""For the imports of a child; a machine under load takes its time."""


class CallTimeout(Exception):
    """The call took too long; its process is gone."""


class CallFailed(Exception):
    """The function raised, or its process died."""


class WorkerPool:
    """Up to `size` processes that serve `module`; they start when first needed.

    `options` are passed to the module's `start(**options)`. Safe to share between threads; after
    a fork the child of the fork starts its own.
    """

    def __init__(
        self,
        module: str,
        options: Mapping[str, Any] | None = None,
        *,
        size: int | None = None,
        memory_mb: int = 4096,
        hash_seed: int = 0,
    ) -> None:
        self.module, self.options = module, dict(options or {})
        self.size = size or os.cpu_count() or 1
        self.memory_mb, self.hash_seed = memory_mb, hash_seed
        self.kills = 0
        self._forget()
        atexit.register(self.close)

    def _forget(self) -> None:
        self._idle: list[_Worker] = []
        self._slots = threading.BoundedSemaphore(self.size)
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def call(self, function: str, *, timeout: float, **arguments: Any) -> Any:
        """The function's result. CallTimeout after `timeout` seconds, CallFailed if it raises."""
        if self._pid != os.getpid():
            self._forget()  # the pipes of these processes belong to the process that forked
        with self._slots:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            worker = worker or _Worker(self)
            try:
                reply = worker.call(function, arguments, timeout)
            except BaseException as error:
                worker.kill()
                self.kills += isinstance(error, CallTimeout)
                raise
            with self._lock:
                self._idle.append(worker)
        if "error" in reply:
            raise CallFailed(reply["error"])
        return reply["result"]

    def close(self) -> None:
        """End all idle processes."""
        if self._pid == os.getpid():
            while self._idle:
                self._idle.pop().kill()


class _Worker:
    """One child process and the pipe to it."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pipe, theirs = Pipe()
        self.module = pool.module
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openzaya.envs.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONHASHSEED": str(pool.hash_seed), "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        hello = {"module": pool.module, "options": pool.options, "memory_mb": pool.memory_mb}
        try:
            self._exchange(hello, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def call(self, function: str, arguments: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        message = {"function": function, "arguments": arguments, "timeout": timeout}
        return self._exchange(message, timeout)

    def _exchange(self, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        try:
            _send(self.pipe, message)
            if not self.pipe.poll(timeout):
                raise CallTimeout(f"no reply within {timeout:g} s")
            reply = _receive(self.pipe)
        except (EOFError, OSError):
            code = self.process.wait()
            raise CallFailed(f"the process of {self.module} died (exit code {code})") from None
        if "broken" in reply:
            raise CallFailed(reply["broken"])
        return reply

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


def _send(pipe: Connection, message: Mapping[str, Any]) -> None:
    pipe.send_bytes(json.dumps(message).encode())


def _receive(pipe: Connection) -> dict[str, Any]:
    return json.loads(pipe.recv_bytes())
