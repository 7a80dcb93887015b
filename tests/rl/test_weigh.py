"""Which rollouts of a group are learnt from, and how much each counts."""

from __future__ import annotations

import numpy as np
import pytest

from openzaya.config.rl_loss import AdvantageConfig, LengthRewardConfig
from openzaya.rl.rollout import Judged
from openzaya.rl.weigh import LengthTerm, counted, weigh
from openzaya.types import Completion, FinishReason, Outcome, Score


def judged(reward: float, cut: bool = False, tokens: int = 4, outcome: str = "") -> Judged:
    ids = np.zeros(tokens, np.int32)
    reason = FinishReason.LENGTH if cut else FinishReason.STOP
    completion = Completion(ids, ids, ids.astype(np.float32), ids, reason, "", "", None)
    verdict = Outcome(outcome) if outcome else Outcome.CORRECT if reward else Outcome.WRONG
    return Judged(completion, Score(reward, verdict), reward)


def advantages(rewards: list[float], cut: list[bool], overlong_filter: bool) -> list[float]:
    group = [judged(r, c) for r, c in zip(rewards, cut, strict=True)]
    return [r.advantage for r in weigh(counted(group, overlong_filter), AdvantageConfig())]


def test_without_the_filter_all_rollouts_share_one_baseline() -> None:
    found = advantages([1, 0, 0, 0], [False, True, True, True], False)
    assert found == pytest.approx([3, -1, -1, -1])


def test_a_lucky_early_stop_among_cut_rollouts_teaches_nothing() -> None:
    """Finishing would otherwise be pushed up against not finishing, whatever it answers."""
    assert advantages([1, 0, 0, 0], [False, True, True, True], True) == []


def test_finished_rollouts_are_compared_with_each_other() -> None:
    found = advantages([1, 0, 0, 0], [False, False, False, True], True)
    assert found == pytest.approx([2, -1, -1])
    assert sum(found) == pytest.approx(0, abs=1e-6), "no push towards finishing as such"


@pytest.mark.parametrize("overlong_filter", [True, False])
def test_groups_without_contrast_are_dropped(overlong_filter: bool) -> None:
    for reward in (0.0, 1.0):
        assert advantages([reward] * 3, [False] * 3, overlong_filter) == []
    assert advantages([0.0] * 3, [True] * 3, overlong_filter) == []


def test_a_verifier_that_failed_is_no_evidence() -> None:
    failed = judged(0.0, outcome="verifier-error")
    kept = counted([judged(1), judged(0), failed], False)
    assert [r.advantage for r in weigh(kept, AdvantageConfig())] == pytest.approx([1, -1])
    assert weigh(counted([judged(1), failed], False), AdvantageConfig()) == []


def test_the_behavioural_stage_divides_by_the_deviation() -> None:
    found = weigh([judged(0.2), judged(0.4), judged(0.6)], AdvantageConfig(kind="grpo"))
    assert [r.advantage for r in found] == pytest.approx([-1, 0, 1])


def test_the_length_reward_prefers_the_shorter_of_two_right_answers() -> None:
    config = AdvantageConfig(length_reward=LengthRewardConfig())
    group = [judged(1, tokens=10), judged(1, tokens=90), judged(0, tokens=50)]
    solved = LengthTerm(1.0, 100, 5, best_rate=0.5, rate_tolerance=0.05)
    short, long, wrong = (r.advantage for r in weigh(group, config, solved))
    assert short > long > wrong
    unsolved = LengthTerm(1.0, 100, 5, best_rate=0.9, rate_tolerance=0.05)
    short, long, _ = (r.advantage for r in weigh(group, config, unsolved))
    assert short == long, "negative control: the source has been solved better before"
