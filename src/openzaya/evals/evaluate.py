"""Accuracy of a sampler on sets of problems: single rollouts, majority votes, Markovian RSA.

Every result carries its clustered standard error (by problem), its tokens and the shares of
truncated and unparseable answers: a score without them convinces nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from openzaya.config.rsa import RSAConfig
from openzaya.evals.stats import avg_at_k
from openzaya.ttc.rsa import RSAResult, derived_seed, markovian_rsa
from openzaya.ttc.vote import affordable, majority
from openzaya.types import (
    Completion,
    Environment,
    FinishReason,
    Message,
    Outcome,
    Problem,
    Request,
    Sampler,
    SamplingParams,
)

ProblemSets = Mapping[str, Sequence[Problem]]
Environments = Mapping[str, Environment]


@dataclass(slots=True)
class TaskScore:
    """One task under one method. `values` is the mean correctness of each problem."""

    values: list[float]
    stderr: float
    decode_tokens: int
    prefill_tokens: int = 0
    truncated: float = 0.0
    unparseable: float = 0.0
    rounds: list[float] = field(default_factory=list)
    """Markovian RSA: mean correctness of the population after each round, round 0 first."""

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.values))


@dataclass(slots=True)
class EvalResult:
    """One method on all tasks."""

    method: str
    tasks: dict[str, TaskScore]

    @property
    def overall(self) -> TaskScore:
        """All problems together, as many of each task as were asked for."""
        scores = list(self.tasks.values())
        values = [v for s in scores for v in s.values]
        rounds = [float(np.mean(r)) for r in zip(*(s.rounds for s in scores), strict=True)]
        return TaskScore(
            values,
            avg_at_k(np.array(values)[:, None]).standard_error,
            sum(s.decode_tokens for s in scores),
            sum(s.prefill_tokens for s in scores),
            float(np.mean([s.truncated for s in scores])),
            float(np.mean([s.unparseable for s in scores])),
            rounds,
        )


async def rollouts(
    sampler: Sampler,
    problems: ProblemSets,
    samples: int,
    *,
    budget: int,
    temperature: float,
    seed: int,
) -> dict[str, list[list[Completion]]]:
    """`samples` independent completions per problem, all in one call of the sampler."""
    requests = [
        Request(
            (Message("user", problem.prompt),),
            SamplingParams(budget, temperature, seed=derived_seed(seed, problem.fingerprint, k)),
        )
        for members in problems.values()
        for problem in members
        for k in range(samples)
    ]
    done = iter(await sampler.sample(requests))
    return {
        task: [[next(done) for _ in range(samples)] for _ in members]
        for task, members in problems.items()
    }


async def single(
    sampler: Sampler,
    envs: Environments,
    problems: ProblemSets,
    *,
    budget: int,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    method: str = "single",
) -> EvalResult:
    """Mean correctness of independent rollouts (avg@k)."""
    done = await rollouts(
        sampler, problems, samples, budget=budget, temperature=temperature, seed=seed
    )
    tasks = {
        task: _score_task(envs[task], problems[task], completions)
        for task, completions in done.items()
    }
    return EvalResult(method, tasks)


async def vote(
    sampler: Sampler,
    envs: Environments,
    problems: ProblemSets,
    *,
    budget: int,
    tokens: Mapping[str, Sequence[int]],
    samples: int,
    seed: int = 0,
    method: str = "majority",
) -> EvalResult:
    """Majority over as many rollouts as fit into each problem's `tokens` (matched compute)."""
    done = await rollouts(sampler, problems, samples, budget=budget, temperature=1.0, seed=seed)
    tasks = {}
    for task, completions in done.items():
        values, used = [], []
        for problem, group, allowed in zip(problems[task], completions, tokens[task], strict=True):
            counted = group[: affordable([len(c.token_ids) for c in group], allowed)]
            answer = majority([c.answer for c in counted])[0]
            values.append(float(envs[task].score(problem, answer).correct))
            used += counted
        score = _task_score(np.array(values)[:, None], sum(len(c.token_ids) for c in used))
        score.prefill_tokens = sum(len(c.prompt_ids) for c in used)
        tasks[task] = score
    return EvalResult(method, tasks)


