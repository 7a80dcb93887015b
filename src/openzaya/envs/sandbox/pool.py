"""A sandbox as the rest of the project sees it: results kept by hash, all cores busy."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox.job import Accept, Backend, Input, Program, Run, Status, job_key

PASSING = (Status.TIMEOUT, Status.FAILED)
"""What another try might not show: such results are not kept."""
RUN_BYTES = 400


def go_on(number: int, run: Run) -> bool:
    """An `Accept` that wants every input run."""
    return True


class Sandbox:
    """Runs programs on a backend. Thread-safe; `close` ends its threads."""

    def __init__(self, backend: Backend, config: SandboxConfig) -> None:
        self.backend, self.limits = backend, config.limits
        self.workers = config.workers or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="sandbox")
        self._kept: OrderedDict[str, list[Run]] = OrderedDict()
        self._bytes, self._most = 0, int(config.cache_mb * (1 << 20))
        self._lock = threading.Lock()
        self.hits = 0

    def submit(
        self,
        program: Program,
        inputs: Sequence[Input],
        limits: LimitsConfig | None = None,
        accept: Accept = go_on,
    ) -> Future[list[Run]]:
        """The runs, in order, up to the first that `accept` refuses; soon."""
        return self._threads.submit(self._run, program, inputs, limits or self.limits, accept)

    def run(
        self,
        program: Program,
        inputs: Sequence[Input],
        limits: LimitsConfig | None = None,
        accept: Accept = go_on,
    ) -> list[Run]:
        """Like `submit`, waiting."""
        return self.submit(program, inputs, limits, accept).result()

    async def arun(
        self,
        program: Program,
        inputs: Sequence[Input],
        limits: LimitsConfig | None = None,
        accept: Accept = go_on,
    ) -> list[Run]:
        """Like `submit`, awaited."""
        return await asyncio.wrap_future(self.submit(program, inputs, limits, accept))

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(
        self, program: Program, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        key = job_key(program, inputs, limits, self.backend.fingerprint)
        with self._lock:
            kept = self._kept.get(key, [])
            if kept:
                self._kept.move_to_end(key)
        for number, run in enumerate(kept):
            if not accept(number, run):
                self.hits += 1
                return kept[: number + 1]
        if kept and len(kept) == len(inputs):
            self.hits += 1
            return kept
        runs = self.backend.execute(program, inputs, limits, accept)
        if not any(run.status in PASSING for run in runs):
            self._keep(key, runs)
        return runs

    def _keep(self, key: str, runs: list[Run]) -> None:
        with self._lock:
            self._bytes += _size(runs) - _size(self._kept.pop(key, []))
            self._kept[key] = runs
            while self._bytes > self._most and self._kept:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(runs: list[Run]) -> int:
    """About the bytes that `runs` hold."""
    return sum(RUN_BYTES + len(r.stdout) + len(r.reason) + _weight(r.value) for r in runs)


def _weight(value: object) -> int:
    if isinstance(value, str | bytes):
        return 50 + len(value)
    if isinstance(value, list | tuple | set | frozenset):
        return 56 + sum(8 + _weight(v) for v in value)
    if isinstance(value, dict):
        return 64 + sum(16 + _weight(k) + _weight(v) for k, v in value.items())
    return 28
