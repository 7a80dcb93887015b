"""How well each source has been solved so far: p* of the length reward (report, Eq. 8-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Rate:
    """Of one source: the moving average of its steps' mean solve rates, and its highest value."""

    average: float
    best: float


class SolveRates:
    """p* of every data source or environment: the running maximum of an exponential moving
    average of the step-mean solve rate (DEFAULT: the report says running maximum alone, which one
    lucky step would raise for good). Its state belongs in the checkpoint.
    """

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay
        self.rates: dict[str, Rate] = {}

    def best(self, source: str) -> float:
        """p*, of the steps before this one; 0 for a source that was never seen."""
        rate = self.rates.get(source)
        return 0.0 if rate is None else rate.best

    def record(self, solved: Mapping[str, Sequence[float]]) -> None:
        """One step: the solve rates of its groups, all of them, dropped ones included, by source.
        A source without a group in the step keeps its values."""
        for source, rates in solved.items():
            if not rates:
                continue
            mean = sum(rates) / len(rates)
            rate = self.rates.get(source)
            if rate is None:
                self.rates[source] = Rate(mean, mean)
            else:
                rate.average = self.decay * rate.average + (1 - self.decay) * mean
                rate.best = max(rate.best, rate.average)

    def state_dict(self) -> dict[str, Any]:
        return {source: asdict(rate) for source, rate in self.rates.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rates = {source: Rate(**values) for source, values in state.items()}
