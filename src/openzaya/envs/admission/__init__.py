"""What an environment must show before anything is trained on it, measured.

`probe` generates and scores, `checks` judges what was seen, `table` keeps it.
"""

from openzaya.envs.admission.checks import failures
from openzaya.envs.admission.probe import Seen, probe

__all__ = ["Seen", "failures", "probe"]
