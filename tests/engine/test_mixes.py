"""Whatever happens around a request, it gets what it gets alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openzaya.engine import Engine, Sequence
from openzaya.engine.engine import families
from openzaya.engine.runner import NativeRunner, block_bytes
from openzaya.engine.sampling import uniforms
from openzaya.engine.torch_runner import TorchRunner
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.types import FinishReason, SamplingParams
from tests.engine.test_generate import draws

END = 50
ALWAYS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@torch.no_grad()
def plain(model: ZayaForCausalLM, s: Sequence) -> tuple[list[int], list[float], np.ndarray]:
    """One full forward per token."""
    from openzaya.engine.sampling import draw

    tokens: list[int] = []
    logprobs: list[float] = []
    while True:
        ids = torch.tensor(s.prompt + tokens)
        out = model(ids, Layout.of([len(ids)]))
        how = draws(uniforms(np.array([s.params.seed]), np.array([len(tokens)])), s.params)
        token, logp, _ = draw(model.logits(out.hidden_ND[-1:]), how)
        tokens.append(int(token[0]))
        logprobs.append(float(logp[0]))
        if tokens[-1] == END or len(tokens) == s.params.max_tokens:
            return tokens, logprobs, out.experts_NL.numpy()


@dataclass
class Mix:
    """Requests with shared beginnings and repeats, and when each arrives and is cancelled."""

    sequences: list[Sequence]
    arrival: list[int]
    cancel: list[int | None]


def mix(seed: int, count: int, vocabulary: int, longest: int) -> Mix:
    rng = np.random.default_rng(seed)
    roots = [rng.integers(8, vocabulary, 70).tolist() for _ in range(3)]
    sequences, arrival, cancel = [], [], []
    for i in range(count):
        if sequences and rng.random() < 0.3:
            prompt = list(sequences[-1].prompt)  # a fork
            arrival.append(arrival[-1])
        else:
            root = roots[rng.integers(3)][: rng.integers(1, 70)]
            prompt = root + rng.integers(8, vocabulary, rng.integers(0, 20)).tolist()
            arrival.append(int(rng.integers(0, 40)))
        params = SamplingParams(
            int(rng.integers(1, longest)), [0.0, 1.0, 0.7][i % 3], [1.0, 0.8][i % 2],
            seed=int(rng.integers(2**40)), top_k=int(rng.choice([0, 5])),
            min_p=float(rng.choice([0, 0.05])),
        )  # fmt: skip
        sequences.append(Sequence(prompt, params, keep_experts=True))
        cancel.append(int(rng.integers(1, 30)) if rng.random() < 0.15 else None)
    return Mix(sequences, arrival, cancel)


def drive(engine: Engine, work: Mix) -> None:
    """Step until everything has ended."""
    later = sorted(set(work.arrival))
    step = 0
    while later or engine.busy:
        while later and later[0] <= step:
            now = later.pop(0)
            come = [s for s, a in zip(work.sequences, work.arrival, strict=True) if a == now]
            for leader in families(come):
                engine.add(leader)
        for s, a, c in zip(work.sequences, work.arrival, work.cancel, strict=True):
            if c is not None and step == a + c:
                engine.cancel(s)
        engine.step()
        step += 1


def small(model: ZayaForCausalLM, blocks: int, sequences: int, step_tokens: int) -> Engine:
    size = blocks * block_bytes(model.config)
    return Engine(
        model, END, max_sequences=sequences, max_step_tokens=step_tokens, cache_bytes=size
    )


@given(seed=st.integers(0, 2**32), blocks=st.integers(6, 60), step=st.integers(20, 200))
@ALWAYS
def test_64_requests_in_any_mix(
    native_model: ZayaForCausalLM, seed: int, blocks: int, step: int
) -> None:
    """Arrive, finish, wait, get preempted, forked, cancelled and resumed from the prefix cache: the
    tokens, log-probabilities and experts are those of a request alone, to the bit."""
    work = mix(seed, 64, native_model.config.vocab_size, 60)
    engine = small(native_model, blocks, 20, step)
    assert isinstance(engine.runner, NativeRunner)
    drive(engine, work)
    for s, c in zip(work.sequences, work.cancel, strict=True):
        alone = Sequence(list(s.prompt), s.params, keep_experts=True)
        fresh = small(native_model, 40, 1, 1000)
        fresh.add(alone)
        while fresh.busy:
            fresh.step()
        if s.finish is FinishReason.ABORT:
            assert c is not None
            assert s.tokens == alone.tokens[: len(s.tokens)]
            continue
        assert (s.tokens, s.logprobs, s.raw_logprobs) == (
            alone.tokens, alone.logprobs, alone.raw_logprobs
        )  # fmt: skip
        assert s.experts is not None and alone.experts is not None
        assert np.array_equal(s.experts, alone.experts)
    nothing_left(engine)


def nothing_left(engine: Engine) -> None:
    scheduler = engine.scheduler
    assert scheduler.blocks.held == 0 and not scheduler.busy
    assert len(scheduler.slots.free) == len(scheduler.slots.sequence)


def test_the_mixes_are_rich(native_model: ZayaForCausalLM) -> None:
    """Otherwise the test above would show little."""
    work = mix(1, 64, native_model.config.vocab_size, 60)
    engine = small(native_model, 8, 20, 100)
    drive(engine, work)
    done = [s for s in work.sequences if s.finish is not FinishReason.ABORT]
    assert engine.scheduler.preempted > 3
    assert sum(s.preemptions > 0 for s in done) > 3
    assert sum(s.cached > 0 for s in done) > 10
    assert len(done) < 64
    assert {s.finish for s in done} == {FinishReason.STOP, FinishReason.LENGTH}


@pytest.mark.parametrize("native", [True, False])
def test_equals_full_forwards(
    native_model: ZayaForCausalLM, model: ZayaForCausalLM, native: bool
) -> None:
    """The trainer's own forward over the whole sequence for every token."""
    network = native_model if native else model
    longest = network.config.max_position_embeddings
    work = mix(5, 24, network.config.vocab_size, min(60, longest - 20))
    for s in work.sequences:
        s.prompt = s.prompt[: longest - s.params.max_tokens]
    engine = small(network, 30, 9, 64)
    assert isinstance(engine.runner, NativeRunner if native else TorchRunner)
    drive(engine, work)
    for s in work.sequences:
        tokens, logprobs, experts = plain(network, s)
        if s.finish is FinishReason.ABORT:
            tokens = tokens[: len(s.tokens)]
        assert s.tokens == tokens
        assert np.allclose(s.logprobs, logprobs[: len(tokens)], atol=1e-5)
        if s.experts is not None and s.finish is not FinishReason.ABORT:
            assert np.array_equal(s.experts, experts)
    nothing_left(engine)


