"""RL stages in a row, in one folder, judged on the same unseen problems after each of them.

    OUT/config.toml                the cascade's own keys
    OUT/STAGE/                     a run folder: the stage goes on from its last checkpoint
    OUT/evaluations/NAME.json      what start and stages reach, problem by problem
    OUT/cascade.json               all of it in one file, complete up to the last finished stage

Whatever has a file is not done again, so the same line goes on from any kill.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openzaya.config.base import load_recipe
from openzaya.config.cascade import CascadeConfig
from openzaya.config.rl import RLConfig
from openzaya.config.tasks import TaskConfig
from openzaya.envs import Problems
from openzaya.errors import ConfigError
from openzaya.evals.evaluate import EvalResult, TaskScore, single
from openzaya.evals.stats import cluster_bootstrap, paired_difference
from openzaya.rl.expert import folder_sampler
from openzaya.rl.loop import BEGIN_FILE, reinforce
from openzaya.rl.tasks import spread
from openzaya.run_dir import RunDir
from openzaya.train import checkpoint
from openzaya.train.examples import environments
from openzaya.ttc.draws import derived_seed
from openzaya.types import Problem

RECIPE_FILE = "cascade.toml"
RESULT_FILE = "cascade.json"
START = "start"
GAIN, NO_GAIN, LOSS = "gain", "no gain", "loss"


class Cascade:
    """One folder of recipes on its way into one folder of runs."""

    def __init__(
        self, recipes: Path, config: CascadeConfig, run: RunDir, given: dict[str, list[str]]
    ) -> None:
        """`given`: the command line's overrides by stage."""
        self.config, self.run = config, run
        self.stages = dict(zip(config.names, config.stages, strict=True))
        sources = [config.init_from, *(str(run.path / name) for name in config.names)]
        self.configs = {
            name: load_recipe(
                RLConfig,
                recipes / stage,
                [
                    *config.overrides, *given.get(name, []), f'init_from="{source}"',
                    f"seed={derived_seed(config.seed, name) % 2**31}",
                ],
            )
            for (name, stage), source in zip(self.stages.items(), sources, strict=False)
        }  # fmt: skip
        tasks = spread(judged(self.configs, config.evaluation.tasks))
        self.envs = environments(tasks)
        self.problems: dict[str, list[Problem]] = {
            name: Problems(env, config.evaluation.split, tasks[name].difficulty).distinct(
                config.evaluation.problems, at_most=True
            )
            for name, env in self.envs.items()
        }
        self.budget = config.evaluation.budget or max(c.think.budget for c in self.configs.values())

    def drive(self, console: Console) -> dict[str, Any]:
        """All that is missing; returns what is in cascade.json."""
        if self.config.threads is not None:
            torch.set_num_threads(self.config.threads)
        results = {START: self._evaluate(START, self.config.init_from, console)}
        rows: list[dict[str, Any]] = []
        self._write(results[START], rows)
        console.print(f"{START:12} {_percent(results[START].overall)}")
        for name, config in self.configs.items():
            facts = self._stage(name, config, console)
            before = list(results.values())[-1]
            after = self._evaluate(name, str(self.run.path / name), console)
            results[name] = after
            rows.append(
                facts
                | {"evaluation": _plain(after)}
                | {"gain": gain(after, before), "over_start": gain(after, results[START])}
                | {"tasks": {t: gain(after, before, t) for t in after.tasks}}
            )
            self._write(results[START], rows)
            console.print(_line(rows[-1]))
        return self.run.read_json(RESULT_FILE)

    def _stage(self, name: str, config: RLConfig, console: Console) -> dict[str, Any]:
        """Run a stage unless its result is there."""
        folder = self.run.path / name
        with RunDir.create(folder, config, resume=True) as run, _bar(console) as bar:
            if not run.has("result.json"):
                task = bar.add_task(name, total=None)
                reinforce(config, run, lambda s, n, _: bar.update(task, completed=s, total=n))
            result, metrics = run.read_json("result.json"), run.metrics()
            begin = run.read_json(BEGIN_FILE)
        return {
            "name": name,
            "steps": result["steps"],
            "tokens": result["tokens"],
            "seconds": sum(m["seconds"] for m in metrics),
            "difficulty": {"first": begin["difficulty"], "last": result["difficulty"]},
            "dropped": result["dropped"],
            "trains_on": list(config.tasks),
        }

    def _evaluate(self, name: str, weights: str, console: Console) -> EvalResult:
        """On the same problems with the same number of rollouts, or what an earlier run found."""
        file = f"evaluations/{name}.json"
        if not self.run.has(file):
            started, config = time.perf_counter(), self.config.evaluation
            with _bar(console) as bar:
                sampler = folder_sampler(weights)
                task = bar.add_task(f"  {name}: unseen problems", total=None)
                sampler.on_progress = lambda n: bar.advance(task, n)
                result = asyncio.run(
                    single(
                        sampler, self.envs, self.problems, budget=self.budget,
                        samples=config.samples, seed=derived_seed(self.config.seed, "evaluation"),
                        method=name,
                    )
                )  # fmt: skip
            seconds = time.perf_counter() - started
            self.run.write_json(file, _plain(result) | {"seconds": seconds})
        tasks = self.run.read_json(file)["tasks"]
        return EvalResult(name, {task: TaskScore(**score) for task, score in tasks.items()})

    def _write(self, start: EvalResult, rows: list[dict[str, Any]]) -> None:
        """Unless the file holds as much already: going over what is done must not shorten it."""
        config = self.config.evaluation
        held = self.run.read_json(RESULT_FILE)["stages"] if self.run.has(RESULT_FILE) else None
        if held is not None and len(held) >= len(rows):
            return
        self.run.write_json(
            RESULT_FILE,
            {
                "finished": len(rows) == len(self.configs),
                "planned": list(self.configs),
                "init_from": self.config.init_from,
                "problems": {name: len(p) for name, p in self.problems.items()},
                "samples": config.samples,
                "split": config.split,
                "budget": self.budget,
                START: _plain(start),
                "stages": rows,
            },
        )


