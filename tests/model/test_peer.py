"""The network beside transformers' `zaya`: logits, gradients, bf16 and generation.

Twenty-four random configurations. Every stored value is random; biases are such that a share of the
tokens takes the skip class. transformers runs each document alone (packed ones leak into each other
there), ours runs them as one stream.
"""

from __future__ import annotations

import functools
import math
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from openzaya.config.model import ModelConfig
from openzaya.model import DecodeState, Layout, ZayaForCausalLM

pytestmark = pytest.mark.peer
CASES = range(24)
LENGTHS = [1, 2, 3, 17, 9]
LOGITS = 2e-6
"""fp32, of the largest logit."""
GRADIENTS = 1e-5
"""fp32, of a tensor's largest gradient, or of a hundredth of the model's: below that (the gradient
of a query whose window is one token) there is only rounding. A key temperature's gradient is one
sum over all tokens in which nearly everything cancels: measured against float64, both programs
are off by up to 3e-5 of it, so its floor is a tenth."""
BF16 = 3
"""bf16, in units in the last place of the largest logit."""


@functools.cache
def shape(case: int) -> dict[str, Any]:
    pick = random.Random(case)
    groups, layers, experts = pick.choice([1, 2, 4]), pick.randint(1, 4), pick.randint(2, 8)
    sliding = case % 3 == 0
    return {
        "vocab_size": 60,
        "hidden_size": pick.choice([32, 48, 64]),
        "num_hidden_layers": layers,
        "num_attention_heads": groups * pick.choice([1, 2, 3]),
        "num_key_value_heads": groups,
        "head_dim": pick.choice([8, 16, 32]),
        "num_experts": experts,
        "moe_intermediate_size": pick.choice([16, 24, 48]),
        "router_hidden_size": pick.choice([12, 16, 32]),
        "attention_bias": case % 2 == 0,
        "max_position_embeddings": 64,
        "sliding_window": pick.randint(1, 8) if sliding else None,
        "layer_types": [
            "hybrid_sliding" if sliding and i % 2 == case % 2 else "hybrid" for i in range(layers)
        ],
    }


def pair(case: int, **ours: Any) -> tuple[ZayaForCausalLM, Any]:
    """Ours and theirs with the same random weights."""
    from transformers import ZayaConfig
    from transformers import ZayaForCausalLM as Theirs

    torch.set_num_threads(1)
    keys = dict(shape(case))
    theirs = Theirs(ZayaConfig(**keys, eos_token_id=2, attn_implementation="sdpa")).eval()
    types = keys.pop("layer_types")
    sliding = tuple(i for i, name in enumerate(types) if name == "hybrid_sliding")
    config = {"skip_expert": "zero", "rope_theta": 5e6, "sliding_layers": sliding}
    model = ZayaForCausalLM(ModelConfig.model_validate(keys | config | ours))
    generator = torch.Generator().manual_seed(case)
    state = {}
    for name, tensor in theirs.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        positive = name.endswith(("scale", "norm.weight", "layernorm.weight", "temp"))
        state[name] = (1 + 0.3 * noise) if positive else 0.12 * noise
        if name.endswith("out_proj.weight"):
            state[name] = 3.0 * noise
        elif name.endswith("balancing_biases"):
            state[name] = 0.1 * noise
            state[name][-1] += 0.15
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    for network in (model, theirs):
        network.load_state_dict(state, strict=True)
    return model, theirs


@functools.cache
def documents() -> list[torch.Tensor]:
    """Without id 0: transformers' `generate` takes a prompt's padding for holes."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, 60, (n,), generator=generator) for n in LENGTHS]


def ours_logits(model: ZayaForCausalLM, **options: Any) -> torch.Tensor:
    return model.logits(model(torch.cat(documents()), Layout.of(LENGTHS), **options).hidden_ND)


def their_logits(theirs: Any) -> torch.Tensor:
    return torch.cat([theirs(input_ids=ids[None]).logits[0] for ids in documents()])


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


def ulps(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference in bf16 units in the last place of the largest value."""
    unit = 2.0 ** (math.floor(math.log2(float(b.abs().max()))) - 7)
    return float((a - b).abs().max()) / unit


def loss_of(logits: torch.Tensor) -> torch.Tensor:
    """Sum of the next-token cross-entropies of all documents."""
    total = logits.new_zeros(())
    for ids, rows in zip(documents(), logits.split(LENGTHS), strict=True):
        if len(ids) > 1:
            total = total + F.cross_entropy(rows[:-1], ids[1:], reduction="sum")
    return total


