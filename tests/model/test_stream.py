"""The packed stream is exact: no leak between documents, no future, no drift in the cache."""

from __future__ import annotations

import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.model import DecodeState, Layout, ZayaForCausalLM

LENGTHS = [1, 2, 3, 7, 20, 5, 1]


def build(**changes: object) -> ZayaForCausalLM:
    torch.set_num_threads(1)
    shape = {
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "num_experts": 4, "moe_intermediate_size": 32,
        "router_hidden_size": 16, "max_position_embeddings": 64, "initializer_range": 0.2,
    }  # fmt: skip
    model = ZayaForCausalLM(ModelConfig.model_validate(shape | changes)).initialise(0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # a bias of zero would hide the convolution's padding rule
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        for bias in model.balancing_biases:
            bias += 0.3 * torch.randn(bias.shape, generator=generator)
    return model


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"skip_expert": "zero"},
        {"skip_expert": "scaled", "attention_bias": True},
        {"sliding_layers": (1,), "sliding_window": 4},
    ],
    ids=["plain", "skip-zero", "skip-scaled-bias", "sliding"],
)
def model(request: pytest.FixtureRequest) -> ZayaForCausalLM:
    return build(**request.param)


def ids(count: int) -> torch.Tensor:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(1))


def logits(model: ZayaForCausalLM, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    return model.logits(model(tokens, Layout.of(lengths)).hidden_ND)


def gradient(model: ZayaForCausalLM, streams: list[tuple[torch.Tensor, list[int]]]) -> torch.Tensor:
    model.zero_grad()
    for tokens, lengths in streams:
        logits(model, tokens, lengths).square().sum().backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return torch.cat(grads)


def test_packed_equals_separate(model: ZayaForCausalLM) -> None:
    tokens = ids(sum(LENGTHS))
    packed = logits(model, tokens, LENGTHS)
    alone = torch.cat([logits(model, t, [len(t)]) for t in tokens.split(LENGTHS)])
    assert (packed - alone).abs().max() < 2e-6 * packed.abs().max()


def test_packed_gradients_equal_separate(model: ZayaForCausalLM) -> None:
    tokens = ids(sum(LENGTHS))
    packed = gradient(model, [(tokens, LENGTHS)])
    alone = gradient(model, [(t, [len(t)]) for t in tokens.split(LENGTHS)])
    assert (packed - alone).abs().max() < 1e-5 * packed.abs().max()


def test_a_merged_boundary_is_seen(model: ZayaForCausalLM) -> None:
    """Negative control: one forgotten boundary moves the logits behind it."""
    tokens = ids(sum(LENGTHS))
    right = logits(model, tokens, LENGTHS)
    leaky = logits(model, tokens, [1, 2, 10, 20, 5, 1])
    assert (right - leaky)[6:13].abs().max() > 1e-3 * right.abs().max()
    assert torch.equal(right[:6], leaky[:6]) or (right - leaky)[:6].abs().max() < 1e-5


@torch.no_grad()
def test_causality(model: ZayaForCausalLM) -> None:
    tokens = ids(20)
    before = logits(model, tokens, [20])
    for t in (0, 1, 9, 19):
        changed = tokens.clone()
        changed[t] = (changed[t] + 1) % 50
        after = logits(model, changed, [20])
        assert (before - after)[:t].abs().max() < 1e-5 if t else True
        assert (before - after)[t].abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[1] * 12, [2, 1, 1, 8], [3, 5, 4], [11, 1], [12], [1, 2, 9]])
def test_any_split_equals_the_full_forward(model: ZayaForCausalLM, chunks: list[int]) -> None:
    """Two sequences advance together, the second a token shorter at the start."""
    tokens = ids(24)
    first, second = tokens[:12], tokens[12:]
    want = logits(model, first, [12])
    state = DecodeState.empty(model.config, 2, 16)
    got, at = [], 0
    for i, size in enumerate(chunks):
        other = second[at : at + size] if i else second[:size]
        layout = Layout.of([size, len(other)], state.lengths)
        out = model(torch.cat([first[at : at + size], other]), layout, state)
        got.append(model.logits(out.hidden_ND[:size]))
        at += size
        state = state.select([0, 1])  # snapshot and restore in the middle change nothing
    assert (torch.cat(got) - want).abs().max() < 5e-6 * want.abs().max()


@torch.no_grad()
def test_forgotten_state_is_seen() -> None:
    """Negative control: keys and values alone do not continue a sequence."""
    model, tokens = build(), ids(12)
    want = logits(model, tokens, [12])[-1]
    state = DecodeState.empty(model.config, 1, 16)
    model(tokens[:11], Layout.of([11]), state)
    for layer in state.layers:
        layer.conv_B2C.zero_()
        layer.value_B.zero_()
    out = model(tokens[11:], Layout.of([1], [11]), state)
    assert (model.logits(out.hidden_ND)[0] - want).abs().max() > 1e-3


@torch.no_grad()
def test_nan_in_an_unused_expert_stays_there() -> None:
    model, tokens = build(skip_expert="zero"), ids(9)
    for block, bias in zip(model.model.layers, model.balancing_biases, strict=True):
        bias[-1] = 100.0  # every token skips
        block.mlp.experts.gate_up_proj.fill_(float("nan"))  # type: ignore[union-attr]
    assert logits(model, tokens, [9]).isfinite().all()


def test_router_learns_through_depth_and_replay() -> None:
    model, tokens = build(), ids(20)
    out = model(tokens, Layout.of([20]))
    replayed = model(tokens, Layout.of([20]), replay_NL=out.experts_NL)
    assert torch.equal(out.hidden_ND, replayed.hidden_ND)
    other = model(tokens, Layout.of([20]), replay_NL=(out.experts_NL + 1) % 4)
    assert (other.hidden_ND - out.hidden_ND).abs().max() > 1e-2
    # The last layer's gate alone must reach layer 0's router, through the depth average.
    gate = model.model.layers[2].mlp.gate  # type: ignore[union-attr]
    router = [b.mlp.gate for b in model.model.layers]  # type: ignore[union-attr]
    x = torch.randn(5, 32)
    latent = None
    for r in router:
        routing = r(x, latent, None)  # type: ignore[operator]
        latent = routing.latent_NR
    routing.weight_N.sum().backward()
    assert gate is router[2]
    assert router[0].down_proj.weight.grad.abs().max() > 0  # type: ignore[union-attr]


def test_published_size() -> None:
    with torch.device("meta"):
        model = ZayaForCausalLM(ModelConfig(skip_expert="zero"))
    assert sum(p.numel() for p in model.parameters()) == 8_840_488_784
    assert len(model.state_dict()) == 1_284 - 1  # the tied head is no entry of its own