def run_cascade(
    recipes: Path, out: Path, overrides: Sequence[str], console: Console
) -> dict[str, Any]:
    """Run or continue the cascade of the folder `recipes` in `out`; the contents of cascade.json.

    Overrides whose first key is a stage's name are that stage's, all others cascade.toml's.
    """
    file = recipes / RECIPE_FILE if recipes.is_dir() else recipes
    named = load_recipe(CascadeConfig, file, _mine(overrides, None)).names
    config = load_recipe(CascadeConfig, file, _mine(overrides, named))
    given: dict[str, list[str]] = {name: [] for name in named}
    for line in overrides:
        stage, _, rest = line.partition(".")
        if stage in given:
            given[stage].append(rest)
    checkpoint.weights_folder(config.init_from)  # before anything is written: CheckpointError
    with RunDir.create(out, config, resume=True) as run:
        return Cascade(file.parent, config, run, given).drive(console)


def judged(stages: dict[str, RLConfig], further: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
    """All tasks of all stages. ConfigError where one name means two things."""
    tasks: dict[str, TaskConfig] = {}
    for stage, config in {**stages, "evaluation": None}.items():
        for name, task in (config.tasks if config is not None else further).items():
            plain = task.model_copy(update={"weight": 1.0})
            if tasks.setdefault(name, plain) != plain:
                raise ConfigError(
                    f"the task {name} of {stage} is another one than in a stage before",
                    "one name means one environment, params and difficulty: rename one of them",
                )
    return tasks


def gain(after: EvalResult, before: EvalResult, task: str | None = None) -> dict[str, Any]:
    """Paired over problems, of one task or of all: difference, standard error, 95% interval by
    resampling problems, and in a word what that says."""
    a, b = (r.tasks[task] if task else r.overall for r in (after, before))
    pairs = [[[v] for v in score.values] for score in (a, b)]
    found = paired_difference(*pairs)
    low, high = cluster_bootstrap([x - y for x, y in zip(a.values, b.values, strict=True)])
    verdict = GAIN if low > 0 else LOSS if high < 0 else NO_GAIN
    return {
        "difference": found.mean, "stderr": found.standard_error, "low": low, "high": high,
        "verdict": verdict,
    }  # fmt: skip


def _mine(overrides: Sequence[str], stages: list[str] | None) -> list[str]:
    """Those of cascade.toml. Before its stages are known: those whose first key is one of its."""
    firsts = [line.partition("=")[0].partition(".")[0].strip() for line in overrides]
    keys = CascadeConfig.model_fields
    return [
        line
        for line, first in zip(overrides, firsts, strict=True)
        if (first in keys if stages is None else first not in stages)
    ]


def _plain(result: EvalResult) -> dict[str, Any]:
    overall = result.overall
    return {
        "accuracy": overall.accuracy,
        "stderr": overall.stderr,
        "tasks": {name: asdict(score) for name, score in result.tasks.items()},
    }


def _line(row: dict[str, Any]) -> str:
    g = row["gain"]
    return (
        f"{row['name']:12} {100 * row['evaluation']['accuracy']:5.1f}% +- "
        f"{100 * row['evaluation']['stderr']:.1f}   {g['verdict']}: {100 * g['difference']:+.1f} "
        f"points [{100 * g['low']:+.1f}, {100 * g['high']:+.1f}]   {row['steps']} steps, "
        f"{row['tokens'] / 1e6:.2f}M tokens, {row['seconds']:.0f} s"
    )


def _percent(score: TaskScore) -> str:
    return f"{100 * score.accuracy:5.1f}% +- {100 * score.stderr:.1f}"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
