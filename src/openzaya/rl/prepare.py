"""What a stage finds out before its first step, with its weights still frozen.

    calibration   the difficulty at which each environment is solved half the time
    filter        which of the problems of a static task are neither too easy nor out of reach
    tails         what aggregation prompts show of the start's and an expert's rollouts

Every result is a line of `before.jsonl`: a killed stage goes on behind the last one, and the same
lines give the same stage whatever their order.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openzaya.config.rl import RLConfig
from openzaya.errors import ConfigError, RunError, ZayaError
from openzaya.rl.calibration import Calibrator
from openzaya.rl.expert import open_expert
from openzaya.rl.prompts import Prompt, Prompts
from openzaya.rl.tails import TailGroup
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.tails import tail_ids
from openzaya.types import (
    Completion,
    Environment,
    Outcome,
    Request,
    Sampler,
    SamplingParams,
    ThinkIds,
)

FILE = "before.jsonl"
AT_ONCE = 64
"""Groups on their way together; the samplers' own limits come on top."""

Ask = Callable[[Request, int], Awaitable[list[Completion]]]
"""(request, group) to completions, as `Crew.sample`."""


class Lines:
    """The file. What it holds when it is opened is `known`, by kind and key."""

    def __init__(self, path: Path) -> None:
        self.known: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)
        if path.exists():
            whole = path.read_bytes().split(b"\n")[:-1]
            os.truncate(path, sum(len(line) + 1 for line in whole))  # half a line of a killed run
            for line in whole:
                self._remember(json.loads(line))
        self.path = path

    def add(self, kind: str, key: tuple[Any, ...], **values: Any) -> dict[str, Any]:
        row = {"kind": kind, "key": list(key), **values}
        with self.path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
        self._remember(row)
        return row

    def _remember(self, row: dict[str, Any]) -> None:
        self.known[row["kind"]][tuple(row["key"])] = row


@dataclass(frozen=True, slots=True)
class Writer:
    """Who draws the rollouts of one source, and how their text is cut."""

    ask: Ask
    think_ids: ThinkIds
    detokenize: Callable[[list[int]], Awaitable[str]]


