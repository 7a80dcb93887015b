"""Generation on the trainer's own model: continuous batching, prefix cache, native CPU step.

Words as in vLLM: a request becomes sequences, the scheduler plans steps, the block manager hands
out the cache, a runner computes a step's rows, the sampler draws.
"""

from openzaya.engine.engine import Engine
from openzaya.engine.sampler import EngineSampler
from openzaya.engine.sequence import Sequence

__all__ = ["Engine", "EngineSampler", "Sequence"]
