"""Runs against a real server process of whose calls a fifth goes wrong: all of them end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.engine.endpoint import Patience
from openzaya.engine.http import HTTPSampler
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.ttc import Journal, Result, reason, replay
from openzaya.ttc.events import CandEnd
from openzaya.types import Message

CONFIG = RSAConfig(
    population=4, candidates=2, rounds=1, tail=16, budget=200, final_budget=None, kind="math",
    rollout_timeout=4.0,
)  # fmt: skip


@contextmanager
def serving(rate: float, seed: int = 0) -> Iterator[str]:
    program = str(Path(__file__).with_name("fault_server.py"))
    with subprocess.Popen(
        [sys.executable, program, str(rate), str(seed)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        finally:
            server.kill()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    letters = "".join(map(chr, range(32, 127))) + "\n"
    return build_phrase_tokenizer({}, [], letters)


def many(
    url: str, tokenizer: Tokenizer, runs: int, folder: Path, config: RSAConfig = CONFIG
) -> list[Result]:
    """`runs` of them, ten at a time; every other one streams."""

    async def go() -> list[Result]:
        room = asyncio.Semaphore(10)
        patience = Patience(attempts=1, timeout=60.0, first_wait=0.01)
        async with HTTPSampler(url, "m", tokenizer, concurrency=40, patience=patience) as sampler:

            async def one(n: int) -> Result:
                async with room:
                    with Journal.open(folder / f"{n}.jsonl", "never") as journal:
                        return await reason(
                            (Message("user", f"question {n}"),), sampler, config, run_id=str(n),
                            journal=journal, on_event=(lambda _: None) if n % 2 else None,
                        )  # fmt: skip

            return await asyncio.gather(*(one(n) for n in range(runs)))

    return asyncio.run(go())


def check(results: list[Result], folder: Path) -> Counter[str]:
    """Each ended, with an answer or a stated refusal; what went wrong, in words."""
    errors: Counter[str] = Counter()
    for n, result in enumerate(results):
        again = replay(folder / f"{n}.jsonl")
        assert (again.answer, again.populations) == (result.answer, result.populations)
        assert result.stop in ("done", "error")
        assert (result.answer is None) == (result.refusal is not None)
        assert result.answer in ("1", "2", "3", None)
        if result.stop == "done":
            made = sum(len(result.members(t)) for t in (0, 1))
            assert made + result.cost.failures == 8
        with Journal.open(folder / f"{n}.jsonl") as journal:
            ends = [e for e in journal.events if isinstance(e, CandEnd)]
        errors.update((e.error or "")[-40:] for e in ends if e.finish == "error")
        errors["tries"] += sum(e.tries for e in ends)
        errors["ends"] += len(ends)
    return errors


def test_some_runs_end(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with serving(0.2) as url:
        results = many(url, tokenizer, 6, tmp_path)
    counts = check(results, tmp_path)
    assert counts["tries"] > counts["ends"] * 1.05, "else nothing went wrong"
    assert all(r.answer for r in results)


def test_a_server_that_only_fails_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Negative control: the faults are faults."""
    config = CONFIG.model_copy(update={"rollout_timeout": 0.3})
    with serving(1.0, seed=1) as url:
        results = many(url, tokenizer, 2, tmp_path, config)
    counts = check(results, tmp_path)
    assert sum(r.cost.failures for r in results) >= 2
    assert len(counts) > 3, "of more than one sort"


@pytest.mark.slow
def test_two_hundred_runs_end(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with serving(0.2, seed=2) as url:
        results = many(url, tokenizer, 200, tmp_path)
    counts = check(results, tmp_path)
    print(counts)
    assert counts["tries"] > counts["ends"] * 1.1
    assert sum(r.answer is not None for r in results) >= 190
