"""`zaya model info` and `zaya convert`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from openzaya.cli.app import app
from openzaya.config.model import ModelConfig
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import load_model, save_model

SHAPE = ModelConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=24,
    router_hidden_size=16, skip_expert="zero",
)  # fmt: skip


def zaya(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    save_model(ZayaForCausalLM(SHAPE).initialise(0), tmp_path / "in")
    (tmp_path / "in" / "tokenizer.json").write_text("{}")
    return tmp_path / "in"


def test_info_of_a_recipe() -> None:
    code, text = zaya("model", "info", "recipes/models/zaya1-8b.toml")
    assert code == 0
    assert "8,840,488,784" in text and "753,608,528" in text and "40,960" in text


def test_info_of_a_folder(folder: Path) -> None:
    code, text = zaya("model", "info", folder, "--json", "--context", 10)
    facts = json.loads(text)
    total = sum(p.numel() for p in load_model(folder).parameters())
    assert code == 0 and facts["parameters"]["total"] == total
    assert "FLOPs per token, context 10" in facts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", "info", "nope.toml"), "nope.toml: no such file"),
        (("model", "info", "recipes/tiny/rl.toml"), "model: required"),
        (("model", "info", "src"), "holds no weights"),
        (("model", "info", "recipes/models/1m.toml", "--dtype", "fp8"), "no such type: fp8"),
        (("convert", "src", "out"), "holds no weights"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], message: str) -> None:
    code, text = zaya(*arguments)
    assert code == 2 and message in text and "Traceback" not in text


def test_convert(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text = zaya("convert", folder, out, "--dtype", "bf16", "--shard-gb", "0.00101")
    assert code == 0, text
    loaded = load_model(out)
    want = load_model(folder).model.embed_tokens.weight.bfloat16()
    assert torch.equal(loaded.model.embed_tokens.weight, want)
    assert (out / "tokenizer.json").read_text() == "{}"
    card = (out / "README.md").read_text()
    assert "AutoModelForCausalLM" in card and "passes through the block" in card
    assert zaya("convert", folder, out)[0] == 2, "an existing folder stays as it is"


def test_convert_can_change_what_the_skip_class_computes(folder: Path, tmp_path: Path) -> None:
    assert zaya("convert", folder, tmp_path / "scaled", "--skip-expert", "scaled")[0] == 0
    assert load_model(tmp_path / "scaled").config.skip_expert == "scaled"
    code, text = zaya("convert", folder, tmp_path / "none", "--skip-expert", "none")
    assert code == 2 and "this router has a skip class" in text
    assert not (tmp_path / "none").exists()
