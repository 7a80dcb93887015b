"""How far generation may run ahead of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.base import Config
from openzaya.errors import ConfigError


class SamplersConfig(Config):
    """Who draws the rollouts. With neither processes nor urls: the trainer's own process."""

    processes: NonNegativeInt = 0
    """`zaya serve` processes to start on this machine."""
    threads: PositiveInt = 1
    """Of each."""
    urls: tuple[str, ...] = ()
    """Servers that run already, as http://host:8000/v1. They must see the run folder."""
    token_variable: str = "ZAYA_CONTROL_TOKEN"
    """Environment variable with the token of their control routes."""
    concurrency: PositiveInt = 1024
    """Requests on their way to one server."""
    timeout: PositiveFloat = 3600.0
    """Seconds for one rollout."""


class AsyncConfig(Config):
    """Generation and training as roles of their own (report arXiv 2605.05365, asynchrony).

    The report: max_staleness 2, sync_every 2, ready_batches 2. The defaults are the synchronous
    loop, which is reproducible to the bit.
    """

    max_staleness: NonNegativeInt = 0
    """Trainer steps between the weights that drew a group's oldest token and those that learn from
    it, its time in the queue included. 0 is the synchronous loop."""
    sync_every: PositiveInt = 1
    """Trainer steps between two updates of the samplers' weights, which come in flight."""
    ready_batches: PositiveInt = 1
    """The trainer waits until so many batches are ready, and takes one."""
    buffer: PositiveInt | None = None
    """Most whole groups that wait for the trainer; beyond it the oldest is dropped. None: as many
    as the staleness allows."""
    order: Literal["started", "window", "finished"] = "started"
    """Which ready groups come first. started: in the order of their starts; finished: as they end,
    which prefers short answers; window: as they end, among the oldest that are alive."""
    window_share: float = Field(default=0.3, gt=0.0)
    """window: places beyond a batch that are looked at, as a share of all that may be alive."""
    refill: bool = False
    """Groups without contrast leave before a batch is made, and others take their places (DAPO's
    dynamic sampling, arXiv 2503.14476); otherwise they count in it with no gradient."""
    attempts: PositiveInt = 3
    """Tries at a group whose sampler fails."""

    def window(self, groups_per_batch: int) -> int:
        return max(1, int(self.window_share * (self.max_staleness + 1) * groups_per_batch))

    def check(self, groups_per_batch: int) -> None:
        """ConfigError for what could never train."""
        in_time = self.max_staleness + 1 - (self.sync_every - 1)
        if in_time < 1:
            raise ConfigError(
                f"sync_every {self.sync_every} makes weights older than max_staleness "
                f"{self.max_staleness} allows: nothing could be generated between two updates",
                f"use max_staleness of at least {self.sync_every - 1}",
            )
        if self.ready_batches > in_time:
            raise ConfigError(
                f"{self.ready_batches} ready batches never come together: max_staleness "
                f"{self.max_staleness} and sync_every {self.sync_every} let {in_time} be alive",
                f"use ready_batches of at most {in_time}, or a larger max_staleness",
            )
        needed = self.ready_batches * groups_per_batch
        if self.buffer is not None and self.buffer < needed:
            raise ConfigError(
                f"a buffer of {self.buffer} groups never holds {needed}, which training waits for",
                f"use a buffer of at least {needed} groups",
            )
