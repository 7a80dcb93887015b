"""Accuracy on validation problems while a run goes on: the same for every stage."""

from __future__ import annotations

import asyncio
import time

from openzaya.config.train import DevConfig
from openzaya.envs import Problems, WorkedEnvironment
from openzaya.evals.evaluate import single
from openzaya.run_dir import RunDir
from openzaya.types import Sampler


class DevSet:
    """The first `config.problems` validation problems of every task; `budget` is beta."""

    def __init__(self, envs: dict[str, WorkedEnvironment], config: DevConfig, budget: int) -> None:
        self.envs, self.budget = envs, config.budget or budget
        self.problems = {
            name: Problems(env, "dev").distinct(config.problems) for name, env in envs.items()
        }

    def accuracy(self, sampler: Sampler, run: RunDir, step: int) -> float:
        """Mean over tasks of one sampled rollout each, within the budget, logged under `step`."""
        started = time.perf_counter()
        result = asyncio.run(
            single(sampler, self.envs, self.problems, budget=self.budget, seed=step)
        )
        accuracy = result.overall.accuracy
        by_task = {name: score.accuracy for name, score in result.tasks.items()}
        seconds = time.perf_counter() - started
        run.log(step, dev_accuracy=accuracy, dev=by_task, seconds=seconds)
        return accuracy
