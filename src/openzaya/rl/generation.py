"""Generation beside training: samplers are kept busy from a thread of its own.

The orchestrator is touched in that thread alone. The trainer's thread waits for batches, tells of
its steps, and may stop the world for a moment to copy its state.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from openzaya.errors import EngineError, ZayaError
from openzaya.rl.crew import Crew
from openzaya.rl.orchestrator import Group, Orchestrator
from openzaya.rl.rollout import Judged, fault
from openzaya.types import Completion, Request

T = TypeVar("T")
PATIENCE = 64
"""Groups whose samplers may fail for good before the run is given up."""


class Generation:
    """Starts what the orchestrator lets start, from `begin` to `close`; `open` comes first."""

    def __init__(
        self,
        orchestrator: Orchestrator[Judged],
        crew: Crew,
        request: Callable[[Group[Judged], int], Request],
        judge: Callable[[Group[Judged], Completion], Awaitable[Judged]],
        keep: Callable[[Group[Judged], int, Judged], None] | None = None,
    ) -> None:
        """`request(group, slot)` is what is asked; `judge` scores what came; `keep`
        stores what has ended."""
        self.orchestrator, self.crew = orchestrator, crew
        self._request, self._judge, self._keep = request, judge, keep
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="generation")
        self._tasks: dict[int, set[asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self.waited = 0.0
        """Seconds that the trainer has waited for batches."""

    def open(self) -> None:
        """From now on samplers have the weights, and `do` works."""
        self._thread.start()
        self.do(self.crew.publish(self.orchestrator.version))

    def begin(self) -> None:
        """Go on with what was in flight, and start new groups."""

        async def begin() -> None:
            self.orchestrator.published()
            for group in list(self.orchestrator.flying.values()):
                self._fly(group, group.missing)
            self._refill()

        self.do(begin())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in generation's own event loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def batch(self) -> list[Group[Judged]]:
        """The next P groups, as soon as there are so many."""
        started = time.perf_counter()
        try:
            return self.do(self._batch())
        finally:
            self.waited += time.perf_counter() - started

    def stepped(self) -> None:
        """The trainer has made a step; where it is time, the samplers get its weights."""
        self.do(self._stepped())

    def close(self) -> None:
        """Stop generating; what is in flight is forgotten."""
        if not self._thread.is_alive():
            return

        async def end() -> None:
            tasks = [t for group in self._tasks.values() for t in group]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.crew.close()

        self.do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _batch(self) -> list[Group[Judged]]:
        while True:
            if self._error is not None:
                raise self._error
            if (batch := self.orchestrator.batch()) is not None:
                return batch
            self._refill()
            assert not self.orchestrator.stuck(), "no batch can come together"
            self._changed.clear()
            await self._changed.wait()

    async def _stepped(self) -> None:
        if self.orchestrator.stepped():
            await self.crew.publish(self.orchestrator.version)
            self.orchestrator.published()
        self._refill()

    def _refill(self) -> None:
        while (group := self.orchestrator.start()) is not None:
            self._fly(group, range(group.size))

    def _fly(self, group: Group[Judged], slots: Any) -> None:
        tasks = self._tasks.setdefault(group.id, set())
        for slot in slots:
            task = self._loop.create_task(self._roll(group, slot))
            tasks.add(task)
            task.add_done_callback(lambda t, id=group.id: self._landed(id, t))

    def _landed(self, group: int, task: asyncio.Task[None]) -> None:
        tasks = self._tasks.get(group, set())
        tasks.discard(task)
        if not tasks:
            self._tasks.pop(group, None)
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()  # a bug of ours: the trainer hears of it
        self._changed.set()

    async def _roll(self, group: Group[Judged], slot: int) -> None:
        """One rollout, until it is there or its group is given up."""
        while True:
            try:
                (completion,) = await self.crew.sample(self._request(group, slot), group.id)
                if (why := fault(completion, self.orchestrator.serving)) is not None:
                    raise EngineError(why)
            except ZayaError as error:
                if not self.orchestrator.failed(group.id, _short(error)):
                    for task in self._tasks.get(group.id, ()):
                        if task is not asyncio.current_task():
                            task.cancel()
                    dropped = self.orchestrator.dropped
                    # Groups without contrast, or too old, are no fault of a sampler.
                    failed = sum(n for why, n in dropped.items() if why.startswith("failed"))
                    if failed > PATIENCE:
                        raise EngineError(
                            f"generation fails again and again: {error}",
                            "look at the samplers; finished rollouts are kept",
                        ) from error
                    return
                continue
            judged = await self._judge(group, completion)
            if self._keep is not None:
                self._keep(group, slot, judged)
            self.orchestrator.ended(group.id, slot, judged, judged.oldest)
            return


def _short(error: ZayaError) -> str:
    return str(error).partition(":")[0][:60]
