"""Each C++ kernel against its PyTorch form in float64: values, gradients, threads, bad numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openzaya import kernels
from openzaya.config.model import ModelConfig
from openzaya.kernels import build
from openzaya.model.layout import Layout
from openzaya.model.mix import MixWeights, mix_torch
from openzaya.model.rope import rope_tables

Function = Callable[..., Tensor | tuple[Tensor, ...]]
LENGTHS = [1, 2, 3, 47, 48, 49, 1, 130, 600]
N = sum(LENGTHS)
needs_kernels = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler here")
pytestmark = needs_kernels


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def compare(
    kernel: Function,
    definition: Function,
    inputs: list[Tensor],
) -> float:
    """Largest error of outputs and gradients, each over its own largest value."""

    def run(
        function: Callable[..., Tensor | tuple[Tensor, ...]], kind: torch.dtype
    ) -> list[Tensor]:
        leaves = [x.detach().to(kind).requires_grad_() for x in inputs]
        out = function(*leaves)
        outs = list(out) if isinstance(out, tuple) else [out]
        torch.manual_seed(1)
        sum((o * torch.randn(o.shape).to(kind)).sum() for o in outs).backward()  # type: ignore[union-attr]
        grads = [x.grad for x in leaves]
        assert all(g is not None for g in grads)
        return [t.detach().double() for t in (*outs, *grads) if t is not None]

    got, want = run(kernel, torch.float32), run(definition, torch.float64)
    # A window of one token makes the gradients of queries and keys zero: hence the floor.
    sizes = [max(float(w.abs().max()), 1.0) for w in want]
    return max(
        float((g - w).abs().max()) / size for g, w, size in zip(got, want, sizes, strict=True)
    )


def unchanged_by_threads(run: Callable[[], list[Tensor]]) -> bool:
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(run())
    return all(
        torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True)
    )


@pytest.mark.parametrize("width", [16, 48, 512])
def test_rms_norm(width: int) -> None:
    x, w = torch.randn(200, width), torch.randn(width)
    error = compare(
        lambda x, w: kernels.rms_norm(x, w, 1e-5),
        lambda x, w: F.rms_norm(x, (width,), w, 1e-5),
        [x, w],
    )
    assert error < 2e-6


def test_another_epsilon_is_seen() -> None:
    """Negative control of `compare`."""
    x, w = torch.randn(200, 16) * 0.1, torch.randn(16)
    error = compare(
        lambda x, w: kernels.rms_norm(x, w, 1e-5),
        lambda x, w: F.rms_norm(x, (16,), w, 2e-5),
        [x, w],
    )
    assert error > 1e-4


def test_residual_merge() -> None:
    inputs = [torch.randn(200, 64), torch.randn(200, 64), *(torch.randn(64) for _ in range(4))]
    error = compare(
        kernels.residual_merge,
        lambda b, r, hs, hb, rs, rb: (b + hb) * hs + (r + rb) * rs,
        inputs,
    )
    assert error < 2e-6


def test_merge_norm() -> None:
    def definition(b: Tensor, r: Tensor, *v: Tensor) -> tuple[Tensor, Tensor]:
        merged = (b + v[1]) * v[0] + (r + v[3]) * v[2]
        return merged, F.rms_norm(merged, (64,), v[4], 1e-5)

    inputs = [torch.randn(200, 64), torch.randn(200, 64), *(torch.randn(64) for _ in range(5))]
    kernel = lambda b, r, *v: kernels.merge_norm(b, r, 1e-5, *v)  # noqa: E731
    assert compare(kernel, definition, inputs) < 3e-6


def experts(choice_N: Tensor, scaled: bool) -> Function:
    """Every expert on every row, and the chosen one's row kept."""

    def run(x: Tensor, weight: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        gate, up = torch.einsum("nd,efd->enf", x, w1).chunk(2, dim=-1)
        every = torch.einsum("enf,edf->end", F.silu(gate) * up, w2)
        skipped = x if scaled else torch.zeros_like(x)
        every = torch.cat([every, skipped[None]])
        return every[choice_N, torch.arange(len(x))] * weight[:, None]

    return run


def experts_kernel(choice_N: Tensor, classes: int, scaled: bool) -> Function:
    order, _, count_E = kernels.sort_by_class(choice_N, classes)

    def run(x: Tensor, weight: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return kernels.experts(x, weight, w1, w2, order, count_E[: len(w1)], scaled)

    return run


@pytest.mark.parametrize("size", [1.0, 60.0], ids=["usual", "saturated"])
@pytest.mark.parametrize("scaled", [False, True], ids=["zero", "scaled"])
@pytest.mark.parametrize("shape", [(16, 16), (48, 80), (544, 32)])
def test_experts(shape: tuple[int, int], scaled: bool, size: float) -> None:
    """Loads of 0, 1, a vector, a tile, more than a chunk; skipped rows; both inner dimensions past
    what a tile takes at one time."""
    width, units = shape
    loads = [0, 1, 16, 33, 300, 7, 20]  # the last class is skipped
    choice_N = torch.repeat_interleave(torch.arange(7), torch.tensor(loads))
    choice_N = choice_N[torch.randperm(len(choice_N))]
    inputs = [
        torch.randn(len(choice_N), width) * size,
        torch.rand(len(choice_N)),
        torch.randn(6, 2 * units, width) / width**0.5,
        torch.randn(6, width, units) / units**0.5,
    ]
    kernel = experts_kernel(choice_N, 7, scaled)
    assert compare(kernel, experts(choice_N, scaled), inputs) < 3e-6
    moved = choice_N.clone()
    moved[choice_N == 1] = 2  # one row through another expert
    assert compare(kernel, experts(moved, scaled), inputs) > 1e-3


def test_an_expert_without_rows_gets_no_gradient() -> None:
    w1, w2 = (torch.full(s, 1e3).requires_grad_() for s in ((3, 64, 32), (3, 32, 32)))
    x, choice = torch.randn(40, 32), torch.full((40,), 1)
    experts_kernel(choice, 3, False)(x, torch.ones(40), w1, w2).sum().backward()
    for grad in (w1.grad, w2.grad):
        assert grad is not None and not grad[[0, 2]].any() and grad[1].any()


def attention(lengths: list[int], window: int) -> Callable[..., Tensor]:
    """One document at a time with a written-out mask."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        outputs = []
        for parts in zip(q.split(lengths), k.split(lengths), v.split(lengths), strict=True):
            gap = torch.arange(len(parts[0]))[:, None] - torch.arange(len(parts[0]))
            seen = (gap >= 0) & ((gap < window) | (window == 0))
            a, b, c = (t.transpose(0, 1)[None] for t in parts)
            out = F.scaled_dot_product_attention(a, b, c, attn_mask=seen, enable_gqa=True)
            outputs.append(out[0].transpose(0, 1))
        return torch.cat(outputs)

    return run


def heads(query: int, key: int, dim: int) -> list[Tensor]:
    return [torch.randn(N, n, dim) for n in (query, key, key)]


@pytest.mark.parametrize("window", [0, 1, 5, 100, 700])
@pytest.mark.parametrize("shape", [(8, 2, 64), (4, 1, 16), (2, 2, 32), (4, 2, 128)])
def test_attention(shape: tuple[int, int, int], window: int) -> None:
    layout = Layout.of(LENGTHS)
    error = compare(
        lambda q, k, v: kernels.attention(q, k, v, layout.start_B, layout.length_B, window),
        attention(LENGTHS, window),
        heads(*shape),
    )
    assert error < 1e-5


def test_a_window_one_too_long_is_seen() -> None:
    """Negative control."""
    layout = Layout.of(LENGTHS)
    error = compare(
        lambda q, k, v: kernels.attention(q, k, v, layout.start_B, layout.length_B, 6),
        attention(LENGTHS, 5),
        heads(4, 1, 16),
    )
    assert error > 1e-3


def test_peaked_attention_stays_exact() -> None:
    """Scores of several hundred: probabilities below 2^-126 are zero, sums do not overflow."""
    q, k, v = heads(4, 2, 32)
    layout = Layout.of(LENGTHS)
    error = compare(
        lambda q, k, v: kernels.attention(q, k, v, layout.start_B, layout.length_B, 0),
        attention(LENGTHS, 0),
        [q * 40, k * 10, v],
    )
    assert error < 2e-4  # the scores themselves carry a rounding error of 2000 * 2^-24


def test_cached_attention() -> None:
    """The last rows of sequences of several lengths against a store with unused room."""
    totals, new = [5, 300, 64], [2, 70, 1]
    q = torch.randn(sum(new), 4, 32)
    k, v = torch.randn(3, 2, 320, 32), torch.randn(3, 2, 320, 32)
    layout = Layout.of(new, [t - n for t, n in zip(totals, new, strict=True)])
    spans = (layout.start_B, layout.length_B, torch.tensor(totals))
    got = kernels.attention_cached(q, k, v, *spans, 0).split(new)
    for row, (total, count) in enumerate(zip(totals, new, strict=True)):
        keys, values = (t[row, :, :total].transpose(0, 1).double() for t in (k, v))
        queries = torch.zeros(total, 4, 32, dtype=torch.float64)
        queries[-count:] = q.split(new)[row]
        want = attention([total], 0)(queries, keys, values)[-count:]
        assert (got[row] - want).abs().max() < 2e-6


def mix_inputs(groups: int) -> tuple[list[Tensor], Tensor]:
    """projected, depthwise, its bias, grouped, its bias, temp, value bias."""
    k, heads = 32, 4
    channels = (heads + groups) * k
    shapes = [
        (N, channels + groups * k), (channels, 1, 2), (channels,), (channels, k, 2), (channels,),
        (groups,), (groups * k // 2,),
    ]  # fmt: skip
    return [torch.randn(s) for s in shapes], torch.arange(N)


@pytest.mark.parametrize("rotary", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_mix(groups: int, rotary: float) -> None:
    inputs, _ = mix_inputs(groups)
    layout = Layout.of(LENGTHS)
    config = ModelConfig(head_dim=32, partial_rotary_factor=rotary, rope_theta=100.0)
    rope = rope_tables(config, layout.position_N)[0]

    def kernel(projected: Tensor, *w: Tensor) -> tuple[Tensor, ...]:
        spans = (layout.start_B, layout.length_B)
        return kernels.mix(projected, *w, *rope, None, *spans, 4, groups)

    def definition(projected: Tensor, *w: Tensor) -> tuple[Tensor, ...]:
        # `hf` keeps the type it is given throughout: here float64.
        return mix_torch(projected, MixWeights(*w), layout, rope, None, True, (4, groups, 32))

    assert compare(kernel, _in_double(definition), inputs) < 1e-5


def _in_double(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """`mix_torch` pins the depthwise taps to fp32 with `.float()`: keep them in float64."""

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "float", Tensor.double)
            return function(*inputs)

    return run


@pytest.mark.parametrize("classes", [1, 5, 17])
def test_sort_by_class(classes: int) -> None:
    choice = torch.randint(0, classes, (300,))
    order, inverse, count = kernels.sort_by_class(choice, classes + 1)
    assert torch.equal(order, torch.argsort(choice, stable=True))
    assert torch.equal(order[inverse], torch.arange(300))
    assert torch.equal(count, torch.bincount(choice, minlength=classes + 1))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    layout = Layout.of(LENGTHS)
    q, k, v = (t.requires_grad_() for t in heads(4, 2, 32))
    inputs, _ = mix_inputs(2)
    leaves = [t.requires_grad_() for t in inputs]
    rope = rope_tables(ModelConfig(head_dim=32), layout.position_N)[0]
    spans = (layout.start_B, layout.length_B)

    def run() -> list[Tensor]:
        out = kernels.attention(q, k, v, *spans, 0)
        mixed = kernels.mix(leaves[0], *leaves[1:], *rope, None, *spans, 4, 2)
        loss = out.square().sum() + sum(m.square().sum() for m in mixed)
        normed = kernels.rms_norm(leaves[0], leaves[0][0], 1e-5)
        return list(torch.autograd.grad(loss + normed.sin().sum(), [q, k, v, *leaves]))

    assert unchanged_by_threads(run)

    choice_N = torch.randint(0, 4, (900,))
    shapes = ((900, 48), (900,), (3, 64, 48), (3, 48, 32))
    parts = [torch.randn(shape).requires_grad_() for shape in shapes]
    through = experts_kernel(choice_N, 4, True)
    assert unchanged_by_threads(
        lambda: [through(*parts), *torch.autograd.grad(through(*parts).square().sum(), parts)]  # type: ignore[list-item, union-attr]
    )


def test_nan_is_not_lost() -> None:
    """A poisoned value must reach the loss, or a broken run would look healthy."""
    layout = Layout.of([60])
    q, k, v = (torch.randn(60, 4, 32) for _ in range(3))
    k[10, 0, 0] = float("nan")
    out = kernels.attention(q, k, v, layout.start_B, layout.length_B, 0)
    assert out[10:, 0].isnan().any(1).all() and out[:10].isfinite().all()
    x = torch.randn(4, 32)
    x[2, 3] = float("nan")
    run = experts_kernel(torch.zeros(4, dtype=torch.int64), 1, False)
    out = run(x, torch.ones(4), torch.randn(1, 64, 32), torch.randn(1, 32, 32))
    assert out[2].isnan().all() and out[[0, 1, 3]].isfinite().all()
    x = torch.randn(4, 32)
    x[1, 5] = float("nan")
    assert kernels.rms_norm(x, torch.ones(32), 1e-5)[1].isnan().all()


def test_denormals_are_flushed_only_inside() -> None:
    layout = Layout.of([60])
    kernels.attention(
        *(torch.randn(60, 2, 32) for _ in range(3)), layout.start_B, layout.length_B, 0
    )
    assert (torch.tensor([1e-39]) * 1.0).item() > 0


def test_only_what_the_kernels_serve_goes_there() -> None:
    x = torch.randn(4, 32)
    assert kernels.usable(x, lanes=(32,))
    assert not kernels.usable(x, lanes=(24,))
    assert not kernels.usable(x.bfloat16(), lanes=(32,))
    assert not kernels.usable(x.to("meta"), lanes=(32,))


def test_the_switch_and_a_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ((build.SWITCH, "off"), ("PATH", "/nowhere")):
        with monkeypatch.context() as patch:
            build.library.cache_clear()
            patch.setenv(name, value)
            assert build.library() is None and not kernels.usable(torch.ones(16))
    build.library.cache_clear()
    assert build.library() is not None


def test_a_broken_compiler_is_named_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "FLAGS", ("-no-such-flag",))
    build.library.cache_clear()
    with pytest.warns(RuntimeWarning, match="do not compile here.*no-such-flag"):
        assert build.library() is None
    build.library.cache_clear()
