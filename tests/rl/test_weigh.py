"""Which rollouts of a group are learnt from, and how much each counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from openzaya.envs import build
from openzaya.rl.loop import Prompt, RLTrainer
from openzaya.types import Completion, FinishReason


def group(*cut: bool) -> list[Completion]:
    none = np.zeros(1)
    reasons = [FinishReason.LENGTH if c else FinishReason.STOP for c in cut]
    return [Completion(none, none, none, none, r, "", "", None) for r in reasons]


def weigh(rewards: list[float], cut: list[bool], overlong_filter: bool) -> list[float]:
    trainer: Any = SimpleNamespace(config=SimpleNamespace(overlong_filter=overlong_filter))
    rollouts = RLTrainer._weigh(trainer, group(*cut), torch.tensor(rewards).float())
    return [r.advantage for r in rollouts]


def test_without_the_filter_all_rollouts_share_one_baseline() -> None:
    assert weigh([1, 0, 0, 0], [False, True, True, True], False) == pytest.approx([3, -1, -1, -1])


def test_a_lucky_early_stop_among_cut_rollouts_teaches_nothing() -> None:
    """Finishing would otherwise be pushed up against not finishing, whatever it answers."""
    assert weigh([1, 0, 0, 0], [False, True, True, True], True) == []


def test_finished_rollouts_are_compared_with_each_other() -> None:
    advantages = weigh([1, 0, 0, 0], [False, False, False, True], True)
    assert advantages == pytest.approx([2, -1, -1])
    assert sum(advantages) == pytest.approx(0, abs=1e-6), "no push towards finishing as such"


@pytest.mark.parametrize("overlong_filter", [True, False])
def test_groups_without_contrast_are_dropped(overlong_filter: bool) -> None:
    for reward in (0.0, 1.0):
        assert weigh([reward] * 3, [False] * 3, overlong_filter) == []
    assert weigh([0.0] * 3, [True] * 3, overlong_filter) == []


def test_a_right_answer_after_a_loop_earns_nothing() -> None:
    env = build("spell_backward", {})
    problem = env.generate(0)
    trainer: Any = SimpleNamespace(envs={"spell": env})
    prompt = Prompt("spell", 0, problem, (), 0)
    answer = env.oracle(problem).content
    rng = np.random.default_rng(0)
    varied, looping = rng.integers(0, 1000, 1024), np.full(1024, 5)
    rewards = []
    for ids in (varied, looping):
        none = np.zeros(1)
        completion = Completion(none, ids, none, none, FinishReason.STOP, "", "", answer)
        rewards.append(RLTrainer._reward(trainer, prompt, completion))
    assert rewards == [1.0, 0.0]
