"""From rewards to a gradient: advantage, length reward, token loss, and the gate before both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.errors import ConfigError

Kind = Literal["dppo", "ppo-clip", "cispo", "gspo", "tis", "icepop", "reinforce"]
Aggregation = Literal["rollout_sum", "token_mean", "rollout_mean"]

_PUBLISHED: dict[str, dict[str, Any]] = {
    "dppo": {"aggregation": "rollout_sum", "delta": 0.1, "cap": 10.0},
    "ppo-clip": {"aggregation": "token_mean", "clip_low": 0.2, "clip_high": 0.28},
    "cispo": {"aggregation": "token_mean", "clip_low": 1.0, "clip_high": 4.0},
    "gspo": {"aggregation": "rollout_mean", "clip_low": 3e-4, "clip_high": 4e-4},
    "tis": {"aggregation": "token_mean", "cap": 2.0, "level": "token"},
    "icepop": {"aggregation": "rollout_mean", "band": (0.5, 5.0), "level": "token"},
    "reinforce": {"aggregation": "rollout_sum"},
}
"""What each kind reads, with the values of its source; what it does not read may not be set."""


class LossConfig(Config):
    """The token loss (`rl.losses`, equations there). What is not given takes the value that the
    kind was published with, its aggregation included; `config.toml` shows it."""

    kind: Kind = "dppo"
    """dppo is the report's. ppo-clip: GRPO, DAPO; cispo: MiniMax-M1; gspo: Qwen; tis: truncated
    importance weights; icepop: weights outside a band drop the token; reinforce: no correction."""
    aggregation: Aggregation = "rollout_sum"
    """rollout_sum: token losses summed in a rollout, averaged over rollouts, over a constant
    horizon (report: SMTSN). token_mean: over all tokens of the batch (DAPO). rollout_mean: averaged
    in a rollout, then over rollouts (GRPO, GSPO)."""
    delta: PositiveFloat | None = None
    """dppo: largest drift of a chosen token's probability."""
    importance: bool = True
    """dppo: weigh tokens by min(pi/mu, cap), as the method's own code does; without, the plain
    policy gradient inside the trust region. Which of them the report used is unknown."""
    cap: PositiveFloat | None = None
    """dppo, tis: largest importance weight."""
    clip_low: PositiveFloat | None = None
    clip_high: PositiveFloat | None = None
    """ppo-clip, cispo, gspo: the ratio's range is [1 - clip_low, 1 + clip_high]. cispo with 1.0
    has no lower bound, as in its paper, which does not name the upper one (5: ScaleRL)."""
    band: tuple[PositiveFloat, PositiveFloat] | None = None
    """icepop: ratios that are kept, ends included."""
    level: Literal["token", "rollout", "geometric"] | None = None
    """tis, icepop: whose ratio counts: the token's, the product over its rollout, or the geometric
    mean over its rollout."""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, table: Any) -> Any:
        kind = table.get("kind", "dppo") if isinstance(table, dict) else None
        if kind not in _PUBLISHED:
            return table  # pydantic says what is wrong
        # TOML and JSON have lists alone, and what a validator returns is held to be Python.
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        given = {k: v for k, v in plain.items() if v is not None}
        return _PUBLISHED[kind] | given

    @model_validator(mode="after")
    def _read(self) -> LossConfig:
        reads = _PUBLISHED[self.kind]
        for name in ("delta", "cap", "clip_low", "clip_high", "band", "level"):
            if getattr(self, name) is not None and name not in reads:
                raise ConfigError(
                    f"{name} means nothing to the loss {self.kind}", 'remove it, or set it "none"'
                )
        if not self.importance and self.kind != "dppo":
            raise ConfigError(f"importance is dppo's, not {self.kind}'s", "remove it")
        if self.band is not None and self.band[0] > self.band[1]:
            raise ConfigError("band ends before it begins", "write the smaller ratio first")
        return self


class LengthRewardConfig(Config):
    """Correct rollouts earn by being short (report, Eq. 8-10). All constants are ours: the report
    gives none."""

    start: float = Field(default=0.1, ge=0.0)
    end: float = Field(default=1.0, ge=0.0)
    """c at the first and the last step of the stage; linear between."""
    max_length: PositiveInt | None = None
    """l_max in tokens; none: the rollout budget."""
    free_share: float = Field(default=0.05, ge=0.0, lt=1.0)
    """T_l as a share of l_max: so many tokens beyond the shortest correct rollout cost nothing."""
    rate_tolerance: float = Field(default=0.05, ge=0.0)
    """T_acc: a group earns only if its solve rate is above its source's best less this."""
    rate_decay: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Of the moving average of a source's solve rate, whose running maximum is its best, p*."""

    def weight(self, step: int, steps: int) -> float:
        """c at `step`, the first being 0, of a stage of `steps`."""
        return self.start + (self.end - self.start) * min(1.0, step / max(1, steps - 1))

    def lengths(self, budget: int) -> tuple[int, int]:
        """(l_max, T_l) in tokens."""
        longest = self.max_length or budget
        return longest, round(self.free_share * longest)


class AdvantageConfig(Config):
    """From a group's rewards to advantages (`rl.advantage`)."""

    kind: Literal["maxrl", "grpo", "dr_grpo"] = "maxrl"
    """maxrl: the reasoning stages'; grpo (over the standard deviation): the behavioural one's."""
    length_reward: LengthRewardConfig | None = None
    """maxrl only: added in the numerator."""
    centre: bool = True
    """Whether the length reward's mean is part of the baseline (the report leaves it open)."""

    @model_validator(mode="after")
    def _check(self) -> AdvantageConfig:
        if self.length_reward is not None and self.kind != "maxrl":
            raise ConfigError(
                f"the length reward is defined for maxrl, not for {self.kind}",
                'set length_reward to "none"',
            )
        return self


class GateConfig(Config):
    """When the engine's log-probabilities are too far from the trainer's to be trained on.

    Defaults are what the report reached in bf16 with its fp32 set and router replay. Two fp32
    networks agree to kl 1e-8: recipes that train in fp32 say so, or a planted rounding passes.
    """

    every: NonNegativeInt = 50
    """Trainer steps between two checks; 0: only before the first step."""
    kl: PositiveFloat = 1.3e-4
    """Largest KL(engine || trainer), nats per token."""
    pearson: float = Field(default=0.9996, ge=-1.0, le=1.0)
    """Smallest correlation of the two probabilities of the drawn tokens."""
    max_gap: PositiveFloat | None = None
    """Largest difference of any token's log-probability."""
    agreement: float | None = Field(default=None, ge=0.0, le=1.0)
    """Smallest share, in any layer, of the engine's router choices that the trainer's own router
    would make. Replay makes them equal in training whatever this says."""
