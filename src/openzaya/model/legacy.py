"""Weights in the layout of Zyphra's own transformers fork (ZAYA1-8B-legacy).

There, attention and experts are alternating half-layers: half-layer 2i is layer i's attention,
2i + 1 its experts. Every half-layer opens with the merge of what came before it, so a `res_scale`
belongs to the half-layer below. Names: several independent loaders of that layout agree on them
(an MLX and a Core AI port, two serving forks), read in 2026; no real file was at hand.
"""

from __future__ import annotations

import re
from typing import Any

from openzaya.errors import CheckpointError

PREFIXES = (
    ("input_norm.", "input_layernorm.", "post_attention_layernorm."),
    ("self_attn.qkv.linear_q.", "self_attn.qkv_proj.q_proj.", None),
    ("self_attn.qkv.linear_k.", "self_attn.qkv_proj.k_proj.", None),
    ("self_attn.qkv.val_proj1.", "self_attn.qkv_proj.v_proj_current.", None),
    ("self_attn.qkv.val_proj2.", "self_attn.qkv_proj.v_proj_delayed.", None),
    ("self_attn.qkv.conv_qk.0.", "self_attn.qkv_proj.conv_qk_depthwise.", None),
    ("self_attn.qkv.conv_qk.1.", "self_attn.qkv_proj.conv_qk_grouped.", None),
    ("self_attn.qkv.temp", "self_attn.qk_norm.temp", None),
    ("self_attn.o_proj.", "self_attn.o_proj.", None),
    ("zaya_block.router.rmsnorm_eda.", None, "mlp.gate.router_mlp.norm."),
    ("zaya_block.router.router_mlp.0.", None, "mlp.gate.router_mlp.fc1."),
    ("zaya_block.router.router_mlp.2.", None, "mlp.gate.router_mlp.fc2."),
    ("zaya_block.router.router_mlp.4.", None, "mlp.gate.router_mlp.out_proj."),
    ("zaya_block.router.", None, "mlp.gate."),
)
"""Legacy prefix, name in an attention half-layer, name in an expert half-layer."""
LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
EXPERT = re.compile(r"zaya_block\.experts\.local_experts\.(\d+)\.linear_fc([12])\.weight")


def is_legacy(config: dict[str, Any]) -> bool:
    """Whether a config.json belongs to the legacy layout, whose model_type is the same."""
    return any(key in config for key in ("zaya_mlp_expansion", "moe_router_topk", "norm_epsilon"))


def native_name(name: str, layers: int) -> tuple[str, int | None]:
    """(native name, expert) of one legacy tensor; the expert is None unless it is one's matrix.

    `layers` counts whole layers. Raises CheckpointError for a name that the layout does not have.
    """
    if name == "model.final_norm.weight":
        return "model.norm.weight", None
    if name.startswith("model.res_scale."):
        return f"model.layers.{layers - 1}.post_mlp_residual_scale.{name[16:]}", None
    found = LAYER.fullmatch(name)
    if found is None:
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            return name, None
        raise _unknown(name)
    half, rest = int(found[1]), found[2]
    layer, in_experts = divmod(half, 2)
    if rest.startswith("res_scale."):
        vector = rest.removeprefix("res_scale.")
        if half == 0:
            return f"model.input_{vector}", None
        if in_experts:
            return f"model.layers.{layer}.post_attention_residual_scale.{vector}", None
        return f"model.layers.{layer - 1}.post_mlp_residual_scale.{vector}", None
    expert = EXPERT.fullmatch(rest)
    if expert is not None and in_experts:
        stack = "gate_up_proj" if expert[2] == "1" else "down_proj"
        return f"model.layers.{layer}.mlp.experts.{stack}", int(expert[1])
    for old, *new in PREFIXES:
        target = new[in_experts]
        if target is not None and rest.startswith(old):
            return f"model.layers.{layer}.{target}{rest.removeprefix(old)}", None
    raise _unknown(name)


def _unknown(name: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is no tensor of the legacy layout", "convert a ZAYA1 checkpoint without adapters"
    )


RENAMED = {
    "norm_epsilon": "rms_norm_eps",
    "moe_router_topk": "num_experts_per_tok",
    "zaya_mlp_expansion": "router_hidden_size",
    "num_query_groups": "num_key_value_heads",
}
KEPT = (
    "vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "cca_time0", "cca_time1", "num_experts", "attention_bias", "tie_word_embeddings",
    "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "lm_head_bias",
    "rms_norm_eps",
)  # fmt: skip


def native_config(stored: dict[str, Any], where: str) -> dict[str, Any]:
    """A legacy config.json as a native one. Its skip class computes `scaled`, as that code does.

    A legacy window counts the tokens before the current one: ours is one more.
    """
    halves = stored.get("num_hidden_layers", 80)
    if halves % 2:
        raise CheckpointError(
            f"{where}: num_hidden_layers is {halves}; the legacy layout has an even number",
            "restore the file that belongs to these weights",
        )
    for key in ("zaya_use_mod", "zaya_use_eda", "scale_residual_merge", "residual_in_fp32"):
        if not stored.get(key, True):
            raise CheckpointError(
                f"{where}: {key} is false; only networks with it are supported",
                "use a released ZAYA1 checkpoint",
            )
    if stored.get("clamp_temp"):
        raise CheckpointError(
            f"{where}: clamp_temp is true; the released network does not clamp temp",
            "use a released ZAYA1 checkpoint",
        )
    native = {key: stored[key] for key in KEPT if key in stored}
    native |= {new: stored[old] for old, new in RENAMED.items() if old in stored}
    native["num_hidden_layers"] = halves // 2
    native["moe_intermediate_size"] = stored.get("ffn_hidden_size", 4096) // 2
    factor = stored.get("partial_rotary_factor", 0.5)
    theta = {"hybrid": stored.get("rope_theta", 5e6), "hybrid_sliding": 1e4}
    native["rope_parameters"] = {
        kind: {"rope_type": "default", "rope_theta": base, "partial_rotary_factor": factor}
        for kind, base in theta.items()
    }
    windows = stored.get("sliding_window")
    if isinstance(windows, list):  # one entry per half-layer, none where attention is full
        spans = {w for w in windows[::2] if w}
        if len(spans) > 1:
            raise CheckpointError(
                f"{where}: sliding_window differs between layers ({sorted(spans)})",
                "only one window for all sliding layers is supported",
            )
        native["sliding_window"] = spans.pop() + 1 if spans else None
        native["layer_types"] = ["hybrid_sliding" if w else "hybrid" for w in windows[::2]]
    return native | {"model_type": "zaya", "openzaya": {"skip_expert": "scaled"}}
