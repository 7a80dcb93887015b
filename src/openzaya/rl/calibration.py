"""Where to begin: each environment's difficulty with a pass rate of one half, found by asking.

    p(d) = 1 / (1 + exp((d - mu) / s))

Particles (mu, s) carry one prior that all environments share; each environment reweights its own
copy by what its groups of G rollouts solved (report arXiv 2605.05365, RLVE-Gym stage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from openzaya.config.curriculum import CalibrationConfig


class Calibrator:
    """One environment. Results may come late: each carries the difficulty it was drawn at."""

    def __init__(self, config: CalibrationConfig, seed: int) -> None:
        self.config = config
        self._rng = np.random.default_rng(seed)
        m = config.particles
        self.mu_M = self._rng.normal(config.mean, config.mean_spread, m)
        self.s_M = np.abs(self._rng.normal(config.scale, config.scale_spread, m)) + 0.3
        self.logw_M = np.zeros(m)
        self.history: list[tuple[int, int, int]] = []
        """(difficulty, rollouts, successes), oldest first."""

    def propose(self) -> int:
        """The difficulty to ask next: a particle's guess of where the target pass rate lies."""
        config = self.config
        j = self._rng.choice(len(self.mu_M), p=self._weights())
        target = config.target
        if self._rng.random() < config.explore:
            target += self._rng.uniform(-config.spread, config.spread)
        d = self.mu_M[j] + self.s_M[j] * math.log((1 - target) / target)
        return max(0, round(float(d)))

    def record(self, difficulty: int, rollouts: int, successes: int) -> None:
        """Reweight; draw particles anew once too few of them carry the weight."""
        assert 0 <= successes <= rollouts
        self.history.append((difficulty, rollouts, successes))
        self.logw_M += self._log_likelihood(difficulty, rollouts, successes)
        if 1 / np.square(self._weights()).sum() < self.config.particles / 2:
            self._resample()

    def estimate(self) -> int:
        """The difficulty at which the posterior's mean pass rate is nearest to the target."""
        top = max([d for d, _, _ in self.history], default=0) + 2
        rates = [self.pass_rate(d) for d in range(top + 1)]
        return int(np.argmin(np.abs(np.array(rates) - self.config.target)))

    def pass_rate(self, difficulty: float) -> float:
        """Posterior mean of p(difficulty)."""
        return float(self._weights() @ self._p(difficulty))

    def _p(self, d: float) -> np.ndarray:
        return 1 / (1 + np.exp(np.clip((d - self.mu_M) / self.s_M, -60, 60)))

    def _log_likelihood(self, d: float, n: float, k: float) -> np.ndarray:
        p = np.clip(self._p(d), 1e-9, 1 - 1e-9)
        return k * np.log(p) + (n - k) * np.log1p(-p)

    def _weights(self) -> np.ndarray:
        w = np.exp(self.logw_M - self.logw_M.max())
        return w / w.sum()

    def _resample(self) -> None:
        """With replacement and a little movement; then weights from the whole history, in which a
        result counts `decay` times the one after it (report)."""
        config, m = self.config, len(self.mu_M)
        keep = self._rng.choice(m, m, p=self._weights())
        mu_jitter, s_jitter = (config.jitter * x.std() for x in (self.mu_M, self.s_M))
        self.mu_M = self.mu_M[keep] + self._rng.normal(0, mu_jitter, m)
        self.s_M = np.maximum(np.abs(self.s_M[keep] + self._rng.normal(0, s_jitter, m)), 0.05)
        self.logw_M = np.zeros(m)
        last = len(self.history) - 1
        for i, (d, n, k) in enumerate(self.history):
            weight = config.decay ** (last - i)
            self.logw_M += self._log_likelihood(d, weight * n, weight * k)

    def state_dict(self) -> dict[str, Any]:
        return {
            "mu": self.mu_M.tolist(), "s": self.s_M.tolist(), "logw": self.logw_M.tolist(),
            "history": [list(h) for h in self.history], "rng": self._rng.bit_generator.state,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mu_M, self.s_M, self.logw_M = (np.array(state[k]) for k in ("mu", "s", "logw"))
        self.history = [(int(d), int(n), int(k)) for d, n, k in state["history"]]
        self._rng.bit_generator.state = state["rng"]
