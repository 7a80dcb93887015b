"""Validation accuracy: on validation problems, within the budget, and what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from openzaya.config.base import load_recipe
from openzaya.config.train import DevConfig, TrainConfig
from openzaya.envs import Problems, build
from openzaya.run_dir import RunDir
from openzaya.train.dev import DevSet
from openzaya.train.loop import Trainer, train
from openzaya.types import Completion, FinishReason, Request, ThinkIds

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny" / "pretrain.toml"
ENVS = {"spell_backward": build("spell_backward", {}), "running_total": build("running_total", {})}


class Speller:
    """Spells every word backward, and knows nothing else."""

    think_ids = ThinkIds(0, 1, 2)

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        self.requests += requests
        none = np.zeros(1)
        return [
            Completion(none, none, none, none, FinishReason.STOP, "", "", self.answer(r))
            for r in requests
        ]

    def answer(self, request: Request) -> str:
        return request.messages[0].content.split()[-1][::-1]

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        raise NotImplementedError


def small(folder: Path, *overrides: str) -> TrainConfig:
    quick = ("steps=2", "schedule.warmup_steps=1", "examples.per_step=2", "dev.problems=2")
    return load_recipe(TrainConfig, RECIPE, [*quick, *overrides])


@pytest.mark.parametrize(("own", "used"), [(None, 24), (72, 72)])
def test_accuracy_is_that_of_validation_problems(
    tmp_path: Path, own: int | None, used: int
) -> None:
    sampler = Speller()
    config = small(tmp_path)
    with RunDir.create(tmp_path / "run", config) as run:
        dev = DevSet(ENVS, DevConfig(problems=5, budget=own), budget=24, difficulties={})
        assert dev.accuracy(sampler, run, step=3) == 0.5
        (line,) = run.metrics()
    assert line["dev"] == {"spell_backward": 1.0, "running_total": 0.0} and line["step"] == 3
    assert {r.params.max_tokens for r in sampler.requests} == {used}
    wanted = {p.prompt for env in ENVS.values() for p in Problems(env, "dev").distinct(5)}
    assert {r.messages[0].content for r in sampler.requests} == wanted


@pytest.mark.parametrize(("accuracy", "steps"), [(0.9, 1), (0.1, 2)])
def test_a_run_killed_after_its_trigger_does_not_train_on(
    tmp_path: Path, accuracy: float, steps: int
) -> None:
    """Its last checkpoint was written, its result was not."""
    config = small(tmp_path, "dev.stop_at=0.5", "dev.every=1000")
    with RunDir.create(tmp_path / "run", config) as run:
        trainer = Trainer(config, run)
        trainer.train_step()
        run.log(1, dev_accuracy=accuracy, dev={}, seconds=0.0)
        trainer.save()
    with RunDir.create(tmp_path / "run", config, resume=True) as run:
        result = train(config, run)
    assert result.steps == steps
    assert result.stopped_by == ("trigger" if steps == 1 else "steps")
