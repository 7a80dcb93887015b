"""Problems with verifiers, from several sources. `build` makes an environment by name."""

from openzaya.envs.base import WorkedEnvironment
from openzaya.envs.gate import admitted
from openzaya.envs.registry import build, names, worked, worked_names
from openzaya.envs.splits import SPLITS, Problems

__all__ = [
    "SPLITS",
    "Problems",
    "WorkedEnvironment",
    "admitted",
    "build",
    "names",
    "worked",
    "worked_names",
]
