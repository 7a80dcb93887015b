"""p* by hand, and through a checkpoint."""

from __future__ import annotations

import json

import pytest

from openzaya.rl.solve_rate import SolveRates


def test_running_maximum_of_a_moving_average() -> None:
    rates = SolveRates(decay=0.5)
    assert rates.best("a") == 0
    rates.record({"a": [0.25, 0.75]})
    assert rates.best("a") == 0.5  # the first step starts the average
    rates.record({"a": [1.0]})
    assert rates.best("a") == 0.75
    rates.record({"a": [0.0], "b": [0.1]})
    assert (rates.best("a"), rates.best("b")) == (0.75, 0.1)  # the average falls, p* does not
    assert rates.rates["a"].average == 0.375
    rates.record({"a": []})
    rates.record({})
    assert rates.rates["a"].average == 0.375  # no group, no news


def test_one_lucky_step_does_not_raise_it_for_good() -> None:
    smooth, raw = SolveRates(0.9), SolveRates(0.0)
    for step in range(100):
        rate = 1.0 if step == 50 else 0.4
        smooth.record({"a": [rate]})
        raw.record({"a": [rate]})
    assert smooth.best("a") == pytest.approx(0.46) and raw.best("a") == 1.0


def test_goes_on_from_a_checkpoint() -> None:
    whole, first = SolveRates(), SolveRates()
    for step in range(10):
        whole.record({"a": [step / 10]})
    for step in range(5):
        first.record({"a": [step / 10]})
    second = SolveRates()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for step in range(5, 10):
        second.record({"a": [step / 10]})
    assert second.rates == whole.rates
