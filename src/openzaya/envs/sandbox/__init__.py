"""Running code that a model wrote: programs in, runs out, nothing trusted in between."""

from openzaya.envs.sandbox.job import Call, Input, Language, Program, Run, Status
from openzaya.envs.sandbox.open import open_sandbox, use
from openzaya.envs.sandbox.pool import Sandbox

__all__ = [
    "Call", "Input", "Language", "Program", "Run", "Sandbox", "Status", "open_sandbox", "use",
]  # fmt: skip
