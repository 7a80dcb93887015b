"""What one trainer step's groups look like, as metrics for `run.log`.

Figures of the gradient (entropy, masked shares by sign, mismatch, effective sample size) come from
`trainer.StepStats.metrics`; these come from the rollouts alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openzaya.evals.stats import pass_at_k
from openzaya.rl.monitors import (
    GIBBERISH_ABOVE,
    compressibility,
    is_degenerate,
    is_gibberish,
    rare_token_fraction,
)
from openzaya.types import Completion, FinishReason, Score

RARE = {"10": 0.1, "5": 0.05, "2": 0.02, "1": 0.01}
"""The report's top shares of the id range, in percent."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One whole group: where its prompt is from, its rollouts and their verdicts, in one order."""

    source: str
    completions: Sequence[Completion]
    scores: Sequence[Score]
    rewards: Sequence[float] | None = None
    """What is trained on, where it is not 1 for correct (a canary zeroed it, a reward model)."""


def step_metrics(
    groups: Sequence[Judged],
    *,
    vocab_size: int,
    version: int,
    waited: Mapping[str, float] | None = None,
    gibberish_above: int = GIBBERISH_ABOVE,
) -> dict[str, Any]:
    """Plain JSON values. `version` is the one being trained (staleness is counted from it),
    `waited` seconds by who waited. Empty without a completion."""
    done = [c for group in groups for c in group.completions]
    if not done:
        return {}
    ids_N = np.concatenate([c.token_ids for c in done])
    rare = {name: rare_token_fraction(ids_N, vocab_size, top) for name, top in RARE.items()}
    gibberish = [is_gibberish(c.token_ids, c.logprobs, vocab_size, gibberish_above) for c in done]
    ratios = [r.min() for c in done if (r := compressibility(c.token_ids)).size]
    return {
        "groups": len(groups),
        "rollouts": len(done),
        **response_lengths(done),
        "truncated": _share([c.finish_reason is FinishReason.LENGTH for c in done]),
        **solving(groups),
        "outcomes": outcomes(groups),
        "format_ok": _share([s.format_ok for g in groups for s in g.scores]),
        "rare_tokens": rare,
        "gibberish": _share(gibberish),
        "degenerate": _share([is_degenerate(c.token_ids) for c in done]),
        "compressibility_min": float(min(ratios, default=1.0)),
        "staleness": staleness_histogram(done, version),
        "waited": dict(waited or {}),
    }


def response_lengths(completions: Sequence[Completion]) -> dict[str, float]:
    """Tokens of a response: mean, median, and what nine of ten stay below."""
    lengths = np.array([len(c.token_ids) for c in completions])
    p50, p90 = np.percentile(lengths, [50, 90])
    return {
        "response_tokens": float(lengths.mean()),
        "response_p50": float(p50),
        "response_p90": float(p90),
    }


def solving(groups: Sequence[Judged]) -> dict[str, Any]:
    """Rewards by source, groups without contrast by kind, and pass@k inside the groups for k = 1,
    2, 4, ... up to their size, which is the same for all."""
    rewards = [
        [float(s.correct) for s in g.scores] if g.rewards is None else list(g.rewards)
        for g in groups
    ]
    by_source: dict[str, list[float]] = {}
    for group, reward in zip(groups, rewards, strict=True):
        by_source.setdefault(group.source, []).extend(reward)
    correct_PG = np.array([[s.correct for s in g.scores] for g in groups])
    ks = [2**i for i in range(correct_PG.shape[1].bit_length())]
    return {
        "reward": _share([r for reward in rewards for r in reward]),
        "reward_by_source": {name: _share(by_source[name]) for name in sorted(by_source)},
        "all_wrong": int((~correct_PG.any(1)).sum()),
        "all_right": int(correct_PG.all(1).sum()),
        "pass_at": {str(k): pass_at_k(correct_PG, k).mean for k in ks},
    }


def outcomes(groups: Sequence[Judged]) -> dict[str, int]:
    """Verdicts counted by kind; kinds that did not occur are left out."""
    return dict(sorted(Counter(s.outcome.value for g in groups for s in g.scores).items()))


def staleness_histogram(
    completions: Sequence[Completion], version: int
) -> dict[str, dict[str, int]]:
    """Rollouts by staleness, in trainer steps, and by where it arose.

    total: from the version of the oldest token to the one being trained. in_flight: from the oldest
    token's to the newest's, while it was being drawn. queue: the rest: the wait for the trainer,
    and for weights that were behind it when the last token was drawn.
    """
    parts: dict[str, Counter[int]] = {
        "total": Counter(),
        "in_flight": Counter(),
        "queue": Counter(),
    }
    for c in completions:
        if not len(c.policy_version):
            continue
        oldest, newest = int(c.policy_version.min()), int(c.policy_version.max())
        parts["total"][version - oldest] += 1
        parts["in_flight"][newest - oldest] += 1
        parts["queue"][version - newest] += 1
    return {
        name: {str(steps): counts[steps] for steps in sorted(counts)}
        for name, counts in parts.items()
    }


def _share(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
