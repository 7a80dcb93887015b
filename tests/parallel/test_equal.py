"""Whatever the mesh, loss and gradients are those of one process."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from openzaya.config.model import ModelConfig
from openzaya.config.parallel import ParallelConfig
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.model.layout import lazy
from openzaya.parallel import collectives, context
from openzaya.parallel.apply import parallelize
from openzaya.parallel.world import World
from openzaya.train.loss import Stream, next_token_loss

Launch = Callable[..., None]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
VOCABULARY = 48
STREAMS = [
    [64],
    [1, 2, 3, 58],
    [16, 16, 32],  # documents that begin at chunk edges
    [14, 19, 31],  # ... and two rows before, one row after them
    [15, 2, 14, 2, 31],
    [17, 30, 1, 15],
    [7, 9, 1, 1, 30, 13],  # 61 rows: three are added
]
"""Documents of one window; chunk edges are at multiples of 16, or of 8."""


def build(dtype: str, case: int) -> ZayaForCausalLM:
    torch.manual_seed(case)
    config = ModelConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_experts=4, moe_intermediate_size=32,
        router_hidden_size=16, max_position_embeddings=64, initializer_range=0.2,
        skip_expert=("none", "zero", "scaled")[case % 3], attention_bias=case % 2 == 1,
        sliding_layers=(1,) if case % 2 else (), sliding_window=9,
    )  # fmt: skip
    model = ZayaForCausalLM(config).initialise(case)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for bias in model.balancing_biases:
            bias.normal_(0, 0.1)
    return model.to(getattr(torch, dtype))


def stream_of(lengths: list[int], seed: int) -> Stream:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (sum(lengths),), generator=generator)
    layout = Layout.of(lengths)
    follows = (layout.offset_N > 0).nonzero()[:, 0]
    return Stream(ids, layout, follows - 1, ids[follows])


def shared(
    stream: Stream, group: dist.ProcessGroup, kind: Literal["contiguous", "zigzag"]
) -> Stream:
    """This rank's part of a stream."""
    part = stream.share(group, kind)
    real = torch.arange(len(part.ids_N))[part.real_N]
    rows = torch.tensor(len(real))
    dist.all_reduce(rows, group=group)
    assert rows == len(stream.ids_N), "every row is somewhere, and none twice"
    return part


def gradients(
    model: ZayaForCausalLM, streams: list[Stream], total: int
) -> tuple[float, dict[str, Tensor]]:
    loss = 0.0
    for stream in streams:
        value, _ = next_token_loss(model, stream, total)
        value.backward()
        loss += value.item()
    found = {}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        grad = parameter.grad
        whole = grad.full_tensor() if isinstance(grad, DTensor) else grad
        found[name] = whole.detach().clone()
    return loss, found


def difference(want: dict[str, Tensor], got: dict[str, Tensor]) -> float:
    """Largest error of a tensor over its own largest entry."""
    assert want.keys() == got.keys()
    largest = max(float(w.abs().max()) for w in want.values())
    return max(
        float((got[n] - w).abs().max()) / max(float(w.abs().max()), 0.01 * largest)
        for n, w in want.items()
    )


def compare(settings: str, dtype: str, cases: str, expect: str = "equal") -> None:
    """Runs on every rank. Eight windows, dealt out to the ranks that read different ones."""
    world = World.start(ParallelConfig.model_validate(json.loads(settings)))
    group = world.context_group()
    worst = 0.0
    for case in map(int, cases.split(",")):
        rng = random.Random(case)
        windows = [
            stream_of(STREAMS[(case + i) % len(STREAMS)], rng.getrandbits(30)) for i in range(4)
        ]
        total = sum(len(w.target) for w in windows)
        want_loss, want = gradients(build(dtype, case), windows, total)
        part, parts = world.part
        own = windows[part::parts]
        if world.config.context > 1:
            own = [shared(w, group, world.config.context_layout) for w in own]
        model = build(dtype, case)
        parallelize(model, world)
        got_loss, got = gradients(model, own, total)
        loss = world.sum(torch.tensor(got_loss, dtype=torch.float64)).item()
        if world.mesh is not None and world.config.replicate > 1:
            assert isinstance(next(model.parameters()), DTensor)
        worst = max(worst, abs(loss - want_loss) / want_loss, difference(want, got))
    if expect == "equal":
        assert worst < TOLERANCE[dtype], worst
    else:
        assert worst > 1e-4, f"{expect} was not noticed: {worst}"


