"""Chat rewards: reward-model endpoints, rubric judges, and the gate that rules put before them."""

from openzaya.envs.rewards.base import ChatReward, RewardError
from openzaya.envs.rewards.gate import GatedReward
from openzaya.envs.rewards.judge import RubricJudge
from openzaya.envs.rewards.model import ScalarRewardModel

__all__ = ["ChatReward", "GatedReward", "RewardError", "RubricJudge", "ScalarRewardModel"]
