"""Planted mismatches are caught and named; a matched pair passes."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from openzaya.config.rl_loss import GateConfig
from openzaya.engine import Engine
from openzaya.engine.packed import PackedModel
from openzaya.engine.runner import NativeRunner, Runner
from openzaya.engine.torch_runner import TorchRunner
from openzaya.errors import EngineError
from openzaya.kernels.packed import Format, pack
from openzaya.model import ZayaForCausalLM
from openzaya.rl.gate import Agreement, MismatchError, check, check_completion, measure
from openzaya.rl.probe import stages, weight_gaps
from openzaya.types import Completion, FinishReason, SamplingParams

FP32 = GateConfig(kl=1e-8)
VERSION = 7
Draw = Callable[..., tuple[list[Completion], Runner]]


def completions(
    engine: Engine, temperature: float = 1.0, top_p: float = 1.0, n: int = 12
) -> list[Completion]:
    vocabulary = engine.config.vocab_size
    prompts = [[1 + (7 * i + j) % (vocabulary - 2) for j in range(4 + 5 * i)] for i in range(n)]
    params = [SamplingParams(40, temperature=temperature, top_p=top_p, seed=i) for i in range(n)]
    done = engine.generate(prompts, params, capture_experts=True)
    return [
        Completion(
            np.array(s.prompt, dtype=np.int32),
            np.array(s.tokens, dtype=np.int32),
            np.array(s.logprobs, dtype=np.float32),
            np.array(s.versions, dtype=np.int32),
            s.finish or FinishReason.LENGTH, "", "", None, s.experts,
        )
        for s in done
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trainer(native_model: ZayaForCausalLM) -> ZayaForCausalLM:
    torch.set_num_threads(1)
    return native_model


@pytest.fixture(scope="module")
def engine(trainer: ZayaForCausalLM) -> Engine:
    return Engine(trainer, end_id=90, version=VERSION)


@pytest.fixture(scope="module")
def matched(engine: Engine) -> list[Completion]:
    return completions(engine)


def verdict(
    trainer: ZayaForCausalLM, drawn: Sequence[Completion], runner: Runner | None, **options: float
) -> str:
    with pytest.raises(MismatchError) as caught:
        check(trainer, drawn, FP32, version=VERSION, runner=runner, **options)  # type: ignore[arg-type]
    assert caught.value.hint and "\n" not in caught.value.message
    return caught.value.message


def packed_engine(
    trainer: ZayaForCausalLM, change: Callable[[PackedModel], PackedModel | None]
) -> Engine:
    """An engine whose packed weights were changed behind the trainer's back."""
    packed = PackedModel.of(trainer)
    return Engine(change(packed) or packed, end_id=90, version=VERSION)


def test_a_matched_pair_passes(
    trainer: ZayaForCausalLM, engine: Engine, matched: list[Completion]
) -> None:
    assert isinstance(engine.runner, NativeRunner)
    found = check(trainer, matched, FP32, version=VERSION, runner=engine.runner)
    assert found.tokens > 300 and found.kl < 1e-8 and found.pearson > 0.999999
    assert found.max_logp_gap < 1e-4 and found.router_L == (1.0, 1.0, 1.0)
    assert found.metrics()["gate_kl"] == found.kl
    assert not weight_gaps(trainer, engine.runner)


def test_the_torch_runner_passes_too(trainer: ZayaForCausalLM) -> None:
    engine = Engine(trainer, end_id=90, version=VERSION)
    engine.runner = TorchRunner(trainer, 400, 16)
    check(trainer, completions(engine), FP32, version=VERSION, runner=engine.runner)


@pytest.mark.parametrize(("layer", "part", "name"), [
    (1, "w1", "layer 1: mlp.experts.gate_up_proj"),
    (2, "qkv", "layer 2: self_attn.qkv_proj"),
    (0, "o", "layer 0: self_attn.o_proj"),
])  # fmt: skip
def test_one_layers_weights_in_bf16(
    trainer: ZayaForCausalLM, layer: int, part: str, name: str
) -> None:
    block = trainer.model.layers[layer]
    weight = {
        "w1": lambda: block.mlp.experts.gate_up_proj,
        "o": lambda: block.self_attn.o_proj.weight,
        "qkv": lambda: torch.cat([
            p.weight for p in (
                block.self_attn.qkv_proj.q_proj, block.self_attn.qkv_proj.k_proj,
                block.self_attn.qkv_proj.v_proj_current, block.self_attn.qkv_proj.v_proj_delayed,
            )
        ]),
    }[part]()  # fmt: skip

    def round_it(packed: PackedModel) -> None:
        old = packed.layers[layer][part]
        rounded = pack(weight, Format.BF16)
        packed.layers[layer][part] = dataclasses.replace(rounded, bias=old.bias)  # type: ignore[union-attr]

    engine = packed_engine(trainer, round_it)
    said = verdict(trainer, completions(engine), engine.runner)
    assert "rounded to bf16" in said and name in said and "more" not in said


