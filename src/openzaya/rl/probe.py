"""Looking into an engine's runner layer by layer, beside the trainer on the same tokens.

The native network is one call, so a layer's output is seen by running a network that ends there:
the first k packed layers under the same final norm and head ("lens"). With the k-th layer's experts
silenced on both sides, what remains of it is the attention half. The trainer's own runner is
watched by hooks. Both start from an empty cache: the live one is not touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from openzaya.engine import packing
from openzaya.engine.packed import PackedModel, natural
from openzaya.engine.runner import NativeRunner, Runner
from openzaya.engine.torch_runner import TorchRunner
from openzaya.kernels.network import BLOCK, Rows
from openzaya.kernels.packed import Format, Packed, unpack
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.types import Completion

NAMES = {
    "qkv": "self_attn.qkv_proj (q, k, v)",
    "conv": "self_attn.qkv_proj.conv_qk_grouped",
    "taps": "self_attn.qkv_proj.conv_qk_depthwise",
    "tap_bias": "self_attn.qkv_proj.conv_qk_depthwise.bias",
    "value_bias": "self_attn.qkv_proj.v_proj_delayed.bias",
    "temp": "self_attn.qk_norm.temp",
    "o": "self_attn.o_proj",
    "norm": "input_layernorm",
    "merge": "post_attention_residual_scale",
    "mlp_norm": "post_attention_layernorm",
    "down": "mlp.gate.down_proj",
    "fc1": "mlp.gate.router_mlp.fc1",
    "fc2": "mlp.gate.router_mlp.fc2",
    "classes": "mlp.gate.router_mlp.out_proj",
    "average": "mlp.gate.router_states_scale",
    "router_norm": "mlp.gate.router_mlp.norm",
    "balance": "mlp.gate.balancing_biases",
    "w1": "mlp.experts.gate_up_proj",
    "w2": "mlp.experts.down_proj",
    "mlp_merge": "post_mlp_residual_scale",
}
"""Packed parts by the names of the published weights."""
_QUANTISED = {Format.INT8: 0.006, Format.INT4: 0.1}
"""By what part of the largest weight a sound quantisation may be off; beyond are other weights."""


@dataclasses.dataclass(frozen=True, slots=True)
class WeightGap:
    """Weights that the engine holds and the trainer does not."""

    layer: int | None
    """None: embedding, final norm."""
    name: str
    relative: float
    """Largest difference over the largest weight."""
    form: str | None
    """What the engine's are the trainer's rounded to; None: they are others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Half a layer; how far the two sides are apart after it, as a share of the logits' size."""

    layer: int
    half: str  # "attention" or "experts"
    gap: float


