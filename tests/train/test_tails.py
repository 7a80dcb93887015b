"""Synthetic tails look like the ones that rollouts leave, and their targets follow from them."""

from __future__ import annotations

import random

import pytest

from openzaya.config.tasks import TaskConfig
from openzaya.config.train import ExamplesConfig, ThinkConfig
from openzaya.envs import Problems
from openzaya.train.examples import ExampleSource, build_tokenizer, environments

TASKS = {
    "running_total": TaskConfig(environment="running_total"),
    "spell_backward": TaskConfig(
        environment="spell_backward", params={"min_word_len": 3, "max_word_len": 10}
    ),
}


def source(scope: str) -> ExampleSource:
    think = ThinkConfig(budget=24, tail=12, tail_scope=scope)  # type: ignore[arg-type]
    envs = environments(TASKS)
    return ExampleSource(TASKS, envs, build_tokenizer(envs, think), ExamplesConfig(), think, seed=0)


@pytest.mark.parametrize("scope", ["full", "reasoning"])
def test_the_target_goes_on_from_the_furthest_right_tail(scope: str) -> None:
    s, rng = source(scope), random.Random(1)
    env = s.problems["running_total"].env
    reached = set()
    for index in range(300):
        problem = s.problems["running_total"].draw(index)
        truth = env.oracle(problem).reasoning or ""
        tails, furthest = s._tails(s.problems["running_total"], problem, rng)
        assert len(tails) == 4 and all(len(t) <= 12 for t in tails)
        if furthest:  # a right tail of that reach is there to be seen
            if scope == "reasoning":
                assert any(t and truth[:furthest].endswith(t) for t in tails)
            else:
                assert any(t and t in truth + env.oracle(problem).content for t in tails)
        reached.add(furthest)
    assert {0, 24} <= reached and max(reached) > 36, "several depths, and none right, occur"


def test_rounds_begin_where_the_round_before_was_cut() -> None:
    s = source("reasoning")
    env = s.problems["running_total"].env
    for index in range(50):
        problem = s.problems["running_total"].draw(index)
        truth = env.oracle(problem)
        whole = len(truth.reasoning or "")
        begins = s._begins(env, problem, truth)
        # 8 steps fit; each later round repeats one. The last round finds a finished solution.
        assert begins == [b for b in (0, 21, 42) if b < whole - 3] + [whole - 3]


def test_short_solutions_have_one_beginning() -> None:
    s = source("reasoning")
    problems = s.problems["spell_backward"]
    problem = problems.draw(0)
    assert s._begins(problems.env, problem, problems.env.oracle(problem)) == [0]


def test_only_the_full_scope_shows_answers() -> None:
    for scope, shown in (("full", True), ("reasoning", False)):
        s, rng = source(scope), random.Random(0)
        problems = s.problems["spell_backward"]
        tails = [t for i in range(100) for t in s._tails(problems, problems.draw(i), rng)[0]]
        filled = sum(len(t) == 12 for t in tails) / len(tails)  # words are shorter than a tail
        assert filled > 0.5 if shown else filled < 0.1


def test_splits_do_not_leak_into_batches() -> None:
    s = source("full")
    dev = {p.prompt for p in Problems(s.problems["spell_backward"].env, "dev").distinct(50)}
    texts = [s.tokenizer.decode(e.ids) for step in range(4) for e in s.batch(step).examples]
    assert not any(p in t for p in dev for t in texts)
