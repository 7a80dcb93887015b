"""What orchestration costs: Markovian RSA beside its bare calls, and how fast a journal is read.

    python bench/rsa_overhead.py [--quick]

Overhead: rounds of 32 rollouts on their way at once (C = 4, T = 8), journaled and listened to, over
a sampler that takes 50 ms a call and returns 256 tokens; beside it the same calls, round by round,
with nothing around them. `waves`: 32 at a time of a population of 128, beside 32 bare workers.
`cpu`: processor time of a rollout, above the bare call's. Replay: a journal of 10,000 candidates
with tails of 128 tokens (`replay-long`: of 4096) is read into a `Result`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from openzaya.config.rsa import RSAConfig
from openzaya.ttc import Journal, reason, replay
from openzaya.ttc.events import Event
from openzaya.types import Completion, FinishReason, Message, Request, SamplingParams, ThinkIds

WIDTH, SECONDS, TOKENS = 32, 0.05, 256
SHAPES = {
    "overhead": RSAConfig(population=WIDTH, rounds=8, tail=128, budget=1024, kind="math"),
    "waves": RSAConfig(
        population=4 * WIDTH, concurrency=WIDTH, rounds=2, tail=128, budget=1024, kind="math"
    ),
}
QUESTION = (Message("user", "What is 12+7?"),)
REPLAYED = 10_000
GOALS = {"overhead": 2.0, "replay": 2.0}


class Sleeper:
    """A sampler that takes its time and knows its answers beforehand."""

    def __init__(self) -> None:
        self.think_ids = ThinkIds(256, 257, 258)
        ids = np.array([97] * (TOKENS - 3) + [257, 55, 258], dtype=np.int32)
        none = np.zeros(TOKENS, dtype=np.float32)
        text = "a" * (TOKENS - 3)
        answer = "It is \\boxed{7}."
        self.done = Completion(ids, ids, none, ids, FinishReason.STOP, text, text, answer)

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        await asyncio.sleep(SECONDS)
        return [self.done] * len(requests)

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return "a" * len(token_ids)


async def bare(sampler: Sleeper, config: RSAConfig) -> None:
    """The same calls, and nothing else."""
    calls = iter(range(config.generations))

    async def worker() -> None:
        for n in calls:
            await sampler.sample([Request(QUESTION, SamplingParams(1024, seed=n))])

    if config.concurrency is not None:
        await asyncio.gather(*(worker() for _ in range(config.concurrency)))
        return
    requests = [Request(QUESTION, SamplingParams(1024, seed=n)) for n in range(config.population)]
    for _ in range(config.rounds + 1):
        await asyncio.gather(*(sampler.sample([r]) for r in requests))


async def whole(sampler: Sleeper, config: RSAConfig, path: Path) -> None:
    heard: list[Event] = []
    with Journal.open(path) as journal:
        result = await reason(
            QUESTION, sampler, config, run_id="1", journal=journal, on_event=heard.append
        )
    assert result.answer == "7"
    assert len(heard) == 4 + 2 * (config.rounds + 1) + 2 * config.generations


def overheads(config: RSAConfig, path: Path, repeats: int) -> tuple[list[float], list[float]]:
    """(percent of the bare wall time, microseconds of processor time per rollout), one a pair."""
    sampler, walls, cpus = Sleeper(), list[float](), list[float]()
    asyncio.run(whole(sampler, config, path))
    path.unlink()
    for _ in range(repeats):
        times = []
        for work in (bare(sampler, config), whole(sampler, config, path)):
            wall, cpu = time.perf_counter(), time.process_time()
            asyncio.run(work)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        path.unlink()
        (wall, cpu), (wall_whole, cpu_whole) = times
        walls.append(100 * (wall_whole / wall - 1))
        cpus.append(1e6 * (cpu_whole - cpu) / config.generations)
    return walls, cpus


def replays(path: Path, tail: int, repeats: int) -> list[float]:
    """Seconds."""

    class Instant(Sleeper):
        async def sample(self, requests: Sequence[Request]) -> list[Completion]:
            return [self.done] * len(requests)

    config = RSAConfig(
        population=100, rounds=REPLAYED // 100 - 1, tail=tail, budget=tail, final_budget=None,
        retries=0,
    )  # fmt: skip
    sampler = Instant()
    ids = np.array([97] * tail + [257, 55, 258], dtype=np.int32)
    sampler.done = replace(sampler.done, token_ids=ids)
    with Journal.open(path, "never") as journal:
        asyncio.run(reason(QUESTION, sampler, config, run_id="long", journal=journal))
    print(f"{REPLAYED} candidates with tails of {tail}: {path.stat().st_size / 1e6:.0f} MB")
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = replay(path)
        found.append(time.perf_counter() - began)
        assert result.cost.generations == REPLAYED
    path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    arguments = parser.parse_args()
    repeats = 6 if arguments.quick else 30
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run.jsonl"
        shares, cpus = overheads(SHAPES["overhead"], path, repeats)
        waves, _ = overheads(SHAPES["waves"], path, repeats)
        short, long = replays(path, 128, 3), replays(path, 4096, 1 if arguments.quick else 3)
    results = []
    for title, values, unit in (
        ("overhead", shares, "% of the bare wall time, rounds of 32 rollouts of 50 ms"),
        ("waves", waves, "% of the bare wall time, 32 at a time of 128"),
        ("cpu", cpus, "us of a processor per rollout"),
        ("replay", short, "s for 10,000 candidates with tails of 128 tokens"),
        ("replay-long", long, "s for 10,000 candidates with tails of 4096 tokens"),
    ):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{title:12} median {middle:8,.3f} {unit}   (min {low:,.3f}, max {high:,.3f})")
        row = {"name": f"rsa-{title}", "value": round(middle, 3), "unit": unit}
        if title in GOALS:
            row |= {"goal": GOALS[title], "ok": middle <= GOALS[title]}
        results.append(row)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
