"""Whatever the mesh, the optimizers move parameters as in one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from openzaya.config.model import ModelConfig
from openzaya.config.optim import OptimConfig
from openzaya.config.parallel import ParallelConfig
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.optim import sharded
from openzaya.optim.groups import build_optimizers
from openzaya.parallel.apply import parallelize
from openzaya.parallel.world import World
from openzaya.train.loss import Stream, expert_counts, next_token_loss

Launch = Callable[..., None]
STEPS, WINDOWS, TOKENS = 3, 4, 24


def build() -> ZayaForCausalLM:
    config = ModelConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=48,
        router_hidden_size=24, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    model = ZayaForCausalLM(config).initialise(0)
    model.balancing_biases[0][1] = -9.0  # an expert that never gets a token
    return model


def steps(
    model: ZayaForCausalLM, world: World | None, optim: OptimConfig
) -> tuple[dict[str, Tensor], list[float]]:
    """Parameters after a few steps, and the gradient norms on the way."""
    optimizers, norms = build_optimizers(model, optim), []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(1, 40, (WINDOWS, TOKENS), generator=generator)
        part, parts = world.part if world else (0, 1)
        counts_LE = torch.zeros(2, 4, dtype=torch.int64)
        for row in ids[part::parts]:
            at = torch.arange(TOKENS - 1)
            stream = Stream(row, Layout.of([TOKENS]), at, row[1:])
            loss, out = next_token_loss(model, stream, WINDOWS * (TOKENS - 1))
            loss.backward()
            counts_LE += expert_counts(out.experts_NL, 4)
        if world:
            world.sum(counts_LE)
        assert counts_LE[0, 1] == 0 and counts_LE[1].all()
        norms.append(optimizers.step(1.0, counts_LE))
    found = {}
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        found[name] = whole.detach().clone()
    return found, norms


def compare(mesh: str, optim: str, fault: str) -> None:
    settings = OptimConfig.model_validate(json.loads(optim))
    world = World.start(ParallelConfig.model_validate(json.loads(mesh)))
    start = {n: p.detach().clone() for n, p in build().named_parameters()}
    want, want_norms = steps(build(), None, settings)
    if fault == "own rows only":  # each rank orthogonalises what it has
        sharded_rows = sharded.orthogonalise_rows
        import openzaya.optim.muon as muon

        assert sharded_rows is muon.orthogonalise_rows
        muon.orthogonalise_rows = lambda params, rows, run: [run(r[None])[0] for r in rows]
    model = build()
    parallelize(model, world)
    got, norms = steps(model, world, settings)
    moved = {n: want[n] - start[n] for n in want}
    worst = max(
        float((got[n] - want[n]).abs().max() / moved[n].abs().max().clamp(min=1e-4)) for n in want
    )
    if fault:
        assert worst > 1e-2, f"{fault} was not noticed: {worst}"
        return
    assert norms == pytest.approx(want_norms, rel=1e-5)
    assert worst < 2e-3, worst  # of the distance moved; AdamW's first steps amplify rounding
    for stack in ("gate_up_proj", "down_proj"):
        name = f"model.layers.0.mlp.experts.{stack}"
        assert torch.equal(got[name][1], start[name][1]), "an expert without tokens stays"
        other = name.replace("layers.0", "layers.1")
        assert not torch.equal(got[other][1], start[other][1])


MESHES: list[tuple[int, dict[str, Any]]] = [
    (2, {}), (4, {"expert": 2}), (4, {}), (4, {"replicate": 2}), (4, {"expert": 4}),
    (2, {"expert": 2}), (4, {"replicate": 2, "expert": 2}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "mesh"),
    [m if i < 2 else pytest.param(*m, marks=pytest.mark.slow) for i, m in enumerate(MESHES)],
    ids=str,
)
def test_one_result(launch: Launch, ranks: int, mesh: dict[str, Any]) -> None:
    launch(ranks, "compare", json.dumps(mesh), json.dumps({"lr": 0.01, "grad_clip": 0.3}), "")


@pytest.mark.slow
def test_without_momentum(launch: Launch) -> None:
    optim = json.dumps({"lr": 0.01, "momentum": 0.0})
    launch(4, "compare", "{}", optim, "")


@pytest.mark.slow
def test_matrices_must_be_whole(launch: Launch) -> None:
    """Negative control."""
    launch(2, "compare", "{}", json.dumps({"lr": 0.01}), "own rows only")
