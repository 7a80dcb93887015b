"""One sequence on its way: what was asked for, what it has so far, where it lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from openzaya.engine.blocks import ROOT
from openzaya.types import FinishReason, SamplingParams

TopLogprobs = list[tuple[int, float]]


@dataclass(slots=True, eq=False)
class Sequence:
    """`logprobs` are those of the distribution that each token was drawn from, `raw_logprobs` of
    the plain softmax; `versions` the weights that drew it."""

    prompt: list[int]
    params: SamplingParams
    keep_experts: bool = False
    watch: Callable[[Sequence], bool] | None = None
    """Called after each token; True ends the sequence (a stop text was written)."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    raw_logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    top_logprobs: list[TopLogprobs] = field(default_factory=list)
    experts: np.ndarray | None = None
    """(P + T - 1, L) uint8: the router's choices for all tokens that were fed, once finished."""
    finish: FinishReason | None = None
    cached: int = 0
    """Prompt tokens that came from the prefix cache."""

    siblings: list[Sequence] = field(default_factory=list)
    """Sequences that go on from this one's prefill."""
    blocks: list[int] = field(default_factory=list)
    slot: int = -1
    computed: int = 0
    """Tokens whose keys and values are stored."""
    name: bytes = ROOT
    """Of its last full block."""
    tainted: bool = False
    """Its cache mixes weights: not for others."""
    preemptions: int = 0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.tokens)

    @property
    def special(self) -> bool:
        """Whether a step needs more for it than a token drawn."""
        p = self.params
        return bool(
            p.logit_bias or p.top_logprobs or p.thinking_budget is not None or p.stop_ids
            or self.watch
        )  # fmt: skip

    def ids(self, low: int, high: int) -> list[int]:
        """Tokens low .. high - 1 of prompt and completion."""
        n = len(self.prompt)
        if high <= n:
            return self.prompt[low:high]
        return self.prompt[low:] + self.tokens[max(0, low - n) : high - n]
