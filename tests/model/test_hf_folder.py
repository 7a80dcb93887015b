"""Folders exchanged with transformers, both ways: no key too many or too few, equal logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.model.checkpoint import load_model, save_model

pytestmark = pytest.mark.peer
SHAPE = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "num_experts": 4, "moe_intermediate_size": 32,
    "router_hidden_size": 16, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip
VARIANTS = {
    "none": {},
    "zero": {"skip_expert": "zero"},
    "bias": {"skip_expert": "zero", "attention_bias": True},
    "sliding": {"sliding_layers": (1,), "sliding_window": 4, "sliding_rope_theta": 50.0},
}
TOLERANCE = 2e-6
"""Of the largest logit."""


def build(**changes: object) -> ZayaForCausalLM:
    torch.set_num_threads(1)
    model = ZayaForCausalLM(ModelConfig.model_validate(SHAPE | changes)).initialise(0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        for bias in model.balancing_biases:
            # transformers 5.23 loads the skip class with bias -1, whatever the file says: lower the
            # others, so that some tokens skip and others do not.
            bias[:4] += 0.1 * torch.randn(4, generator=generator) - 1.15
            bias[4:] = -1.0
    return model


@torch.no_grad()
def ours(model: ZayaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    return model.logits(model(ids, Layout.of([len(ids)])).hidden_ND)


@torch.no_grad()
def theirs(folder: Path, ids: torch.Tensor, **options: Any) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, **options
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model(input_ids=ids[None]).logits[0]


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


IDS = torch.randint(0, 50, (40,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shard_bytes", [10**9, 60_000], ids=["one-file", "shards"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_here_loads_there(variant: str, shard_bytes: int, tmp_path: Path) -> None:
    model = build(**VARIANTS[variant])
    save_model(model, tmp_path, shard_bytes=shard_bytes)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard_bytes < 10**9)
    assert gap(ours(model, IDS), theirs(tmp_path, IDS)) < TOLERANCE


def test_without_the_skip_class_a_row_of_zeros_would_not_do(tmp_path: Path) -> None:
    """Negative control: the plain way to add the class that transformers needs."""
    model = build()
    plain = build(skip_expert="zero")
    state = {name: t for name, t in model.state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("out_proj.weight"):
            state[name] = torch.cat([tensor, torch.zeros(1, tensor.shape[1])])
        elif name.endswith("balancing_biases"):
            state[name] = torch.cat([tensor, torch.tensor([-1e4])])
    plain.load_state_dict(state)
    save_model(plain, tmp_path)
    assert gap(ours(model, IDS), theirs(tmp_path, IDS)) > 1e-3


@pytest.mark.parametrize(
    "biases", [[-2.3, 0.2, -0.7, -1.4], [-1.5, -1.2, -1.9, -1.25]], ids=["mixed", "all-low"]
)
def test_without_the_skip_class_low_biases_are_served(biases: list[float], tmp_path: Path) -> None:
    """transformers gives its class the bias -1; where all of ours are lower they are raised."""
    model = build()
    for bias in model.balancing_biases:
        bias.copy_(torch.tensor(biases))
    save_model(model, tmp_path)
    assert gap(ours(model, IDS), theirs(tmp_path, IDS)) < TOLERANCE
    if max(biases) > -1:
        return
    file = tmp_path / "model.safetensors"  # negative control: not raised
    stored = load_file(file)
    for name in stored:
        if name.endswith("balancing_biases"):
            stored[name][:4] = torch.tensor(biases)
    save_file(stored, file, metadata={"format": "pt"})
    assert gap(ours(model, IDS), theirs(tmp_path, IDS)) > 1e-3


def test_a_scaled_skip_class_computes_zero_there(tmp_path: Path) -> None:
    """As the model card says."""
    model = build(skip_expert="scaled")
    save_model(model, tmp_path)
    want = theirs(tmp_path, IDS)
    assert gap(ours(load_model(tmp_path, skip_expert="zero"), IDS), want) < TOLERANCE
    assert gap(ours(load_model(tmp_path), IDS), want) > 1e-3


def test_rope_is_resolved_as_there(tmp_path: Path) -> None:
    """Tables of another factor and base; a table without a factor turns all channels."""
    config = {"rope_theta": 300.0, "partial_rotary_factor": 1.0}
    model = build(skip_expert="zero", **config)
    save_model(model, tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    for table in stored["rope_parameters"].values():
        del table["partial_rotary_factor"]
    path.write_text(json.dumps(stored))
    assert gap(ours(load_model(tmp_path), IDS), theirs(tmp_path, IDS)) < TOLERANCE
    half = build(skip_expert="zero", **config | {"partial_rotary_factor": 0.5})
    assert gap(ours(half, IDS), theirs(tmp_path, IDS)) > 1e-3


def their_model(**changes: Any) -> Any:
    from transformers import ZayaConfig
    from transformers import ZayaForCausalLM as Theirs

    config = ZayaConfig(**(SHAPE | changes))
    torch.manual_seed(3)
    model = Theirs(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += (0.3 if parameter.dim() == 1 else 0.1) * torch.randn(parameter.shape)
        for layer in model.model.layers:
            layer.mlp.gate.balancing_biases += 0.1 * torch.randn(5)
            layer.mlp.gate.balancing_biases[-1] = 0.2
            layer.mlp.gate.router_mlp.out_proj.weight[-1] += 0.1 * torch.randn(16)
    return model.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention_bias": True},
        {"layer_types": ["hybrid", "hybrid_sliding", "hybrid"], "sliding_window": 5},
    ],
    ids=["plain", "bias", "sliding"],
)
def test_saved_there_loads_here(changes: dict[str, Any], tmp_path: Path) -> None:
    model = their_model(**changes)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    with torch.no_grad():
        out = loaded(IDS, Layout.of([40]))
        assert 0.02 < (out.experts_NL == 4).float().mean() < 0.98, "the skip class must be at work"
        want = model(input_ids=IDS[None]).logits[0]
    assert gap(ours(loaded, IDS), want) < TOLERANCE


def test_a_folder_that_went_through_transformers_comes_back(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = build()
    (tmp_path / "a").mkdir()
    save_model(model, tmp_path / "a")
    AutoModelForCausalLM.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    back = load_model(tmp_path / "b")
    assert back.config == model.config
    for (name, want), got in zip(
        model.state_dict().items(), back.state_dict().values(), strict=True
    ):
        if name.endswith("balancing_biases"):  # below -0.5 they are stored raised by an integer
            assert torch.allclose(want - want[0], got - got[0], atol=1e-6)
        else:
            assert torch.equal(want, got), name


def test_transformers_forgets_the_bias_of_the_skip_class(tmp_path: Path) -> None:
    """Why the tests here keep it at -1. Once this fails, transformers is mended."""
    from transformers import AutoModelForCausalLM

    their_model().save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert [layer.mlp.gate.balancing_biases[-1] for layer in again.model.layers] == [-1] * 3
    assert load_model(tmp_path).balancing_biases[0][-1] == pytest.approx(0.2)


def test_bf16_folder(tmp_path: Path) -> None:
    model = build(skip_expert="zero", numerics="hf").to(torch.bfloat16)
    for bias in model.balancing_biases:
        bias.data = bias.float()
    save_model(model, tmp_path)
    want = theirs(tmp_path, IDS, dtype=torch.bfloat16).float()
    loaded = load_model(tmp_path)
    assert loaded.model.embed_tokens.weight.dtype == torch.bfloat16
    assert loaded.balancing_biases[0].dtype == torch.float32
    assert gap(ours(loaded, IDS), want) < 0.05  # exact figures: test_peer


def test_a_linear_router_is_not_taken_for_a_zaya(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_model(build(router="linear"), tmp_path)
    with pytest.raises((ValueError, KeyError), match="openzaya_zaya"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a model already"):
        save_model(build(), tmp_path)
