"""The attack list: what untrusted code might try, as programs that try it."""

from openzaya.envs.sandbox.attacks.base import Attack, Bait, bait
from openzaya.envs.sandbox.attacks.reach import FILES, KERNEL, NETWORK
from openzaya.envs.sandbox.attacks.resources import RESOURCES
from openzaya.envs.sandbox.attacks.tricks import CHECKER, CPP, EXITS, TIMING

ATTACKS: tuple[Attack, ...] = (
    *RESOURCES, *NETWORK, *FILES, *KERNEL, *EXITS, *CHECKER, *TIMING, *CPP
)  # fmt: skip

__all__ = ["ATTACKS", "Attack", "Bait", "bait"]
