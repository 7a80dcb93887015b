"""One engine for many callers: steps run in a thread, everything else on the event loop.

The engine is touched by one thread alone, which between steps does what callers have asked for:
add, cancel, new weights. Nothing is locked.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

from openzaya.engine.engine import Engine, families
from openzaya.engine.packed import PackedModel
from openzaya.engine.sequence import Sequence
from openzaya.model import ZayaForCausalLM
from openzaya.types import FinishReason

SLICE = 0.01
"""Seconds of steps before the event loop hears what came of them."""

Mode = Literal["keep", "wait", "abort"]
Order = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]


class AsyncEngine:
    """Await results of sequences; change weights while they are on their way."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, "engine")
        self._coming: deque[Sequence] = deque()
        self._orders: deque[Order] = deque()
        self._ended: dict[Sequence, asyncio.Future[None]] = {}
        self._heard: set[asyncio.Event] = set()
        self._driver: asyncio.Task[None] | None = None
        self._admit = self._going = True

    async def run(self, sequences: Many[Sequence]) -> None:
        """Until all have ended; those with equal prompts, also of callers that come at the same
        moment, share a prefill. When the caller is cancelled, so are they. EngineError for what
        could never run."""
        for s in sequences:
            self.engine.check(s.prompt, s.params)
        loop = asyncio.get_running_loop()
        ended = {s: loop.create_future() for s in sequences}
        self._ended |= ended
        self._coming.extend(sequences)
        self._wake()
        try:
            await asyncio.gather(*ended.values())
        finally:
            for s in sequences:
                self._ended.pop(s, None)
                if s.finish is None:
                    self._order(lambda s=s: self.engine.cancel(s))

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever steps were made."""
        event = asyncio.Event()
        self._heard.add(event)
        try:
            yield event
        finally:
            self._heard.discard(event)

    @property
    def waiting_callers(self) -> int:
        """Sequences that somebody waits for."""
        return len(self._ended)

    async def rest(self) -> None:
        """Until nothing is left to do: an event loop may end then."""
        while self._driver is not None and not self._driver.done():
            await asyncio.wait([self._driver])

    async def flush(self) -> None:
        """Forget the prefix cache."""
        await self._ask(self.engine.scheduler.blocks.flush)

    async def pause(self, mode: Mode) -> None:
        """Stop feeding. keep: sequences stay where they are; wait: those that run end first;
        abort: all are cancelled. Requests that come meanwhile wait for `resume`."""
        if mode == "wait":
            self._admit = False
            while self.engine.scheduler.running:
                await asyncio.sleep(SLICE)
        elif mode == "abort":
            await self._ask(self._abort)
        self._going = False
        await self._ask(lambda: None)  # the step that ran has ended

    def resume(self) -> None:
        self._admit = self._going = True
        self._wake()

    async def load(self, model: ZayaForCausalLM | PackedModel, version: int) -> None:
        """New weights between two steps."""
        await self._ask(lambda: self.engine.load(model, version))

    def _abort(self) -> None:
        scheduler = self.engine.scheduler
        for s in [*self.engine.sequences, *scheduler.waiting]:
            for each in (*s.siblings, s):
                self.engine.cancel(each)

    async def _ask(self, order: Callable[[], Any]) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._order(order, future)
        return await future

    def _order(self, order: Callable[[], Any], answer: asyncio.Future[Any] | None = None) -> None:
        self._orders.append((order, answer))
        self._wake()

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        if self._driver is None or self._driver.done() or self._driver.get_loop() is not loop:
            self._driver = loop.create_task(self._drive())

    async def _drive(self) -> None:
        """While there is anything to do."""
        loop = asyncio.get_running_loop()
        while self._coming or self._orders or (self._going and self.engine.busy):
            try:
                answers = await loop.run_in_executor(self._thread, self._work)
            except Exception as error:  # a broken step: every caller hears of it, none waits on
                self._orders.append((self._abort, None))
                for future in self._ended.values():
                    _settle(future, None, error)
                self._ended.clear()
                continue
            for future, value, error in answers:
                _settle(future, value, error)
            for s in [s for s in self._ended if s.finish is not None]:
                _settle(self._ended.pop(s), None, None)
            for event in self._heard:
                event.set()

    def _work(self) -> list[tuple[asyncio.Future[Any], Any, Exception | None]]:
        """In the engine's thread: orders, then steps for a moment."""
        coming = [self._coming.popleft() for _ in range(len(self._coming))]
        for leader in families(coming):
            self.engine.add(leader)
        answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        for _ in range(len(self._orders)):
            order, future = self._orders.popleft()
            try:
                value, error = order(), None
            except Exception as failed:
                if future is None:
                    raise
                value, error = None, failed
            if future is not None:
                answers.append((future, value, error))
        until = time.perf_counter() + SLICE
        while self._going and self.engine.busy and not answers:
            late = self.engine.step(self._admit) or self._coming or self._orders
            if late or time.perf_counter() > until:
                break
            if not self._admit and not self.engine.scheduler.running:
                break
        return answers


def _settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def aborted(s: Sequence) -> bool:
    """Whether it ended without having been asked to end."""
    return s.finish in (FinishReason.ABORT, FinishReason.ERROR)
