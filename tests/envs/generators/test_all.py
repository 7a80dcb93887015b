"""What every generator promises, whichever family it is from."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from functools import cache

import pytest
from reasoning_gym.factory import DATASETS

from openzaya.envs.generators import FAMILIES, by_name, load_all
from openzaya.envs.generators.base import LONGEST_ANSWER, Generator
from openzaya.types import Outcome, Problem

NAMES = [generator.name for generator in load_all()]
UNRIGHT = (Outcome.WRONG, Outcome.UNPARSEABLE)


@cache
def drawn(name: str, difficulty: int, count: int) -> list[Problem]:
    env = by_name()[name]()
    return [env.generate(seed, difficulty) for seed in range(count)]


@pytest.fixture(params=NAMES)
def env(request: pytest.FixtureRequest) -> Generator:
    return by_name()[request.param]()


def test_names_are_many_and_our_own() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 60
    assert not set(NAMES) & set(DATASETS)
    assert all(name.replace("_", "a").isalnum() and name == name.lower() for name in NAMES)
    assert len(set(FAMILIES)) == len(FAMILIES)
    assert len({generator.family for generator in load_all()}) >= 10


@pytest.mark.parametrize(("difficulty", "count"), [(0, 4), (3, 3), (10, 3), (30, 3), (100, 1)])
def test_oracle_is_right(env: Generator, difficulty: int, count: int) -> None:
    """Also after a way through JSON; and an answer to one problem is none to all of them."""
    answers, problems = [], drawn(env.name, difficulty, count)
    for problem in problems:
        assert env.form in problem.prompt and problem.difficulty == difficulty
        stored = json.loads(json.dumps(problem.private))
        assert stored == problem.private
        copy = Problem(problem.env, problem.seed, problem.prompt, stored)
        answers.append(env.oracle(copy).content)
        score = env.score(copy, "I think so.\n" + answers[-1])
        assert score.correct and score.format_ok and score.reward == 1.0, score
        assert env.size(stored) > 0
    right = [[env.score(problem, answer).correct for answer in answers] for problem in problems]
    assert count == 1 or not all(map(all, right))


def junk(problem: Problem) -> list[str | None]:
    """Texts that are no answer. Those of the first kind are also tried inside answer tags."""
    rng = random.Random(0)
    short = ["", " ", ",", ";", "()", "[]", "-", "True", "None", "banana", "٣", "１２", "½", "1e9",
             "nan", "inf", "0x10", "1_000", "\x00", "\ud800", "é" * 10, "__import__('os')", "9**9",
             "1/0", "[" * 50, "-" * 50, "9" * 4200, "1/" + "9" * 3999, "\\boxed{", "<answer>",
             "; ; ;", "a b c", "A; 1; 2", "1-1", "0 " * 3, "1, " * 12]  # fmt: skip
    large = LONGEST_ANSWER // 4
    wide = [text * (large // len(text)) for text in ("1 ", "9", "(", "a ", "1\n", "-1;", "1+")]
    return [
        None,
        problem.prompt,
        " ".join(map(str, range(1000))),
        " ".join(rng.choice(problem.prompt.split()) for _ in range(30)),
        *(f"<answer>{text}</answer>" for text in [*short, *wide]),
        *short,
    ]


def test_junk_is_a_score(env: Generator) -> None:
    problem = drawn(env.name, 3, 3)[0]
    for text in junk(problem):
        begun = time.perf_counter()
        score = env.score(problem, text)
        assert score.outcome in UNRIGHT, (score, (text or "")[:60])
        assert score.reward == 0.0
        assert time.perf_counter() - begun < 5


def test_a_slip_is_a_score(env: Generator) -> None:
    """Right answers with huge, zero or negative numbers, doubled, cut and shuffled."""
    rng = random.Random(1)
    for problem in drawn(env.name, 3, 3):
        answer = env.solve(problem.private)
        few = re.sub(r"[0-9]+", lambda _: "9" * rng.choice((1, 30, 4000)), answer[:40])
        slips = [few, re.sub(r"[0-9]+", "0", answer), re.sub(r"([0-9]+)", r"-\1", answer)]
        slips += [answer * 2, f"{answer}, {answer}", answer[::-1], answer[1:], answer.upper()]
        slips += ["".join(rng.sample(answer, len(answer))), re.sub(r"[a-z]", "é", answer)]
        for slip in slips:
            begun = time.perf_counter()
            score = env.score(problem, f"<answer>{slip}</answer>")
            assert score.outcome in (Outcome.CORRECT, *UNRIGHT), (score, slip[:80])
            assert time.perf_counter() - begun < 5


def test_megabytes_are_a_score() -> None:
    """What is cut off before a judge sees it is the same for all."""
    env = by_name()["nested_expression"]()
    problem = env.generate(0)
    shapes = ("<answer>", "<answer></answer>", "\\boxed{", "\\boxed", "{", "1", "٣", "</answer>")
    for shape in shapes:
        begun = time.perf_counter()
        assert env.score(problem, shape * (10**6 // len(shape))).outcome in UNRIGHT
        assert time.perf_counter() - begun < 5
    assert env.score(problem, "x" * 10**6 + env.oracle(problem).content).correct


def test_a_fault_of_a_judge_is_no_verdict() -> None:
    """The control for `in UNRIGHT`: a judge that fails is named, and its rollout is no evidence."""

    class Faulty(by_name()["bezout_pair"]):
        def judge(self, private, answer):
            return 1 // 0 == 1

    score = Faulty().score(Faulty().generate(0), "<answer>1, 2</answer>")
    assert score.outcome is Outcome.VERIFIER_ERROR and "ZeroDivisionError" in score.reason


PRINT = """
import hashlib, json
from openzaya.envs.generators import load_all
for generator in load_all():
    env = generator()
    for difficulty in (0, 4):
        problem = env.generate(7, difficulty)
        told = json.dumps([problem.prompt, problem.private, env.oracle(problem).content])
        print(generator.name, hashlib.blake2b(told.encode()).hexdigest()[:16])
