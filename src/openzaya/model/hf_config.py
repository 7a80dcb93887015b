"""Our shape as the config.json of Hugging Face's `zaya`, and back.

Whatever changes what the network computes is either understood or refused by name: a key that is
silently ignored is a model that silently computes something else. Facts: the published config and
transformers' ZayaConfig.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import ValidationError

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model.skip_row import SPARE

SECTION = "openzaya"
"""Key of config.json that holds what Hugging Face has no name for."""
FULL, SLIDING = "hybrid", "hybrid_sliding"
DEFAULT_ROPE = {
    FULL: {"rope_theta": 5e6, "partial_rotary_factor": 0.5},
    SLIDING: {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
}
"""What transformers takes where a file has no rope_parameters."""
SHARED = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "cca_time0", "cca_time1", "num_experts", "num_experts_per_tok",
    "moe_intermediate_size", "rms_norm_eps", "attention_bias", "tie_word_embeddings",
    "max_position_embeddings", "sliding_window", "initializer_range", "bos_token_id",
    "eos_token_id", "pad_token_id",
)  # fmt: skip
"""Keys that mean the same on both sides."""
OURS = (
    "skip_expert", "numerics", "router", "key_temperature_init", "moe_branch_scale_init",
    "router_out_std",
)  # fmt: skip
FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_dropout": (0, None),
    "lm_head_bias": (False,),
}
"""Keys of which we have only one form."""
BOOKKEEPING = frozenset(
    (
        "architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "use_cache",
        "output_router_logits", "output_hidden_states", "output_attentions", "return_dict",
        "chunk_size_feed_forward", "is_encoder_decoder", "id2label", "label2id", "problem_type",
        "_name_or_path", "auto_map", "quantization_config",
    )
)  # fmt: skip
"""Keys that do not change the function. A quantised checkpoint is refused by its tensors."""


def to_hf(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """config.json of a folder whose weights are stored as `dtype` ("bfloat16", "float32")."""
    layers = range(config.num_hidden_layers)
    rope = {
        kind: {
            "rope_type": "default",
            "rope_theta": theta,
            "partial_rotary_factor": config.partial_rotary_factor,
        }
        for kind, theta in ((FULL, config.rope_theta), (SLIDING, config.sliding_rope_theta))
    }
    # transformers has no linear router: a name it does not know keeps it from guessing.
    kind = "zaya" if config.router == "mlp" else "openzaya_zaya"
    # Without a skip class the router is stored wider: see skip_row.
    spare = SPARE if config.skip_expert == "none" and config.router == "mlp" else 0
    return {
        "architectures": ["ZayaForCausalLM"],
        "model_type": kind,
        "dtype": dtype,
        **{key: getattr(config, key) for key in SHARED},
        "router_hidden_size": config.router_hidden_size + spare,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "lm_head_bias": False,
        "layer_types": [SLIDING if i in config.sliding_layers else FULL for i in layers],
        "rope_parameters": rope,
        SECTION: {key: getattr(config, key) for key in OURS},
    }


def from_hf(stored: dict[str, Any], where: str, **overrides: Any) -> ModelConfig:
    """The shape that a config.json describes. `overrides` are ModelConfig fields that win.

    A checkpoint without our section comes from transformers: its skip class computes `zero`.
    Raises CheckpointError that names `where`, the key and what is supported.
    """
    if stored.get("model_type") not in ("zaya", "openzaya_zaya"):
        refuse(where, "model_type", stored.get("model_type"), "zaya")
    for key, allowed in FIXED.items():
        if stored.get(key, allowed[0]) not in allowed:
            refuse(where, key, stored[key], repr(allowed[0]))
    known = {*SHARED, *FIXED, *BOOKKEEPING, SECTION}
    known |= {"router_hidden_size", "layer_types", "rope_parameters", "partial_rotary_factor"}
    for key in sorted(stored.keys() - known):
        raise CheckpointError(
            f"{where} is not a ZAYA configuration we know: {key}: unknown key",
            "remove the key if the network computes the same without it",
        )
    section = stored.get(SECTION, {"skip_expert": "zero"})
    if not isinstance(section, dict) or section.keys() - {*OURS} or "skip_expert" not in section:
        refuse(where, SECTION, section, f"a table with {', '.join(OURS)}")
    shape = {key: stored[key] for key in SHARED if key in stored} | section
    for key, default in (("bos_token_id", 2), ("pad_token_id", 0)):
        shape[key] = default if shape.get(key) is None else shape[key]
    if isinstance(shape.get("eos_token_id"), list) and shape["eos_token_id"]:
        shape["eos_token_id"] = shape["eos_token_id"][0]  # generation ends at the first
    shape["sliding_layers"] = _sliding_layers(stored, where)
    shape |= _rope(stored, where, sliding=bool(shape["sliding_layers"]))
    shape["router_hidden_size"] = stored.get("router_hidden_size", 256)
    shape |= {key: value for key, value in overrides.items() if value is not None}
    if shape["skip_expert"] == "none":
        if section["skip_expert"] != "none":
            refuse(where, "skip_expert", "none", "zero, scaled: this router has a skip class")
        stored_width = shape["router_hidden_size"]
        if section.get("router", "mlp") == "mlp" and isinstance(stored_width, int):
            shape["router_hidden_size"] = stored_width - SPARE
    try:
        return ModelConfig(**shape)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        raise CheckpointError(
            f"{where} is not a ZAYA configuration: {key}: {first['msg']}",
            "restore the file that belongs to these weights",
        ) from error


def refuse(where: str, key: str, value: object, supported: str) -> NoReturn:
    """The one sentence for a setting we do not have. `where` is the file."""
    raise CheckpointError(
        f"{where}: {key} is {value!r}; supported: {supported}",
        "use weights of a network that computes the supported form",
    )


def _sliding_layers(stored: dict[str, Any], where: str) -> tuple[int, ...]:
    layers, types = stored.get("num_hidden_layers", 40), stored.get("layer_types")
    if types is None:
        return ()
    if not isinstance(types, list) or len(types) != layers:
        found = len(types) if isinstance(types, list) else types
        refuse(where, "layer_types", found, f"one name for each of {layers} layers")
    for name in types:
        if name not in (FULL, SLIDING):
            refuse(where, "layer_types", name, f"{FULL}, {SLIDING}")
    return tuple(i for i, name in enumerate(types) if name == SLIDING)


def _rope(stored: dict[str, Any], where: str, sliding: bool) -> dict[str, Any]:
    """Bases and the partial factor, as transformers 5.23 resolves them.

    Published files carry a stray `rope_type` beside the tables of the layer types and a top-level
    `partial_rotary_factor`. transformers heeds neither, so they must agree with the tables.
    """
    tables = stored.get("rope_parameters")
    if tables is None:
        tables = DEFAULT_ROPE
    needed = (FULL, SLIDING) if sliding else (FULL,)
    if not isinstance(tables, dict) or not all(isinstance(tables.get(k), dict) for k in needed):
        refuse(where, "rope_parameters", tables, f"a table for {' and '.join(needed)}")
    for name in tables.keys() - {FULL, SLIDING, "rope_type"}:
        refuse(where, f"rope_parameters.{name}", tables[name], f"{FULL}, {SLIDING}")
    if tables.get("rope_type", "default") != "default":
        refuse(where, "rope_parameters.rope_type", tables["rope_type"], "'default'")
    shape: dict[str, Any] = {}
    for kind, key in ((FULL, "rope_theta"), (SLIDING, "sliding_rope_theta")):
        table = tables.get(kind)
        if not isinstance(table, dict):  # of a layer type that no layer has
            continue
        for name, value in table.items():
            if name == "rope_type" and value == "default":
                continue
            if name not in ("rope_theta", "partial_rotary_factor"):
                supported = "'default'" if name == "rope_type" else "no such key"
                refuse(where, f"rope_parameters.{kind}.{name}", value, supported)
        shape[key] = table.get("rope_theta")
        if shape[key] is None:
            refuse(where, f"rope_parameters.{kind}.rope_theta", None, "a number")
        factor = table.get("partial_rotary_factor", 1.0)
        if factor != shape.setdefault("partial_rotary_factor", factor):
            refuse(
                where, f"rope_parameters.{kind}.partial_rotary_factor", factor,
                f"the same for all layer types ({shape['partial_rotary_factor']})",
            )  # fmt: skip
    if stored.get("partial_rotary_factor") not in (None, shape["partial_rotary_factor"]):
        supported = f"the factor in rope_parameters ({shape['partial_rotary_factor']})"
        refuse(where, "partial_rotary_factor", stored["partial_rotary_factor"], supported)
    return shape
