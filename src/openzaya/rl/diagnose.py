"""Why engine and trainer disagree: the cheapest question first, one sentence as the answer.

What the completions alone can tell: greedy drawing, router choices one position off, another
temperature, truncation. With the engine's runner in this process: which weights differ, whether
the stored numbers are still those that it computes, and in which half of which layer equal weights
part ways. From a remote engine no hidden state can be had: then the router's choices by layer are
all there is, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openzaya.engine.runner import Runner
from openzaya.kernels.network import Rows
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.rl.probe import (
    Stage,
    WeightGap,
    drawn_rows,
    feed,
    fresh,
    one_by_one,
    stages,
    weight_gaps,
)
from openzaya.rl.trainer import token_logprobs
from openzaya.types import Completion

PROBE_TOKENS = 4096
"""Tokens, prompts included, that are looked at."""
PROBE_ROWS = 128
"""Generated ones whose logits are, those that differ most: whole vocabularies are large."""
STANDS_OUT = 8.0
"""Growth over half a layer that makes it the culprit; sound layers pass on what they get."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One sentence, and what to do."""

    what: str
    remedy: str


@torch.no_grad()
def diagnose(
    model: ZayaForCausalLM,
    completions: Sequence[Completion],
    runner: Runner | None,
    temperature: float = 1.0,
) -> Cause:
    """The likeliest cause. Completions are of the trainer's weights by their stamps."""
    stored_N = np.concatenate([c.logprobs for c in completions])
    if not stored_N.any():
        return Cause(
            "All stored log-probabilities are 0: the tokens were drawn greedily",
            "sample at a temperature above 0",
        )
    shift = shifted_by(model, completions)
    if shift:
        return Cause(
            f"The router choices belong to other positions: moved by {-shift} they agree with the "
            "trainer's",
            "row t of a completion's experts is for position t of prompt and completion",
        )
    chosen = telling(model, completions, temperature)
    target_N = torch.from_numpy(np.concatenate([c.token_ids for c in chosen])).long()
    stored_N = torch.from_numpy(np.concatenate([c.logprobs for c in chosen]))
    ours_N = token_logprobs(model, chosen, temperature=temperature)[0].cpu()
    worst_W = (ours_N - stored_N).abs().topk(min(PROBE_ROWS, len(ours_N))).indices
    target_W, stored_W = target_N[worst_W], stored_N[worst_W]
    every = drawn_rows(chosen)
    rows = [every[i] for i in worst_W.tolist()]
    fed = feed(chosen, rows)
    logits_WV = _trainer_logits(model, fed, _experts(chosen))
    cause = _drawn_otherwise(logits_WV, target_W, stored_W, temperature)
    if cause is not None:
        return cause
    if runner is None:
        return _from_afar(model, completions)
    gaps = weight_gaps(model, runner)
    if gaps:
        return _other_weights(gaps, model.config.num_hidden_layers)
    theirs_WV, choices_NL = fresh(runner, fed).forward(fed)
    # As the engine routes now, which need not be as it did: this compares the networks alone.
    ours_W = _chosen(_trainer_logits(model, fed, choices_NL), target_W, temperature)
    apart_W = (ours_W - _chosen(theirs_WV, target_W, temperature)).abs()
    gap = (ours_N[worst_W] - stored_W).abs().max().item()
    if apart_W.max().item() < 0.1 * gap:
        return _not_what_it_computes(model, chosen[0], runner, temperature)
    kind = model.lm_head.weight.dtype
    noise = torch.finfo(kind).eps * (16 if kind == torch.float32 else 1)
    return _other_arithmetic(stages(model, runner, chosen, rows), noise)


