"""Problems: rules that can be kept together, the same ones everywhere, and no reward for junk."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter

import pytest

from openzaya.envs.instructions import INSTRUCTION_ENVIRONMENTS, from_json
from openzaya.envs.instructions.compose import junk, satisfy
from openzaya.envs.instructions.lexicon import draft
from openzaya.types import Environment, Outcome, Problem

NAMES = sorted(INSTRUCTION_ENVIRONMENTS)
SEEDS = {0: range(40), 3: range(25), 10: range(6)}


@pytest.fixture(scope="module")
def problems() -> dict[tuple[str, int], list[Problem]]:
    envs = {name: INSTRUCTION_ENVIRONMENTS[name]() for name in NAMES}
    return {
        (name, difficulty): [envs[name].generate(seed, difficulty) for seed in seeds]
        for name in NAMES
        for difficulty, seeds in SEEDS.items()
    }


def all_of(problems: dict[tuple[str, int], list[Problem]]) -> list[tuple[Environment, Problem]]:
    return [
        (INSTRUCTION_ENVIRONMENTS[name](), problem)
        for (name, _), many in problems.items()
        for problem in many
    ]


def test_the_oracle_scores_one(problems: dict[tuple[str, int], list[Problem]]) -> None:
    for env, problem in all_of(problems):
        message = env.oracle(problem)
        assert message is not None
        score = env.score(problem, message.content)
        assert (score.reward, score.outcome) == (1.0, Outcome.CORRECT), score.reason


def test_each_rule_counts(problems: dict[tuple[str, int], list[Problem]]) -> None:
    """Negative control: the oracle's text with one rule broken is worth nothing and says why."""
    for env, problem in all_of(problems):
        for stored in problem.private["rules"]:
            rule = from_json(stored)
            score = env.score(problem, rule.violate(problem.private["oracle"]).strip())
            assert score.reward == 0.0 and score.outcome is Outcome.WRONG, (rule, problem.seed)
            assert rule.kind in score.reason


def test_junk_is_worth_nothing(problems: dict[tuple[str, int], list[Problem]]) -> None:
    for env, problem in all_of(problems):
        for text in [*junk(problem.prompt, random.Random("other")), "banana " * 500]:
            assert env.score(problem, text).reward == 0.0, (problem.prompt, text[:80])


def test_no_answer_and_too_long_ones_are_unparseable() -> None:
    env = INSTRUCTION_ENVIRONMENTS["instructions_simple"]()
    problem = env.generate(0)
    for answer in (None, "", " \n", "a" * 1_000_001):
        assert env.score(problem, answer).outcome is Outcome.UNPARSEABLE


def test_a_broken_problem_is_the_verifiers_fault() -> None:
    env = INSTRUCTION_ENVIRONMENTS["instructions_simple"]()
    broken = Problem("instructions_simple", 0, "x", {"rules": [{"kind": "gone", "params": {}}]})
    assert env.score(broken, "text").outcome is Outcome.VERIFIER_ERROR


def test_problems_survive_json(problems: dict[tuple[str, int], list[Problem]]) -> None:
    for env, problem in all_of(problems):
        private = json.loads(json.dumps(problem.private))
        assert private == problem.private
        again = Problem(problem.env, problem.seed, problem.prompt, private)
        assert env.score(again, private["oracle"]).correct


def test_prompts_state_every_rule_and_are_unlike(
    problems: dict[tuple[str, int], list[Problem]],
) -> None:
    for (name, difficulty), many in problems.items():
        assert len({p.fingerprint for p in many}) == len(many), (name, difficulty)
        for problem in many:
            for stored in problem.private["rules"]:
                assert from_json(stored).instruction() in problem.prompt
            assert problem.private["oracle"] not in problem.prompt


def test_rules_grow_in_number(problems: dict[tuple[str, int], list[Problem]]) -> None:
    composed = {d: problems["instructions_composed", d] for d in SEEDS}
    count = {d: {len(p.private["rules"]) for p in many} for d, many in composed.items()}
    assert count == {0: {3}, 3: {6}, 10: {13}}
    for name in NAMES:
        env = INSTRUCTION_ENVIRONMENTS[name]()
        sizes = [
            sum(env.size(p.private) for p in problems[name, d]) / len(problems[name, d])
            for d in SEEDS
        ]
        assert sizes[0] < sizes[-1], (name, sizes)


def test_no_set_amounts_to_a_test_constraint_of_ifbench(
    problems: dict[tuple[str, int], list[Problem]],
) -> None:
    """Word ranges and five counted keywords are IFBench's; single bounds and counts are not."""
    for _, problem in all_of(problems):
        kinds = Counter(stored["kind"] for stored in problem.private["rules"])
        assert kinds["word_bound"] <= 1 and kinds["keyword_frequency"] <= 3


def test_rules_that_cannot_stand_together_are_told() -> None:
    """Negative control for the oracle's proof: contradictions have no text."""
    rng = random.Random(0)
    few = from_json({"kind": "word_bound", "params": {"at_most": True, "n": 5}})
    many = from_json({"kind": "word_bound", "params": {"at_most": False, "n": 50}})
    assert few.clashes(many)
    assert satisfy([few, many], draft(rng), rng) is None


def test_the_last_turn_changes_a_rule() -> None:
    env = INSTRUCTION_ENVIRONMENTS["instructions_standing"]()
    for seed in range(20):
        problem = env.generate(seed, 2)
        shown = problem.prompt.split("Assistant: ", 1)[1].rsplit("\n\nUser: ", 1)[0]
        assert "no longer holds" in problem.prompt
        assert not env.score(problem, shown).correct


PROGRAM = """
import hashlib, json
from openzaya.envs.instructions import INSTRUCTION_ENVIRONMENTS
made = [
    (p.prompt, json.dumps(p.private))
    for name in sorted(INSTRUCTION_ENVIRONMENTS)
    for difficulty in (0, 3, 10)
    for p in [INSTRUCTION_ENVIRONMENTS[name]().generate(seed, difficulty) for seed in range(3)]
]
print(hashlib.sha256(json.dumps(made).encode()).hexdigest())
"""


def test_every_process_makes_the_same_problems() -> None:
    """Whatever the hash seed, and whatever was made before."""
    made = [
        (p.prompt, json.dumps(p.private))
        for name in NAMES
        for difficulty in (0, 3, 10)
        for p in [INSTRUCTION_ENVIRONMENTS[name]().generate(s, difficulty) for s in range(3)]
    ]
    here = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert done.stdout.strip() == here


def test_the_global_generator_is_left_alone() -> None:
    random.seed(5)
    state = random.getstate()
    INSTRUCTION_ENVIRONMENTS["instructions_composed"]().generate(1, 3)
    assert random.getstate() == state
