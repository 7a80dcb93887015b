"""The arithmetic against the network itself: its parameters counted, its products watched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelConfig, ModelRecipe
from openzaya.kernels import build
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.model.account import (
    cache_values,
    count_parameters,
    decode_flops,
    prefill_flops,
    training_flops,
)

PARTS = {
    "embed_tokens": "embedding", "input_hidden": "embedding affine", "conv_qk": "convolutions",
    ".self_attn.": "attention", ".gate.": "router", ".experts.": "experts",
    "residual_scale.": "residual scaling", "norm.weight": "norms",
}  # fmt: skip
"""The first that a parameter's name contains is its part."""


def check(config: ModelConfig) -> None:
    with torch.device("meta"):
        model = ZayaForCausalLM(config)
    counted = dict.fromkeys(PARTS.values(), 0)
    for name, parameter in model.named_parameters():
        counted[next(part for key, part in PARTS.items() if key in name)] += parameter.numel()
    account = count_parameters(config)
    assert account.by_part == counted
    assert account.entries == len(model.state_dict())


@pytest.mark.parametrize(
    "recipe", sorted(Path("recipes/models").glob("*.toml")), ids=lambda p: p.stem
)
def test_recipes(recipe: Path) -> None:
    check(load_recipe(ModelRecipe, recipe).model)


@settings(max_examples=30, deadline=None)
@given(
    layers=st.integers(1, 4), groups=st.integers(1, 3), repeats=st.integers(1, 4),
    dim=st.sampled_from([4, 8, 16]), experts=st.integers(1, 5), width=st.sampled_from([8, 24]),
    bias=st.booleans(), skip=st.sampled_from(["none", "zero"]),
    router=st.sampled_from(["mlp", "linear"]),
)  # fmt: skip
def test_any_shape(
    layers: int, groups: int, repeats: int, dim: int, experts: int, width: int, bias: bool,
    skip: str, router: str,
) -> None:  # fmt: skip
    shape = {
        "num_hidden_layers": layers, "num_key_value_heads": groups, "head_dim": dim,
        "num_attention_heads": groups * repeats, "num_experts": experts, "hidden_size": width,
        "attention_bias": bias, "skip_expert": skip, "router": router, "vocab_size": 60,
    }  # fmt: skip
    check(ModelConfig.model_validate(shape))


def test_zaya1_8b() -> None:
    """Published and derived figures (report; spec: parameter counts, decode state)."""
    account = count_parameters(ModelConfig(skip_expert="zero"))
    assert account.total == 8_840_488_784
    assert account.active == 1_290_741_584
    assert account.active_without_embedding == 753_608_528
    assert account.entries == 1_284
    assert account.by_part["experts"] == 8_053_063_680
    assert cache_values(ModelConfig()) == (20_480, 107_520)


SMALL = ModelConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=24,
    router_hidden_size=16, sliding_layers=(1,), sliding_window=5,
)  # fmt: skip


def test_flops_are_those_of_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's counter sees every product; it counts attention without causality, and the
    depthwise convolution is elementwise here: these two are written out."""
    monkeypatch.setenv(build.SWITCH, "off")
    build.library.cache_clear()
    model = ZayaForCausalLM(SMALL).initialise(0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hidden = model(torch.arange(20), Layout.of([20])).hidden_ND
        model.logits(hidden)
    build.library.cache_clear()
    flops = prefill_flops(SMALL, 20, head=True)
    depthwise = 2 * 2 * 2 * SMALL.conv_channels
    products = flops.total - flops.attention - depthwise
    seen = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    attention = sum(n for op, n in seen.items() if "attention" in op)
    assert sum(seen.values()) - attention == 20 * products
    full, window = sum(range(1, 21)), 15 + 5 * 15
    assert flops.attention == round(4 * 32 * (full + window) / 20)


def test_flops_of_decode_and_training() -> None:
    step = decode_flops(SMALL, 19)
    assert step.attention == 4 * 32 * (20 + 5)
    assert step.head == 2 * 32 * 50
    assert training_flops(SMALL, 20).total == pytest.approx(
        3 * prefill_flops(SMALL, 20, True).total, abs=3
    )