@pytest.mark.parametrize("fault", ["edges", "slot", "copy"])
def test_a_fault_is_noticed(
    native_model: ZayaForCausalLM, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: a prefix cache without its CCA state, a fork without its own, a fork that
    shares a block which is not full."""
    if fault == "edges":
        monkeypatch.setattr(NativeRunner, "restore", lambda *_: None)
    elif fault == "slot":
        fork = NativeRunner.fork
        monkeypatch.setattr(
            NativeRunner, "fork", lambda self, slot, to, a, b: fork(self, to, to, a, b)
        )
    else:
        fork = NativeRunner.fork
        monkeypatch.setattr(
            NativeRunner, "fork", lambda self, slot, to, a, b: fork(self, slot, to, b, b)
        )
    work = mix(1, 64, native_model.config.vocab_size, 60)
    engine = small(native_model, 8, 20, 100)
    drive(engine, work)
    wrong = 0
    for s in work.sequences:
        (alone,) = small(native_model, 40, 1, 1000).generate([s.prompt], [s.params])
        wrong += s.tokens != alone.tokens[: len(s.tokens)]
    assert wrong > 0


def test_n_samples_cost_one_prefill(native_model: ZayaForCausalLM) -> None:
    engine = small(native_model, 60, 20, 4096)
    prompt = list(range(8, 80))
    engine.generate([prompt] * 16, [SamplingParams(3, seed=i) for i in range(16)])
    fed = sum(s.computed for s in engine.sequences)
    assert engine.cached_tokens == 15 * len(prompt) and fed == 0
    assert engine.steps == 3  # one prefill, two decode steps


def test_new_weights_in_flight(native_model: ZayaForCausalLM) -> None:
    """Versions are stamped per token, and no prefix of the old weights is used again."""
    import copy

    other = copy.deepcopy(native_model)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.05)
    prompt = list(range(8, 75))
    engine = small(native_model, 40, 4, 4096)
    s = Sequence(prompt, SamplingParams(9, seed=1), keep_experts=True)
    engine.add(s)
    for _ in range(4):
        engine.step()
    engine.load(other, 5)
    while engine.busy:
        engine.step()
    cut = len(s.tokens) if len(s.tokens) < 4 else 4
    assert s.versions == [0] * cut + [5] * (len(s.tokens) - cut)
    (new,) = engine.generate([prompt], [SamplingParams(9, seed=1)])
    (want,) = small(other, 40, 4, 4096).generate([prompt], [SamplingParams(9, seed=1)])
    assert new.cached == 0 and (new.tokens, new.logprobs) == (want.tokens, want.logprobs)
    (again,) = engine.generate([prompt], [SamplingParams(9, seed=1)])
    assert again.cached == 64 and again.logprobs == want.logprobs
