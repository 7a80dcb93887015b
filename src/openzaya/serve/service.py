"""One model, its engine, and the requests on their way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Sequence as Many
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openzaya.config.serve import ServeConfig
from openzaya.engine.engine import Engine
from openzaya.engine.sampler import EngineSampler
from openzaya.engine.sequence import Sequence
from openzaya.engine.service import AsyncEngine, aborted
from openzaya.errors import EngineError
from openzaya.serve.errors import ApiError
from openzaya.serve.metrics import Metrics
from openzaya.serve.rsa_run import Runs
from openzaya.tokenizer import Tokenizer
from openzaya.types import FinishReason, ThinkIds

BEGIN_SECONDS = 10.0
"""What is admitted and has not begun by then, since its client left, loses its places."""

LoadModel = Callable[[Path], Awaitable[None]]


@dataclass
class Service:
    """What the routes share."""

    engine: Engine
    tokenizer: Tokenizer
    config: ServeConfig
    name: str
    api_key: str | None = None
    control_token: str | None = None

    asynchronous: AsyncEngine = field(init=False)
    metrics: Metrics = field(init=False)
    think_ids: ThinkIds = field(init=False)
    draining: bool = False
    open: set[asyncio.Task[object]] = field(default_factory=set)
    """Requests on their way."""
    runs: Runs = field(default_factory=Runs)
    """Those of Markovian RSA."""
    _promised: dict[int, int] = field(default_factory=dict)
    """Admitted sequences whose run has not begun, by the first one's identity."""

    def __post_init__(self) -> None:
        t = self.tokenizer
        self.asynchronous = AsyncEngine(self.engine)
        self.metrics = Metrics(self.engine)
        self.think_ids = ThinkIds(t.think_id, t.end_think_id, t.im_end_id)

    def admit(self, sequences: Many[Sequence]) -> None:
        """ApiError for what cannot run, or not now. What is admitted has its places from now on:
        `run` refuses it no more, as it could not once a stream has begun."""
        if self.draining:
            raise ApiError(503, "the server is shutting down", retry_after=5)
        for s in sequences:
            try:
                self.engine.check(s.prompt, s.params)
            except EngineError as error:
                raise ApiError(400, error.message, "prompt", "context_length_exceeded") from None
        self._find_room(len(sequences))
        promise = id(sequences[0])
        self._promised[promise] = len(sequences)
        loop = asyncio.get_running_loop()
        loop.call_later(BEGIN_SECONDS, self._promised.pop, promise, None)

    def admit_run(self, rollouts: int) -> None:
        """Room for a run is asked for once, and kept until it has ended."""
        if self.draining:
            raise ApiError(503, "the server is shutting down", retry_after=5)
        self._find_room(rollouts)

    def _find_room(self, sequences: int) -> None:
        asked = self.asynchronous.waiting_callers + self.runs.idle + sum(self._promised.values())
        if asked + sequences > self.capacity:
            waiting = asked - len(self.engine.scheduler.slots.sequence)
            raise ApiError(
                429, f"{max(0, waiting)} sequences wait already", None, "queue_full",
                retry_after=self.metrics.retry_after(),
            )  # fmt: skip

    @property
    def capacity(self) -> int:
        return self.config.max_queue + len(self.engine.scheduler.slots.sequence)

    @property
    def version(self) -> int:
        return self.engine.version

    async def model(self, name: str | None, key: str | None) -> tuple[str, int | None]:
        if name not in (None, self.name):
            raise no_model(name, self.name)
        return self.name, self.engine.capacity

    @asynccontextmanager
    async def sampler(
        self, model: str, key: str | None, window: int | None
    ) -> AsyncIterator[EngineSampler]:
        yield EngineSampler(self.engine, self.tokenizer, service=self.asynchronous)

    @property
    def busy(self) -> bool:
        return bool(self.asynchronous.waiting_callers or self.runs.active)

    def drain(self) -> None:
        """A paused engine would never drain."""
        self.draining = True
        self.asynchronous.resume()

    async def abort(self) -> None:
        """End what is on its way; its clients hear an error."""
        self.runs.abort()
        await self.asynchronous.pause("abort")

    async def close(self) -> None:
        """The engine's thread ends with the process."""

    async def run(self, sequences: Many[Sequence]) -> None:
        """Until all have ended; ApiError where one could not."""
        if self._promised.pop(id(sequences[0]), None) is None:
            self.admit(sequences)
            del self._promised[id(sequences[0])]
        started = time.perf_counter()
        try:
            await self.asynchronous.run(sequences)
        finally:
            self.metrics.ended(sequences, time.perf_counter() - started)
        for s in sequences:
            if aborted(s):
                raise broken(s)


def broken(s: Sequence) -> ApiError:
    """Why a sequence ended that nobody asked to end."""
    if s.finish is FinishReason.ERROR:
        return ApiError(500, "the model's logits hold no finite number", None, "model_broken")
    return ApiError(503, "the request was cut short by the server", None, "aborted", retry_after=1)


def no_model(name: str | None, known: str) -> ApiError:
    return ApiError(
        404, f"no model {name!r}; this server has {known!r}", "model", "model_not_found"
    )
