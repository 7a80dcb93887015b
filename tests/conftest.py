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