def test_a_quantised_engine(trainer: ZayaForCausalLM) -> None:
    engine = Engine(PackedModel.of(trainer, Format.INT8), end_id=90, version=VERSION)
    said = verdict(trainer, completions(engine), engine.runner)
    assert "rounded to int8" in said and "holds other weights" not in said


def test_bf16_passes_the_reports_thresholds(trainer: ZayaForCausalLM) -> None:
    """Two programs in bf16 differ, by as little as the report found; no layer is accused of it."""
    half = copy.deepcopy(trainer).bfloat16()
    for block in half.model.layers:
        block.mlp.gate.balancing_biases = block.mlp.gate.balancing_biases.float()
    engine = Engine(half, end_id=90, version=VERSION)
    assert isinstance(engine.runner, NativeRunner)
    drawn = completions(engine)
    found = check(half, drawn, GateConfig(), version=VERSION, runner=engine.runner)
    assert 1e-7 < found.kl < 1.3e-4
    assert "no layer stands out" in verdict(half, drawn, engine.runner)


def test_router_indices_shifted_by_one(
    trainer: ZayaForCausalLM, engine: Engine, matched: list[Completion]
) -> None:
    for by in (1, -1):
        shifted = [
            dataclasses.replace(c, experts=np.roll(c.experts, by, axis=0))  # type: ignore[arg-type]
            for c in matched
        ]
        said = verdict(trainer, shifted, engine.runner)
        assert f"moved by {-by} they agree" in said
        assert said == verdict(trainer, shifted, None), "needs no engine"


def moved(trainer: ZayaForCausalLM, by: float = 0.002) -> ZayaForCausalLM:
    """The trainer some steps ago."""
    old = copy.deepcopy(trainer)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in old.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * by)
    return old


def test_an_engine_with_stale_weights(trainer: ZayaForCausalLM) -> None:
    engine = Engine(moved(trainer), end_id=90, version=VERSION)  # its stamp lies
    said = verdict(trainer, completions(engine), engine.runner)
    assert "holds other weights: all 3 layers" in said


def test_stale_rollouts_of_an_engine_with_new_weights(trainer: ZayaForCausalLM) -> None:
    engine = Engine(moved(trainer), end_id=90, version=VERSION)
    drawn = completions(engine)
    engine.load(trainer, VERSION)
    assert "drawn by other weights than their version says" in verdict(
        trainer, drawn, engine.runner
    )


def test_a_stale_stamp_needs_no_arithmetic(trainer: ZayaForCausalLM, engine: Engine) -> None:
    drawn = completions(engine)
    with pytest.raises(EngineError, match=r"version 8.*tokens are of \[7\].*not taken the new"):
        check(trainer, drawn, FP32, version=8)
    old = dataclasses.replace(drawn[0], policy_version=drawn[0].policy_version - 1)
    found = measure(trainer, [old, *drawn[1:]], version=VERSION)
    assert found.skipped == 1 and found.kl < 1e-8


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_another_temperature(trainer: ZayaForCausalLM, engine: Engine, temperature: float) -> None:
    drawn = completions(engine, temperature)
    assert f"temperature {temperature}, the trainer assumes 1" in verdict(
        trainer, drawn, engine.runner
    )
    check(trainer, drawn, FP32, version=VERSION, temperature=temperature)  # told, it agrees


def test_greedy_and_truncated_drawing(trainer: ZayaForCausalLM, engine: Engine) -> None:
    assert "greedily" in verdict(trainer, completions(engine, 0.0), engine.runner)
    assert "truncated" in verdict(trainer, completions(engine, top_p=0.8), engine.runner)


def test_equal_weights_other_arithmetic_natively(trainer: ZayaForCausalLM) -> None:
    """The engine forgets that layer 1 has a window: nothing in its weights says so."""

    def forget(packed: PackedModel) -> PackedModel:
        config = packed.config.model_copy(update={"sliding_layers": ()})
        return dataclasses.replace(packed, config=config)

    engine = packed_engine(trainer, forget)
    said = verdict(trainer, completions(engine), engine.runner)
    assert "Weights are equal but layer 1 computes otherwise, in its attention half" in said


