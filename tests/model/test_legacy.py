"""The legacy layout, written here from its description, loads with equal logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model import Layout, ZayaForCausalLM, checkpoint
from openzaya.model.checkpoint import convert_model, load_config, load_model, save_model
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


def same(a: ZayaForCausalLM, b: ZayaForCausalLM) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().values(), strict=True)
    return all(torch.equal(s, t) for (_, s), t in pairs)


def test_a_legacy_folder_loads_to_the_bit(folder: Path) -> None:
    loaded, want = load_model(folder), source()
    for key in ("initializer_range",):
        assert loaded.config.model_copy(update={key: getattr(CONFIG, key)}) == CONFIG
    assert same(want, loaded)
    ids, layout = torch.arange(30), Layout.of([30])
    with torch.no_grad():
        logits = [m.logits(m(ids, layout).hidden_ND) for m in (want, loaded)]
    assert torch.equal(*logits)
    assert load_config(folder, skip_expert="zero").skip_expert == "zero"


def test_merges_belong_to_the_half_layer_below(folder: Path) -> None:
    """Negative control: `res_scale` taken for its own half-layer's is another network."""
    tensors = legacy_tensors(source())
    scale = "res_scale.hidden_states_scale"
    one, two = f"model.layers.1.{scale}", f"model.layers.2.{scale}"
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, folder / "model.safetensors")
    assert not same(load_model(folder), source())


def test_conversion_holds_one_shard_at_a_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files as saving the loaded model, from experts that are stacked shard by shard."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    save_model(load_model(folder), a, dtype=torch.bfloat16, shard_bytes=40_000)
    stacked: list[int] = []
    saved: list[int] = []
    stack, save = torch.stack, checkpoint.save_file

    def counting(rows: list[Tensor]) -> Tensor:
        stacked.append(len(saved))
        return stack(rows)

    def saving(*args: Any, **kwargs: Any) -> None:
        saved.append(1)
        save(*args, **kwargs)

    monkeypatch.setattr(torch, "stack", counting)
    monkeypatch.setattr(checkpoint, "save_file", saving)
    config = convert_model(folder, b, dtype=torch.bfloat16, shard_bytes=40_000)
    assert config == load_config(b)
    assert len(saved) > 2 and stacked[0] < stacked[-1], "stacked between saves, not before"
    for file in sorted(a.iterdir()):
        assert file.read_bytes() == (b / file.name).read_bytes()