def shifted_by(model: ZayaForCausalLM, completions: Sequence[Completion], reach: int = 2) -> int:
    """Positions by which the stored router choices lag behind the trainer's own; 0: not clearly."""
    pairs = [(_free_choices(model, c), c.experts) for c in completions]
    differ: dict[int, float] = {}
    for shift in range(-reach, reach + 1):
        wrong = total = 0
        for ours, theirs in pairs:
            assert theirs is not None
            n = len(ours) - abs(shift)
            pair = ours[max(0, -shift) :][:n], theirs[max(0, shift) :][:n]
            wrong, total = wrong + int((pair[0] != pair[1]).sum()), total + pair[0].size
        differ[shift] = wrong / max(1, total)
    best = min(differ, key=differ.__getitem__)
    return best if differ[best] < 0.3 * differ[0] else 0


def telling(
    model: ZayaForCausalLM, completions: Sequence[Completion], temperature: float
) -> list[Completion]:
    """Completions that show the difference best, within PROBE_TOKENS: of those that show half of
    the largest gap the shortest first, then others by length. One at least."""

    def gap(c: Completion) -> float:
        logp_T = token_logprobs(model, [c], temperature=temperature)[0].cpu().numpy()
        return float(np.abs(logp_T - c.logprobs).max())

    gaps = [gap(c) for c in completions]
    order = sorted(
        range(len(gaps)),
        key=lambda i: (gaps[i] < max(gaps) / 2, len(completions[i].token_ids)),
    )
    chosen: list[Completion] = []
    room = PROBE_TOKENS
    for i in order:
        room -= len(completions[i].prompt_ids) + len(completions[i].token_ids)
        if chosen and room < 0:
            break
        chosen.append(completions[i])
    return chosen


def _drawn_otherwise(
    logits_WV: Tensor, target_W: Tensor, stored_W: Tensor, temperature: float
) -> Cause | None:
    """Another temperature, or a distribution that was cut and made to sum to 1 again."""

    def error(t: float) -> float:
        return (_chosen(logits_WV, target_W, t) - stored_W).abs().mean().item()

    best = temperature
    for width in (2.5, 0.3, 0.03, 0.003):  # each grid is finer than the one before
        best = min((best * float(f) for f in np.exp(np.linspace(-width, width, 41))), key=error)
    if abs(best / temperature - 1) > 0.01 and error(best) < 0.05 * error(temperature):
        return Cause(
            f"The stored log-probabilities are those of temperature {best:.3g}, the trainer "
            f"assumes {temperature:.3g}",
            "sample at the temperature that is trained",
        )
    gap_W = stored_W - _chosen(logits_WV, target_W, temperature)
    if gap_W.min() > -1e-3 * gap_W.max() and gap_W.max() > 0.01:
        return Cause(
            "No stored probability is below the trainer's: the distribution was truncated (top-p, "
            "top-k or min-p) and made to sum to 1 again",
            "sample with top_p 1, top_k 0 and min_p 0",
        )
    return None


def _other_weights(gaps: Sequence[WeightGap], layers: int) -> Cause:
    touched = {g.layer for g in gaps}
    worst = max(gaps, key=lambda g: g.relative)
    forms = {g.form for g in gaps if g.form}
    if all(g.form for g in gaps):
        names = ", ".join(f"{_where(g.layer)}: {g.name}" for g in gaps[:3])
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        return Cause(
            f"The engine's weights are the trainer's rounded to {' and '.join(sorted(forms))} "
            f"in {names}{more}",
            "serve the precision that is trained",
        )
    if len(touched) == layers + 1:
        return Cause(
            f"The engine holds other weights: all {layers} layers and the embedding differ, most "
            f"in {_where(worst.layer)}: {worst.name} (by {worst.relative:.1e} of its largest)",
            "publish the trainer's weights to the engine before it draws",
        )
    return Cause(
        f"The engine's weights differ in {_where(worst.layer)}: {worst.name}, by "
        f"{worst.relative:.1e} of its largest value; {len(gaps)} tensors differ in all",
        "publish the trainer's weights to the engine before it draws",
    )


