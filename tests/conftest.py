"""What several rooms' tests share."""

from __future__ import annotations

import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.model import ZayaForCausalLM


@pytest.fixture(scope="module")
def model() -> ZayaForCausalLM:
    torch.set_num_threads(1)
    config = ModelConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=32,
        router_hidden_size=16, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    return ZayaForCausalLM(config).initialise(1)


@pytest.fixture(scope="module")
def native_model() -> ZayaForCausalLM:
    """Of a shape that the native network serves, with every vector away from its initial value."""
    torch.set_num_threads(2)
    config = ModelConfig(
        vocab_size=90, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_experts=4, moe_intermediate_size=48,
        router_hidden_size=16, max_position_embeddings=256, initializer_range=0.2,
        skip_expert="scaled", sliding_layers=(1,), sliding_window=20, attention_bias=True,
    )  # fmt: skip
    model = ZayaForCausalLM(config).initialise(2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in [*model.parameters(), *model.balancing_biases]:
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model
