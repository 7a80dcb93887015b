"""The four stages of ZAYA1-8B: what their recipes say; each goes on from the one before."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openzaya.config.base import load_recipe
from openzaya.config.train import TrainConfig
from openzaya.run_dir import RunDir
from openzaya.train.checkpoint import weights_folder
from openzaya.train.loop import train

RECIPES = Path(__file__).parents[2] / "recipes" / "zaya1-8b"
STAGES = ["base1", "base2", "midtrain", "sft"]
SMALL = [
    "model.hidden_size=32", "model.num_hidden_layers=2", "model.num_attention_heads=4",
    "model.num_key_value_heads=2", "model.head_dim=16", "model.num_experts=4",
    "model.moe_intermediate_size=32", "model.router_hidden_size=16",
]  # fmt: skip


def recipe(stage: str, *overrides: str) -> TrainConfig:
    return load_recipe(TrainConfig, RECIPES / f"{stage}.toml", overrides)


def test_the_report_in_figures() -> None:
    """arXiv 2605.05365: contexts, tokens, RoPE bases, the mixtures of midtrain and SFT."""
    configs = {stage: recipe(stage) for stage in STAGES}
    data = {stage: config.data for stage, config in configs.items() if config.data}
    assert [d.window for d in data.values()] == [4096, 4096, 32768, 131072]
    tokens = [
        c.steps * data[s].window * data[s].windows_per_step / 1e12 for s, c in configs.items()
    ]
    assert tokens == pytest.approx([8, 4, 1.2, 0.66], rel=1e-5)
    assert [c.rope_theta for c in configs.values()] == [1e4, None, 1e6, 5e6]
    shares = {s: {n: x.weight for n, x in d.sources.items()} for s, d in data.items()}
    assert all(sum(of.values()) == pytest.approx(100) for of in shares.values())
    assert shares["midtrain"]["reasoning"] == 86.1
    assert shares["sft"]["reasoning"] + shares["sft"]["aggregation"] == 75.0


def test_the_recipe_in_the_docs(tmp_path: Path) -> None:
    text = (RECIPES.parents[1] / "docs" / "training.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    models = RECIPES.parent / "models"
    (tmp_path / "mine.toml").write_text(block.replace("recipes/models", str(models)))
    config = load_recipe(TrainConfig, tmp_path / "mine.toml")
    assert config.data is not None and config.data.sources["books"].hub == "someone/books"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text and a chat file, and the tokenizer that stands in for Gemma's."""
    folder, rng = tmp_path_factory.mktemp("stages"), random.Random(0)
    words = ["the", "sum", "of", "two", "positive", "numbers", "is", "larger", "than", "either"]

    def text(least: int, most: int) -> str:
        return " ".join(rng.choices(words, k=rng.randint(least, most)))

    rows = [json.dumps({"text": text(5, 60)}) for _ in range(200)]
    (folder / "text.jsonl").write_text("\n".join(rows))
    chats = [
        {"messages": [
            {"role": "user", "content": text(3, 8)},
            {"role": "assistant", "content": f"<think>{text(5, 90)}</think>{text(2, 5)}"},
        ]}
        for _ in range(200)
    ]  # fmt: skip
    (folder / "chat.jsonl").write_text("\n".join(map(json.dumps, chats)))
    return folder


def shrunk(stage: str, raw: Path, **before: str) -> list[str]:
    """Overrides that make a stage small: everything else stays the recipe's."""
    sizes = {"base1": (64, 4), "base2": (64, 4), "midtrain": (128, 2), "sft": (256, 1)}
    window, per_step = sizes[stage]
    config = recipe(stage)
    assert config.data is not None
    sources = [
        f"data.sources.{name}.path={raw}/{'chat' if source.form == 'chat' else 'text'}.jsonl"
        for name, source in config.data.sources.items()
    ]
    vocabulary = (
        ["data.tokenizer=none", "data.train_vocabulary=320"]
        if stage == "base1"
        else [f"data.tokenizer={before['tokenizer']}", f"init_from={before['run']}"]
    )
    return [
        *sources, *vocabulary, *(SMALL if stage == "base1" else []),
        f"data.folder={raw}/{stage}", f"data.window={window}", f"data.windows_per_step={per_step}",
        "data.held_out=0.1", "data.executor.tasks=1", "data.executor.workers=1", "steps=4",
        "schedule.warmup_steps=1", "parallel.context=1", "watch.stall_seconds=none",
        "dev.every=4", "dev.windows=2", f"tokens_per_microbatch={window}",
    ]  # fmt: skip


def config_of(run: Path) -> dict[str, Any]:
    return json.loads((weights_folder(run) / "config.json").read_text())


def test_each_stage_goes_on_from_the_one_before(raw: Path, tmp_path: Path) -> None:
    before: dict[str, str] = {}
    thetas, losses = [], []
    for stage in STAGES:
        config = recipe(stage, *shrunk(stage, raw, **before), "precision=fp32")
        with RunDir.create(tmp_path / stage, config) as run:
            folder = train(config, run).folder
            losses += [m["held_out_loss"] for m in run.metrics() if "held_out_loss" in m]
        before = {"run": str(tmp_path / stage), "tokenizer": folder}
        written = config_of(tmp_path / stage)
        thetas.append(written["rope_parameters"]["hybrid"]["rope_theta"])
        assert written["max_position_embeddings"] >= config.data.window  # type: ignore[union-attr]
    assert thetas == [1e4, 1e4, 1e6, 5e6]
    assert len(losses) == 4 and losses[1] < losses[0]


@pytest.mark.slow
def test_bf16_beside_fp32(raw: Path, tmp_path: Path) -> None:
    """bf16 learns what fp32 learns, but for rounding; the checkpoint keeps weights in fp32."""
    found = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        command = [
            sys.executable, "-m", "openzaya.cli", "train", str(RECIPES / "base1.toml"), str(out),
            *shrunk("base1", raw), f"precision={precision}", "steps=30", "optim.lr=0.01",
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr[-3000:]
        with RunDir.open(out) as run:
            found[precision] = [m["loss"] for m in run.metrics() if "loss" in m]
        assert config_of(out)["dtype"] == "float32"
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.02)
    assert found["bf16"][-1] < 0.8 * found["bf16"][0]