@pytest.mark.parametrize("case", CASES)
def test_fp32_logits_and_gradients(case: int) -> None:
    model, theirs = pair(case)
    theirs.set_experts_implementation("eager" if case % 2 else "grouped_mm")
    got, want = ours_logits(model), their_logits(theirs)
    assert relative(got, want) < LOGITS
    loss_of(got).backward()
    loss_of(want).backward()
    wanted = dict(theirs.named_parameters())
    floor = max(float(p.grad.abs().max()) for p in wanted.values() if p.grad is not None) / 100
    for name, parameter in model.named_parameters():
        a, b = parameter.grad, wanted[name].grad
        assert a is not None
        if b is None:  # an expert stack that no token reached there
            assert not a.any(), name
        else:
            size = max(float(b.abs().max()), floor * (10 if name.endswith("temp") else 1))
            assert (a - b).abs().max() < GRADIENTS * size, name


@torch.no_grad()
def test_the_skip_class_is_at_work() -> None:
    """Over all configurations together, and in most of them."""
    shares = []
    for case in CASES:
        model, _ = pair(case)
        choices = model(torch.cat(documents()), Layout.of(LENGTHS)).experts_NL
        shares.append(float((choices == model.config.num_experts).float().mean()))
    assert sum(0.03 < share < 0.97 for share in shares) >= 14, shares


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [
        "self_attn.qkv_proj.conv_qk_depthwise.weight", "self_attn.qkv_proj.conv_qk_grouped.bias",
        "self_attn.qkv_proj.v_proj_delayed.weight", "self_attn.qk_norm.temp",
        "mlp.gate.router_states_scale", "mlp.gate.router_mlp.fc1.bias",
        "post_mlp_residual_scale.residual_bias",
    ],
)  # fmt: skip
def test_a_changed_weight_is_seen(name: str) -> None:
    """Negative control: one value of one tensor in their last layer."""
    case = next(c for c in CASES if shape(c)["num_hidden_layers"] > 2)
    model, theirs = pair(case)
    theirs.state_dict()[f"model.layers.1.{name}"].view(-1)[0] += 0.2
    assert relative(ours_logits(model), their_logits(theirs)) > 2 * LOGITS


def bf16_pair(case: int) -> tuple[ZayaForCausalLM, Any]:
    model, theirs = (network.to(torch.bfloat16) for network in pair(case, numerics="hf"))
    for block, layer in zip(model.model.layers, theirs.model.layers, strict=True):
        for gate in (block.mlp.gate, layer.mlp.gate):
            gate.balancing_biases = gate.balancing_biases.float()
    return model, theirs


def their_choices(theirs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Their logits, and the class of every token and layer from their router's logits."""
    logits, choices = [], []
    biases = [layer.mlp.gate.balancing_biases for layer in theirs.model.layers]
    for ids in documents():
        out = theirs(input_ids=ids[None], output_router_logits=True)
        logits.append(out.logits[0].float())
        choices.append(
            torch.stack(
                [
                    (scores.softmax(-1).float() + bias).argmax(-1)
                    for scores, bias in zip(out.router_logits, biases, strict=True)
                ],
                dim=1,
            )
        )
    return torch.cat(logits), torch.cat(choices)


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_bf16_logits(case: int) -> None:
    """Two correct bf16 programs may break a router's near-tie differently; with their choices
    pinned, everything else has to agree. Free choices agree on most tokens."""
    model, theirs = bf16_pair(case)
    want, choices = their_choices(theirs)
    got = ours_logits(model, replay_NL=choices)
    assert ulps(got, want) <= BF16
    free = model(torch.cat(documents()), Layout.of(LENGTHS)).experts_NL
    assert (free == choices).float().mean() > 0.9


@torch.no_grad()
def test_report_numerics_are_another_rounding() -> None:
    """Negative control of the mode: fp32 where transformers rounds gives other bf16 logits."""
    model, theirs = bf16_pair(1)
    _, choices = their_choices(theirs)
    report, _ = pair(1)
    report = report.to(torch.bfloat16)
    a, b = (ours_logits(network, replay_NL=choices) for network in (model, report))
    assert 0 < ulps(a, b) < 4 * BF16


@torch.no_grad()
@pytest.mark.parametrize("case", [0, 1, 5, 8])
def test_greedy_generation(case: int) -> None:
    model, theirs = pair(case)
    prompt = documents()[3]
    ids = theirs.generate(prompt[None], max_new_tokens=20, do_sample=False, eos_token_id=None)[0]
    state = DecodeState.empty(model.config, 1, 64)
    out = model(prompt, Layout.of([len(prompt)]), state)
    mine = prompt.tolist()
    for _ in range(20):
        token = model.logits(out.hidden_ND[-1:]).argmax(-1)
        mine.append(int(token))
        out = model(token, Layout.of([1], state.lengths), state)
    assert mine == ids.tolist()
