"""Stages in a row: what comes before each, kills, what each has gained, and the page."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from openzaya.config.base import load_recipe
from openzaya.config.cascade import CascadeConfig
from openzaya.config.model import ModelConfig
from openzaya.config.rl import RLConfig
from openzaya.config.tasks import TaskConfig
from openzaya.config.train import ThinkConfig
from openzaya.envs import build
from openzaya.envs.running_total import RunningTotal
from openzaya.errors import ConfigError, EnvError, RunError
from openzaya.evals.evaluate import EvalResult, TaskScore
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.report import write_report
from openzaya.rl.cascade import gain, judged
from openzaya.rl.loop import RLTrainer
from openzaya.rl.prepare import FILE, Lines
from openzaya.rl.tasks import spread
from openzaya.run_dir import RunDir
from openzaya.train.examples import build_tokenizer
from openzaya.types import Outcome, Problem, Score

RECIPES = Path(__file__).parents[2] / "recipes" / "cascade"
PARAMS = "params = { min_steps = 3, max_steps = 5 }"

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from rich.console import Console
from openzaya.envs.running_total import RunningTotal
from openzaya.rl import cascade, loop
from openzaya.types import Outcome, Score

recipes, out, kill_at, *overrides = sys.argv[1:]

# Fresh weights never solve a problem; closing the think block is something they can be taught.
def score(self, problem, answer):
    closed = answer is not None
    return Score(float(closed), Outcome.CORRECT if closed else Outcome.WRONG)
RunningTotal.score = score

accumulate, calls = loop.accumulate, 0
def counted(*args, **kwargs):
    global calls
    result = accumulate(*args, **kwargs)
    calls += 1
    if calls == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
loop.accumulate = counted
cascade.run_cascade(Path(recipes), Path(out), overrides, Console())
"""


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short stages on fresh weights: plain, a curriculum with its calibration, tails."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cascade")
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
    (folder / "cascade.toml").write_text(
        f'init_from = "{init}"\nstages = ["warm.toml", "rising.toml", "tails.toml"]\n'
        "[evaluation]\nproblems = 12\nsamples = 2\n"
    )
    (folder / "warm.toml").write_text(
        "steps = 3\ncheckpoint.every = 2\nprompts_per_step = 4\ngroup_size = 4\n"
        "aggregation_share = 0.0\n[think]\nbudget = 12\ntail = 6\ncandidates = 2\n[optim]\n"
        "lr = 0.02\nadam_lr = 0.01\nweight_decay = 0.0\n[dev]\nevery = 9\nproblems = 2\n"
        f'[tasks.running_total]\nenvironment = "running_total"\n{PARAMS}\n'
    )
    (folder / "rising.toml").write_text(
        'extends = "warm.toml"\n[curriculum]\nkind = "zaya"\n[calibration]\ngroups = 3\n'
        "particles = 32\n[asynchrony]\nmax_staleness = 0\n"
    )
    (folder / "tails.toml").write_text(
        'extends = "warm.toml"\naggregation_share = 0.7\n[tails]\nown = 0.0\nstart = 1.0\n'
        f'expert = 1.0\ngroups = 2\nrollouts = 3\nsampler.model = "{init}"\n'
        "[advantage.length_reward]\nstart = 0.5\n"
    )
    return folder


def cascade(recipes: Path, out: Path, *overrides: str, kill_at: int = 0) -> int:
    command = [sys.executable, "-c", SCRIPT, str(recipes), str(out), str(kill_at), *overrides]
    return subprocess.run(command, timeout=300, capture_output=True).returncode


def lines(stage: Path) -> list[dict[str, Any]]:
    """What was logged, without what a clock measured."""
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


def final(out: Path, stage: str) -> str:
    file = out / stage / "checkpoints" / "step_000003" / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "cascade.json").read_text())


@pytest.fixture(scope="module")
def golden(recipes: Path) -> Path:
    out = recipes / "golden"
    assert cascade(recipes, out) == 0
    return out


def test_every_stage_goes_on_from_the_one_before(recipes: Path, golden: Path) -> None:
    found = result(golden)
    assert found["finished"] and [s["name"] for s in found["stages"]] == ["warm", "rising", "tails"]
    assert all(s["steps"] == 3 for s in found["stages"])
    init = hashlib.sha256((recipes / "init" / "model.safetensors").read_bytes()).hexdigest()
    assert len({init, *(final(golden, s) for s in ("warm", "rising", "tails"))}) == 4
    config = (golden / "rising" / "config.toml").read_text()
    assert f'init_from = "{golden / "warm"}"' in config
    known = Lines(golden / "tails" / FILE).known["tails"]
    assert sorted(known) == [(s, "running_total", n) for s in ("expert", "start") for n in range(2)]
    drawn = [r for r in lines(golden / "tails") if "reward" in r]
    assert any("1" in r["reward_by_depth"] for r in drawn)