class Preparation:
    """Fills `prompts` with what the stage has asked for; nothing where it asks for nothing."""

    def __init__(
        self, config: RLConfig, envs: Mapping[str, Environment], prompts: Prompts, path: Path
    ) -> None:
        self.config, self.envs, self.prompts = config, envs, prompts
        self.lines = Lines(path / FILE)
        self._gate, self._settled = asyncio.Semaphore(AT_ONCE), False

    async def run(self, start: Writer, settled: bool) -> None:
        """`settled`: training has begun. Then everything is known, and a checkpoint holds the
        difficulties; what is missing could only be drawn by other weights."""
        self._settled = settled
        if self.config.calibration.groups and not settled:
            await _all(self._calibrate(i, name, start) for i, name in enumerate(self.envs))
        for name in self.config.filter.tasks:
            await self._filter(name, start)
        tails = self.config.tails
        if tails.start and self.config.aggregation_share:
            await self._draw_tails("start", start)
        if tails.expert and self.config.aggregation_share:
            assert tails.sampler is not None
            if self._missing("expert"):
                async with open_expert(tails.sampler) as sampler:
                    await self._draw_tails("expert", _writer(sampler))
            else:
                await self._draw_tails("expert", start)  # asks nobody: all of them are known

    async def _calibrate(self, place: int, name: str, start: Writer) -> None:
        """Group after group of one environment, since each one's difficulty follows from the ones
        before; the environments are independent."""
        config = self.config
        calibrator = Calibrator(config.calibration, derived_seed(config.seed, "calibration", place))
        highest = self.prompts.curriculum.highest[name]
        for n in range(config.calibration.groups):
            d = calibrator.propose()
            d = d if highest is None else min(d, highest)
            row = self.lines.known["calibration"].get((name, n))
            if row is None:
                index = derived_seed(config.seed, "calibration", place, n) % 2**40
                k, total = await self._solved(
                    start, Prompt(name, index, d), config.group_size, config.think.budget
                )
                row = self.lines.add(
                    "calibration", (name, n), difficulty=d, rollouts=total, successes=k
                )
            calibrator.record(row["difficulty"], row["rollouts"], row["successes"])
        self.prompts.curriculum.begin(name, calibrator.estimate())

    async def _filter(self, name: str, start: Writer) -> None:
        config, problems = self.config.filter, self.prompts.problems[name]
        level = self.prompts.curriculum.difficulties()[name]
        found: dict[str, int] = {}
        for index in range(50 * config.problems):
            found.setdefault(problems.draw(index, level).fingerprint, index)
            if len(found) == config.problems:
                break

        async def tried(index: int) -> dict[str, Any]:
            row = self.lines.known["filter"].get((name, index))
            if row is None:
                k, total = await self._solved(
                    start, Prompt(name, index, level), config.samples,
                    config.budget or self.config.think.budget,
                )  # fmt: skip
                row = self.lines.add("filter", (name, index), rollouts=total, successes=k)
            return row

        rows = await _all(tried(index) for index in found.values())
        tries = dict(zip(found.values(), rows, strict=True))
        rates = {i: r["successes"] / r["rollouts"] for i, r in tries.items() if r["rollouts"]}
        kept = [
            i for i, p in rates.items() if p <= config.max_rate and (p > 0 or config.keep_unsolved)
        ]
        unsolved = sum(p == 0 for p in rates.values())
        if not kept:
            easy = sum(p > config.max_rate for p in rates.values())
            raise ConfigError(
                f"filter: no problem of {name} is left: {easy} of {len(found)} are too easy, "
                f"{unsolved} were never solved",
                "leave the task out of this stage, or change filter.max_rate or its problems",
            )
        self.prompts.keep(name, kept)

    async def _draw_tails(self, source: str, writer: Writer) -> None:
        """The same problems for every source, so that they differ in their tails alone."""
        config, level = self.config, self.prompts.curriculum.difficulties()

        async def drawn(name: str, n: int) -> TailGroup:
            row = self.lines.known["tails"].get((source, name, n))
            if row is None:
                rng = random.Random(f"tails:{config.seed}:{name}:{n}")
                prompt = Prompt(name, self.prompts.index(name, rng), level[name])
                done = await self._rollouts(
                    writer, prompt, config.tails.rollouts, config.think.budget, source
                )
                think = config.think
                cut = [tail_ids(c, think.tail, think.tail_scope, writer.think_ids) for c in done]
                texts = [await writer.detokenize(ids) for ids in cut]
                row = self.lines.add(
                    "tails", (source, name, n), index=prompt.index, difficulty=prompt.difficulty,
                    tails=texts,
                )  # fmt: skip
            return TailGroup(name, row["index"], tuple(row["tails"]), 0, row["difficulty"])

        wanted = [(name, n) for name in self._tail_tasks() for n in range(config.tails.groups)]
        self.prompts.store(source, await _all(drawn(*pair) for pair in wanted))

    def _tail_tasks(self) -> list[str]:
        return list(self.config.tails.tasks or self.config.tasks)

    def _missing(self, source: str) -> bool:
        wanted = len(self._tail_tasks()) * self.config.tails.groups
        return sum(key[0] == source for key in self.lines.known["tails"]) < wanted

    async def _solved(
        self, writer: Writer, prompt: Prompt, count: int, budget: int
    ) -> tuple[int, int]:
        """(right answers, rollouts that had a verdict)."""
        problem, env = self.prompts.problem(prompt), self.envs[prompt.task]
        done = await self._rollouts(writer, prompt, count, budget, "before")
        scores = [await asyncio.to_thread(env.score, problem, c.answer) for c in done]
        valid = [s for s in scores if s.outcome is not Outcome.VERIFIER_ERROR]
        return sum(s.correct for s in valid), len(valid)

    async def _rollouts(
        self, writer: Writer, prompt: Prompt, count: int, budget: int, purpose: str
    ) -> list[Completion]:
        if self._settled:
            raise RunError(
                f"{self.lines.path} lacks what was drawn before the first step",
                "restore the file, or start the stage over with --overwrite",
            )
        place = (purpose, prompt.task, prompt.index, prompt.difficulty)
        group = -1 - derived_seed(self.config.seed, *place)  # training's groups count from 0
        messages = self.prompts.messages(prompt)

        async def one(slot: int) -> Completion:
            seed = derived_seed(self.config.seed, *place, slot)
            request = Request(messages, SamplingParams(budget, seed=seed))
            for attempt in range(self.config.asynchrony.attempts):
                try:
                    return (await writer.ask(request, group))[0]
                except ZayaError:
                    if attempt == self.config.asynchrony.attempts - 1:
                        raise
            raise AssertionError("at least one attempt is made")

        async with self._gate:
            return list(await asyncio.gather(*(one(slot) for slot in range(count))))


def _writer(sampler: Sampler) -> Writer:
    return Writer(lambda r, _: sampler.sample([r]), sampler.think_ids, sampler.detokenize)


async def _all(work: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All of it, in order; the first failure stops the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
