"""Generation ahead of training: one process, server processes, kills, samplers that fail."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelConfig
from openzaya.config.rl import RLConfig
from openzaya.config.train import ThinkConfig
from openzaya.envs import build
from openzaya.envs.running_total import RunningTotal
from openzaya.errors import EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.rl import finished
from openzaya.rl.crew import Here
from openzaya.rl.loop import RLTrainer, reinforce
from openzaya.rl.rollout import Judged, fault
from openzaya.run_dir import RunDir
from openzaya.train import checkpoint
from openzaya.train.examples import build_tokenizer
from openzaya.types import Completion, Outcome, Request, Score

RECIPE = """
seed = 4
steps = 6
checkpoint.every = 2
init_from = "{init}"
prompts_per_step = 4
group_size = 4
aggregation_share = 0.3
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
weight_decay = 0.0
[dev]
every = 100
problems = 2
[asynchrony]
max_staleness = 2
sync_every = 2
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asynchronous")
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
    path.write_text(RECIPE.format(init=init))
    return path


@pytest.fixture(autouse=True)
def learnable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh weights never solve a problem; closing the think block is what they can be taught."""

    def score(self: RunningTotal, problem: object, answer: str | None) -> Score:
        closed = answer is not None
        return Score(float(closed), Outcome.CORRECT if closed else Outcome.WRONG)

    monkeypatch.setattr(RunningTotal, "score", score)


def lines(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "reward" in row]


def run(recipe: Path, folder: Path, *overrides: str) -> list[dict[str, Any]]:
    config = load_recipe(RLConfig, recipe, list(overrides))
    with RunDir.create(folder, config, resume=True) as out:
        reinforce(config, out)
    return lines(folder)


def test_runs_ahead_and_stays_within_its_bound(recipe: Path, tmp_path: Path) -> None:
    rows = run(recipe, tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    ages = [age for row in rows for age, n in enumerate(row["staleness"]) for _ in range(n)]
    assert 0 < max(ages) <= 2
    assert not rows[-1]["dropped"]
    # On-policy tokens agree to rounding; two updates later they do not: the ratio is at work.
    assert rows[0]["mismatch_kl"] < 1e-8
    assert max(row["mismatch_kl"] for row in rows[2:]) > 1e-6


def test_server_processes_draw_what_this_process_draws(recipe: Path, tmp_path: Path) -> None:
    """Synchronous, so that timing decides nothing: two servers give the very run of one process."""
    sync = ("asynchrony.max_staleness=0", "asynchrony.sync_every=1", "steps=3")
    here = run(recipe, tmp_path / "here", *sync)
    there = run(recipe, tmp_path / "there", *sync, "samplers.processes=2")
    for a, b in zip(here, there, strict=True):
        assert a["reward"] == b["reward"] and a["response_tokens"] == b["response_tokens"]
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-6)
    assert not (tmp_path / "there" / "published").exists()


@pytest.mark.slow
def test_a_server_that_is_killed_is_started_anew(recipe: Path, tmp_path: Path) -> None:
    config = load_recipe(RLConfig, recipe, ["samplers.processes=2"])
    with RunDir.create(tmp_path / "run", config) as out:
        trainer = RLTrainer(config, out)
        try:
            trainer.train_step()
            victim = trainer.generation.crew._processes[0]._process  # type: ignore[union-attr]
            victim.kill()
            for _ in range(3):
                trainer.train_step()
            assert trainer.generation.crew._processes[0]._process.pid != victim.pid  # type: ignore[union-attr]
        finally:
            trainer.close()
    assert len(lines(tmp_path / "run")) == 4
    assert victim.poll() is not None


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from openzaya.config.base import load_recipe
from openzaya.config.rl import RLConfig
from openzaya.envs.running_total import RunningTotal
from openzaya.rl.loop import reinforce
from openzaya.run_dir import RunDir
from openzaya.types import Outcome, Score
def score(self, problem, answer):
    closed = answer is not None
    return Score(float(closed), Outcome.CORRECT if closed else Outcome.WRONG)
RunningTotal.score = score
config = load_recipe(RLConfig, sys.argv[1], sys.argv[3:])
with RunDir.create(sys.argv[2], config, resume=True) as run:
    reinforce(config, run)
"""


def process(recipe: Path, folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(recipe), str(folder), *overrides])


def kill_and_follow(recipe: Path, folder: Path, moments: list[float]) -> None:
    """Kill after each of `moments` seconds of work, and check that no finished rollout is lost."""
    for moment in moments:
        child = process(recipe, folder)
        while child.poll() is None and not (folder / "finished.jsonl").exists():
            time.sleep(0.02)
        time.sleep(moment)
        child.send_signal(signal.SIGKILL)
        child.wait()
        if (folder / "result.json").exists():
            return
        kept = {(group, slot) for group, _, slot, _ in finished.read(folder / "finished.jsonl")}
        config = load_recipe(RLConfig, recipe)
        with RunDir.create(folder, config, resume=True) as out:
            trainer = RLTrainer(config, out)
            try:
                o = trainer.orchestrator
                state = trainer.generation.do(_async(o.state_dict))
            finally:
                trainer.close()
        held = {(g["id"], s) for g in (*state["flying"], *state["ready"]) for s in g["rollouts"]}
        first = min([g["id"] for g in (*state["flying"], *state["ready"])], default=0)
        assert {k for k in kept if k[0] >= first} <= held
    child = process(recipe, folder)
    assert child.wait(120) == 0
    assert [row["step"] for row in lines(folder)] == [1, 2, 3, 4, 5, 6]


