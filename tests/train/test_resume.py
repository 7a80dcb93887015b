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
elif phase == "forward":
    loop.next_token_loss = when(loop.next_token_loss, False)
elif phase == "backward":
    torch.Tensor.backward = when(torch.Tensor.backward, False)
elif phase == "optimizer":  # weights have moved, balancing biases have not
    loop.BiasBalancer.update = when(loop.BiasBalancer.update, True)
elif phase == "log":
    RunDir.log = when(RunDir.log, False)
elif phase == "mid-save":
    checkpoint.save_model = when(checkpoint.save_model, False)
elif phase == "before-rename":
    checkpoint.write_manifest = when(checkpoint.write_manifest, False)
elif phase == "before-pointer":
    save_pointer = checkpoint.os.replace
    def replace(source, target):
        if Path(target).name == "latest":
            return when_pointer(source, target)
        return save_pointer(source, target)
    when_pointer = when(save_pointer, True)
    checkpoint.os.replace = replace
elif phase == "after-pointer":
    checkpoint.Saver._drop_old = when(checkpoint.Saver._drop_old, True)

if forget:  # negative control: a checkpoint that loses one piece of state
    load = checkpoint.load_state
    def lossy(path):
        state = load(path)
        if forget == "balancer":
            state["balancer"] = {k: v * 0 for k, v in state["balancer"].items()}
        elif forget == "momentum":
            for s in state["optimizers"].values():
                if "momentum_buffer" in s:
                    s["momentum_buffer"] = s["momentum_buffer"] * 0
        elif forget == "adam":
            for s in state["optimizers"].values():
                if "exp_avg" in s:
                    s["exp_avg"] = s["exp_avg"] * 0
        elif forget == "step":
            state["step"] += 1
        elif forget == "source":
            state["source"]["trimmed"] = {k: 0 for k in state["source"]["trimmed"]}
        return state
    checkpoint.load_state = lossy

config = load_recipe(TrainConfig, recipe)
with RunDir.create(out, config, resume=True) as run:
    loop.train(config, run)
"""

RECIPE = f"""
seed = 3
steps = {STEPS}
checkpoint = {{ every = {EVERY}, in_background = BACKGROUND }}
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


def run(folder: Path, moment: str = "", forget: str = "", background: str = "false") -> int:
    recipe = folder.parent / "recipe.toml"
    recipe.write_text(RECIPE.replace("BACKGROUND", background))
    command = [sys.executable, "-c", SCRIPT, str(recipe), str(folder), moment, forget]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


def trace(folder: Path) -> tuple[list[str], str, str]:
    """Every step's loss as a hex float, a hash of the final weights, and what the run reports."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [f"{m['step']}:{m['loss'].hex()}" for m in lines if "loss" in m]
    weights = folder / "checkpoints" / f"step_{STEPS:06d}" / "model.safetensors"
    result = json.loads((folder / "result.json").read_text())
    return losses, hashlib.sha256(weights.read_bytes()).hexdigest(), str(result["trimmed"])


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str, str]:
    folder = tmp_path_factory.mktemp("golden") / "run"
    assert run(folder) == 0
    return trace(folder)


STEP_PHASES = ("data", "forward", "backward", "optimizer", "log")
SAVE_PHASES = ("mid-save", "before-rename", "before-pointer", "after-pointer")
SAVES = 4  # after steps 3, 6, 9 and at the end
IN_STEPS = [f"{p}:{s}" for p in STEP_PHASES for s in range(1, STEPS + 1)]
IN_SAVES = [f"{p}:{s}" for p in SAVE_PHASES for s in range(1, SAVES + 1)]
BESIDE_SAVES = [f"{p}:{s}" for p in STEP_PHASES for s in (EVERY + 1, 2 * EVERY + 1)]
EVERYWHERE = [(m, "false") for m in IN_STEPS + IN_SAVES]
EVERYWHERE += [(m, "true") for m in BESIDE_SAVES + IN_SAVES]
ALWAYS = {("data:5", "false"), ("backward:8", "false"), ("optimizer:2", "false")}
ALWAYS |= {("mid-save:2", "false"), ("before-pointer:3", "true"), ("forward:4", "true")}


@pytest.mark.parametrize(
    ("moment", "background"),
    [m if m in ALWAYS else pytest.param(*m, marks=pytest.mark.slow) for m in EVERYWHERE],
)
def test_killed_run_ends_like_the_golden_one(
    tmp_path: Path, golden: tuple[list[str], str, str], moment: str, background: str
) -> None:
    """At every step and in every phase, also while the save runs beside the next steps."""
    folder = tmp_path / "run"
    assert run(folder, moment, background=background) == -signal.SIGKILL
    assert run(folder, background=background) == 0
    assert trace(folder) == golden


@pytest.mark.parametrize("forget", ["balancer", "momentum", "adam", "step", "source"])
def test_each_piece_of_state_matters(
    tmp_path: Path, golden: tuple[list[str], str, str], forget: str
) -> None:
    folder = tmp_path / "run"
    assert run(folder, "data:8") == -signal.SIGKILL
    run(folder, forget=forget)
    assert trace(folder) != golden
