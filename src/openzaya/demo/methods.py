"""Markovian RSA after RL, the baselines it has to beat, and the controls that must not help."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openzaya.config.rsa import RSAConfig
from openzaya.demo.road import Method, Road
from openzaya.engine import EngineSampler
from openzaya.evals.evaluate import EvalResult, final_votes, rsa, single, vote
from openzaya.ttc.result import Result

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
"""Every method of the demo, as the report names it."""


def measure_reasoning(road: Road) -> None:
    """Fill `road.results` with everything measured beside the stations."""
    road.measure("rsa", "rl", _markovian(road))
    road.load("rsa-vote")
    road.say("rsa")
    road.measure("majority", "rl", _matched_majority(road))
    road.measure("sft-greedy", "sft", _greedy(road, "sft-greedy"))
    road.measure("rl-greedy", "rl", _greedy(road, "rl-greedy"))
    own_tail = road.rsa_config.model_copy(update={"candidates": 1})
    road.measure("rsa-sft", "sft", _control(road, "rsa-sft", road.rsa_config))
    road.measure("rsa-c1", "rl", _control(road, "rsa-c1", own_tail))
    foreign = _control(road, "rsa-foreign", road.rsa_config, foreign_tails=True)
    road.measure("rsa-foreign", "rl", foreign)
    road.measure("long-single", "rl", _long_single(road))
    road.measure("long-majority", "rl", _long_majority(road))


def _markovian(road: Road) -> Method:
    async def go(sampler: EngineSampler) -> EvalResult:
        result, runs = await rsa(sampler, road.envs, road.problems, road.rsa_config)
        # Before the result itself: a kill in between measures again, and loses nothing.
        road.run.write_json("examples.json", _examples(road, runs, sampler))
        spent = {t: [r.cost.decode_tokens for r in members] for t, members in runs.items()}
        road.run.write_json("eval/rsa-tokens.json", spent)
        road.store(final_votes(road.envs, road.problems, runs), 0.0)
        return result

    return go


def _matched_majority(road: Road) -> Method:
    config = road.rsa_config
    # Twice RSA's rollouts fill its tokens unless single ones are under half as long.
    samples = 2 * config.population * (config.rounds + 1)

    async def go(sampler: EngineSampler) -> EvalResult:
        return await vote(
            sampler,
            road.envs,
            road.problems,
            budget=config.budget,
            tokens=road.run.read_json("eval/rsa-tokens.json"),
            samples=samples,
            seed=road.seed("majority"),
        )

    return go


def _greedy(road: Road, method: str) -> Method:
    async def go(sampler: EngineSampler) -> EvalResult:
        return await single(
            sampler,
            road.envs,
            road.problems,
            budget=road.rsa_config.budget,
            temperature=0.0,
            method=method,
        )

    return go


def _control(road: Road, method: str, config: RSAConfig, *, foreign_tails: bool = False) -> Method:
    async def go(sampler: EngineSampler) -> EvalResult:
        result, _ = await rsa(
            sampler, road.envs, road.controls, config, method=method, foreign_tails=foreign_tails
        )
        return result

    return go


def _long_single(road: Road) -> Method:
    async def go(sampler: EngineSampler) -> EvalResult:
        return await single(
            sampler,
            road.envs,
            road.controls,
            budget=_whole_budget(road.rsa_config),
            samples=road.config.samples,
            seed=road.seed("long-single"),
            method="long-single",
        )

    return go


def _long_majority(road: Road) -> Method:
    async def go(sampler: EngineSampler) -> EvalResult:
        whole, n = _whole_budget(road.rsa_config), road.rsa_config.population
        return await vote(
            sampler,
            road.envs,
            road.controls,
            budget=whole,
            tokens={task: [n * whole] * len(m) for task, m in road.controls.items()},
            samples=n,
            seed=road.seed("long-majority"),
            method="long-majority",
        )

    return go


def _whole_budget(config: RSAConfig) -> int:
    """Tokens along one chain of RSA, written in one piece."""
    return config.budget * (config.rounds + 1)


def _examples(
    road: Road, runs: Mapping[str, Sequence[Result]], sampler: EngineSampler
) -> list[dict[str, Any]]:
    """Per task one problem that RSA solved and one that it did not, with what was carried."""
    shown = []
    long = road.config.long_task
    for task in sorted(road.problems, key=lambda t: t != long):  # the long task tells most
        members = road.problems[task]
        env = road.envs[task]
        order = list(zip(members, runs[task], strict=True))
        random.Random(0).shuffle(order)
        for wanted in (True, False):
            for problem, result in order:
                marks = [env.score(problem, c.response).correct for c in result.members(-1)]
                if (np.mean(marks) > 0.5) != wanted:
                    continue
                rounds = [
                    [
                        {
                            "slot": c.slot,
                            "parents": list(c.parents),
                            "tail": sampler.tokenizer.decode(c.tail_ids),
                            "answer": c.response,
                            "correct": env.score(problem, c.response).correct,
                        }
                        for c in result.members(round_)
                    ]
                    for round_ in range(len(result.populations))
                ]
                shown.append(
                    {
                        "task": task,
                        "prompt": problem.prompt,
                        "truth": truth.content if (truth := env.oracle(problem)) else "",
                        "solved": wanted,
                        "rounds": rounds,
                    }
                )
                break
    return shown
