"""Under torchrun a stage is the stage of one process, and its checkpoints are anybody's."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

STEPS = 6

RECIPE = """
steps = {steps}
checkpoint.every = 3
dev.every = 3
dev.windows = 4

[model]
vocab_size = 320
hidden_size = 32
num_hidden_layers = 3
num_attention_heads = 4
num_key_value_heads = 2
head_dim = 16
num_experts = 4
moe_intermediate_size = 32
router_hidden_size = 16

[schedule]
warmup_steps = 2

[data]
folder = "{folder}/built"
window = 64
train_vocabulary = 320
held_out = 0.2
windows_per_step = 8

[data.sources.text]
path = "{folder}/text.jsonl"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("ranks"), random.Random(0)
    words = ["the", "sum", "of", "two", "positive", "numbers", "is", "larger", "than", "either"]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 60))) for _ in range(300)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder, steps=STEPS))
    return folder / "recipe.toml"


def train(ranks: int, recipe: Path, out: Path, *rest: str) -> list[dict[str, Any]]:
    """`zaya train`, with or without torchrun; returns the metrics."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [
        sys.executable, *(torchrun if ranks > 1 else []), "-m", "openzaya.cli",
        "train", str(recipe), str(out), *rest,
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(metrics: list[dict[str, Any]]) -> list[float]:
    found = [m["loss"] for m in metrics if "loss" in m]
    assert len(found) == STEPS
    return found + [m["held_out_loss"] for m in metrics if "held_out_loss" in m]


@pytest.fixture(scope="module")
def alone(recipe: Path) -> Path:
    out = recipe.parent / "alone"
    train(1, recipe, out)
    return out


def values(run: Path) -> list[float]:
    return losses([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])


SPREADS = [
    (2, []),
    pytest.param(2, ["parallel.context=2"], marks=pytest.mark.slow),
    pytest.param(2, ["parallel.replicate=2", "parallel.recompute=true"], marks=pytest.mark.slow),
    pytest.param(4, ["parallel.context=2", "parallel.expert=2"], marks=pytest.mark.slow),
    pytest.param(4, ["parallel.replicate=2", "parallel.expert=2"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("ranks", "spread"), SPREADS)
def test_the_same_losses_on_any_mesh(
    ranks: int, spread: list[str], recipe: Path, alone: Path, tmp_path: Path
) -> None:
    # Micro-batches of one window as well: ranks must make as many.
    spread = [*spread, "tokens_per_microbatch=64"]
    together = losses(train(ranks, recipe, tmp_path / "run", *spread))
    assert together == pytest.approx(values(alone), rel=2e-5)
    # The check can fail: without its share of the batch, each rank trains on all of it.
    assert values(alone)[1:] != pytest.approx(values(alone)[:-1], rel=2e-5)


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_checkpoint_of_four_ranks_goes_on_with_others(
    ranks: int, recipe: Path, alone: Path, tmp_path: Path
) -> None:
    """The state that four ranks left behind is whole: fewer go on as if they had always been."""
    out = tmp_path / "run"
    train(4, recipe, out, "parallel.expert=2", "parallel.context=2")
    assert sorted(p.name for p in (out / "checkpoints").glob("step_*")) == [
        "step_000003", "step_000006",
    ]  # fmt: skip
    whole = load_file(out / "checkpoints" / "step_000006" / "model.safetensors")
    other = load_file(alone / "checkpoints" / "step_000006" / "model.safetensors")
    assert {k: v.shape for k, v in whole.items()} == {k: v.shape for k, v in other.items()}
    # As after a kill at step 5: the last checkpoint and everything after it are gone.
    (out / "result.json").unlink()
    (out / "checkpoints" / "latest").write_text("step_000003")
    metrics = train(ranks, recipe, out)
    assert losses(metrics) == pytest.approx(values(alone), rel=2e-5)


@pytest.mark.slow
def test_a_stall_of_one_rank_ends_all_and_the_same_line_goes_on(
    recipe: Path, tmp_path: Path
) -> None:
    hang = tmp_path / "hang.py"
    hang.write_text(
        "import os, sys, time\n"
        "from openzaya.train import loop\n"
        "step = loop.Trainer._batch\n"
        "def batch(self, index):\n"
        "    if index == 4 and self.world.rank == 1:\n"
        "        time.sleep(600)\n"
        "    return step(self, index)\n"
        "loop.Trainer._batch = batch\n"
        "from openzaya.cli.__main__ import main\n"
        "main()\n"
    )
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(hang), "train", str(recipe), str(out), "watch.stall_seconds=20",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode and "step 5: nothing happened for 20 s; the same line" in ended.stderr
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert [e["batch"] for e in json.loads((out / "skipped.json").read_text())] == [4]
    assert values(out)
