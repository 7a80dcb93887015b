"""Every parameter name lands in its group; one step moves them as their optimizers alone would."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from openzaya.config.optim import OptimConfig
from openzaya.errors import RunError
from openzaya.optim.groups import build_optimizers

D, R, E, V = 8, 4, 2, 11

SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (V, D),
    "model.input_hidden_states_scale": (D,),
    "model.layers.1.input_layernorm.weight": (D,),
    "model.layers.1.self_attn.qkv_proj.q_proj.weight": (6, D),
    "model.layers.1.self_attn.qkv_proj.q_proj.bias": (6,),
    "model.layers.1.self_attn.qkv_proj.conv_qk_depthwise.weight": (6, 1, 2),
    "model.layers.1.self_attn.qkv_proj.conv_qk_grouped.weight": (6, 3, 2),
    "model.layers.1.self_attn.qkv_proj.conv_qk_grouped.bias": (6,),
    "model.layers.1.self_attn.qk_norm.temp": (2,),
    "model.layers.1.self_attn.o_proj.weight": (D, 6),
    "model.layers.1.mlp.gate.down_proj.weight": (R, D),
    "model.layers.1.mlp.gate.down_proj.bias": (R,),
    "model.layers.1.mlp.gate.router_states_scale": (R,),
    "model.layers.1.mlp.gate.router_mlp.out_proj.weight": (E, R),
    "model.layers.1.mlp.experts.gate_up_proj": (E, 6, D),
    "model.layers.1.mlp.experts.down_proj": (E, D, 3),
    "model.layers.1.post_mlp_residual_scale.hidden_states_scale": (D,),
    "model.layers.1.post_mlp_residual_scale.residual_bias": (D,),
}
LOADS_LE = torch.tensor([[0, 0, 9], [5, 3, 9]])  # layer 0 has no parameters; last: skip class


def fake_model(**extra: Tensor) -> nn.Module:
    """Modules nested as the dotted names say, filled reproducibly."""
    root = nn.Module()
    for i, (name, shape) in enumerate(SHAPES.items()):
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        value = torch.randn(shape, generator=torch.Generator().manual_seed(i))
        module.register_parameter(leaf, nn.Parameter(value))
    for name, value in extra.items():
        root.register_parameter(name, nn.Parameter(value))
    return root


def set_gradients(model: nn.Module, seed: int) -> None:
    for i, p in enumerate(model.parameters()):
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * seed + i))


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_membership_by_name() -> None:
    def short(names: list[str]) -> set[str]:
        return {name.removeprefix("model.").removeprefix("layers.1.") for name in names}

    groups = build_optimizers(fake_model(), OptimConfig()).names()
    assert {group: short(names) for group, names in groups.items()} == {
        "matrices": {
            "self_attn.qkv_proj.q_proj.weight",
            "self_attn.o_proj.weight",
            "mlp.gate.down_proj.weight",
            "mlp.gate.router_mlp.out_proj.weight",
            "mlp.experts.gate_up_proj",
            "mlp.experts.down_proj",
        },
        "tables": {
            "embed_tokens.weight",
            "self_attn.qkv_proj.conv_qk_depthwise.weight",
            "self_attn.qkv_proj.conv_qk_grouped.weight",
        },
        "vectors": {
            "input_hidden_states_scale",
            "input_layernorm.weight",
            "self_attn.qkv_proj.q_proj.bias",
            "self_attn.qkv_proj.conv_qk_grouped.bias",
            "self_attn.qk_norm.temp",
            "mlp.gate.down_proj.bias",
            "mlp.gate.router_states_scale",
            "post_mlp_residual_scale.hidden_states_scale",
            "post_mlp_residual_scale.residual_bias",
        },
    }
    assert sum(map(len, groups.values())) == len(SHAPES)


def test_unknown_stack_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no optimizer for mystery"):
        build_optimizers(fake_model(mystery=torch.zeros(2, 2, 2)), OptimConfig())


def test_only_vectors_escape_decay() -> None:
    decays = {"matrices": True, "tables": True, "vectors": False}
    model = fake_model()
    optimizers = build_optimizers(model, OptimConfig(lr=0.1, weight_decay=0.5))
    before = values(model)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizers.step(1.0, LOADS_LE)
    after = values(model)
    for group, names in optimizers.names().items():
        for name in names:
            expected = before[name] * (0.95 if decays[group] else 1.0)
            torch.testing.assert_close(after[name], expected)


def test_rates_factor_and_cleared_gradients() -> None:
    cfg = OptimConfig(lr=0.1, adam_lr=0.01, weight_decay=0.0)
    full, half = fake_model(), fake_model()
    start = values(full)
    for model, factor in ((full, 1.0), (half, 0.5)):
        set_gradients(model, 1)
        build_optimizers(model, cfg).step(factor, LOADS_LE)
        assert all(p.grad is None for p in model.parameters())
    for name, p in full.named_parameters():
        moved, moved_half = p - start[name], half.get_parameter(name) - start[name]
        torch.testing.assert_close(moved_half, moved / 2, rtol=1e-3, atol=1e-6)
    bias = "model.layers.1.self_attn.qk_norm.temp"  # AdamW's first step is +- its rate
    step = (full.get_parameter(bias) - start[bias]).abs()
    torch.testing.assert_close(step, torch.full((2,), 0.01))


def test_loads_reach_the_expert_stacks_of_their_layer() -> None:
    model = fake_model()
    optimizers = build_optimizers(model, OptimConfig(min_expert_tokens=4))
    before = values(model)
    set_gradients(model, 1)
    optimizers.step(1.0, LOADS_LE)  # layer 1: 5 and 3 tokens
    for name, p in model.named_parameters():
        if "experts" in name:
            assert not torch.equal(p[0], before[name][0])
            assert torch.equal(p[1], before[name][1])
    set_gradients(model, 2)
    with pytest.raises(AssertionError, match="loads"):
        optimizers.step(1.0)


def test_clips_the_global_norm() -> None:
    cfg = OptimConfig(grad_clip=0.5, eps=1.0, min_expert_tokens=0)  # eps 1: AdamW sees the scale
    clipped, scaled = fake_model(), fake_model()
    set_gradients(clipped, 1)
    set_gradients(scaled, 1)
    norm = torch.cat([p.grad.flatten() for p in scaled.parameters() if p.grad is not None]).norm()
    for p in scaled.parameters():
        assert p.grad is not None
        p.grad *= 0.5 / norm
    assert build_optimizers(clipped, cfg).step(1.0) == pytest.approx(norm.item())
    assert build_optimizers(scaled, cfg).step(1.0) == pytest.approx(0.5)
    for a, b in zip(clipped.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_that_is_not_finite_moves_nothing() -> None:
    model = fake_model()
    optimizers = build_optimizers(model, OptimConfig())
    before = values(model)
    set_gradients(model, 1)
    next(model.parameters()).grad[0] = torch.inf  # type: ignore[index]
    with pytest.raises(RunError, match="gradient norm is inf"):
        optimizers.step(1.0, LOADS_LE)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])


def test_resume_is_bit_identical() -> None:
    model = fake_model()
    optimizers = build_optimizers(model, OptimConfig())
    for seed in range(3):
        set_gradients(model, seed)
        optimizers.step(1.0, LOADS_LE)
    twin, stranger = copy.deepcopy(model), copy.deepcopy(model)
    resumed = build_optimizers(twin, OptimConfig())
    resumed.load_state_dict(copy.deepcopy(optimizers.state_dict()))
    fresh = build_optimizers(stranger, OptimConfig())
    for m, o in ((model, optimizers), (twin, resumed), (stranger, fresh)):
        set_gradients(m, 3)
        o.step(0.7, LOADS_LE)
    for a, b, c in zip(model.parameters(), twin.parameters(), stranger.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)  # negative control: the state matters
