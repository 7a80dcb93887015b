"""The mismatch gate: engine and trainer on the same tokens, before anything is learnt from them.

A group's gradient is right only if the log-probabilities that the engine stored are those of the
weights that the trainer has. `check` measures it on completions of the current weights, and where
it is not so, stops and names what differs (`rl.diagnose`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.config.rl_loss import GateConfig
from openzaya.engine.runner import Runner
from openzaya.errors import EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.rl.diagnose import diagnose
from openzaya.rl.monitors import mismatch
from openzaya.rl.trainer import Rollout, microbatches, token_logprobs
from openzaya.types import Completion

_ROUNDING = 1e-5
"""By how much a log-probability may lie above 0."""


class MismatchError(EngineError):
    """Engine and trainer compute different probabilities: training would be silently wrong."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close engine (mu) and trainer (pi) are, router replay applied."""

    tokens: int
    kl: float
    """KL(mu || pi), nats per token."""
    pearson: float
    """Of the probabilities; nan where one of them never changes."""
    max_logp_gap: float
    router_L: tuple[float, ...]
    """By layer: share of the engine's choices that the trainer's router makes when it is free,
    in all layers at once."""
    skipped: int
    """Completions that hold tokens of other versions, which were left out."""

    def metrics(self) -> dict[str, float]:
        figures = {
            "gate_kl": self.kl,
            "gate_max": self.max_logp_gap,
            "gate_router": min(self.router_L),
            "gate_tokens": self.tokens,
        }
        return figures if np.isnan(self.pearson) else figures | {"gate_pearson": self.pearson}

    def failures(self, config: GateConfig) -> list[str]:
        """What is beyond its threshold, in words."""
        lowest = min(range(len(self.router_L)), key=self.router_L.__getitem__)
        failed = []
        if not self.kl <= config.kl:
            failed.append(f"KL {self.kl:.1e} (at most {config.kl:.1e})")
        if self.pearson < config.pearson:
            failed.append(f"Pearson r {self.pearson:.5f} (at least {config.pearson})")
        if config.max_gap is not None and not self.max_logp_gap <= config.max_gap:
            failed.append(
                f"a log-probability off by {self.max_logp_gap:.2g} (at most {config.max_gap:.2g})"
            )
        if config.agreement is not None and self.router_L[lowest] < config.agreement:
            failed.append(
                f"router agreement {self.router_L[lowest]:.3f} in layer {lowest} "
                f"(at least {config.agreement})"
            )
        return failed


def check(
    model: ZayaForCausalLM,
    completions: Sequence[Completion],
    config: GateConfig,
    *,
    version: int,
    runner: Runner | None = None,
    temperature: float = 1.0,
    tokens_per_microbatch: int = 24576,
) -> Agreement:
    """Measure, and raise MismatchError beyond a threshold.

    `version` is the trainer's: only completions drawn by it from their first token to their last
    can be compared. `runner` is the engine's, where it lives in this process: with it a difference
    can be followed to its layer.
    """
    found = measure(
        model, completions, version=version, temperature=temperature,
        tokens_per_microbatch=tokens_per_microbatch,
    )  # fmt: skip
    failed = found.failures(config)
    if failed:
        usable = _of_version(completions, version)
        cause = diagnose(model, usable, runner, temperature)
        raise MismatchError(
            f"engine and trainer disagree: {', '.join(failed)}. {cause.what}",
            f"{cause.remedy}; if the difference is meant, raise the [gate] thresholds",
        )
    return found


@torch.no_grad()
def measure(
    model: ZayaForCausalLM,
    completions: Sequence[Completion],
    *,
    version: int,
    temperature: float = 1.0,
    tokens_per_microbatch: int = 24576,
) -> Agreement:
    """Figures over all tokens of the completions that `version` alone drew. Raises EngineError for
    malformed completions, and where none is of this version."""
    for c in completions:
        check_completion(c, model.config, newest=version)
    usable = _of_version(completions, version)
    if not usable:
        drawn = sorted({int(v) for c in completions for v in c.policy_version})
        raise EngineError(
            f"the gate compares weights of version {version}, but the engine's tokens are of "
            f"{drawn or 'no version'}: it has not taken the new weights",
            "publish the weights to the engine, then draw the gate's completions",
        )
    logp, same, positions = [], 0, 0
    for part in microbatches([Rollout(c, 0.0) for c in usable], tokens_per_microbatch):
        cs = [r.completion for r in part]
        logp.append(token_logprobs(model, cs, temperature=temperature)[0].cpu())
        _, _, free_NL = token_logprobs(model, cs, replay=False)
        theirs_NL = experts_of(cs)
        same = same + (free_NL.cpu() == theirs_NL).sum(0)
        positions += len(theirs_NL)
    assert isinstance(same, Tensor)
    behaviour_N = torch.from_numpy(np.concatenate([c.logprobs for c in usable]))
    drift = mismatch(torch.cat(logp), behaviour_N)
    return Agreement(
        len(behaviour_N), drift.kl, drift.pearson, drift.max_logp_gap,
        tuple((same / positions).tolist()), len(completions) - len(usable),
    )  # fmt: skip


def experts_of(completions: Sequence[Completion]) -> Tensor:
    """(N, L) choices at all positions that were fed, end to end."""
    rows = [c.experts for c in completions if c.experts is not None]
    assert len(rows) == len(completions)
    return torch.from_numpy(np.concatenate(rows)).long()


def check_completion(c: Completion, config: ModelConfig, *, newest: int) -> None:
    """EngineError for what no honest engine sends: such a rollout would be a wrong gradient or a
    crash. `newest` is the last version that was published."""
    tokens, fed = len(c.token_ids), len(c.prompt_ids) + len(c.token_ids) - 1
    classes = config.num_experts + (config.skip_expert != "none")
    wrong = None
    if not tokens or not len(c.prompt_ids):
        wrong = "it holds no token"
    elif not tokens == len(c.logprobs) == len(c.policy_version):
        wrong = (
            f"{tokens} tokens come with {len(c.logprobs)} log-probabilities and "
            f"{len(c.policy_version)} versions"
        )
    elif not 0 <= c.token_ids.min() <= c.token_ids.max() < config.vocab_size:
        wrong = f"it has token ids outside 0..{config.vocab_size - 1}"
    elif not np.isfinite(c.logprobs).all():
        wrong = f"log-probability {int(np.argmin(np.isfinite(c.logprobs)))} is not a finite number"
    elif c.logprobs.max() > _ROUNDING:
        wrong = f"a log-probability is {c.logprobs.max():.3g}, above 0"
    elif (np.diff(c.policy_version) < 0).any():
        wrong = "its weights' versions go backwards"
    elif c.policy_version[-1] > newest:
        wrong = f"it claims weights of version {c.policy_version[-1]}, the newest are {newest}"
    elif c.experts is None:
        wrong = "it comes without the router's choices, which training replays"
    elif c.experts.shape != (fed, config.num_hidden_layers):
        shape = (fed, config.num_hidden_layers)
        wrong = f"router choices are {c.experts.shape}, not {shape} (positions fed, layers)"
    elif c.experts.max() >= classes:
        wrong = f"a router choice is {c.experts.max()}, the model has {classes} classes"
    if wrong is not None:
        raise EngineError(
            f"a completion cannot be trained on: {wrong}",
            "check that the sampler serves this model, and with return_experts",
        )


def _of_version(completions: Sequence[Completion], version: int) -> list[Completion]:
    return [c for c in completions if (c.policy_version == version).all()]