"""


def test_problems_are_pure_across_processes() -> None:
    prints = [
        subprocess.run(
            [sys.executable, "-c", PRINT],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert prints[0] == prints[1] and len(prints[0].split()) == 4 * len(NAMES)
    lines = []
    state = random.getstate()
    for name in NAMES:
        env = by_name()[name]()
        for difficulty in (0, 4):
            problem = env.generate(7, difficulty)
            told = json.dumps([problem.prompt, problem.private, env.oracle(problem).content])
            lines.append(f"{name} {hashlib.blake2b(told.encode()).hexdigest()[:16]}\n")
    assert "".join(lines) == prints[0]
    assert random.getstate() == state  # no global RNG was touched


def test_seeds_give_different_problems(env: Generator) -> None:
    assert len({problem.fingerprint for problem in drawn(env.name, 0, 200)[:100]}) >= 95


def test_size_grows(env: Generator) -> None:
    sizes = []
    for difficulty, count in ((0, 20), (3, 20), (10, 12), (30, 8)):
        problems = [env.generate(seed, difficulty) for seed in range(count)]
        sizes.append(sum(env.size(problem.private) for problem in problems) / count)
    assert sizes == sorted(sizes) and sizes[0] < sizes[2] < sizes[3], sizes


@pytest.mark.parametrize(("difficulty", "count"), [(0, 200), (3, 100)])
def test_guessing_does_not_pay(env: Generator, difficulty: int, count: int) -> None:
    """The answer that is right most often, and small numbers, given to every problem."""
    problems = drawn(env.name, difficulty, count)
    common = Counter(env.solve(problem.private) for problem in problems).most_common(3)
    for guess in [*(text for text, _ in common), "0", "1", "2"]:
        share = sum(env.score(problem, f"<answer>{guess}</answer>").correct for problem in problems)
        assert share / count < 0.25, (guess, share / count)
