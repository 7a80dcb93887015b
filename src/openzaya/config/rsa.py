"""Markovian RSA's knobs, in the report's letters, and the presets and methods that they span.

Every method is a point of one design: sampling in parallel, rounds of aggregation, a choice. A
preset is a line of overrides over the defaults, so that it can be overridden in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from openzaya.config.base import Config, load_recipe
from openzaya.config.fields import did_you_mean
from openzaya.errors import ConfigError

Kind = Literal["math", "choice", "code", "free", "puzzle"]


class Prices(Config):
    """Money per million tokens, in any one currency."""

    prefill: NonNegativeFloat = 0.0
    cached: NonNegativeFloat = 0.0
    """Prompt tokens that a prefix cache spared."""
    decode: NonNegativeFloat = 0.0


class Limits(Config):
    """What a run may spend. None of them is exceeded by a rollout's worth: one is started only if
    its whole budget still fits. At a limit the run answers from what it has."""

    tokens: PositiveInt | None = None
    """Tokens written by all rollouts together: the report's cost D(q)."""
    seconds: PositiveFloat | None = None
    """Wall time; what runs then is cancelled."""
    money: PositiveFloat | None = None
    """In the currency of `prices`."""


class EarlyStop(Config):
    """Stop after a round in which enough of the population agrees."""

    share: float | None = Field(default=None, gt=0.5, le=1.0)
    """Of the round's slots, those that must give the same answer; None never stops early."""
    voters: PositiveInt = 4
    """Slots that must have an answer at all."""


class RSAConfig(Config):
    """N parallel traces, T rounds of aggregation over C bounded tails (report, Markovian RSA)."""

    how: ClassVar[tuple[str, ...]] = (
        "limits", "prices", "early_stop", "retries", "min_population", "rollout_timeout",
        "concurrency", "barrier", "context",
    )  # fmt: skip

    population: PositiveInt = 16
    """N: rollouts per round."""
    candidates: PositiveInt = 4
    """C: tails drawn into one aggregation prompt, without replacement. 1: each slot its own."""
    rounds: NonNegativeInt = 2
    """T: aggregation rounds after round 0. 0 is plain parallel sampling."""
    tail: PositiveInt = 4096
    """tau: tokens of a rollout's end that survive it. tau = beta is full RSA."""
    budget: PositiveInt = 40960
    """beta: tokens per rollout in rounds 0 .. T-1."""
    final_budget: PositiveInt | None = 40960
    """Tokens per rollout in round T; None means beta."""
    temperature: NonNegativeFloat = 1.0
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: NonNegativeInt = 0
    """Likeliest tokens kept; 0 keeps all."""
    final_temperature: NonNegativeFloat | None = None
    """Of round T; None: as in the other rounds, here and below."""
    final_top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    final_top_k: NonNegativeInt | None = None
    final_population: PositiveInt | None = None
    """Rollouts of round T. None: N, but 1 if `selection` is aggregate."""
    widths: tuple[PositiveInt, ...] = ()
    """Rollouts of every round 0 .. T where they differ (PaCoRe's vectors); a prompt then shows at
    most as many tails as the round before has. Empty: N each."""
    tail_scope: Literal["full", "reasoning", "answer"] = "full"
    """Cut the tail from reasoning and answer (think tags dropped), from the reasoning alone, or
    from the answer of a rollout that gave one, else from its reasoning (PaCoRe)."""
    order: Literal["slot", "drawn"] = "slot"
    """Of the tails in a prompt. By slot, equal draws share a whole prompt; as drawn, shuffled."""
    kind: Kind = "free"
    """What an answer is: how it is found, compared and asked for."""
    template: str | None = None
    """Id of the aggregation prompt; None: the newest of the kind."""
    selection: Literal["majority", "aggregate", "uniform", "best"] = "majority"
    """The one answer: commonest of round T; of one last aggregation; any of round T; the best by a
    verifier that the caller gives."""
    seed: int = 0
    early_stop: EarlyStop = EarlyStop()
    retries: NonNegativeInt = 2
    """Further tries of a rollout that failed."""
    min_population: PositiveInt | None = None
    """Rollouts of a round that must succeed, lest the run end there; None: C of them."""
    rollout_timeout: PositiveFloat = 3600.0
    """Seconds after which a try has failed."""
    concurrency: PositiveInt | None = None
    """Rollouts on their way at one time; None: all that can be."""
    barrier: bool = False
    """Wait for a whole round before the next. Without, a slot starts when its own parents have
    ended; draws depend on no result, so both give the same run."""
    context: PositiveInt | None = None
    """Tokens of prompt and rollout that the model holds; None: what the sampler says."""
    limits: Limits = Limits()
    prices: Prices = Prices()

    @model_validator(mode="after")
    def _numbers_fit(self) -> RSAConfig:
        if self.candidates > self.population:
            raise ValueError(
                f"candidates {self.candidates} cannot be drawn from population {self.population}"
            )
        if self.tail > self.budget:
            raise ValueError(f"tail {self.tail} is longer than the budget {self.budget}")
        if self.limits.money is not None and self.prices == Prices():
            raise ValueError("limits.money needs prices, by the million tokens: prices.decode=...")
        if self.widths:
            self._check_widths()
        grows = any(self.width(t) > self.width(t - 1) for t in range(1, self.rounds + 1))
        if self.candidates == 1 and grows:
            raise ValueError("with candidates = 1 a round cannot be wider than the one before it")
        smallest = min(self.width(t) for t in range(self.rounds + 1))
        if self.min_population is not None and self.min_population > smallest:
            raise ValueError(
                f"min_population {self.min_population} is more than a round has ({smallest})"
            )
        return self

    def _check_widths(self) -> None:
        if len(self.widths) != self.rounds + 1:
            raise ValueError(f"widths {self.widths} should name {self.rounds + 1} rounds")
        if self.widths[0] != self.population:
            raise ValueError(f"widths begin with {self.widths[0]}, population is {self.population}")
        if self.final_population not in (None, self.widths[-1]):
            raise ValueError("widths and final_population contradict each other")

    def width(self, round_: int) -> int:
        """Rollouts of a round."""
        if self.widths:
            return self.widths[round_]
        if round_ < self.rounds or self.rounds == 0:
            return self.population
        return self.final_population or (1 if self.selection == "aggregate" else self.population)

    def shown(self, round_: int) -> int:
        """Tails in a prompt of a round."""
        return min(self.candidates, self.width(round_ - 1)) if round_ else 0

    def needed(self, round_: int) -> int:
        """Rollouts of a round that must succeed."""
        if self.min_population is not None:
            return self.min_population
        return self.shown(round_ + 1) if round_ < self.rounds else 1

    def budget_of(self, round_: int) -> int:
        """Tokens that a rollout of a round may write."""
        return (self.final_budget if round_ == self.rounds else None) or self.budget

    @property
    def generations(self) -> int:
        """Rollouts of a whole run."""
        return sum(self.width(t) for t in range(self.rounds + 1))


