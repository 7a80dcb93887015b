"""Problems with verifiers: reasoning-gym's, and our own. `build` makes one by name."""

from openzaya.envs.base import WorkedEnvironment
from openzaya.envs.registry import NAMES, build
from openzaya.envs.splits import SPLITS, Problems

__all__ = ["NAMES", "SPLITS", "Problems", "WorkedEnvironment", "build"]
