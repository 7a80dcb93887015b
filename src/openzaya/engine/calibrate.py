"""Thread count and weight format by measuring: a moment of decoding at start.

Results do not depend on threads, to the bit. They do depend on the format: bf16 rounds fp32
weights, so it competes only where the caller says that it may.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from openzaya.engine.engine import Engine
from openzaya.engine.runner import NativeRunner
from openzaya.engine.sequence import Sequence
from openzaya.types import SamplingParams

BATCHES = (1, 8)
STEPS, ROUNDS = 6, 3


def calibrate(engine: Engine) -> float:
    """Set the engine's threads to the count that decodes fastest; its tokens per second, as the
    geometric mean over the batches. Where PyTorch runs the steps, the count is PyTorch's."""
    runner = engine.runner
    if not isinstance(runner, NativeRunner):
        return _rate(engine)
    most = torch.get_num_threads()
    counts = sorted({most, *(1 << i for i in range(most.bit_length()) if 1 << i <= most)})
    rates = {}
    for count in counts:
        runner.threads = count
        rates[count] = _rate(engine)
    runner.threads = max(rates, key=lambda count: rates[count])
    return rates[runner.threads]


def fastest(makers: list[Callable[[], Engine]]) -> Engine:
    """The engine that decodes fastest, calibrated; only two are in memory at a time."""
    best, rate = None, 0.0
    for make in makers:
        engine = make()
        mine = calibrate(engine)
        if mine > rate:
            best, rate = engine, mine
    assert best is not None
    return best


def _rate(engine: Engine) -> float:
    product = 1.0
    batches = [b for b in BATCHES if b <= len(engine.scheduler.slots.free)]
    for batch in batches:
        product *= batch * STEPS / min(_seconds(engine, batch) for _ in range(ROUNDS))
    return product ** (1 / len(batches))


def _seconds(engine: Engine, batch: int) -> float:
    """Of `STEPS` decode steps. The engine's counters and cache are left as they were found."""
    counters = engine.prompt_tokens, engine.cached_tokens, engine.generated_tokens, engine.steps
    longest = engine.capacity - 4
    sequences = [
        Sequence([(i + j) % engine.config.vocab_size for j in range(4)], SamplingParams(longest))
        for i in range(batch)
    ]
    for s in sequences:
        engine.add(s)
    while engine.scheduler.filling or engine.scheduler.waiting:
        engine.step()
    started = time.perf_counter()
    for _ in range(STEPS):
        engine.step()
    taken = time.perf_counter() - started
    for s in sequences:
        engine.cancel(s)
    engine.scheduler.blocks.flush()
    engine.prompt_tokens, engine.cached_tokens, engine.generated_tokens, engine.steps = counters
    return taken
