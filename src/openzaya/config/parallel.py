"""How a run is spread over ranks. The product of all sizes is the number of processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from openzaya.config.base import Config
from openzaya.errors import ConfigError


class ParallelConfig(Config):
    """Mesh of ranks: replicate x shard x context. Expert parallelism reuses the last two axes."""

    replicate: PositiveInt = 1
    """Copies of the whole set of shards (HSDP); gradients are summed over them."""
    shard: int = Field(default=-1, ge=-1)
    """Ranks that share parameters, gradients and optimizer state (FSDP2); -1: all that is left."""
    context: PositiveInt = 1
    """Ranks that share the tokens of a window (context parallelism)."""
    context_layout: Literal["contiguous", "zigzag"] = "contiguous"
    """zigzag gives every rank an early and a late chunk: equal attention work at long contexts."""
    expert: PositiveInt = 1
    """Ranks that share a layer's experts; it divides shard x context."""
    recompute: bool = False
    """Activation checkpointing: keep only the blocks' inputs, and run them again in backward."""

    def sizes(self, world: int) -> tuple[int, int, int]:
        """(replicate, shard, context) for `world` ranks; ConfigError where they do not fit."""
        rest, over = divmod(world, self.replicate * self.context)
        shard = rest if self.shard == -1 else self.shard
        if over or shard < 1 or self.replicate * shard * self.context != world:
            raise ConfigError(
                f"parallel: replicate {self.replicate} x shard {self.shard} x context"
                f" {self.context} does not make {world} ranks",
                "start as many processes, or set parallel.shard=-1",
            )
        if (shard * self.context) % self.expert:
            raise ConfigError(
                f"parallel: expert {self.expert} does not divide shard {shard} x context"
                f" {self.context}",
                "choose a divisor",
            )
        return self.replicate, shard, self.context
