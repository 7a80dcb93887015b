"""Corner values of the three schedules."""

from __future__ import annotations

import pytest

from openzaya.config.optim import ScheduleConfig
from openzaya.errors import ConfigError
from openzaya.optim.schedule import lr_factor


def test_warmup_is_linear_and_never_zero() -> None:
    cfg = ScheduleConfig(kind="constant", warmup_steps=4)
    assert [lr_factor(s, 10, cfg) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine() -> None:
    cfg = ScheduleConfig(kind="cosine", warmup_steps=10, final_ratio=0.2)
    assert lr_factor(10, 110, cfg) == 1.0
    assert lr_factor(60, 110, cfg) == pytest.approx(0.6)
    assert lr_factor(110, 110, cfg) == pytest.approx(0.2)
    assert lr_factor(500, 110, cfg) == pytest.approx(0.2)
    falling = [lr_factor(s, 110, cfg) for s in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


def test_wsd_holds_then_falls_linearly() -> None:
    cfg = ScheduleConfig(kind="wsd", warmup_steps=2, decay_steps=4, final_ratio=0.0)
    factors = [lr_factor(s, 10, cfg) for s in range(11)]
    assert factors == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_run_that_is_all_warmup() -> None:
    cfg = ScheduleConfig(kind="cosine", warmup_steps=3, final_ratio=0.5)
    assert lr_factor(2, 3, cfg) == 1.0
    assert lr_factor(3, 3, cfg) == 1.0


def test_schedule_that_does_not_fit() -> None:
    cfg = ScheduleConfig(kind="wsd", warmup_steps=6, decay_steps=5)
    with pytest.raises(ConfigError, match="do not fit in 10") as error:
        lr_factor(0, 10, cfg)
    assert "warmup_steps" in error.value.hint


@pytest.mark.parametrize("fields", [{"kind": "wsd"}, {"kind": "cosine", "decay_steps": 5}])
def test_decay_steps_belong_to_wsd(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="decay_steps"):
        ScheduleConfig(**fields)  # type: ignore[arg-type]