async def rsa(
    sampler: Sampler,
    envs: Environments,
    problems: ProblemSets,
    config: RSAConfig,
    *,
    method: str = "rsa",
    foreign_tails: bool = False,
) -> tuple[EvalResult, dict[str, list[RSAResult]]]:
    """Markovian RSA on every problem; the score is the mean over the final population.

    `foreign_tails` is the control: every prompt carries tails of the task's next problem.
    """
    tasks, results = {}, {}
    for task, members in problems.items():
        exchange = _Exchange(len(members)) if foreign_tails else None
        runs = await asyncio.gather(
            *(
                markovian_rsa(
                    (Message("user", problem.prompt),),
                    sampler,
                    config,
                    run_id=problem.fingerprint,
                    tails_from=exchange.member(i) if exchange else None,
                )
                for i, problem in enumerate(members)
            )
        )
        by_round = np.array(
            [
                [[envs[task].score(p, c.answer).correct for c in pop] for pop in run.populations]
                for p, run in zip(members, runs, strict=True)
            ],
            dtype=float,
        )  # problems, rounds, slots
        score = _score_task(envs[task], members, [r.completions(-1) for r in runs])
        score.decode_tokens = sum(r.cost.decode_tokens for r in runs)
        score.prefill_tokens = sum(r.cost.prefill_tokens for r in runs)
        score.rounds = by_round.mean((0, 2)).tolist()
        tasks[task], results[task] = score, list(runs)
    return EvalResult(method, tasks), results


def final_votes(
    envs: Environments, problems: ProblemSets, results: Mapping[str, Sequence[RSAResult]]
) -> EvalResult:
    """Majority vote over the final populations of finished runs: no further tokens."""
    tasks = {}
    for task, runs in results.items():
        answers = [majority([c.answer for c in r.populations[-1]])[0] for r in runs]
        values = [
            float(envs[task].score(p, a).correct)
            for p, a in zip(problems[task], answers, strict=True)
        ]
        tasks[task] = _task_score(
            np.array(values)[:, None], sum(r.cost.decode_tokens for r in runs)
        )
    return EvalResult("rsa-vote", tasks)


class _Exchange:
    """Hands every problem its neighbour's tails. All problems of a task run in step, so the
    neighbour's tails of the same round exist by the time the next round asks for them; where a
    neighbour is later in the order, its tails of the round before stand in."""

    def __init__(self, members: int) -> None:
        assert members > 1, "a problem cannot be given its own tails in this control"
        self.seen: list[list[list[int]] | None] = [None] * members

    def member(self, index: int) -> Callable[[int, list[list[int]]], list[list[int]]]:
        def tails_from(_round: int, own: list[list[int]]) -> list[list[int]]:
            self.seen[index] = own
            neighbour = self.seen[index - 1]
            return neighbour if neighbour is not None else [[] for _ in own]

        return tails_from


def _score_task(
    env: Environment, problems: Sequence[Problem], completions: Sequence[Sequence[Completion]]
) -> TaskScore:
    outcomes = [
        [env.score(p, c.answer).outcome for c in group]
        for p, group in zip(problems, completions, strict=True)
    ]
    correct = np.array([[o is Outcome.CORRECT for o in row] for row in outcomes], dtype=float)
    score = _task_score(correct, sum(len(c.token_ids) for g in completions for c in g))
    flat = [c for g in completions for c in g]
    score.prefill_tokens = sum(len(c.prompt_ids) for c in flat)
    score.truncated = float(np.mean([c.finish_reason is FinishReason.LENGTH for c in flat]))
    score.unparseable = float(np.mean([o is Outcome.UNPARSEABLE for r in outcomes for o in r]))
    return score


def _task_score(correct: np.ndarray, decode_tokens: int) -> TaskScore:
    values = correct.mean(1)
    return TaskScore(values.tolist(), avg_at_k(correct).standard_error, decode_tokens)
