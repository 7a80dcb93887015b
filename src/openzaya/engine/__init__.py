"""Generation on the trainer's own model: continuous batching, prefix cache, native CPU step.

Words as in vLLM: a request becomes sequences, the scheduler plans steps, the block manager hands
out the cache, a runner computes a step's rows, the sampler draws.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openzaya.engine.engine import Engine
    from openzaya.engine.sampler import EngineSampler
    from openzaya.engine.sequence import Sequence

__all__ = ["Engine", "EngineSampler", "Sequence"]
_HOMES = {"Engine": "engine", "EngineSampler": "sampler", "Sequence": "sequence"}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: who only talks to an endpoint needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
