"""What is random in a run: seeds, and which tails a prompt shows. A function of names alone, so
that nothing depends on what a rollout says or on when it ends."""

from __future__ import annotations

import hashlib
import random

from openzaya.config.rsa import RSAConfig


def derived_seed(*parts: object) -> int:
    """63 bits from (run seed, run id, round, slot, ...), stable across processes and versions."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def drawn(config: RSAConfig, run_id: str, round_: int, slot: int) -> list[int]:
    """C slots of the round before, uniform without replacement, as drawn. C = 1 continues a slot's
    own tail: nothing is mixed."""
    if config.candidates == 1:
        return [slot]
    rng = random.Random(derived_seed(config.seed, run_id, round_, slot, "parents"))
    return rng.sample(range(config.width(round_ - 1)), config.shown(round_))


def spares(config: RSAConfig, run_id: str, round_: int, slot: int) -> list[int]:
    """The other slots of the round before: the first of them stands in for a drawn one that
    failed, the second for the next. Which one it is depends only on who failed, not on when."""
    first = set(drawn(config, run_id, round_, slot))
    rest = [p for p in range(config.width(round_ - 1)) if p not in first]
    random.Random(derived_seed(config.seed, run_id, round_, slot, "spares")).shuffle(rest)
    return rest
