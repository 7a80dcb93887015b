"""Accuracy of a sampler on sets of problems: single rollouts, majority votes, Markovian RSA.

Every result carries its clustered standard error (by problem), its tokens and the shares of
truncated and unparseable answers: a score without them convinces nobody.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from openzaya.config.rsa import RSAConfig
from openzaya.errors import EvalError
from openzaya.evals.stats import avg_at_k
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.result import Result
from openzaya.ttc.run import Tails, TailsFrom, reason
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
    samples: int = 1
    """Answers per problem that the accuracy averages and the tokens add up."""
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
        sizes = [len(s.values) for s in scores]
        by_round = zip(*(s.rounds for s in scores), strict=True)
        return TaskScore(
            values,
            avg_at_k(np.array(values)[:, None]).standard_error,
            sum(s.decode_tokens for s in scores),
            sum(s.prefill_tokens for s in scores),
            float(np.average([s.truncated for s in scores], weights=sizes)),
            float(np.average([s.unparseable for s in scores], weights=sizes)),
            scores[0].samples,
            [float(np.average(r, weights=sizes)) for r in by_round],
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
        task: _score_task(envs[task], problems[task], [[_roll(c) for c in g] for g in groups])
        for task, groups in done.items()
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
        counted = [
            [_roll(c) for c in group[: affordable([c.decode_tokens for c in group], allowed)]]
            for group, allowed in zip(completions, tokens[task], strict=True)
        ]
        tasks[task] = _score_votes(envs[task], problems[task], counted)
    return EvalResult(method, tasks)


async def rsa(
    sampler: Sampler,
    envs: Environments,
    problems: ProblemSets,
    config: RSAConfig,
    *,
    method: str = "rsa",
    foreign_tails: bool = False,
) -> tuple[EvalResult, dict[str, list[Result]]]:
    """Markovian RSA on every problem; the score is the mean over the final population.

    `foreign_tails` is the control: every prompt carries tails of the task's next problem.
    """
    tasks, results = {}, {}
    for task, members in problems.items():
        exchange = _Exchange(len(members)) if foreign_tails else None
        runs = await asyncio.gather(
            *(
                _whole(problem, sampler, config, exchange.member(i) if exchange else None)
                for i, problem in enumerate(members)
            )
        )
        by_round = np.array(
            [
                [
                    np.mean([envs[task].score(p, c.response).correct for c in run.members(t)])
                    for t in range(config.rounds + 1)
                ]
                for p, run in zip(members, runs, strict=True)
            ],
            dtype=float,
        )  # problems, rounds
        score = _score_task(envs[task], members, [_rolls(r) for r in runs])
        score.decode_tokens = sum(r.cost.decode_tokens for r in runs)
        score.prefill_tokens = sum(r.cost.prefill_tokens for r in runs)
        score.samples = 1  # a whole run is one answer, its population one estimate of it
        score.rounds = by_round.mean(0).tolist()
        tasks[task], results[task] = score, list(runs)
    return EvalResult(method, tasks), results


async def _whole(
    problem: Problem, sampler: Sampler, config: RSAConfig, tails_from: TailsFrom | None
) -> Result:
    """A run without gaps. Another one is an error at once: others may wait for its tails."""
    question = (Message("user", problem.prompt),)
    run = await reason(question, sampler, config, run_id=problem.fingerprint, tails_from=tails_from)
    if run.stop != "done" or run.cost.failures:
        raise EvalError(
            f"{run.cost.failures} rollouts failed, and the run ended by {run.stop}: {run.detail}",
            "mend the sampler, or drop limits and early_stop: a score needs whole runs",
        )
    return run


def final_votes(
    envs: Environments, problems: ProblemSets, results: Mapping[str, Sequence[Result]]
) -> EvalResult:
    """Majority vote over the final populations of finished runs: no further tokens."""
    tasks = {}
    for task, runs in results.items():
        final = [_rolls(r) for r in runs]
        score = _score_votes(envs[task], problems[task], final)
        score.decode_tokens = sum(r.cost.decode_tokens for r in runs)
        score.prefill_tokens = sum(r.cost.prefill_tokens for r in runs)
        tasks[task] = score
    return EvalResult("rsa-vote", tasks)


class _Exchange:
    """Hands every problem its neighbour's tails of the same round; all of a task run in step."""

    def __init__(self, members: int) -> None:
        if members < 2:
            raise EvalError(
                "one problem has no neighbour whose tails it could be given",
                "evaluate the foreign-tails control on at least 2 problems per task",
            )
        self.members = members
        self.tails: dict[int, dict[int, Tails]] = defaultdict(dict)
        self.complete: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    def member(self, index: int) -> TailsFrom:
        async def tails_from(round_: int, own: Tails) -> Tails:
            of_round = self.tails[round_]
            of_round[index] = own
            if len(of_round) == self.members:
                self.complete[round_].set()
            await self.complete[round_].wait()
            return of_round[(index - 1) % self.members]

        return tails_from


@dataclass(frozen=True, slots=True)
class _Roll:
    """What a score counts of one rollout. `answer`: the text after the think block."""

    answer: str | None
    decode: int
    prefill: int
    cut: bool


def _roll(c: Completion) -> _Roll:
    cut = c.finish_reason is FinishReason.LENGTH
    return _Roll(c.answer, c.decode_tokens, len(c.prompt_ids), cut)


def _rolls(run: Result) -> list[_Roll]:
    """The final population of a run."""
    return [
        _Roll(c.response, c.tokens.decode, c.tokens.prompt, c.finish == FinishReason.LENGTH)
        for c in run.members(-1)
    ]


def _score_task(
    env: Environment, problems: Sequence[Problem], completions: Sequence[Sequence[_Roll]]
) -> TaskScore:
    """Mean correctness of every problem's completions (equally many of each), and their cost."""
    outcomes = [
        [env.score(p, c.answer).outcome for c in group]
        for p, group in zip(problems, completions, strict=True)
    ]
    correct = np.array([[o is Outcome.CORRECT for o in row] for row in outcomes], dtype=float)
    flat = [o for row in outcomes for o in row]
    unparseable = float(np.mean([o is Outcome.UNPARSEABLE for o in flat]))
    return _score(correct, unparseable, completions)


def _score_votes(
    env: Environment, problems: Sequence[Problem], completions: Sequence[Sequence[_Roll]]
) -> TaskScore:
    """Correctness of every problem's majority answer; `unparseable` counts votes without one."""
    outcomes = [
        env.score(p, majority([c.answer for c in group])[0]).outcome
        for p, group in zip(problems, completions, strict=True)
    ]
    correct = np.array([[o is Outcome.CORRECT] for o in outcomes], dtype=float)
    unparseable = float(np.mean([o is Outcome.UNPARSEABLE for o in outcomes]))
    return _score(correct, unparseable, completions)


def _score(
    correct: np.ndarray, unparseable: float, completions: Sequence[Sequence[_Roll]]
) -> TaskScore:
    flat = [c for group in completions for c in group]
    cut = [c.cut for c in flat]
    return TaskScore(
        correct.mean(1).tolist(),
        avg_at_k(correct).standard_error,
        decode_tokens=sum(c.decode for c in flat),
        prefill_tokens=sum(c.prefill for c in flat),
        truncated=float(np.mean(cut)) if cut else 0.0,
        unparseable=unparseable,
        samples=correct.shape[1],
    )
