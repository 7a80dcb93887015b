"""An RL run killed with SIGKILL ends as if it had not been, bit for bit."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.config.train import ThinkConfig
from openzaya.envs import build
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.train.examples import build_tokenizer

STEPS, EVERY = 5, 2

SCRIPT = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from openzaya.config.base import load_recipe
from openzaya.config.rl import RLConfig
from openzaya.envs.running_total import RunningTotal
from openzaya.rl import loop
from openzaya.run_dir import RunDir
from openzaya.train import checkpoint
from openzaya.types import Outcome, Score

recipe, out, kill_at, forget = sys.argv[1:5]

# Fresh weights never solve a problem; closing the think block is something they can be taught.
def score(self, problem, answer):
    closed = answer is not None
    return Score(float(closed), Outcome.CORRECT if closed else Outcome.WRONG)
RunningTotal.score = score

accumulate, calls = loop.accumulate, 0
def counted(*args, **kwargs):
    global calls
    result = accumulate(*args, **kwargs)  # rollouts are drawn and gradients are there
    calls += 1
    if calls == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
loop.accumulate = counted

if forget:  # negative control: a checkpoint that loses one piece of state
    load = checkpoint.load_state
    def lossy(path):
        state = load(path)
        if forget == "buffer":
            state["prompts"]["buffer"] = []
        elif forget == "flight":
            state["flight"]["started"] = state["flight"]["version"] = state["step"] = 0
            state["flight"]["flying"] = []
        elif forget == "adam":
            for s in state["optimizers"].values():
                if "exp_avg" in s:
                    s["exp_avg"] = s["exp_avg"] * 0
        return state
    checkpoint.load_state = lossy

with RunDir.create(out, load_recipe(RLConfig, recipe), resume=True) as run:
    loop.reinforce(load_recipe(RLConfig, recipe), run)
"""

RECIPE = """
seed = 4
steps = {steps}
checkpoint.every = {every}
init_from = "{init}"
prompts_per_step = 4
group_size = 4
aggregation_share = 0.5
[tasks.running_total]
environment = "running_total"
params = {{ min_steps = 3, max_steps = 5 }}
[think]
budget = 12
tail = 6
candidates = 2
[optim]
lr = 0.02
adam_lr = 0.01
momentum = 0.0
weight_decay = 0.0
[dev]
every = 3
problems = 2
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An RL run on fresh weights."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("rl")
    env = build("running_total", {"min_steps": 3, "max_steps": 5})
    tokenizer = build_tokenizer({"running_total": env}, ThinkConfig(candidates=2))
    shape = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=16,
        router_hidden_size=8, max_position_embeddings=512,
    )  # fmt: skip
    init = folder / "init"
    init.mkdir()
    save_model(ZayaForCausalLM(shape).initialise(0), init)
    tokenizer.save(init)
    path = folder / "rl.toml"
    path.write_text(RECIPE.format(steps=STEPS, every=EVERY, init=init))
    return path


def run(recipe: Path, folder: Path, kill_at: int = 0, forget: str = "") -> int:
    command = [sys.executable, "-c", SCRIPT, str(recipe), str(folder), str(kill_at), forget]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


def metrics(folder: Path) -> list[dict[str, Any]]:
    """What was logged, without what a clock measured."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def final(folder: Path) -> str:
    return weights(folder / "checkpoints" / f"step_{STEPS:06d}")


@pytest.fixture(scope="module")
def golden(recipe: Path) -> Path:
    folder = recipe.parent / "golden"
    assert run(recipe, folder) == 0
    return folder


@pytest.fixture(scope="module")
def killed(recipe: Path) -> Path:
    """A run that ended in its fourth step: after its checkpoint and one step that is lost."""
    folder = recipe.parent / "killed"
    assert run(recipe, folder, kill_at=4) == -signal.SIGKILL
    assert (folder / "checkpoints" / "latest").read_text() == "step_000002"
    assert [m["step"] for m in metrics(folder)] == [1, 2, 3, 3]  # two lines where it evaluated
    return folder


def test_the_run_learns_and_aggregates(recipe: Path, golden: Path) -> None:
    """Else the tests below would compare weights that never moved, or an idle buffer."""
    lines = [m for m in metrics(golden) if "reward" in m]
    assert any(m["kept_groups"] for m in lines)
    assert any("1" in m["reward_by_depth"] for m in lines[EVERY:])
    assert final(golden) != weights(recipe.parent / "init")


def test_a_killed_run_ends_like_the_golden_one(
    recipe: Path, golden: Path, killed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    assert run(recipe, folder) == 0
    assert final(folder) == final(golden)
    assert metrics(folder) == metrics(golden)


@pytest.mark.parametrize("forget", ["buffer", "adam", "flight"])
def test_each_piece_of_state_matters(
    recipe: Path, golden: Path, killed: Path, tmp_path: Path, forget: str
) -> None:
    """Negative control."""
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    assert run(recipe, folder, forget=forget) == 0
    assert final(folder) != final(golden)
