"""A run killed with SIGKILL at any moment ends as if it had not been."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STEPS, EVERY = 10, 3

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from openzaya.config.base import load_recipe
from openzaya.config.train import TrainConfig
from openzaya.run_dir import RunDir
from openzaya.train import checkpoint, loop

recipe, out, moment, forget = sys.argv[1:5]
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
phase, _, at = moment.partition(":")
count = 0

def when(function, before):
    def wrapped(*args, **kwargs):
        global count
        count += 1
        if before and count == int(at):
            kill()
        result = function(*args, **kwargs)
        if not before and count == int(at):
            kill()
        return result
    return wrapped

if phase == "data":
    loop.ExampleSource.batch = when(loop.ExampleSource.batch, True)
elif phase == "backward":
    torch.Tensor.backward = when(torch.Tensor.backward, False)
elif phase == "optimizer":
    loop.BiasBalancer.update = when(loop.BiasBalancer.update, True)
elif phase == "mid-save":
    checkpoint.save_model = when(checkpoint.save_model, False)
elif phase == "before-pointer":
    checkpoint.os.replace = when(checkpoint.os.replace, True)

if forget:  # negative control: a checkpoint that loses one piece of state
    load = checkpoint.load_state
    def lossy(path):
        state = load(path)
        if forget == "balancer":
            state["balancer"] = {k: v * 0 for k, v in state["balancer"].items()}
        elif forget == "momentum":
            for s in state["optimizers"]["muon"]["state"].values():
                for k in s:
                    s[k] = s[k] * 0
        elif forget == "adam":
            for s in state["optimizers"]["adamw"]["state"].values():
                s["exp_avg"] = s["exp_avg"] * 0
        elif forget == "step":
            state["step"] += 1
        return state
    checkpoint.load_state = lossy

config = load_recipe(TrainConfig, recipe)
with RunDir.create(out, config, resume=True) as run:
    loop.train(config, run)
"""

RECIPE = f"""
seed = 3
steps = {STEPS}
checkpoint.every = {EVERY}
[tasks.spell_backward]
environment = "spell_backward"
[tasks.running_total]
environment = "running_total"
params = {{ min_steps = 3, max_steps = 5 }}
[model]
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 2
head_dim = 8
num_experts = 4
moe_intermediate_size = 16
router_hidden_size = 8
max_position_embeddings = 512
[examples]
per_step = 6
aggregation_share = 0.5
[optim]
lr = 0.01
[schedule]
warmup_steps = 2
[balance]
lr = 0.01
[dev]
every = 5
problems = 2
"""


def run(folder: Path, moment: str = "", forget: str = "") -> int:
    recipe = folder.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    command = [sys.executable, "-c", SCRIPT, str(recipe), str(folder), moment, forget]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


def trace(folder: Path) -> tuple[list[str], str]:
    """Every step's loss as a hex float, and a hash of the final weights."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [f"{m['step']}:{m['loss'].hex()}" for m in lines if "loss" in m]
    weights = folder / "checkpoints" / f"step_{STEPS:06d}" / "model.safetensors"
    return losses, hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    folder = tmp_path_factory.mktemp("golden") / "run"
    assert run(folder) == 0
    return trace(folder)


@pytest.mark.parametrize(
    "moment", ["data:5", "backward:8", "optimizer:2", "mid-save:2", "before-pointer:6"]
)
def test_killed_run_ends_like_the_golden_one(
    tmp_path: Path, golden: tuple[list[str], str], moment: str
) -> None:
    folder = tmp_path / "run"
    assert run(folder, moment) == -signal.SIGKILL
    assert run(folder) == 0
    assert trace(folder) == golden


@pytest.mark.parametrize("forget", ["balancer", "momentum", "adam", "step"])
def test_each_piece_of_state_matters(
    tmp_path: Path, golden: tuple[list[str], str], forget: str
) -> None:
    folder = tmp_path / "run"
    assert run(folder, "data:8") == -signal.SIGKILL
    run(folder, forget=forget)
    assert trace(folder) != golden
