"""Batched cached generation on the trainer's own model, behind the `Sampler` protocol."""

from openzaya.engine.engine import Engine
from openzaya.engine.sampler import EngineSampler

__all__ = ["Engine", "EngineSampler"]
