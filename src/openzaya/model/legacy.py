"""Weights in the layout of Zyphra's own transformers fork (ZAYA1-8B-legacy, ZAYA1-base).

There, attention and experts are alternating half-layers: half-layer 2i is layer i's attention,
2i + 1 its experts. Every half-layer opens with the merge of what came before it, so a `res_scale`
belongs to the half-layer below.

Sources, read in 2026: every name is a module of Zyphra/transformers (models/zaya/modular_zaya.py)
and one side of the map in SGLang's loading test; the rules for layers, experts and `res_scale` are
those of huggingface/transformers' early convert_zaya_weights_to_hf.py, where Zyphra shares the
copyright. The config keys are those of ZAYA1-8B-legacy (copied in SGLang's config test) and, for
sizes as one list entry per half-layer, of the fork's configuration. No weights were at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model.hf_config import DEFAULT_ROPE, FULL, SECTION, SLIDING, refuse

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
Part = Tensor | list[Tensor]
"""A tensor, or the experts that stack to one: joined late, a copy of all does not fit in memory."""
LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
EXPERT = re.compile(r"zaya_block\.experts\.local_experts\.(\d+)\.linear_fc([12])\.weight")


def is_legacy(config: dict[str, Any]) -> bool:
    """Whether a config.json belongs to the legacy layout, whose model_type is the same."""
    return any(key in config for key in ("zaya_mlp_expansion", "moe_router_topk", "norm_epsilon"))


def native_parts(
    tensors: Iterable[tuple[str, Tensor]], config: ModelConfig, where: str
) -> dict[str, Part]:
    """All tensors under native names, each layer's experts in order. `where` begins errors."""
    parts: dict[str, Part] = {}
    stacks: dict[str, dict[int, Tensor]] = {}
    for legacy_name, tensor in tensors:
        name, expert = native_name(legacy_name, config.num_hidden_layers)
        if expert is None:
            parts[name] = tensor
        else:
            stacks.setdefault(name, {})[expert] = tensor
    for name, rows in stacks.items():
        if sorted(rows) != list(range(config.num_experts)):
            what = f"{len(rows)} of {config.num_experts} experts found"
        elif len({(row.shape, row.dtype) for row in rows.values()}) > 1:
            what = "experts of different shapes or types"
        else:
            parts[name] = [rows[i] for i in range(config.num_experts)]
            continue
        raise CheckpointError(f"{where}{name}: {what}", "copy all shards of the checkpoint again")
    return parts


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


REQUIRED: dict[str, tuple[Any, ...]] = {
    "cca": (True,),
    "activation_func": ("swiglu",),
    "gated_linear_unit": (True,),
    "add_bias_linear": (False,),
    "normalization": ("RMSNorm",),
    "rope_scaling": (False, None),
    "scale_residual_merge": (True,),
    "zaya_use_eda": (True,),
    "zaya_use_mod": (True,),
    "clamp_temp": (False,),
}
"""Settings of which we have only one form; the first is the default."""
ROUNDING = (
    "residual_in_fp32", "zaya_high_prec", "fused_add_norm", "apply_rope_fusion",
    "bias_activation_fusion", "activation_func_fp8_input_store", "mamba_cache_dtype",
)  # fmt: skip
"""What only chose kernels and precisions."""
NATIVE = ("layer_types", "rope_parameters", "router_hidden_size", "moe_intermediate_size", SECTION)


def native_config(stored: dict[str, Any], where: str) -> dict[str, Any]:
    """A legacy config.json as a native one. Its skip class computes `scaled`, as that code does.

    Keys that both layouts share pass through; `from_hf` refuses what it does not know.
    """
    left = dict(stored)
    for key, allowed in REQUIRED.items():
        value = left.pop(key, allowed[0])
        if value not in allowed:
            refuse(where, key, value, repr(allowed[0]))
    for key in ROUNDING:
        left.pop(key, None)
    for key in NATIVE:
        if key in left:
            refuse(where, key, left[key], "no such key beside those of the legacy layout")

    def size(key: str, default: Any = None) -> Any:
        """A size given once, or per half-layer with 0 where it does not apply."""
        value = left.pop(key, None)
        if isinstance(value, list):
            sizes = {v for v in value if v}
            if len(sizes) != 1:
                refuse(where, key, value, "one size for all layers")
            return sizes.pop()
        return default if value is None else value

    halves, kinds = left.pop("num_hidden_layers", 80), left.pop("zaya_layers", None)
    halves = len(kinds) if kinds else halves  # where present, the true list of half-layers
    in_turn = not kinds or ({*kinds[::2]} == {"a"} and "a" not in kinds[1::2])
    if not isinstance(halves, int) or halves % 2 or not in_turn:
        refuse(where, "num_hidden_layers", halves, "attention and experts in turn, an even number")
    if kinds:  # "a" or a number of experts
        left["zaya_layers"] = kinds[1::2]
        left["num_experts"] = size("zaya_layers")
    # Beside a list of query heads, num_attention_heads counts the uncompressed ones.
    heads, queries = left.pop("num_attention_heads", None), size("cca_num_q_heads")
    width = left.get("hidden_size", 2048)
    channels = size("kv_channels", width // heads if queries and heads else 128)
    left["head_dim"] = left.get("head_dim", channels)
    left["num_attention_heads"] = queries or heads or 8
    groups = size("num_query_groups_list") or size("num_query_groups")
    left["num_key_value_heads"] = groups or left.get("num_key_value_heads", 2)
    left["num_hidden_layers"] = halves // 2
    left["num_experts_per_tok"] = size("moe_router_topk", 1)
    left["rms_norm_eps"] = left.pop("norm_epsilon", 1e-5)
    left["router_hidden_size"] = size("zaya_mlp_expansion", 256)
    expanded = size("ffn_hidden_size_list") or size("ffn_hidden_size", 4096)
    left["moe_intermediate_size"] = expanded // 2
    left |= _attention_span(left, where, halves // 2)
    theta = {
        FULL: left.pop("rope_theta", DEFAULT_ROPE[FULL]["rope_theta"]),
        SLIDING: left.pop("swa_rotary_base", None) or DEFAULT_ROPE[SLIDING]["rope_theta"],
    }
    factor = left.pop("partial_rotary_factor", 0.5)
    left["rope_parameters"] = {
        kind: {"rope_theta": base, "partial_rotary_factor": factor} for kind, base in theta.items()
    }
    return left | {"model_type": "zaya", "openzaya": {"skip_expert": "scaled"}}


def _attention_span(left: dict[str, Any], where: str, layers: int) -> dict[str, Any]:
    """Layer types and window from `swa_layers`: per half-layer, how many tokens before the current
    one are seen, 0 for all. A native window counts the current token."""
    spans = left.pop("swa_layers", None) or []
    spans = spans[::2] if len(spans) == 2 * layers else spans
    if len(spans) not in (0, layers):
        refuse(where, "swa_layers", f"{len(spans)} entries", f"{layers} or {2 * layers}")
    windows = {w for w in spans if w}
    if len(windows) > 1:
        refuse(where, "swa_layers", sorted(windows), "one window for all sliding layers")
    if not windows and left.get("sliding_window"):
        refuse(where, "sliding_window", left["sliding_window"], "windows named by swa_layers")
    # transformers' converter takes a window that is given beside the list as a native one.
    window = left.get("sliding_window") or (windows.pop() + 1 if windows else None)
    types = [SLIDING if w else FULL for w in spans] or [FULL] * layers
    return {"layer_types": types, "sliding_window": window}
