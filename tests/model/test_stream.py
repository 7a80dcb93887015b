"""The packed stream is exact: no leak between documents, no future, no drift in the cache."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.model import ModelConfig
from openzaya.model import DecodeState, Layout, ZayaForCausalLM

LENGTHS = [1, 2, 3, 7, 20, 5, 1]
KERNELS = {"head_dim": 32}
"""All rows are then multiples of 16: the C++ kernels serve them."""
SLIDING = {"sliding_layers": (1,), "sliding_window": 4}


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
        SLIDING,
        KERNELS,
        KERNELS | {"skip_expert": "zero", "attention_bias": True},
        KERNELS | {"sliding_layers": (0, 2), "sliding_window": 4, "num_key_value_heads": 1},
    ],
    ids=[
        "plain", "skip-zero", "skip-scaled-bias", "sliding",
        "kernels", "kernels-zero-bias", "kernels-sliding",
    ],
)  # fmt: skip
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


documents = st.lists(st.integers(1, 3) | st.integers(4, 70), min_size=1, max_size=8)


def check_packing(model: ZayaForCausalLM, lengths: list[int]) -> None:
    tokens = ids(sum(lengths))
    packed = logits(model, tokens, lengths)
    alone = torch.cat([logits(model, t, [len(t)]) for t in tokens.split(lengths)])
    assert (packed - alone).abs().max() < 2e-6 * packed.abs().max()
    packed = gradient(model, [(tokens, lengths)])
    alone = gradient(model, [(t, [len(t)]) for t in tokens.split(lengths)])
    assert (packed - alone).abs().max() < 1e-5 * packed.abs().max()


def test_packed_equals_separate(model: ZayaForCausalLM) -> None:
    """Logits and gradients, documents of one, two and three tokens included."""
    check_packing(model, LENGTHS)


@settings(max_examples=15, deadline=None)
@given(lengths=documents, variant=st.sampled_from([{}, KERNELS]))
def test_any_packing_equals_separate(lengths: list[int], variant: dict[str, object]) -> None:
    check_packing(build(**variant), lengths)


def test_without_gradient_nothing_changes(model: ZayaForCausalLM) -> None:
    """Long streams take other routes through the projections when nothing learns."""
    tokens = ids(300)
    learning = logits(model, tokens, [300])
    with torch.no_grad():
        assert (logits(model, tokens, [300]) - learning).abs().max() < 2e-6 * learning.abs().max()


def test_a_leak_of_one_token_is_seen() -> None:
    """Negative control: attention keeps to its document, but one document start reads the row
    before it, as transformers does at every start."""
    model, tokens, lengths = build(), ids(20), [7, 13]
    right = logits(model, tokens, lengths)
    layout = Layout.of(lengths)
    layout.inside_N1[7] = True
    leaky = model.logits(model(tokens, layout).hidden_ND)
    assert torch.equal(right[:7], leaky[:7])
    assert (right - leaky)[7:].abs().max() > 1e-3 * right.abs().max()


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
@settings(max_examples=25, deadline=None)
@given(data=st.data(), variant=st.sampled_from([{}, KERNELS, KERNELS | SLIDING, SLIDING]))
def test_any_schedule_equals_the_full_forward(
    data: st.DataObject, variant: dict[str, object]
) -> None:
    """Sequences advance by chunks of their own, snapshots run ahead, finished ones leave."""
    model = build(**variant)
    totals = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    tokens = ids(sum(totals)).split(totals)
    state = DecodeState.empty(model.config, len(totals), 40)
    live, at = list(range(len(totals))), [0] * len(totals)
    got: list[list[torch.Tensor]] = [[] for _ in totals]
    while live:
        sizes = [
            min(data.draw(st.sampled_from([1, 1, 1, 2, 3, 7, 40])), totals[i] - at[i]) for i in live
        ]
        snapshot = state.select(list(range(len(live))))
        for run in (snapshot, state):  # the first run must leave the second untouched
            layout = Layout.of(sizes, run.lengths)
            chunk = torch.cat(
                [tokens[i][at[i] : at[i] + n] for i, n in zip(live, sizes, strict=True)]
            )
            out = model.logits(model(chunk, layout, run).hidden_ND).split(sizes)
        for i, n, rows in zip(live, sizes, out, strict=True):
            got[i].append(rows)
            at[i] += n
        keep = [row for row, i in enumerate(live) if at[i] < totals[i]]
        if len(keep) < len(live):
            live = [live[row] for row in keep]
            state = state.select(keep) if keep else state
    for want, rows in zip(tokens, got, strict=True):
        full = logits(model, want, [len(want)])
        assert (torch.cat(rows) - full).abs().max() < 5e-6 * full.abs().max()


@torch.no_grad()
def test_last_only_is_the_last_row_and_the_whole_state(model: ZayaForCausalLM) -> None:
    tokens, chunks = ids(40), [[7, 1, 12], [5, 3, 1]]
    states = [DecodeState.empty(model.config, 3, 40) for _ in range(2)]
    at = 0
    for lengths in chunks:
        n = sum(lengths)
        full, last = (
            model(tokens[at : at + n], Layout.of(lengths, s.lengths), s, last_only=only)
            for s, only in zip(states, (False, True), strict=True)
        )
        ends = torch.tensor(lengths).cumsum(0) - 1
        assert last.hidden_ND.shape[0] == 3
        gap = (full.hidden_ND[ends] - last.hidden_ND).abs().max()
        assert gap < 5e-6 * full.hidden_ND.abs().max()
        assert torch.equal(full.experts_NL[ends], last.experts_NL)
        at += n
    for a, b in zip(states[0].layers, states[1].layers, strict=True):
        assert torch.allclose(a.k_BGTK, b.k_BGTK, atol=1e-5)
        assert torch.allclose(a.conv_B2C, b.conv_B2C, atol=1e-5)
        assert torch.allclose(a.value_B, b.value_B, atol=1e-5)


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
    assert len(model.state_dict()) == 1_284
