"""One demo folder: stations that train, measurements that are kept, and lines about both.

A station that is done leaves result.json, a measurement leaves eval/NAME.json; running the demo
again goes on after the last of them, and refuses a folder whose recipes have changed since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openzaya.config.base import load_recipe
from openzaya.config.demo import DemoConfig, StationConfig
from openzaya.config.rl import RLConfig
from openzaya.config.train import TrainConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.envs import Problems
from openzaya.evals.evaluate import EvalResult, TaskScore, single
from openzaya.model.checkpoint import load_model
from openzaya.rl.loop import reinforce
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.examples import environments
from openzaya.train.loop import train
from openzaya.ttc.draws import derived_seed
from openzaya.types import Problem

Method = Callable[[EngineSampler], Coroutine[Any, Any, EvalResult]]
"""Something to measure on a station's weights."""


class Road:
    """One demo folder: what is in it, and the steps that fill it."""

    def __init__(self, recipe: Path, config: DemoConfig, run: RunDir, console: Console) -> None:
        self.recipe, self.config, self.run, self.console = recipe, config, run, console
        self.envs = environments(config.tasks)
        self.problems: dict[str, list[Problem]] = {
            name: Problems(env, config.split, config.tasks[name].difficulty).distinct(
                config.problems
            )
            for name, env in self.envs.items()
        }
        self.controls = {
            name: members[: config.control_problems] for name, members in self.problems.items()
        }
        self.rsa_config = config.rsa()
        self.results: dict[str, EvalResult] = {}
        self.seconds: dict[str, float] = {}
        self.tokens: dict[str, int] = {}

    def seed(self, purpose: str) -> int:
        """The road has one seed; every station and every measurement draws its own from it."""
        return derived_seed(self.config.seed, purpose) % 2**31

    def station(self, name: str, station: StationConfig, previous: str | None) -> None:
        """Train one station unless its result is there, then measure and print its line."""
        kind = RLConfig if name == "rl" else TrainConfig
        overrides = [f"seed={self.seed(name)}", *station.overrides]
        if previous:
            overrides.append(f'init_from="{self.run.path / previous}"')
        config = load_recipe(kind, self.recipe.parent / station.recipe, overrides)
        with RunDir.create(self.run.path / name, config, resume=True) as run:
            if not run.has("result.json"):
                self._train(name, config, run)
            tokens = run.read_json("result.json")["tokens"]
            # Every line says what it took, so the sum holds whatever came between.
            self.seconds[name] = sum(m["seconds"] for m in run.metrics())
        self.tokens[name] = tokens

        def one_sample(sampler: EngineSampler) -> Coroutine[Any, Any, EvalResult]:
            return single(
                sampler,
                self.envs,
                self.problems,
                budget=self.config.think.budget,
                samples=self.config.samples,
                method=name,
                seed=self.seed(f"{name}-eval"),
            )

        self.measure(name, name, one_sample)
        self.say(name)

    def _train(self, name: str, config: TrainConfig | RLConfig, run: RunDir) -> None:
        with self._bar() as bar:
            task = bar.add_task(name, total=None, note="")

            def on_step(step: int, total: int, accuracy: float) -> None:
                note = f"dev {accuracy:.0%}" if accuracy else ""
                bar.update(task, completed=step, total=total, note=note)

            if isinstance(config, RLConfig):
                reinforce(config, run, on_step)
            else:
                train(config, run, on_step)

    def measure(self, method: str, station: str, run: Method) -> EvalResult:
        """Evaluate `method` on the weights of `station`, or read what an earlier run measured."""
        if not self.run.has(f"eval/{method}.json"):
            started = time.perf_counter()
            with self._bar() as bar:
                task = bar.add_task(f"  {method}", total=None, note="")
                folder = checkpoint.weights_folder(self.run.path / station)
                tokenizer = Tokenizer.load(folder)
                engine = Engine(load_model(folder), tokenizer.im_end_id)
                sampler = EngineSampler(engine, tokenizer, lambda n: bar.advance(task, n))
                result = asyncio.run(run(sampler))
            self.store(result, time.perf_counter() - started)
        return self.load(method)

    def store(self, result: EvalResult, seconds: float) -> None:
        tasks = {name: asdict(score) for name, score in result.tasks.items()}
        self.run.write_json(f"eval/{result.method}.json", {"tasks": tasks, "seconds": seconds})

    def load(self, method: str) -> EvalResult:
        stored = self.run.read_json(f"eval/{method}.json")
        tasks = {name: TaskScore(**score) for name, score in stored["tasks"].items()}
        result = EvalResult(method, tasks)
        self.results[method] = result
        # A station's cost is its training; a method's is its rollouts.
        self.seconds.setdefault(method, stored["seconds"])
        self.tokens.setdefault(method, result.overall.decode_tokens)
        return result

    def say(self, name: str) -> None:
        score = self.results[name].overall
        tasks = "  ".join(
            f"{task} {100 * s.accuracy:.0f}%" for task, s in self.results[name].tasks.items()
        )
        self.console.print(
            f"{name:8} {100 * score.accuracy:5.1f}% +- {100 * score.stderr:.1f}   "
            f"{self.tokens[name] / 1e6:6.2f}M tokens  {self.seconds[name]:5.0f} s   {tasks}"
        )

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,  # a log file wants the lines alone
        )