def break_halo_gradient() -> None:
    backward = context._Extend.backward

    def broken(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].clone()
        grad[ctx.context.halo_H] = 0
        return backward(ctx, grad)

    context._Extend.backward = staticmethod(broken)


def break_halo_values() -> None:
    forward = context._Extend.forward

    def broken(ctx: Any, x: Tensor, shared: context.Context) -> Tensor:
        out = forward(ctx, x, shared)
        out[shared.halo_H] = 0
        return out

    context._Extend.forward = staticmethod(broken)


def break_key_gradient() -> None:
    """Keys and values of other ranks are constants."""

    def broken(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rank, own = dist.get_rank(ctx.group), len(grads[0]) // ctx.group.size()
        return grads[0][rank * own : (rank + 1) * own], None

    collectives.GatherRows.backward = staticmethod(broken)


def break_documents() -> None:
    """A document that began on another rank begins one row late: its first key is lost."""
    attend = context.Context._attend

    def broken(self: context.Context, *parts: Any) -> Tensor:
        late = [
            replace(p, first=p.first + (p.last - p.first > p.high - p.low)) for p in self.pieces
        ]
        return attend(replace(self, pieces=tuple(late)), *parts)

    context.Context._attend = broken  # type: ignore[method-assign]


def break_positions() -> None:
    """Positions count from the chunk's first row."""
    context.ContextLayout.position_N = lazy(  # type: ignore[assignment, method-assign]
        lambda self: torch.arange(len(self.row_N))
    )
    context.ContextLayout.position_N.make.__name__ = "position_N"


BREAKS = {
    f.__name__: f
    for f in (break_halo_gradient, break_halo_values, break_key_gradient, break_documents)
} | {"break_positions": break_positions}


def control(fault: str, settings: str) -> None:
    BREAKS[fault]()
    compare(settings, "float64", "1", fault)


FSDP, HSDP = {}, {"replicate": 2}
EXPERT, EXPERTS = {"expert": 2}, {"expert": 4}
CONTEXT, ZIGZAG = {"context": 2}, {"context": 2, "context_layout": "zigzag"}
CONTEXTS, ZIGZAGS = {"context": 4}, {"context": 4, "context_layout": "zigzag"}
MESHES: list[tuple[int, dict[str, Any]]] = [
    (2, FSDP), (4, FSDP), (4, HSDP), (2, EXPERT), (4, EXPERT), (4, EXPERTS), (2, CONTEXT),
    (2, ZIGZAG), (4, CONTEXT), (4, CONTEXTS), (4, ZIGZAGS), (4, ZIGZAG | EXPERT),
    (4, CONTEXTS | EXPERTS), (4, CONTEXT | HSDP),
]  # fmt: skip
ALWAYS = (2, 7, 12)


@pytest.mark.parametrize(
    ("ranks", "mesh"),
    [m if i in ALWAYS else pytest.param(*m, marks=pytest.mark.slow) for i, m in enumerate(MESHES)],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_result(launch: Launch, ranks: int, mesh: dict[str, Any], dtype: str) -> None:
    launch(ranks, "compare", json.dumps(mesh), dtype, "0,1,2,3,4,5,6")


@pytest.mark.parametrize(
    "fault",
    [
        "break_halo_gradient",
        *(
            pytest.param(fault, marks=pytest.mark.slow)
            for fault in BREAKS
            if fault != "break_halo_gradient"
        ),
    ],
)
def test_a_fault_is_noticed(launch: Launch, fault: str) -> None:
    """Negative controls of the comparison above."""
    launch(2, "control", fault, json.dumps(CONTEXT))


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [{"context": 8}], ids=str)
def test_eight_ranks(launch: Launch, mesh: dict[str, Any]) -> None:
    launch(8, "compare", json.dumps(mesh), "float64", "0,1,2,3,4,5,6")
