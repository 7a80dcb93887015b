"""A model's weights in packed form, layer by layer: what the native runner reads.

    qkv      q, k, current and delayed values, side by side      quantised
    o        attention output                                    quantised
    w1, w2   the experts' stacks                                 quantised
    head     the tied embedding                                  quantised
    conv     the grouped convolution, a matrix per head          exact
    down, fc1, fc2, classes   the router                         exact

Norms, scales, biases and the depthwise taps are fp32 vectors. Exact means bf16 where bf16 holds
every value, else fp32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.kernels.packed import Format, Packed, lossless, pack
from openzaya.model import ZayaForCausalLM
from openzaya.model.norm import ResidualScale
from openzaya.model.zaya import Block

Parts = dict[str, Packed | Tensor | None]


def pack_layer(block: Block, form: Format) -> Parts:
    """One layer: its matrices in `form` or exact, its vectors in fp32."""
    attention, gate, experts = block.self_attn, block.mlp.gate, block.mlp.experts
    qkv = attention.qkv_proj
    projections = (qkv.q_proj, qkv.k_proj, qkv.v_proj_current, qkv.v_proj_delayed)
    bias = None
    if qkv.q_proj.bias is not None:  # the delayed value's comes after the shift
        bias = torch.cat([p.bias for p in projections[:3]] + [qkv.v_proj_delayed.bias * 0])
    depthwise, grouped = qkv.conv_qk_depthwise, qkv.conv_qk_grouped
    assert depthwise.bias is not None and grouped.bias is not None
    dim = grouped.weight.shape[1]
    # (heads * out, in, tap) to (heads, out, [old in ..., now in ...])
    taps = grouped.weight.unflatten(0, (-1, dim)).permute(0, 1, 3, 2).flatten(2)
    parts: Parts = {
        "qkv": pack(torch.cat([p.weight for p in projections]), form, bias),
        "conv": pack(taps, lossless(taps), grouped.bias),
        "o": pack(attention.o_proj.weight, form, attention.o_proj.bias),
        "w1": pack(experts.gate_up_proj, form),
        "w2": pack(experts.down_proj, form),
        "norm": _vector(block.input_layernorm.weight),
        "taps": _vector(depthwise.weight[:, 0].t()),
        "tap_bias": _vector(depthwise.bias),
        "temp": _vector(attention.qk_norm.temp),
        "value_bias": _vector(qkv.v_proj_delayed.bias),
        "merge": _merge(block.post_attention_residual_scale),
        "mlp_norm": _vector(block.post_attention_layernorm.weight),
        "balance": _vector(gate.balancing_biases),
        "mlp_merge": _merge(block.post_mlp_residual_scale),
    }
    if gate.kind == "linear":
        return parts | {"classes": _exact(gate.linear)}
    mlp = gate.router_mlp
    return parts | {
        "down": _exact(gate.down_proj),
        "fc1": _exact(mlp.fc1),
        "fc2": _exact(mlp.fc2),
        "classes": _exact(mlp.out_proj),
        "average": _vector(gate.router_states_scale) if gate.has_depth_average else None,
        "router_norm": _vector(mlp.norm.weight),
    }


def pack_layers(model: ZayaForCausalLM, form: Format) -> Iterator[Parts]:
    """One after another: of a mapped checkpoint, only one layer is in memory twice."""
    for block in model.model.layers:
        assert isinstance(block, Block)
        yield pack_layer(block, form)


def pack_rest(model: ZayaForCausalLM, form: Format) -> tuple[Packed, dict[str, Tensor]]:
    """The head, and the vectors that belong to no layer."""
    network = model.model
    vectors = {
        "input_scale": network.input_hidden_states_scale,
        "input_bias": network.input_hidden_states_bias,
        "final_norm": network.norm.weight,
    }
    packed = {name: _vector(v) for name, v in vectors.items()}
    return pack(network.embed_tokens.weight, form), {
        k: v for k, v in packed.items() if v is not None
    }


def serves(config: ModelConfig) -> bool:
    """Whether the native network takes this shape: vectors of 16, and a choice in one byte."""
    widths = (config.hidden_size, config.head_dim, config.moe_intermediate_size)
    router = config.router_hidden_size if config.router == "mlp" else 16
    return all(n % 16 == 0 for n in (*widths, router)) and config.router_classes <= 256


def _exact(linear: torch.nn.Linear) -> Packed:
    return pack(linear.weight, lossless(linear.weight), linear.bias)


def _vector(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.detach().float().contiguous().clone()


def _merge(scale: ResidualScale) -> Tensor:
    parts = (
        scale.hidden_states_scale, scale.hidden_states_bias, scale.residual_scale,
        scale.residual_bias,
    )  # fmt: skip
    return torch.stack([p.detach().float() for p in parts])


def network_sizes(config: ModelConfig) -> dict[str, int]:
    """Names as in network.cpp."""
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "groups": config.num_key_value_heads,
        "dim": config.head_dim,
        "half": config.rotary_dim // 2,
        "experts": config.num_experts,
        "units": config.moe_intermediate_size,
        "router": config.router_hidden_size if config.router == "mlp" else 0,
        "vocabulary": config.vocab_size,
        "skip_scaled": config.skip_expert == "scaled",
        "linear_router": config.router == "linear",
    }


def matrix_sizes(config: ModelConfig) -> dict[str, int]:
    """Outputs of every matrix of a layer, and of the head."""
    dim, r = config.head_dim, config.router_hidden_size
    kv = config.num_key_value_heads * dim
    sizes = {
        "qkv": config.conv_channels + kv,
        "conv": dim,
        "o": config.hidden_size,
        "w1": 2 * config.moe_intermediate_size,
        "w2": config.hidden_size,
        "classes": config.router_classes,
        "head": config.vocab_size,
    }
    return sizes | ({"down": r, "fc1": r, "fc2": r} if config.router == "mlp" else {})


def frequencies(config: ModelConfig) -> list[Tensor]:
    """Rotary frequencies by layer; layers of one kind share a tensor."""
    channel = torch.arange(config.rotary_dim // 2, dtype=torch.float32)
    full = 1.0 / config.rope_theta ** (channel / len(channel))
    sliding = 1.0 / config.sliding_rope_theta ** (channel / len(channel))
    return [
        sliding if i in config.sliding_layers else full for i in range(config.num_hidden_layers)
    ]


def windows(config: ModelConfig) -> list[int]:
    """Sliding window by layer, 0 for none."""
    layers = range(config.num_hidden_layers)
    return [(config.sliding_window or 0) if i in config.sliding_layers else 0 for i in layers]
