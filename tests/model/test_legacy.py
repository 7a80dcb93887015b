"""The legacy layout, written here from its description, loads with equal logits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import load_config, load_model
from openzaya.model.legacy import native_name

CONFIG = ModelConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, num_experts=4, moe_intermediate_size=24,
    router_hidden_size=16, skip_expert="scaled", rope_theta=5e6, initializer_range=0.2,
)  # fmt: skip


def legacy_tensors(model: ZayaForCausalLM) -> dict[str, Tensor]:
    """From the layers' modules, not by renaming: nothing here knows `openzaya.model.legacy`."""
    out = {
        "model.embed_tokens.weight": model.model.embed_tokens.weight,
        "model.final_norm.weight": model.model.norm.weight,
        "model.layers.0.res_scale.hidden_states_scale": model.model.input_hidden_states_scale,
        "model.layers.0.res_scale.hidden_states_bias": model.model.input_hidden_states_bias,
    }
    layers = list(model.model.layers)
    for i, block in enumerate(layers):
        a, m = f"model.layers.{2 * i}.", f"model.layers.{2 * i + 1}."
        last = i + 1 == len(layers)
        after = "model." if last else f"model.layers.{2 * i + 2}."
        for part in ("hidden_states", "residual"):
            for kind in ("scale", "bias"):
                name = f"{part}_{kind}"
                out[f"{m}res_scale.{name}"] = getattr(block.post_attention_residual_scale, name)
                out[f"{after}res_scale.{name}"] = getattr(block.post_mlp_residual_scale, name)
        qkv, gate, experts = block.self_attn.qkv_proj, block.mlp.gate, block.mlp.experts
        out |= {
            f"{a}input_norm.weight": block.input_layernorm.weight,
            f"{a}self_attn.qkv.linear_q.weight": qkv.q_proj.weight,
            f"{a}self_attn.qkv.linear_k.weight": qkv.k_proj.weight,
            f"{a}self_attn.qkv.val_proj1.weight": qkv.v_proj_current.weight,
            f"{a}self_attn.qkv.val_proj2.weight": qkv.v_proj_delayed.weight,
            f"{a}self_attn.qkv.temp": block.self_attn.qk_norm.temp,
            f"{a}self_attn.o_proj.weight": block.self_attn.o_proj.weight,
            f"{m}input_norm.weight": block.post_attention_layernorm.weight,
            f"{m}zaya_block.router.down_proj.weight": gate.down_proj.weight,
            f"{m}zaya_block.router.down_proj.bias": gate.down_proj.bias,
            f"{m}zaya_block.router.rmsnorm_eda.weight": gate.router_mlp.norm.weight,
            f"{m}zaya_block.router.router_mlp.4.weight": gate.router_mlp.out_proj.weight,
            f"{m}zaya_block.router.balancing_biases": gate.balancing_biases,
        }
        if i:
            out[f"{m}zaya_block.router.router_states_scale"] = gate.router_states_scale
        for kind in ("weight", "bias"):
            conv = (qkv.conv_qk_depthwise, qkv.conv_qk_grouped)
            for n, module in enumerate(conv):
                out[f"{a}self_attn.qkv.conv_qk.{n}.{kind}"] = getattr(module, kind)
            for n, module in ((0, gate.router_mlp.fc1), (2, gate.router_mlp.fc2)):
                out[f"{m}zaya_block.router.router_mlp.{n}.{kind}"] = getattr(module, kind)
        for e in range(4):
            at = f"{m}zaya_block.experts.local_experts.{e}."
            out[f"{at}linear_fc1.weight"] = experts.gate_up_proj[e]
            out[f"{at}linear_fc2.weight"] = experts.down_proj[e]
    return {name: t.detach().clone() for name, t in out.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = source()
    save_file(legacy_tensors(model), tmp_path / "model.safetensors")
    stored = {
        "model_type": "zaya", "num_hidden_layers": 6, "ffn_hidden_size": 48, "vocab_size": 50,
        "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "num_experts": 4, "moe_router_topk": 1, "zaya_mlp_expansion": 16, "norm_epsilon": 1e-5,
        "rope_theta": 5e6, "partial_rotary_factor": 0.5, "zaya_use_mod": True,
        "zaya_use_eda": True, "clamp_temp": False, "residual_in_fp32": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(stored))
    return tmp_path


def source() -> ZayaForCausalLM:
    model = ZayaForCausalLM(CONFIG).initialise(0)
    generator = torch.Generator().manual_seed(5)
    for tensor in model.model.state_dict().values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return model


def test_a_legacy_folder_loads_to_the_bit(folder: Path) -> None:
    loaded, want = load_model(folder), source()
    for key in ("initializer_range",):
        assert loaded.config.model_copy(update={key: getattr(CONFIG, key)}) == CONFIG
    for (name, a), b in zip(want.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert load_config(folder, skip_expert="zero").skip_expert == "zero"


def change(folder: Path, **keys: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_what_cannot_be_loaded_is_named(folder: Path) -> None:
    tensors = legacy_tensors(source())
    tensors.pop("model.layers.1.zaya_block.experts.local_experts.2.linear_fc2.weight")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="3 of 4 experts found"):
        load_model(folder)
    change(folder, num_hidden_layers=5)
    with pytest.raises(CheckpointError, match="an even number"):
        load_config(folder)
    change(folder, num_hidden_layers=6, clamp_temp=True)
    with pytest.raises(CheckpointError, match="clamp_temp"):
        load_config(folder)
    change(folder, clamp_temp=False, zaya_use_eda=False)
    with pytest.raises(CheckpointError, match="zaya_use_eda is false"):
        load_config(folder)
    for name in (
        "model.layers.0.zaya_block.router.down_proj.weight",  # experts in an attention half-layer
        "model.layers.1.self_attn.qkv.linear_q.weight",
        "model.layers.0.self_attn.qkv.lora_linear_q.0.weight",
        "vision.patch.weight",
    ):
        with pytest.raises(CheckpointError, match="no tensor of the legacy layout"):
            native_name(name, 3)


def test_windows_count_the_current_token(folder: Path) -> None:
    change(folder, sliding_window=[None, None, 127, None, None, None])
    config = load_config(folder)
    assert config.sliding_window == 128 and config.sliding_layers == (1,)
