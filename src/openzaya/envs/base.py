"""What environments are made of, and what they must add to be trained on from scratch."""

from __future__ import annotations

import hashlib
import random
from typing import Protocol, runtime_checkable

from openzaya.errors import EnvError
from openzaya.types import Environment, Message, Problem


@runtime_checkable
class WorkedEnvironment(Environment, Protocol):
    """An environment whose problems come with a step-by-step solver.

    The solver writes pretraining and SFT text. `mistake` writes what a learner might: it fills
    the candidates of synthetic aggregation prompts, so that an aggregator learns to doubt.
    """

    def oracle(self, problem: Problem) -> Message:
        """The worked solution: reasoning and answer."""
        ...

    def mistake(self, problem: Problem, rng: random.Random) -> Message:
        """A wrong attempt in the same form, its error carried through to its end."""
        ...

    def resume(self, problem: Problem, written: int) -> Message:
        """The rest of the solution once `written` characters of correct reasoning exist.

        Tasks whose whole solution fits one budget start over: checking beats continuing.
        """
        ...


class GenerationFailed(EnvError):
    """A generator has no problem for a seed: it raised, or took too long."""


def fingerprint(prompt: str) -> str:
    """16 hex digits of the prompt: equal prompts are one problem, whichever seed made them."""
    return hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
