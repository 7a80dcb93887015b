"""`zaya demo`: the whole road on one machine, resumable at every station.

    pretrain -> SFT -> RL -> Markovian RSA -> report

A station that is done leaves result.json, an evaluation leaves eval/NAME.json; running the demo
again goes on after the last of them. Every number in summary.json was measured by this run.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openzaya.config.base import Config, load_recipe
from openzaya.config.demo import DemoConfig, StationConfig
from openzaya.config.rl import RLConfig
from openzaya.config.rsa import RSAConfig
from openzaya.config.train import TrainConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.envs import Problems
from openzaya.evals.evaluate import EvalResult, TaskScore, final_votes, rsa, single, vote
from openzaya.evals.stats import paired_difference
from openzaya.model.checkpoint import load_model
from openzaya.report import write_report
from openzaya.rl.loop import reinforce
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.examples import environments
from openzaya.train.loop import train
from openzaya.ttc.rsa import RSAResult
from openzaya.types import Problem

LABELS = {
    "pretrain": "pretrained, one sample",
    "sft": "after SFT, one sample",
    "rl": "after RL, one sample",
    "sft-greedy": "after SFT, greedy",
    "rl-greedy": "after RL, greedy",
    "rsa": "Markovian RSA, mean of the final population",
    "rsa-vote": "Markovian RSA, majority of the final population",
    "majority": "majority of single rollouts at RSA's decode tokens, same beta",
    "rsa-sft": "Markovian RSA before RL",
    "rsa-c1": "C = 1: each slot continues its own tail",
    "rsa-foreign": "control: tails of another problem (must not help)",
    "long-single": "one rollout of (T+1) beta tokens",
    "long-majority": "majority of N rollouts of (T+1) beta tokens",
}


class Demo:
    """One demo folder: what is in it, and the steps that fill it."""

    def __init__(self, recipe: Path, config: DemoConfig, run: RunDir, console: Console) -> None:
        self.recipe, self.config, self.run, self.console = recipe, config, run, console
        self.envs = environments(config.tasks)
        self.problems: dict[str, list[Problem]] = {
            name: Problems(env, config.split).distinct(config.problems)
            for name, env in self.envs.items()
        }
        self.controls = {
            name: members[: config.control_problems] for name, members in self.problems.items()
        }
        self.rsa_config = config.rsa()
        self.results: dict[str, EvalResult] = {}
        self.seconds: dict[str, float] = {}

    def station(self, name: str, station: StationConfig, previous: str | None) -> None:
        """Train one station unless its result is there, then measure and print its line."""
        folder = self.run.path / name
        done = (folder / "result.json").is_file()
        kind: type[Config] = RLConfig if name == "rl" else TrainConfig
        overrides = [*station.overrides]
        if previous:
            overrides.append(f'init_from="{self.run.path / previous}"')
        config = load_recipe(kind, self.recipe.parent / station.recipe, overrides)
        assert isinstance(config, RLConfig | TrainConfig)
        if not done:
            started = time.perf_counter()
            with RunDir.create(folder, config, resume=True) as run, self._bar() as bar:
                task = bar.add_task(name, total=config.steps, note="")

                def on_step(step: int, accuracy: float) -> None:
                    note = f"dev {accuracy:.0%}" if accuracy else ""
                    bar.update(task, completed=step, note=note)

                if isinstance(config, RLConfig):
                    reinforce(config, run, on_step)
                else:
                    train(config, run, on_step)
                result = run.read_json("result.json")
                result["seconds"] = time.perf_counter() - started
                run.write_json("result.json", result)
        stored = json.loads((folder / "result.json").read_text())
        self.seconds[name] = stored["seconds"]
        budget = self.config.think.budget
        self.measure(
            name,
            name,
            lambda sampler: single(
                sampler, self.envs, self.problems,
                budget=budget, samples=self.config.samples, method=name,
            ),
        )  # fmt: skip
        self.say(name, stored["tokens"], stored["seconds"])

    def measure(
        self,
        method: str,
        station: str,
        run: Callable[[EngineSampler], Coroutine[Any, Any, EvalResult]],
    ) -> EvalResult:
        """Evaluate `method` on the weights of `station`, or read what an earlier run measured."""
        if not (self.run.path / f"eval/{method}.json").is_file():
            started = time.perf_counter()
            with self._bar() as bar:
                task = bar.add_task(f"  {method}", total=None, note="")
                folder = checkpoint.weights_folder(self.run.path / station)
                tokenizer = Tokenizer.load(folder)
                engine = Engine(load_model(folder), tokenizer.im_end_id)
                sampler = EngineSampler(engine, tokenizer, lambda n: bar.advance(task, n))
                result = asyncio.run(run(sampler))
            self._store(result, time.perf_counter() - started)
        return self._load(method)

    def _store(self, result: EvalResult, seconds: float) -> None:
        tasks = {name: asdict(score) for name, score in result.tasks.items()}
        self.run.write_json(f"eval/{result.method}.json", {"tasks": tasks, "seconds": seconds})

    def _load(self, method: str) -> EvalResult:
        stored = self.run.read_json(f"eval/{method}.json")
        tasks = {name: TaskScore(**score) for name, score in stored["tasks"].items()}
        self.results[method] = EvalResult(method, tasks)
        self.seconds.setdefault(method, stored["seconds"])
        return self.results[method]

    def reason(self) -> None:
        """Markovian RSA after RL, what it is compared with, and its controls."""
        envs, config = self.envs, self.config
        budget, rounds = self.rsa_config.budget, self.rsa_config.rounds + 1

        async def markovian(sampler: EngineSampler) -> EvalResult:
            result, runs = await rsa(sampler, envs, self.problems, self.rsa_config)
            # Before the result itself: a kill in between measures again, and loses nothing.
            self.run.write_json("examples.json", self._examples(runs, sampler))
            spent = {t: [r.cost.decode_tokens for r in members] for t, members in runs.items()}
            self.run.write_json("eval/rsa-tokens.json", spent)
            self._store(final_votes(envs, self.problems, runs), 0.0)
            return result

        main = self.measure("rsa", "rl", markovian)
        self._load("rsa-vote")
        self.say("rsa", main.overall.decode_tokens, self.seconds["rsa"])

        spent = self.run.read_json("eval/rsa-tokens.json")
        # Twice RSA's rollouts fill its tokens unless single ones are under half as long.
        samples = 2 * config.population * rounds
        self.measure(
            "majority",
            "rl",
            lambda s: vote(
                s, envs, self.problems, budget=budget, tokens=spent, samples=samples, seed=7
            ),
        )
        for station in ("sft", "rl"):
            method = f"{station}-greedy"
            self.measure(
                method, station, partial(
                    single, envs=envs, problems=self.problems, budget=budget, temperature=0.0,
                    method=method,
                ),
            )  # fmt: skip

        def control(
            method: str, station: str, rsa_config: RSAConfig, foreign_tails: bool = False
        ) -> None:
            async def go(sampler: EngineSampler) -> EvalResult:
                return (
                    await rsa(
                        sampler, envs, self.controls, rsa_config,
                        method=method, foreign_tails=foreign_tails,
                    )
                )[0]  # fmt: skip

            self.measure(method, station, go)

        control("rsa-sft", "sft", self.rsa_config)
        control("rsa-c1", "rl", self.rsa_config.model_copy(update={"candidates": 1}))
        control("rsa-foreign", "rl", self.rsa_config, foreign_tails=True)
        long = budget * rounds
        self.measure(
            "long-single",
            "rl",
            lambda s: single(
                s, envs, self.controls, budget=long, samples=config.samples, seed=8,
                method="long-single",
            ),
        )  # fmt: skip
        unlimited = {t: [10**9] * len(m) for t, m in self.controls.items()}
        self.measure(
            "long-majority",
            "rl",
            lambda s: vote(
                s, envs, self.controls, budget=long, tokens=unlimited,
                samples=config.population, seed=9, method="long-majority",
            ),
        )  # fmt: skip

    def stairs(self) -> list[dict[str, Any]]:
        """Each promised step, as a paired difference over problems with its standard error."""
        long = self.config.long_task
        pairs = [
            ("RL above SFT, one sample", "rl", "sft", None),
            ("Markovian RSA above RL's single sample", "rsa", "rl", None),
            (f"{long}: Markovian RSA above majority at equal tokens", "rsa", "majority", long),
        ]
        rows = []
        for name, above, below, task in pairs:
            high, low = self._values(above, task), self._values(below, task)
            d = paired_difference(high, low)
            rows.append(
                {
                    "name": name,
                    "difference": d.mean,
                    "stderr": d.standard_error,
                    "z": d.z,
                    "holds": bool(d.mean > 0 and d.mean >= 3 * d.standard_error),
                }
            )
        return rows

    def summarise(self) -> Path:
        """summary.json, the stairs on the terminal, and the report."""
        stations = []
        for name in ("pretrain", "sft", "rl", "rsa"):
            result = self.results[name]
            training = self.run.path / name / "result.json"
            tokens = (
                json.loads(training.read_text())["tokens"]
                if training.is_file()
                else result.overall.decode_tokens
            )
            row = {"name": name, "tokens": tokens, "seconds": self.seconds[name]}
            stations.append(row | _brief(result))
        stairs = self.stairs()
        self.run.write_json(
            "summary.json",
            {
                "size": self.config.size,
                "seed": self.config.seed,
                "split": self.config.split,
                "environment": _environment(self.config.threads),
                "stations": stations,
                "comparisons": [
                    {"method": m, "label": LABELS[m]} | _brief(r) for m, r in self.results.items()
                ],
                "stairs": stairs,
            },
        )
        for row in stairs:
            verdict = "holds" if row["holds"] else "MISSING"
            self.console.print(
                f"{verdict:8} {row['name']}: {100 * row['difference']:+.1f} points "
                f"+- {100 * row['stderr']:.1f}"
            )
        started = time.perf_counter()
        page = write_report(self.run.path)
        self.console.print(f"report   {page}  ({time.perf_counter() - started:.0f} s)")
        return page

    def say(self, name: str, tokens: int, seconds: float) -> None:
        score = self.results[name].overall
        tasks = "  ".join(
            f"{task} {100 * s.accuracy:.0f}%" for task, s in self.results[name].tasks.items()
        )
        self.console.print(
            f"{name:8} {100 * score.accuracy:5.1f}% +- {100 * score.stderr:.1f}   "
            f"{tokens / 1e6:6.2f}M tokens  {seconds:5.0f} s   {tasks}"
        )

    def _values(self, method: str, task: str | None) -> np.ndarray:
        tasks = self.results[method].tasks
        chosen = [tasks[task]] if task else list(tasks.values())
        return np.concatenate([np.array(s.values) for s in chosen])[:, None]

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
        )

    def _examples(
        self, runs: Mapping[str, Sequence[RSAResult]], sampler: EngineSampler
    ) -> list[dict[str, Any]]:
        """Per task one problem that RSA solved and one that it did not, with what was carried."""
        tokenizer = sampler.tokenizer
        shown = []
        for task, members in self.problems.items():
            env = self.envs[task]
            order = list(zip(members, runs[task], strict=True))
            random.Random(0).shuffle(order)
            for wanted in (True, False):
                for problem, result in order:
                    marks = [env.score(problem, c.answer).correct for c in result.populations[-1]]
                    if (np.mean(marks) > 0.5) != wanted:
                        continue
                    rounds = [
                        [
                            {
                                "slot": c.slot,
                                "parents": list(c.parents),
                                "tail": tokenizer.decode(c.tail_ids),
                                "answer": c.answer,
                                "correct": env.score(problem, c.answer).correct,
                            }
                            for c in population
                        ]
                        for population in result.populations
                    ]
                    shown.append(
                        {
                            "task": task,
                            "prompt": problem.prompt,
                            "truth": env.oracle(problem).content,
                            "solved": wanted,
                            "rounds": rounds,
                        }
                    )
                    break
        return shown


def run_demo(recipe: Path, overrides: Sequence[str], console: Console) -> Path:
    """The whole demo; returns the report. Running it again goes on where it stopped."""
    config = load_recipe(DemoConfig, recipe, overrides)
    torch.set_num_threads(config.threads)
    with RunDir.create(config.out, config, resume=True) as run:
        demo = Demo(recipe, config, run, console)
        if config.size == "reduced":
            console.print("reduced size: this run shows that the stages fit, not what they reach")
        started = time.perf_counter()
        demo.station("pretrain", config.pretrain, None)
        demo.station("sft", config.sft, "pretrain")
        demo.station("rl", config.rl, "sft")
        demo.reason()
        page = demo.summarise()
        console.print(f"total    {time.perf_counter() - started:.0f} s in this session")
        return page


def _brief(result: EvalResult) -> dict[str, Any]:
    def row(score: TaskScore) -> dict[str, Any]:
        return {
            "accuracy": score.accuracy,
            "stderr": score.stderr,
            "problems": len(score.values),
            "decode_tokens": score.decode_tokens,
            "prefill_tokens": score.prefill_tokens,
            "truncated": score.truncated,
            "unparseable": score.unparseable,
            "rounds": score.rounds,
        }

    return row(result.overall) | {"tasks": {name: row(s) for name, s in result.tasks.items()}}


def _environment(threads: int) -> dict[str, Any]:
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        commit = "not a git checkout"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": platform.processor() or platform.machine(),
        "threads": threads,
        "commit": commit,
    }