def test_killed_in_a_stage_it_ends_the_same(recipes: Path, golden: Path, tmp_path: Path) -> None:
    """In the last step of the second stage: the first is not run again, the third still comes. The
    golden folder's name is part of its configs, so the killed one is compared step by step."""
    out = tmp_path / "killed"
    assert cascade(recipes, out, kill_at=6) == -signal.SIGKILL
    assert [s["name"] for s in result(out)["stages"]] == ["warm"]
    assert not (out / "rising" / "result.json").exists()
    page = write_report(out).read_text()
    assert "has not come to its end" in page and "Not finished" in page
    first = {p: p.stat().st_mtime_ns for p in (out / "warm" / "checkpoints").rglob("*")}
    asked = (out / "rising" / FILE).read_text()
    assert cascade(recipes, out) == 0
    for path, stamp in first.items():
        assert path.stat().st_mtime_ns == stamp, f"{path} of a finished stage was written"
    assert (out / "rising" / FILE).read_text() == asked, "the calibration is not done again"
    for stage in ("warm", "rising", "tails"):
        assert final(out, stage) == final(golden, stage)
        assert lines(out / stage) == lines(golden / stage)


def test_another_recipe_is_refused(recipes: Path, golden: Path, tmp_path: Path) -> None:
    from rich.console import Console

    from openzaya.rl.cascade import run_cascade

    out = Path(shutil.copytree(golden, tmp_path / "copy"))
    with pytest.raises(RunError, match="steps"):
        run_cascade(recipes, golden, ["warm.steps=4"], Console(quiet=True))
    with pytest.raises(RunError, match=r"evaluation\.problems"):
        run_cascade(recipes, out, ["evaluation.problems=3"], Console(quiet=True))
    with pytest.raises(ConfigError, match="unknown key"):
        run_cascade(recipes, out, ["wram.steps=4"], Console(quiet=True))


def test_the_page_shows_all_stages(golden: Path) -> None:
    page = write_report(golden).read_text()
    for text in ("Stage: warm", "Stage: rising", "Stage: tails", "against the stage before"):
        assert text in page
    assert "has not come to its end" not in page
    assert 'src="http' not in page and "<script" not in page


def test_stages_that_cannot_learn_are_said_to_have_gained_nothing(
    recipes: Path, tmp_path: Path
) -> None:
    """Negative control: with rates of 0 all weights and all answers stay what they were."""
    out = tmp_path / "still"
    still = ('stages=["warm.toml"]', "warm.optim.lr=0.0", "warm.optim.adam_lr=0.0")
    assert cascade(recipes, out, *still) == 0
    (stage,) = result(out)["stages"]
    assert stage["gain"] == {
        "difference": 0.0, "stderr": 0.0, "low": 0.0, "high": 0.0, "verdict": "no gain",
    }  # fmt: skip
    assert "no gain</span>" in write_report(out).read_text()


def test_a_gain_is_one_only_where_its_interval_says_so() -> None:
    def made(values: list[float]) -> EvalResult:
        return EvalResult("x", {"t": TaskScore(values, 0.0, 1)})

    low, high = made([0.0, 0.5] * 50), made([0.5, 1.0] * 50)
    assert gain(high, low)["verdict"] == "gain" and gain(low, high)["verdict"] == "loss"
    mixed = made([0.5, 0.0] * 50)
    assert gain(mixed, low, "t")["verdict"] == "no gain"


def test_one_name_is_one_task(recipes: Path) -> None:
    keys = ['init_from="x"']
    one = load_recipe(RLConfig, recipes / "warm.toml", keys)
    other = load_recipe(
        RLConfig, recipes / "warm.toml", [*keys, "tasks.running_total.difficulty=2"]
    )
    heavier = load_recipe(
        RLConfig, recipes / "warm.toml", [*keys, "tasks.running_total.weight=2.0"]
    )
    assert list(judged({"a": one, "b": heavier}, {})) == ["running_total"]
    with pytest.raises(ConfigError, match="running_total of b is another one"):
        judged({"a": one, "b": other}, {})


@pytest.mark.parametrize("name", ["tiny", "tiny-ci", "zaya1-8b"])
def test_the_recipes_load(name: str) -> None:
    config = load_recipe(CascadeConfig, RECIPES / name / "cascade.toml")
    assert config.names == ["reasoning", "rlve", "phase1", "phase2", "behavioural"]
    keys = [*config.overrides, 'init_from="x"']
    stages = {
        n: load_recipe(RLConfig, RECIPES / name / s, keys)
        for n, s in zip(config.names, config.stages, strict=True)
    }
    judged(stages, config.evaluation.tasks)
    kinds = {n: s.advantage.kind for n, s in stages.items()}
    assert kinds.pop("behavioural") == "grpo" and set(kinds.values()) == {"maxrl"}
    assert stages["behavioural"].advantage.length_reward is None
    assert stages["rlve"].curriculum.kind == "zaya" and stages["rlve"].calibration.groups
    if name == "zaya1-8b":
        assert [s.steps for s in stages.values()] == [232, 400, 384, 464, 384]
        assert all(s.prompts_per_step * s.group_size == 2048 for s in stages.values())
        assert all(2e-6 <= s.optim.lr <= 1e-5 for s in stages.values())


