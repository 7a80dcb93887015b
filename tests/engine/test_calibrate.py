"""Measured at start: how many threads, and which format where the caller leaves it open."""

from __future__ import annotations

import torch

from openzaya.engine import Engine, calibrate
from openzaya.engine.packed import PackedModel
from openzaya.engine.runner import NativeRunner
from openzaya.kernels.packed import Format
from openzaya.model import ZayaForCausalLM
from openzaya.types import SamplingParams

PROMPT, PARAMS = [3, 1, 4, 1, 5], SamplingParams(12, seed=7)


def engine(model: ZayaForCausalLM, form: Format = Format.FP32) -> Engine:
    return Engine(PackedModel.of(model, form), 39, max_sequences=4, cache_bytes=1 << 22)


def test_leaves_no_trace_but_the_threads(native_model: ZayaForCausalLM) -> None:
    (expected,) = engine(native_model).generate([PROMPT], [PARAMS])
    e = engine(native_model)
    rate = calibrate.calibrate(e)
    assert rate > 0 and not e.busy
    assert (e.prompt_tokens, e.cached_tokens, e.generated_tokens, e.steps) == (0, 0, 0, 0)
    assert e.scheduler.blocks.held == 0
    assert isinstance(e.runner, NativeRunner) and 1 <= e.runner.threads <= torch.get_num_threads()
    (s,) = e.generate([PROMPT], [PARAMS])
    assert (s.tokens, s.logprobs) == (expected.tokens, expected.logprobs)


def test_the_faster_one_is_taken(native_model: ZayaForCausalLM, monkeypatch) -> None:
    rates = {Format.FP32: {1: 5.0, 2: 3.0}, Format.BF16: {1: 4.0, 2: 6.0}}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(
        calibrate, "_rate", lambda e: rates[e.runner.form][e.runner.threads]
    )  # measured times are no test
    forms = (Format.FP32, Format.BF16)
    best = calibrate.fastest([lambda f=f: engine(native_model, f) for f in forms])
    assert (best.runner.form, best.runner.threads) == (Format.BF16, 2)
    rates[Format.FP32][1] = 7.0
    best = calibrate.fastest([lambda f=f: engine(native_model, f) for f in forms])
    assert (best.runner.form, best.runner.threads) == (Format.FP32, 1)
