"""Scores, costs and standard errors of every method, against answers written down by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.errors import EngineError, EvalError
from openzaya.evals.evaluate import EvalResult, final_votes, rsa, single, vote
from openzaya.ttc import Result
from openzaya.types import (
    Completion,
    FinishReason,
    Message,
    Outcome,
    Problem,
    Request,
    Score,
    ThinkIds,
)

Answer = tuple[str | None, int]
"""What a rollout answers (None: it never got there) and how many tokens it writes."""
CONFIG = RSAConfig(population=3, candidates=2, rounds=2, tail=2, budget=9, final_budget=11)


class Exact:
    """An environment whose problems carry their answer."""

    name = family = source = licence = "exact"

    def generate(self, seed: int) -> Problem:
        raise NotImplementedError

    def oracle(self, problem: Problem) -> Message:
        raise NotImplementedError

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None:
            return Score(0.0, Outcome.UNPARSEABLE)
        right = answer == problem.private["answer"]
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)


def problem(letter: str, answer: str) -> Problem:
    return Problem("exact", 0, f"<{letter}>", {"answer": answer}, fingerprint=letter)


P, Q, R = problem("p", "7"), problem("q", "5"), problem("r", "1")
ENVS = {"one": Exact(), "two": Exact()}


class Scripted:
    """Gives each problem's answers in the order they are asked for. A rollout writes its problem's
    letter over and over, so that tails show where they come from."""

    think_ids = ThinkIds(1000, 1001, 1002)

    def __init__(self, script: Mapping[str, Sequence[Answer]]) -> None:
        self.script = {letter: list(answers) for letter, answers in script.items()}
        self.batches: list[list[Request]] = []

    @property
    def requests(self) -> list[Request]:
        return [r for batch in self.batches for r in batch]

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        self.batches.append(list(requests))
        return [self.complete(r) for r in requests]

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return "".join(map(chr, token_ids))

    def complete(self, request: Request) -> Completion:
        content = request.messages[-1].content
        letter = content[content.index("<") + 1]
        answer, tokens = self.script[letter].pop(0)
        ids = [ord(letter.upper()) + 200] * tokens  # no letter of a template
        return Completion(
            prompt_ids=np.zeros(len(content), dtype=np.int32),
            token_ids=np.array(ids, dtype=np.int32),
            logprobs=np.zeros(tokens, dtype=np.float32),
            policy_version=np.zeros(tokens, dtype=np.int32),
            finish_reason=FinishReason.LENGTH if answer is None else FinishReason.STOP,
            text="", reasoning="", answer=answer,
        )  # fmt: skip


def prompt_tokens(sampler: Scripted) -> int:
    return sum(len(r.messages[-1].content) for r in sampler.requests)


def run_single(sampler: Scripted, problems: Mapping[str, list[Problem]], **more: Any) -> EvalResult:
    options: dict[str, Any] = {"budget": 50} | more
    return asyncio.run(single(sampler, ENVS, problems, **options))


SINGLE = {
    "p": [("7", 4), ("3", 6)],  # one of two right
    "q": [("5", 5), ("5", 5)],  # both
    "r": [(None, 50), ("2", 1)],  # none, one of them cut off
}


def test_single_by_hand() -> None:
    result = run_single(Scripted(SINGLE), {"one": [P, Q, R]}, samples=2)
    score = result.tasks["one"]
    assert result.method == "single"
    assert score.values == [0.5, 1.0, 0.0] and score.accuracy == 0.5
    # By problem: squared deviations 0, 1/4, 1/4; over 3 - 1, over 3.
    assert score.stderr == pytest.approx(math.sqrt((1 / 4 + 1 / 4) / 2 / 3))
    assert (score.decode_tokens, score.prefill_tokens) == (71, 6 * len("<p>"))
    assert score.truncated == score.unparseable == pytest.approx(1 / 6)
    assert score.rounds == []


def test_the_standard_error_is_not_that_of_independent_samples() -> None:
    """Negative control: six samples, three right: six deviations of 1/2, over 5, over 6."""
    score = run_single(Scripted(SINGLE), {"one": [P, Q, R]}, samples=2).tasks["one"]
    assert score.stderr > 1.2 * math.sqrt(6 / 4 / 5 / 6)


def test_overall_pools_the_problems_of_all_tasks() -> None:
    result = run_single(Scripted(SINGLE), {"one": [P, Q], "two": [R]}, samples=2)
    assert math.isnan(result.tasks["two"].stderr), "one problem says nothing about its spread"
    assert result.overall.values == [0.5, 1.0, 0.0]
    assert result.overall.stderr == pytest.approx(math.sqrt(1 / 12))
    assert (result.overall.decode_tokens, result.overall.prefill_tokens) == (71, 18)


def test_each_task_is_judged_by_its_own_environment() -> None:
    class Never(Exact):
        def score(self, problem: Problem, answer: str | None) -> Score:
            return Score(0.0, Outcome.WRONG)

    envs = {"one": Exact(), "two": Never()}
    problems = {"one": [Q], "two": [Q]}
    sampler = Scripted({"q": [("5", 1)] * 2})
    result = asyncio.run(single(sampler, envs, problems, budget=9))
    assert [result.tasks[t].accuracy for t in problems] == [1.0, 0.0]


def test_single_asks_once_for_everything() -> None:
    sampler = Scripted(SINGLE)
    run_single(sampler, {"one": [P, Q], "two": [R]}, samples=2, budget=33, temperature=0.5)
    assert [len(b) for b in sampler.batches] == [6]
    assert {(r.params.max_tokens, r.params.temperature) for r in sampler.requests} == {(33, 0.5)}


def seeds(count: int, seed: int = 0) -> list[int]:
    sampler = Scripted({"p": [("7", 1)] * count, "q": [("5", 1)] * count})
    run_single(sampler, {"one": [P, Q]}, samples=count, seed=seed)
    return [r.params.seed for r in sampler.requests]


def test_every_rollout_has_its_own_seed_and_a_longer_sample_begins_with_the_shorter() -> None:
    assert len(set(seeds(5))) == 10
    assert seeds(5)[:3] == seeds(3)[:3] and seeds(5)[5:8] == seeds(3)[3:]
    assert not set(seeds(5)) & set(seeds(5, seed=1))


VOTES = [("3", 4), ("7", 4), ("7", 4), ("3", 9), ("3", 9)]


def run_vote(allowed: int, script: Sequence[Answer] = VOTES) -> EvalResult:
    """`P` under `allowed` tokens, beside `Q` with all the tokens it wants and a right answer."""
    sampler = Scripted({"p": script, "q": [("5", 2)] * len(script)})
    return asyncio.run(
        vote(
            sampler, ENVS, {"one": [P, Q]}, budget=9, tokens={"one": [allowed, 99]},
            samples=len(script),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("allowed", "counted", "right"),
    [
        (3, 0, False),  # nothing fits: no answer
        (4, 1, False),
        (11, 2, False),  # a tie: the earlier answer wins
        (12, 3, True),  # 7 wins two to one
        (29, 4, False),
        (99, 5, False),  # three to two against it
    ],
)
def test_vote_counts_what_fits(allowed: int, counted: int, right: bool) -> None:
    score = run_vote(allowed).tasks["one"]
    assert score.values == [float(right), 1.0]
    assert score.decode_tokens == sum(tokens for _, tokens in VOTES[:counted]) + 5 * 2
    assert score.prefill_tokens == (counted + 5) * len("<p>")
    # Values 0 and 1: deviations of a half, squared and summed 1/2, over 1, over 2. Equal: none.
    assert score.stderr == pytest.approx(0.0 if right else 0.5)


def test_vote_stops_at_the_first_rollout_that_does_not_fit() -> None:
    """The short right answers behind it would prefer short rollouts."""
    script = [("3", 4), ("3", 50), ("7", 1), ("7", 1)]
    assert run_vote(20, script).tasks["one"].values == [0.0, 1.0]


def test_a_missing_answer_has_a_cost_and_no_vote() -> None:
    score = run_vote(12, [(None, 5), (None, 5), ("7", 2)]).tasks["one"]
    assert score.values == [1.0, 1.0]
    assert score.decode_tokens == 12 + 3 * 2


RSA = {
    "p": [
        ("7", 9),
        ("3", 1),
        ("3", 1),
        ("7", 2),
        ("7", 2),
        ("3", 2),
        ("7", 3),
        ("7", 3),
        (None, 11),
    ],
    "q": [("1", 4), ("1", 4), ("1", 4), ("5", 5), ("1", 5), ("1", 5), ("5", 6), ("1", 6), ("1", 6)],
}
"""Three rounds of three. Right: p 1, 2, 2 and q 0, 1, 1."""


def run_rsa(
    sampler: Scripted, problems: Mapping[str, list[Problem]], **more: Any
) -> tuple[EvalResult, dict[str, list[Result]]]:
    return asyncio.run(rsa(sampler, ENVS, problems, CONFIG, **more))


def test_rsa_by_hand() -> None:
    sampler = Scripted(RSA)
    result, runs = run_rsa(sampler, {"one": [P, Q]})
    score = result.tasks["one"]
    assert score.values == pytest.approx([2 / 3, 1 / 3])
    assert score.rounds == pytest.approx([1 / 6, 1 / 2, 1 / 2])
    # Deviations of 1/6: squared and summed 1/18, over 1, over 2.
    assert score.stderr == pytest.approx(1 / 6)
    assert score.truncated == score.unparseable == pytest.approx(1 / 6), "of the last population"
    assert score.decode_tokens == 34 + 45, "of all rounds"
    assert score.prefill_tokens == prompt_tokens(sampler)
    assert [r.cost.decode_by_round for r in runs["one"]] == [[11, 6, 17], [12, 15, 18]]
    assert [r.cost.generations for r in runs["one"]] == [9, 9]


def test_rsa_spends_the_budgets_of_its_rounds() -> None:
    sampler = Scripted(RSA)
    run_rsa(sampler, {"one": [P, Q]})
    budgets = sorted(r.params.max_tokens for r in sampler.requests)
    assert budgets == [9] * 12 + [11] * 6
    assert len({r.params.seed for r in sampler.requests}) == 18


def marks(sampler: Scripted, letter: str) -> set[str]:
    """Whose tails the aggregation prompts of a problem show."""
    texts = [r.messages[-1].content for r in sampler.requests]
    mine = [t for t in texts if f"<{letter}>" in t and t != f"<{letter}>"]
    assert len(mine) == 6
    return {chr(ord(c) - 200).lower() for t in mine for c in t if ord(c) > 200}


def test_rsa_shows_a_problem_its_own_tails() -> None:
    sampler = Scripted(RSA)
    run_rsa(sampler, {"one": [P, Q]})
    assert marks(sampler, "p") == {"p"} and marks(sampler, "q") == {"q"}


def test_foreign_tails_are_the_neighbours_alone() -> None:
    sampler = Scripted(RSA | {"r": [("1", 2)] * 9})
    run_rsa(sampler, {"one": [P, Q, R]}, foreign_tails=True)
    assert [marks(sampler, letter) for letter in "pqr"] == [{"r"}, {"p"}, {"q"}]


@pytest.mark.parametrize("foreign_tails", [False, True])
def test_a_run_with_gaps_is_no_score(foreign_tails: bool) -> None:
    """And no hang: a neighbour waits for tails that never come."""

    class Broken(Scripted):
        async def sample(self, requests: Sequence[Request]) -> list[Completion]:
            if "<p>" in requests[0].messages[-1].content:
                raise EngineError("the weights are broken")
            return await super().sample(requests)

    with pytest.raises(EvalError, match="the weights are broken"):
        run_rsa(Broken(RSA), {"one": [P, Q]}, foreign_tails=foreign_tails)


def test_final_votes_by_hand() -> None:
    problems = {"one": [P, Q]}
    result, runs = run_rsa(Scripted(RSA), problems)
    score = final_votes(ENVS, problems, runs).tasks["one"]
    assert score.values == [1.0, 0.0]  # 7 7 none, and 5 1 1
    assert score.stderr == pytest.approx(0.5)
    assert score.decode_tokens == result.tasks["one"].decode_tokens, "voting itself is free"


def test_final_votes_without_any_answer_are_wrong() -> None:
    _, runs = run_rsa(Scripted({"p": [(None, 9)] * 9}), {"one": [P]})
    assert final_votes(ENVS, {"one": [P]}, runs).tasks["one"].values == [0.0]


def test_overall_rounds_end_with_the_overall_accuracy() -> None:
    result, _ = run_rsa(Scripted(RSA | {"r": [("1", 2)] * 9}), {"one": [P, Q], "two": [R]})
    assert result.overall.accuracy == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)
    assert result.overall.rounds[-1] == pytest.approx(result.overall.accuracy)


def test_overall_shares_are_those_of_all_problems() -> None:
    result = run_single(Scripted(SINGLE), {"one": [P, Q], "two": [R]}, samples=2)
    assert result.overall.truncated == result.overall.unparseable == pytest.approx(1 / 6)


def test_vote_reports_its_truncated_rollouts() -> None:
    score = run_vote(12, [(None, 5), (None, 5), ("7", 2)]).tasks["one"]
    assert score.truncated == pytest.approx(2 / 6)