# -- what comes before a stage ---------------------------------------------------------------


def prepared(recipes: Path, folder: Path, stage: str, *keys: str) -> RLTrainer:
    init = f'init_from="{recipes / "init"}"'
    config = load_recipe(RLConfig, recipes / stage, [init, *keys])
    with RunDir.create(folder, config, resume=True) as run:
        trainer = RLTrainer(config, run)
        trainer.close()
    return trainer


def test_calibration_finds_a_planted_difficulty(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(self: RunningTotal, problem: Problem, answer: str | None) -> Score:
        right = problem.difficulty < 4
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)

    monkeypatch.setattr(RunningTotal, "score", score)
    keys = ("calibration.groups=16", "calibration.particles=256")
    trainer = prepared(recipes, tmp_path / "run", "rising.toml", *keys)
    assert trainer.prompts.curriculum.difficulties()["running_total"] in (3, 4)
    rows = (tmp_path / "run" / FILE).read_text().splitlines(keepends=True)
    assert len(rows) == 16
    (tmp_path / "run" / FILE).write_text("".join(rows[:7]) + rows[7][:20])  # killed in line 8
    again = prepared(recipes, tmp_path / "run", "rising.toml", *keys)
    assert again.prompts.curriculum.difficulties() == trainer.prompts.curriculum.difficulties()
    assert (tmp_path / "run" / FILE).read_text() == "".join(rows)


def test_the_filter_keeps_what_is_solved_now_and_then(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}

    def score(self: RunningTotal, problem: Problem, answer: str | None) -> Score:
        seen[problem.fingerprint] = n = seen.get(problem.fingerprint, 0) + 1
        kind = int(problem.fingerprint, 16) // 20 % 3  # easy, out of reach, or half and half
        right = kind == 0 or (kind == 2 and n % 2 == 0)
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)

    monkeypatch.setattr(RunningTotal, "score", score)
    keys = ('filter.tasks=["running_total"]', "filter.problems=30", "filter.samples=4")
    prompts = prepared(recipes, tmp_path / "run", "warm.toml", *keys).prompts
    assert 0 < len(prompts.kept["running_total"]) < 30
    for group in range(40):
        problem = prompts.problem(prompts.draw(group))
        assert int(problem.fingerprint, 16) // 20 % 3 == 2
    wide = prepared(recipes, tmp_path / "wide", "warm.toml", *keys, "filter.keep_unsolved=true")
    assert len(wide.prompts.kept["running_total"]) > len(prompts.kept["running_total"])
    monkeypatch.setattr(
        RunningTotal, "score", lambda self, problem, answer: Score(0.0, Outcome.WRONG)
    )
    with pytest.raises(ConfigError, match="30 were never solved"):
        prepared(recipes, tmp_path / "none", "warm.toml", *keys)


class Scores(BaseHTTPRequestHandler):
    """A reward model that likes everything a little."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"data": [{"probs": [0.0]}]}).encode()  # sigmoid: one half
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def reward_model() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Scores)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_answer_that_passes_is_worth_what_a_reward_model_says(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reward_model: str
) -> None:
    def score(self: RunningTotal, problem: Problem, answer: str | None) -> Score:
        closed = answer is not None
        return Score(float(closed), Outcome.CORRECT if closed else Outcome.WRONG)

    monkeypatch.setattr(RunningTotal, "score", score)
    keys = (
        f'init_from="{recipes / "init"}"', "prompts_per_step=16", 'advantage.kind="grpo"',
        'chat_reward.tasks=["running_total"]',
        f'chat_reward.model.endpoint={{url="{reward_model}", model="rm"}}',
    )  # fmt: skip
    config = load_recipe(RLConfig, recipes / "warm.toml", keys)
    with RunDir.create(tmp_path / "run", config) as run:
        trainer = RLTrainer(config, run)
        groups = trainer.generation.batch()
        trainer.close()
    rewards = {(r.score.outcome, r.reward) for g in groups for r in g.rollouts.values()}
    assert rewards == {(Outcome.WRONG, 0.0), (Outcome.CORRECT, 0.5)}
    with pytest.raises(ConfigError, match="there is no task other"):
        load_recipe(RLConfig, recipes / "warm.toml", [*keys, 'chat_reward.tasks=["other"]'])


def test_one_task_may_stand_for_a_source() -> None:
    found = spread(
        {
            "gym": TaskConfig(environment="code:*", weight=3.0),
            "one": TaskConfig(environment="running_total"),
        }
    )
    assert found["one"].weight == 1.0 and found["gym/code_falsification"].weight < 3.0
    shares = [t.weight for name, t in found.items() if name.startswith("gym/")]
    assert sum(shares) == pytest.approx(3.0) and len(shares) > 3
    with pytest.raises(EnvError, match="no source is called"):
        spread({"x": TaskConfig(environment="nothing:*")})