def feed(completions: Sequence[Completion], want: Sequence[int]) -> Rows:
    """Rows of a prefill of prompts and completions. `want` numbers rows whose logits are wanted."""
    lengths = [len(c.prompt_ids) + len(c.token_ids) - 1 for c in completions]
    ids = np.concatenate([np.append(c.prompt_ids, c.token_ids[:-1]) for c in completions])
    width = -(-max(lengths) // BLOCK)
    table = np.arange(len(lengths) * width, dtype=np.int32).reshape(-1, width)
    length = np.array(lengths, dtype=np.int64)
    return Rows(
        torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(np.cumsum(length) - length),
        torch.from_numpy(length), torch.zeros(len(length), dtype=torch.int64),
        torch.arange(len(length), dtype=torch.int32), torch.from_numpy(table),
        torch.tensor(list(want), dtype=torch.int32),
    )  # fmt: skip


def drawn_rows(completions: Sequence[Completion]) -> list[int]:
    """Rows of `feed` that predict a generated token, in the order of the tokens."""
    rows: list[int] = []
    start = 0
    for c in completions:
        fed = len(c.prompt_ids) + len(c.token_ids) - 1
        rows += range(start + len(c.prompt_ids) - 1, start + fed)
        start += fed
    return rows


def fresh(runner: Runner, rows: Rows, depth: int | None = None, silent: bool = False) -> Runner:
    """A runner on the engine's weights with an empty cache; native ones end after `depth` layers,
    with `silent` without the last one's experts."""
    blocks, slots = rows.table_BT.numel(), len(rows.length_B)
    if isinstance(runner, TorchRunner):
        assert depth is None
        return type(runner)(runner.model, blocks, slots)
    assert isinstance(runner, NativeRunner)
    packed = runner.packed
    if depth is not None:
        layers = packed.layers[:depth]
        if silent:
            last = dict(layers[-1])
            w2 = last["w2"]
            assert isinstance(w2, Packed)
            last["w2"] = dataclasses.replace(w2, words=torch.zeros_like(w2.words))
            layers = [*layers[:-1], last]
        config = packed.config.model_copy(update={"num_hidden_layers": depth})
        packed = PackedModel(config, layers, packed.head, packed.vectors)
    return type(runner)(packed, blocks, slots)


def one_by_one(runner: Runner, completion: Completion, temperature: float) -> Tensor:
    """(T,) log-probabilities of a completion's tokens, decoded one by one as the engine does."""
    p, t = len(completion.prompt_ids), len(completion.token_ids)
    whole = feed([completion], [])
    engine = fresh(runner, whole)
    logp, low = torch.empty(t), 0
    for i, high in enumerate(range(p, p + t)):
        n = high - low
        rows = Rows(
            whole.ids_N[low:high].contiguous(), torch.zeros(1, dtype=torch.int64),
            torch.tensor([n]), torch.tensor([low]), whole.slot_B,
            whole.table_BT[:, : (high - 1) // BLOCK + 1].contiguous(),
            torch.tensor([n - 1], dtype=torch.int32),
        )  # fmt: skip
        logits_V = engine.forward(rows)[0][0]
        logp[i] = (logits_V / temperature).log_softmax(-1)[int(completion.token_ids[i])]
        low = high
    return logp


@torch.no_grad()
def stages(
    model: ZayaForCausalLM, runner: Runner, completions: Sequence[Completion], want: Sequence[int]
) -> list[Stage]:
    """How the two sides drift apart, half layer by half layer, at the rows `want`.

    The trainer repeats the router choices that the engine makes here, so that a token that falls to
    another expert does not hide what made it fall.
    """
    rows = feed(completions, want)
    native = isinstance(runner, NativeRunner)
    with _watched(runner.model if isinstance(runner, TorchRunner) else None, want) as theirs:
        choices_NL = fresh(runner, rows).forward(rows)[1].long()
    device = model.lm_head.weight.device
    with _watched(model, want) as ours:
        layout = Layout.of(rows.length_B.tolist(), device=device)
        model(rows.ids_N.to(device), layout, replay_NL=choices_NL.to(device))
    found = []
    wanted_W = torch.tensor(list(want))
    for i in range(len(ours)):
        # A skipped row has an output without experts: silencing them shows nothing there.
        real_W = choices_NL[wanted_W, i] < model.config.num_experts
        for half, silent in (("attention", True), ("experts", False)):
            mine = _lens(model, ours[i], i, silent)
            if native:
                other = fresh(runner, rows, i + 1, silent).forward(rows)[0]
            else:
                other = _lens(model, theirs[i], i, silent)
            keep_W = real_W if silent else torch.ones_like(real_W)
            found.append(Stage(i, half, _gap(mine.cpu()[keep_W], other.cpu()[keep_W])))
    return found


Seen = tuple[Tensor, Tensor, Tensor]
"""A layer's residual stream before it, its attention's output, the residual stream after it."""


@contextmanager
def _watched(model: ZayaForCausalLM | None, want: Sequence[int]) -> Iterator[list[Seen]]:
    """The layers' states at rows `want` of the forward that is run inside."""
    seen: list[Seen] = []
    if model is None:
        yield seen
        return
    index = torch.tensor(list(want), device=model.lm_head.weight.device)
    attended: list[Tensor] = []

    def after_attention(_: object, __: object, out: Tensor) -> None:
        attended.append(out[index])

    def after_layer(_: object, args: tuple[Tensor, ...], out: tuple[Tensor, object]) -> None:
        seen.append((args[0][index], attended[-1], out[0][index]))

    hooks = []
    for block in model.model.layers:
        hooks.append(block.self_attn.register_forward_hook(after_attention))  # type: ignore[union-attr]
        hooks.append(block.register_forward_hook(after_layer))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _lens(model: ZayaForCausalLM, seen: Seen, layer: int, silent: bool) -> Tensor:
    """Logits of a network that would end here, without the layer's experts if `silent`."""
    before, attended, after = seen
    if silent:
        block = model.model.layers[layer]
        middle = block.post_attention_residual_scale(attended, before)  # type: ignore[operator]
        after = block.post_mlp_residual_scale(torch.zeros_like(attended), middle)  # type: ignore[operator]
    return model.logits(model.model.norm(after))


def _gap(a_WV: Tensor, b_WV: Tensor) -> float:
    if not len(a_WV):
        return 0.0
    return ((a_WV - b_WV).abs().max() / a_WV.square().mean().sqrt()).item()


@torch.no_grad()
def weight_gaps(model: ZayaForCausalLM, runner: Runner) -> list[WeightGap]:
    """Weights that differ, in the network's order. One layer is in memory twice at a time."""
    if isinstance(runner, TorchRunner):
        return [] if runner.model is model else list(_module_gaps(model, runner.model))
    assert isinstance(runner, NativeRunner)
    theirs, form = runner.packed, natural(model)
    found: list[WeightGap] = []

    def compare(layer: int | None, parts: packing.Parts, others: packing.Parts) -> None:
        for name in parts:
            other = others[name]
            gap = _weight_gap(_plain(parts[name]), _plain(other))
            if gap is None:
                continue
            relative, form = gap
            if isinstance(other, Packed) and relative < _QUANTISED.get(other.format, 0):
                form = other.format.name.lower()
            found.append(WeightGap(layer, NAMES.get(name, name), relative, form))

    head, vectors = packing.pack_rest(model, form)
    compare(
        None, {"embed_tokens": head, **vectors}, {"embed_tokens": theirs.head, **theirs.vectors}
    )
    for i, parts in enumerate(packing.pack_layers(model, form)):
        compare(i, parts, theirs.layers[i])
    return found


def _module_gaps(model: ZayaForCausalLM, other: ZayaForCausalLM) -> Iterator[WeightGap]:
    theirs = other.state_dict()
    for name, ours in model.state_dict().items():
        gap = _weight_gap(ours, theirs[name].to(ours.device))
        if gap is not None and name != "lm_head.weight":  # tied to the embedding
            _, _, rest = name.partition("layers.")
            layer, _, local = rest.partition(".")
            yield WeightGap(int(layer) if rest else None, local or name, *gap)


def _plain(part: Packed | Tensor | None) -> Tensor | None:
    return unpack(part, part.inputs) if isinstance(part, Packed) else part


def _weight_gap(ours: Tensor | None, theirs: Tensor | None) -> tuple[float, str | None] | None:
    if ours is None or theirs is None:
        return None if ours is theirs else (float("inf"), None)
    ours, theirs = ours.float(), theirs.float()
    if ours.shape != theirs.shape:
        return float("inf"), None
    if torch.equal(ours, theirs):
        return None
    scale = ours.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    relative = ((ours - theirs).abs().max() / scale).item()
    return relative, "bf16" if torch.equal(ours.bfloat16().float(), theirs) else None