PRESETS: dict[str, tuple[str, ...]] = {
    # The report's configurations; N, C, T = 16, 4, 2 and a final budget of 40K are the defaults.
    "paper": (),
    "deploy": ("budget=16384",),
    "light": ("budget=8192",),
    "high": ("rounds=8", "budget=16384"),
    "extra-high": ("rounds=8", "population=32", "budget=32768"),
    # The defaults of the public proxy server.
    "zyphra-proxy": (
        "rounds=8", "population=32", "budget=32768", "final_budget=61440", "selection=aggregate",
        "final_temperature=0.6", "final_top_p=0.95", "final_top_k=40", "tail_scope=reasoning",
    ),
    # Small models on a few cores.
    "cpu": ("population=8", "budget=256", "tail=96", "final_budget=none"),
    # Other methods as points of the same design.
    "single": ("population=1", "candidates=1", "rounds=0", "top_p=0.95"),
    "self-consistency": ("candidates=1", "rounds=0"),
    "best-of-n": ("candidates=1", "rounds=0", "selection=best"),
    "full-rsa": ("tail=40960",),
    "delethink": ("candidates=1", "rounds=4", "budget=8192"),
    "pacore": (
        "population=32", "candidates=32", "rounds=2", "widths=[32, 4, 1]", "tail_scope=answer",
        "order=drawn", "template=pacore-v1",
    ),
}  # fmt: skip


def preset(name: str, overrides: Sequence[str] = ()) -> RSAConfig:
    """The preset `name` under `overrides` (key=value). ConfigError for what does not fit."""
    if name not in PRESETS:
        known = list(PRESETS)
        raise ConfigError(
            f"no preset is called {name!r}",
            did_you_mean(name, known) or f"known: {', '.join(known)}",
        )
    return load_recipe(RSAConfig, None, [*PRESETS[name], *overrides])
