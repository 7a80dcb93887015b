"""A rollout that has ended: what was drawn, and what a verifier says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from openzaya.types import Completion, FinishReason, Outcome, Score

_ARRAYS = ("prompt_ids", "token_ids", "logprobs", "policy_version", "experts")


@dataclass(frozen=True, slots=True)
class Judged:
    """A completion with its score. `reward` is what RL trains on: 1, or 0 also for a right answer
    at the end of a loop (report, stability monitors)."""

    completion: Completion
    score: Score
    reward: float

    @property
    def oldest(self) -> int:
        """Version of its oldest token."""
        return int(self.completion.policy_version.min())

    def plain(self) -> dict[str, Any]:
        """Tensors and plain values, as a checkpoint holds them."""
        table = {k: getattr(self.completion, k) for k in Completion.__slots__}  # type: ignore[attr-defined]
        table |= {k: torch.tensor(table[k]) for k in _ARRAYS if table[k] is not None}
        table["finish_reason"] = str(table["finish_reason"])
        score = asdict(self.score) | {"outcome": str(self.score.outcome)}
        return {"completion": table, "score": score, "reward": self.reward}

    @classmethod
    def of(cls, table: dict[str, Any]) -> Judged:
        """The opposite of `plain`."""
        made = dict(table["completion"])
        made |= {k: made[k].numpy() for k in _ARRAYS if made[k] is not None}
        made["finish_reason"] = FinishReason(made["finish_reason"])
        score = table["score"] | {"outcome": Outcome(table["score"]["outcome"])}
        return cls(Completion(**made), Score(**score), table["reward"])


def fault(completion: Completion, version: int) -> str | None:
    """Why a rollout must not be trained on, whoever drew it: None for a sound one. `version` is the
    newest that was ever served."""
    c, tokens = completion, len(completion.token_ids)
    if not tokens:
        return "no token"
    if not len(c.logprobs) == len(c.policy_version) == tokens:
        return f"{tokens} tokens, {len(c.logprobs)} log-probabilities"
    if not np.isfinite(c.logprobs).all() or c.logprobs.max() > 1e-4:
        return "log-probabilities that are none"
    if c.policy_version.max() > version or c.policy_version.min() < 0:
        return f"tokens of version {c.policy_version.max()}, which was never served"
    if (np.diff(c.policy_version) < 0).any():
        return "versions that go back"
    if c.experts is None or len(c.experts) != len(c.prompt_ids) + tokens - 1:
        return "no expert for every position"
    return None
