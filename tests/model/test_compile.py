"""Blocks under torch.compile, on the CPU and, where there is one, on a CUDA device."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.model import DecodeState, Layout, ZayaForCausalLM

CONFIG = ModelConfig(
    vocab_size=64, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=32, num_experts=4, moe_intermediate_size=48,
    router_hidden_size=32, initializer_range=0.2, skip_expert="zero", sliding_layers=(1,),
    sliding_window=7,
)  # fmt: skip
LENGTHS = [5, 1, 9, 2, 30]
IDS = torch.arange(sum(LENGTHS)) * 7 % 64


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def logits_and_gradients(
    model: ZayaForCausalLM, device: str = "cpu"
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    layout = Layout.of(LENGTHS, device=device)
    layout.materialise()
    logits = model.logits(model(IDS.to(device), layout).hidden_ND)
    (logits.square().sum() / 1000).backward()
    named = model.named_parameters()
    return logits.detach().cpu(), {n: p.grad.cpu() for n, p in named if p.grad is not None}


def largest_gap(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[n] - b[n]).abs().max() / b[n].abs().max()) for n in b if b[n].any())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_compute_the_same() -> None:
    model = ZayaForCausalLM(CONFIG).initialise(0)
    want, want_grads = logits_and_gradients(model)
    for block in model.model.layers:
        block.compile()
    got, grads = logits_and_gradients(model)
    assert (got - want).abs().max() < 5e-6 * want.abs().max()
    assert largest_gap(grads, want_grads) < 5e-5


@pytest.mark.gpu
def test_cuda_fp32_equals_the_cpu() -> None:
    model = ZayaForCausalLM(CONFIG).initialise(0)
    want, want_grads = logits_and_gradients(model)
    there = copy.deepcopy(model).cuda()
    there.tie()
    got, grads = logits_and_gradients(there, "cuda")
    assert (got - want).abs().max() < 1e-5 * want.abs().max()
    assert largest_gap(grads, want_grads) < 1e-4


def half_on_cuda() -> ZayaForCausalLM:
    model = ZayaForCausalLM(CONFIG).initialise(0).cuda().to(torch.bfloat16)
    for block in model.model.layers:
        block.mlp.gate.balancing_biases = block.mlp.gate.balancing_biases.float()
    model.tie()
    return model


@pytest.mark.gpu
def test_cuda_bf16_packed_equals_separate() -> None:
    """The varlen attention and the grouped products; bf16 rounding only."""
    model, ids = half_on_cuda(), IDS.cuda()
    with torch.no_grad():
        packed = model(ids, Layout.of(LENGTHS, device="cuda"))
        alone = [
            model(t, Layout.of([len(t)], device="cuda"), replay_NL=c)
            for t, c in zip(ids.split(LENGTHS), packed.experts_NL.split(LENGTHS), strict=True)
        ]
    gap = (packed.hidden_ND - torch.cat([a.hidden_ND for a in alone])).float().abs().max()
    assert gap < 0.05 * packed.hidden_ND.float().abs().max()


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
def test_cuda_bf16_compiles_into_one_graph() -> None:
    model = half_on_cuda()
    want, _ = logits_and_gradients(model, "cuda")
    for block in model.model.layers:
        block.compile(fullgraph=True)
    got, _ = logits_and_gradients(model, "cuda")
    assert (got - want).abs().mean() < 0.05 * want.abs().mean()


@pytest.mark.gpu
@torch.no_grad()
def test_cuda_decode_equals_the_full_forward() -> None:
    model, ids = half_on_cuda(), IDS[:20].cuda()
    full = model(ids, Layout.of([20], device="cuda"))
    state = DecodeState.empty(CONFIG, 1, 32, torch.bfloat16, "cuda")
    rows, at = [], 0
    for n in (7, 1, 4, 1, 1, 6):
        layout = Layout.of([n], state.lengths, "cuda")
        out = model(ids[at : at + n], layout, state, full.experts_NL[at : at + n])
        rows.append(out.hidden_ND)
        at += n
    gap = (torch.cat(rows) - full.hidden_ND).float().abs().max()
    assert gap < 0.05 * full.hidden_ND.float().abs().max()
