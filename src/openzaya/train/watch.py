"""Bad steps: a value that is no number, a loss that jumps, a step that never ends.

The run goes back to its last checkpoint and leaves the batch out that broke it. `skipped.json` in
the run folder remembers which: it is no part of a checkpoint, since going back must not forget it.
The run then ends as one that had been told to leave these batches out from the start.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from typing import Any

import numpy as np

from openzaya.config.train import WatchConfig
from openzaya.errors import RunError
from openzaya.parallel.world import World
from openzaya.run_dir import RunDir

SKIPPED_FILE = "skipped.json"
FLOOR = 0.02
"""Smallest standard deviation of a loss, as a share of its median: a flat stretch must not turn an
ordinary step into a spike."""


class Watch:
    """Judges steps, and knows which batch a step learns from."""

    def __init__(self, config: WatchConfig, run: RunDir) -> None:
        self.config, self.run = config, run
        self.skipped: list[dict[str, Any]] = (
            run.read_json(SKIPPED_FILE) if run.has(SKIPPED_FILE) else []
        )
        self.recent: deque[float] = deque(maxlen=config.window)

    def recall(self) -> None:
        """Read the losses before the current step from the metrics: they outlive a kill."""
        losses = [m["loss"] for m in self.run.metrics() if "loss" in m]
        self.recent = deque(losses[-self.config.window :], maxlen=self.config.window)

    def batch_of(self, step: int) -> int:
        """Index of the batch of `step`: the step-th that is not left out."""
        index = step
        for left_out in sorted(entry["batch"] for entry in self.skipped):
            index += left_out <= index
        return index

    def judge(self, loss: float) -> str | None:
        """What is wrong with this loss; None accepts it."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if self.config.spike is not None and len(self.recent) == self.config.window:
            losses = np.array(self.recent)
            median = float(np.median(losses))
            spread = 1.4826 * float(np.median(np.abs(losses - median)))
            limit = median + self.config.spike * max(spread, FLOOR * abs(median))
            if loss > limit:
                return f"the loss is {loss:.4g}, after a median of {median:.4g}"
        return None

    def accept(self, loss: float) -> None:
        self.recent.append(loss)

    def leave_out(self, batch: int, step: int, reason: str) -> None:
        """Remember it on disk. RunError when the run has gone back often enough."""
        if len(self.skipped) >= self.config.rollbacks:
            raise RunError(
                f"step {step + 1}: {reason}, and {len(self.skipped)} batches were left out before",
                "lower optim.lr, look at the batches in skipped.json, or raise watch.rollbacks",
            )
        self.skipped.append({"batch": batch, "step": step, "reason": reason})
        self.run.write_json(SKIPPED_FILE, self.skipped)


class Stopwatch:
    """Ends a step that takes longer than `stall_seconds`, from a thread of its own.

    A step that hangs cannot be interrupted from inside, so the process starts itself anew: the
    same command line goes on from the last checkpoint, without the batch. Of several ranks, which
    wait for each other, the main one watches; it ends, torchrun ends the others, and whoever gives
    the same line again (a person, a requeued job) goes on.
    """

    def __init__(self, watch: Watch, world: World) -> None:
        self.watch, self.world = watch, world
        self.seconds = watch.config.stall_seconds if world.is_main else None
        self._timer: threading.Timer | None = None

    def start(self, batch: int, step: int) -> None:
        """A step begins; the one before it is over."""
        self.stop()
        if self.seconds is not None:
            self._timer = threading.Timer(self.seconds, self._expire, (batch, step))
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, batch: int, step: int) -> None:
        reason = f"nothing happened for {self.seconds:g} s"
        try:
            self.watch.leave_out(batch, step, reason)
        except RunError as error:
            print(f"error: {error.message}\ntry: {error.hint}", file=sys.stderr, flush=True)
            os._exit(2)
        if self.world.size > 1:
            print(f"step {step + 1}: {reason}; the same line goes on", file=sys.stderr, flush=True)
            os._exit(1)
        print(f"step {step + 1}: {reason}; starting anew", file=sys.stderr, flush=True)
        os.execv(sys.executable, sys.orig_argv)
