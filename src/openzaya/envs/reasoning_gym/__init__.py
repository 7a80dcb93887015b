"""reasoning-gym's tasks (PyPI, Apache-2.0): their generators and scorers, our mends and refusals.

Three of them have worked solutions and run in this process; all others run in workers.
"""

from openzaya.envs.reasoning_gym.environment import ReasoningGymTask
from openzaya.envs.reasoning_gym.faults import REFUSED
from openzaya.envs.reasoning_gym.worked import SOLVERS, WorkedReasoningGymTask

__all__ = ["REFUSED", "SOLVERS", "ReasoningGymTask", "WorkedReasoningGymTask"]