async def _async(call: Any) -> Any:
    return call()


def test_killed_it_loses_no_finished_rollout(recipe: Path, tmp_path: Path) -> None:
    kill_and_follow(recipe, tmp_path / "run", [0.3])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_many_moments(recipe: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    for trial in range(12):
        moments = [rng.uniform(0, 1.5) for _ in range(4)]
        kill_and_follow(recipe, tmp_path / f"run{trial}", moments)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_kills_change_nothing_of_a_synchronous_run(recipe: Path, tmp_path: Path) -> None:
    sync = ("asynchrony.max_staleness=0", "asynchrony.sync_every=1", "steps=20")
    assert process(recipe, tmp_path / "golden", *sync).wait(300) == 0
    rng, kills = random.Random(1), 0
    folder = tmp_path / "killed"
    while not (folder / "result.json").exists() or kills < 50:
        if (folder / "result.json").exists():
            _same(folder, tmp_path / "golden")
            os.rename(folder, tmp_path / f"done{kills}")
        child = process(recipe, folder, *sync)
        time.sleep(rng.uniform(1.0, 8.0))
        kills += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    _same(folder, tmp_path / "golden")


def _same(one: Path, other: Path) -> None:
    weights = [
        (f / "checkpoints" / "step_000020" / "model.safetensors").read_bytes() for f in (one, other)
    ]
    assert weights[0] == weights[1]


class Failing(Here):
    """Fails on the first try of every fifth rollout, and says what it must not on others."""

    seen: set[int]
    faults = 0

    async def sample(self, request: Request, group: int) -> list[Completion]:
        (c,) = await super().sample(request, group)
        seed = request.params.seed
        if seed in self.seen or seed % 5:
            return [c]
        self.seen.add(seed)
        Failing.faults += 1
        kind = seed // 5 % 4
        if kind == 0:
            raise EngineError("gone")
        nan = np.full_like(c.logprobs, np.nan)
        future = np.full_like(c.policy_version, 99)
        short = c.experts[:-1] if c.experts is not None else None
        table = {k: getattr(c, k) for k in Completion.__slots__}  # type: ignore[attr-defined]
        wrong = [{"logprobs": nan}, {"policy_version": future}, {"experts": short}][kind - 1]
        return [Completion(**table | wrong)]


def test_what_samplers_do_wrong_is_drawn_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their faults change nothing of a synchronous run: the same seeds draw the same rollouts."""
    sync = ("asynchrony.max_staleness=0", "asynchrony.sync_every=1", "asynchrony.attempts=9")
    right = run(recipe, tmp_path / "right", *sync)
    Failing.seen = set()
    monkeypatch.setattr("openzaya.rl.loop.Here", Failing)
    wrong = run(recipe, tmp_path / "wrong", *sync)
    assert Failing.faults > 10
    for a, b in zip(right, wrong, strict=True):
        for name in ("reward", "response_tokens", "outcomes", "reward_by_depth", "kept_groups"):
            assert a[name] == b[name]
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-5)


def test_a_fault_is_named() -> None:
    c = Completion(
        np.array([1, 2], np.int32), np.array([3, 4], np.int32), np.array([-1, -2], np.float32),
        np.array([0, 1], np.int32), "stop", "", "", None, np.zeros((3, 2), np.uint8),  # type: ignore[arg-type]
    )  # fmt: skip
    table = {k: getattr(c, k) for k in Completion.__slots__}  # type: ignore[attr-defined]
    assert fault(c, 1) is None
    for wrong, word in [
        ({"token_ids": np.array([], np.int32)}, "no token"),
        ({"logprobs": np.array([-1.0], np.float32)}, "1 log-prob"),
        ({"logprobs": np.array([-1, np.inf], np.float32)}, "none"),
        ({"logprobs": np.array([-1, 0.5], np.float32)}, "none"),
        ({"policy_version": np.array([0, 2], np.int32)}, "never served"),
        ({"policy_version": np.array([1, 0], np.int32)}, "go back"),
        ({"experts": None}, "no expert"),
    ]:
        why = fault(Completion(**table | wrong), 1)
        assert why is not None and word in why


def test_rollouts_come_back_from_disk(recipe: Path, tmp_path: Path) -> None:
    config = load_recipe(RLConfig, recipe)
    with RunDir.create(tmp_path / "run", config) as out:
        trainer = RLTrainer(config, out)
        try:
            trainer.save()
            groups = trainer.generation.batch()
        finally:
            trainer.close()
    kept = {(g, s): (p, r) for g, p, s, r in finished.read(tmp_path / "run" / "finished.jsonl")}
    for group in groups:
        for slot, judged in group.rollouts.items():
            prompt, back = kept[group.id, slot]
            assert prompt == group.prompt and back.score == judged.score
            for name in ("token_ids", "logprobs", "policy_version", "experts"):
                a, b = getattr(back.completion, name), getattr(judged.completion, name)
                assert a.dtype == b.dtype and np.array_equal(a, b)
    state = checkpoint.load_state(tmp_path / "run" / "checkpoints" / "step_000000")
    assert state["flight"]["started"] == 12  # three batches may be alive
    assert Judged.of(judged.plain()).completion.text == judged.completion.text