def change(folder: Path, **keys: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_damaged_weights_are_named(folder: Path) -> None:
    expert = "model.layers.1.zaya_block.experts.local_experts.2.linear_fc2.weight"

    def message(tensors: dict[str, Tensor]) -> str:
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(CheckpointError) as caught:
            load_model(folder)
        assert caught.value.hint and "\n" not in caught.value.message
        return caught.value.message

    tensors = legacy_tensors(source())
    whole = tensors.pop(expert)
    assert "3 of 4 experts found" in message(tensors)
    assert "different shapes" in message(tensors | {expert: whole[:-1].clone()})
    half = {n: t for n, t in legacy_tensors(source()).items() if not n.startswith("model.layers.4")}
    lost = message(half)
    assert "model.layers.1.post_mlp_residual_scale" in lost and "more are missing" in lost
    adapter = "model.layers.0.self_attn.qkv.lora_linear_q.0.weight"
    assert "no tensor of the legacy layout" in message(tensors | {adapter: torch.ones(1)})
    for name in (
        "model.layers.0.zaya_block.router.down_proj.weight",  # experts in an attention half-layer
        "model.layers.1.self_attn.qkv.linear_q.weight",
        "vision.patch.weight",
    ):
        with pytest.raises(CheckpointError, match="no tensor of the legacy layout"):
            native_name(name, 3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_hidden_layers": 5}, "an even number"),
        ({"clamp_temp": True}, "clamp_temp is True; supported: False"),
        ({"zaya_use_eda": False}, "zaya_use_eda is False"),
        ({"activation_func": "gelu"}, "activation_func is 'gelu'; supported: 'swiglu'"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling is"),
        ({"attention_dropout": 0.1}, "attention_dropout is 0.1"),
        ({"moe_router_topk": 2}, "2 experts per token"),
        ({"mystery": 1}, "mystery: unknown key"),
        ({"router_hidden_size": 16}, "router_hidden_size is 16; .*beside those of the legacy"),
        ({"sliding_window": 9}, "sliding_window is 9; supported: windows named by swa_layers"),
        ({"swa_layers": [7, 0, 9, 0, 0, 0]}, "one window for all sliding layers"),
        ({"swa_layers": [7, 0]}, "swa_layers is '2 entries'; supported: 3 or 6"),
        ({"zaya_mlp_expansion": [0, 8, 0, 16, 0, 16]}, "one size for all layers"),
        ({"zaya_layers": ["a", 4, 4, "a", "a", 4]}, "attention and experts in turn"),
    ],
)
def test_an_unsupported_config_is_named(
    keys: dict[str, object], message: str, folder: Path
) -> None:
    change(folder, **keys)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_config(folder)
    assert str(folder / "config.json") in caught.value.message and caught.value.hint


def test_windows_count_the_current_token(folder: Path) -> None:
    change(folder, swa_layers=[0, 0, 127, 0, 0, 0], swa_rotary_base=2e4)
    config = load_config(folder)
    assert config.sliding_window == 128 and config.sliding_layers == (1,)
    assert config.sliding_rope_theta == 2e4 and config.rope_theta == 5e6
    change(folder, swa_layers=[0, 127, 127])  # per layer, and no base of its own
    assert load_config(folder).sliding_layers == (1, 2)


def test_the_published_config(tmp_path: Path) -> None:
    """The keys of ZAYA1-8B-legacy, as copied in SGLang's tests: the released shape."""
    stored = {
        "activation_func": "swiglu", "activation_func_fp8_input_store": False,
        "add_bias_linear": False, "architectures": ["ZayaForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "bias_activation_fusion": True, "bos_token_id": 2, "cca": True,
        "dtype": "bfloat16", "eos_token_id": 106, "ffn_hidden_size": 4096,
        "gated_linear_unit": True, "hidden_size": 2048, "head_dim": 128, "kv_channels": 128,
        "lm_head_bias": False, "mamba_cache_dtype": "float32", "max_position_embeddings": 131072,
        "model_type": "zaya", "moe_router_topk": 1, "norm_epsilon": 1e-05,
        "normalization": "RMSNorm", "num_attention_heads": 8, "num_experts": 16,
        "num_hidden_layers": 80, "num_key_value_heads": 2, "num_query_groups": 2,
        "pad_token_id": 0, "partial_rotary_factor": 0.5, "residual_in_fp32": True,
        "rope_scaling": False, "rope_theta": 5000000, "scale_residual_merge": True,
        "sliding_window": None, "use_cache": True, "vocab_size": 262272,
        "zaya_mlp_expansion": 256, "zaya_use_eda": True, "zaya_use_mod": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(stored))
    released = ModelConfig(skip_expert="scaled", rope_theta=5e6)
    assert load_config(tmp_path) == released
    # ZAYA1-base lists sizes per half-layer, counts uncompressed heads, and miscounts its layers.
    for key in ("head_dim", "kv_channels", "num_experts", "ffn_hidden_size", "num_query_groups"):
        del stored[key]
    stored |= {
        "num_hidden_layers": 120, "zaya_layers": ["a", 16] * 40, "num_attention_heads": 16,
        "cca_num_q_heads": [8, 0] * 40, "num_query_groups_list": [2, 0] * 40,
        "ffn_hidden_size_list": [0, 4096] * 40, "zaya_mlp_expansion": [0, 256] * 40,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert load_config(tmp_path) == released
