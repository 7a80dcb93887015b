"""Accuracy on validation problems while a run goes on: the same for every stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from openzaya.config.train import DevConfig
from openzaya.envs import Problems
from openzaya.evals.evaluate import single
from openzaya.run_dir import RunDir
from openzaya.types import Environment, Sampler


class DevSet:
    """The first `config.problems` validation problems of every task, or as many as there are;
    `budget` is beta.

    `difficulties` are the tasks' (0 where it names none); they stay, whatever a curriculum does.
    """

    def __init__(
        self,
        envs: Mapping[str, Environment],
        config: DevConfig,
        budget: int,
        difficulties: Mapping[str, int],
    ) -> None:
        self.envs, self.budget = envs, config.budget or budget
        self.problems = {
            name: Problems(env, "dev", difficulties.get(name, 0)).distinct(config.problems, True)
            for name, env in envs.items()
        }

    def accuracy(self, sampler: Sampler, run: RunDir, step: int) -> float:
        """Mean over tasks of one sampled rollout each, within the budget, logged under `step`."""
        return asyncio.run(self.measure(sampler, run, step))

    async def measure(self, sampler: Sampler, run: RunDir, step: int) -> float:
        """The same, in an event loop that runs."""
        started = time.perf_counter()
        result = await single(sampler, self.envs, self.problems, budget=self.budget, seed=step)
        accuracy = result.overall.accuracy
        by_task = {name: score.accuracy for name, score in result.tasks.items()}
        seconds = time.perf_counter() - started
        run.log(step, dev_accuracy=accuracy, dev=by_task, seconds=seconds)
        return accuracy