def _not_what_it_computes(
    model: ZayaForCausalLM, c: Completion, runner: Runner, temperature: float
) -> Cause:
    """The engine's network agrees with the trainer's now, the stored numbers do not."""
    stored_T = torch.from_numpy(c.logprobs)
    ours_T = token_logprobs(model, [c], temperature=temperature)[0].cpu()
    decoded_T = one_by_one(runner, c, temperature)
    if (decoded_T - stored_T).abs().mean() < 0.7 * (ours_T - stored_T).abs().mean():
        return Cause(
            "The engine decodes other log-probabilities than it computes in one prefill: the cause "
            "is its cache or decode path, in bf16 perhaps their rounding, not weights or layers",
            "compare the precision of the engine's cache and decode step with the trainer's",
        )
    return Cause(
        "The engine holds the trainer's weights and computes the trainer's log-probabilities, but "
        "those stored are others: drawn by other weights than their version says, or on a cache "
        "that other weights filled",
        "discard these rollouts; flush the prefix cache and stamp versions whenever weights change",
    )


def _other_arithmetic(found: Sequence[Stage], noise: float) -> Cause:
    """Where equal weights part ways: the half layer over which the difference grows most. Below
    `noise`, a share of the logits' size, two sound programs differ too."""
    before = [noise, *(max(noise, s.gap) for s in found[:-1])]
    growth = [s.gap / b for s, b in zip(found, before, strict=True)]
    worst = int(np.argmax(growth))
    stage, size = found[worst], "of the logits' size"
    if growth[worst] < STANDS_OUT:
        return Cause(
            "Weights are equal and no layer stands out: the difference grows evenly to "
            f"{found[-1].gap:.1e} {size}, as rounding does",
            "raise the precision of both sides",
        )
    parts = {
        "attention": "attention half (norm, projections, convolutions, attention, merge)",
        "experts": "expert half (norm, router gate, experts, merge)",
    }
    return Cause(
        f"Weights are equal but layer {stage.layer} computes otherwise, in its "
        f"{parts[stage.half]}: there the difference grows {growth[worst]:.0f}-fold, to "
        f"{stage.gap:.1e} {size}",
        "compare the precision and options of that operation on both sides",
    )


def _from_afar(model: ZayaForCausalLM, completions: Sequence[Completion]) -> Cause:
    layers = model.config.num_hidden_layers
    same_L, total = np.zeros(layers), 0
    for c in completions:
        assert c.experts is not None
        same_L += (_free_choices(model, c) == c.experts).sum(0)
        total += len(c.experts)
    share_L = same_L / total
    apart = [i for i in range(layers) if share_L[i] < 1]
    if not apart:
        seen = "the router's choices agree in all layers, so the difference is small or behind them"
    else:
        seen = (
            f"the router's choices agree in full before layer {apart[0]}, of which it is "
            f"{share_L[apart[0]]:.3f}, and {share_L.min():.3f} in layer {int(share_L.argmin())}: "
            "the cause is not behind the first of them"
        )
    return Cause(
        f"A remote engine shows no more than its router: {seen}",
        "draw the gate's completions with the local engine on the same weights to find the layer",
    )


def _free_choices(model: ZayaForCausalLM, c: Completion) -> np.ndarray:
    return token_logprobs(model, [c], replay=False)[2].cpu().numpy()


def _trainer_logits(model: ZayaForCausalLM, fed: Rows, choices_NL: Tensor) -> Tensor:
    """(W, V) of the wanted rows under these router choices."""
    device = model.lm_head.weight.device
    layout = Layout.of(fed.length_B.tolist(), device=device)
    out = model(fed.ids_N.to(device), layout, replay_NL=choices_NL.long().to(device))
    return model.logits(out.hidden_ND[fed.want_W.long().to(device)]).cpu()


def _experts(completions: Sequence[Completion]) -> Tensor:
    return torch.from_numpy(
        np.concatenate([c.experts for c in completions if c.experts is not None])
    )


def _chosen(logits_WV: Tensor, target_W: Tensor, temperature: float) -> Tensor:
    return (logits_WV / temperature).log_softmax(-1).gather(1, target_W[:, None])[:, 0]


def _where(layer: int | None) -> str:
    return "the vectors and matrices outside the layers" if layer is None else f"layer {layer}"