def coarse(module: torch.nn.Module) -> None:
    """Its output goes through bf16, as if the operation were not in the fp32 set."""
    module.register_forward_hook(lambda _, __, out: out.bfloat16().float())


@pytest.mark.parametrize(("layer", "half"), [(1, "attention"), (0, "expert"), (2, "expert")])
def test_one_operation_in_lower_precision(trainer: ZayaForCausalLM, layer: int, half: str) -> None:
    """Equal weights; one module of the engine's own copy rounds."""
    theirs = copy.deepcopy(trainer)
    block = theirs.model.layers[layer]
    coarse(block.self_attn.o_proj if half == "attention" else block.mlp.experts)  # type: ignore[union-attr, arg-type]
    engine = Engine(theirs, end_id=90, version=VERSION)
    engine.runner = TorchRunner(theirs, 400, 16)
    said = verdict(trainer, completions(engine), engine.runner)
    assert f"layer {layer} computes otherwise, in its {half} half" in said


def test_profile_of_a_matched_pair_is_flat(
    trainer: ZayaForCausalLM, engine: Engine, matched: list[Completion]
) -> None:
    """Negative control of the probe: no layer stands out where none is at fault."""
    found = stages(trainer, engine.runner, matched[:3], [10, 20, 30])
    assert len(found) == 6 and max(s.gap for s in found) < 2e-5


def test_a_broken_decode_path(trainer: ZayaForCausalLM) -> None:
    class Forgetful(TorchRunner):
        def forward(self, rows):  # type: ignore[no-untyped-def]
            if (rows.past_B > 0).any():
                self.context.zero_()
            return super().forward(rows)

    engine = Engine(trainer, end_id=90, version=VERSION)
    engine.runner = Forgetful(trainer, 400, 16)
    drawn = completions(engine)
    said = verdict(trainer, drawn, engine.runner)
    # router choices of these tokens are the broken path's; replay makes the trainer follow them
    assert "decode" in said, said


def test_a_remote_engine_tells_by_its_router_alone(trainer: ZayaForCausalLM) -> None:
    theirs = moved(trainer, 0.05)
    engine = Engine(theirs, end_id=90, version=VERSION)
    said = verdict(trainer, completions(engine), None)
    assert "remote engine shows no more than its router" in said


def test_thresholds() -> None:
    found = Agreement(100, 1e-5, 0.9999, 0.2, (1.0, 0.9), 0)
    assert not found.failures(GateConfig())
    assert "KL" in found.failures(GateConfig(kl=1e-6))[0]
    assert "Pearson" in found.failures(GateConfig(pearson=0.99995))[0]
    assert "off by 0.2" in found.failures(GateConfig(max_gap=0.1))[0]
    assert "0.900 in layer 1" in found.failures(GateConfig(agreement=0.95))[0]
    broken = dataclasses.replace(found, kl=math.nan, max_logp_gap=math.nan)
    assert len(broken.failures(GateConfig(max_gap=1.0))) == 2, "no number is no agreement"
    constant = dataclasses.replace(found, pearson=math.nan)
    assert not constant.failures(GateConfig()) and "gate_pearson" not in constant.metrics()


@pytest.mark.parametrize(("change", "message"), [
    ({"logprobs": np.full(40, np.nan, np.float32)}, "not a finite number"),
    ({"logprobs": np.full(40, 0.5, np.float32)}, "above 0"),
    ({"logprobs": np.zeros(39, np.float32)}, "40 tokens come with 39 log-probabilities"),
    ({"token_ids": np.full(40, 90, np.int32)}, "outside 0..89"),
    ({"policy_version": np.full(40, 8, np.int32)}, "claims weights of version 8"),
    ({"policy_version": np.repeat([7, 6], 20)}, "go backwards"),
    ({"experts": None}, "without the router's choices"),
    ({"experts": np.zeros((43, 2), np.uint8)}, r"\(43, 2\), not \(43, 3\)"),
    ({"experts": np.full((43, 3), 5, np.uint8)}, "is 5, the model has 5 classes"),
    ({"token_ids": np.zeros(0, np.int32)}, "holds no token"),
])  # fmt: skip
def test_malformed_completions(
    trainer: ZayaForCausalLM, matched: list[Completion], change: dict, message: str
) -> None:
    sound = next(c for c in matched if len(c.token_ids) == 40 and len(c.prompt_ids) == 4)
    check_completion(sound, trainer.config, newest=VERSION)
    with pytest.raises(EngineError, match=message):
        check_completion(dataclasses.replace(sound, **change), trainer.config, newest=VERSION)
