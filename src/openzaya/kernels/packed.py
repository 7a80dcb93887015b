"""Weights in the order in which a decode step reads them (packed.h), and back.

fp32 and bf16 are exact where the weights are; int8 and int4 have one bf16 scale for each output and
32 inputs, chosen among a few for the least squared error, and symmetric values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

OUT, GROUP = 16, 32
"""Outputs of a panel; inputs that share a scale."""
SHRINK = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8)
"""Scales tried, as parts of the one that reaches the largest weight of the group."""


class Format(IntEnum):
    FP32, BF16, INT8, INT4 = range(4)

    @property
    def per_word(self) -> int:
        """Inputs in one 32-bit word."""
        return 1 << self


@dataclass(frozen=True, slots=True)
class Packed:
    """`matrices` of (out, inputs) each. `words` (matrices, panels, words per output, 16), int32 or,
    with one input to a word, fp32."""

    words: Tensor
    scales: Tensor | None  # (matrices, panels, groups, 16) bf16
    bias: Tensor | None  # (matrices, panels * 16) fp32
    out: int

    @property
    def format(self) -> Format:
        if self.scales is None:
            return Format.FP32 if self.words.dtype == torch.float32 else Format.BF16
        return Format.INT8 if self.inputs == 4 * self.words.shape[2] else Format.INT4

    @property
    def inputs(self) -> int:
        """Padded to a multiple of 32."""
        if self.scales is not None:
            return self.scales.shape[2] * GROUP
        return self.words.shape[2] * self.format.per_word

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.words, self.scales, self.bias) if t is not None)


def pack(weight: Tensor, form: Format, bias: Tensor | None = None) -> Packed:
    """`weight` (out, inputs) or a stack (matrices, out, inputs)."""
    w = weight.detach()[None] if weight.dim() == 2 else weight.detach()
    out, inputs = w.shape[1:]
    w = F.pad(w, (0, -inputs % GROUP, 0, -out % OUT))
    panels = w.unflatten(1, (-1, OUT))  # matrices, panels, 16, inputs
    scales = None
    if form is Format.FP32:
        words = panels.float().transpose(2, 3).contiguous()
    elif form is Format.BF16:
        pairs = panels.bfloat16().unflatten(3, (-1, 2)).transpose(2, 3).contiguous()
        words = pairs.view(torch.int32).squeeze(-1)
    else:
        parts = [_quantise(matrix, form) for matrix in panels]  # one at a time: stacks are large
        words = torch.stack([words for words, _ in parts])
        scales = torch.stack([scale for _, scale in parts])
    if bias is not None:
        bias = F.pad(bias.detach().float().view(w.shape[0], -1), (0, -out % OUT)).contiguous()
    return Packed(words, scales, bias, out)


def _quantise(panels: Tensor, form: Format) -> tuple[Tensor, Tensor]:
    """Words and scales of one matrix (panels, 16, inputs)."""
    low, high = (-8, 7) if form is Format.INT4 else (-127, 127)
    groups = panels.float().unflatten(2, (-1, GROUP))
    largest = groups.abs().amax(-1, keepdim=True)
    if form is Format.INT4:  # -8 has no partner: the scale's sign gives it to the largest weight
        sign = torch.where(groups.amax(-1, keepdim=True) >= largest, -1.0, 1.0)
        base = largest * sign / 8
    else:
        base = largest / high
    best_error = torch.full_like(base, torch.inf)
    best = torch.zeros_like(groups, dtype=torch.int8)
    scale = torch.zeros_like(base)
    for part in SHRINK if form is Format.INT4 else SHRINK[:1]:
        s = (base * part).bfloat16().float()
        q = (groups / torch.where(s == 0, 1.0, s)).round().clamp(low, high)
        error = (q * s - groups).square().sum(-1, keepdim=True)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best = torch.where(better, q.to(torch.int8), best)
        scale = torch.where(better, s, scale)
    q = best.flatten(2).transpose(1, 2)  # panels, inputs, 16
    scales = scale.squeeze(-1).transpose(1, 2).bfloat16().contiguous()
    if form is Format.INT8:
        lines = q.unflatten(1, (-1, 4)).transpose(2, 3).contiguous()
        return lines.view(torch.int32).squeeze(-1), scales
    nibbles = (q.unflatten(1, (-1, 8)) & 15).to(torch.int32)
    words = nibbles[:, :, 0].clone()
    for j in range(1, 8):
        words |= nibbles[:, :, j] << 4 * j
    return words, scales


def unpack(packed: Packed, inputs: int) -> Tensor:
    """(matrices, out, inputs) in fp32: what the kernels multiply with."""
    words, form = packed.words, packed.format
    if form is Format.FP32:
        values = words
    elif form is Format.BF16:
        values = words[..., None].view(torch.bfloat16).float().transpose(3, 4).flatten(2, 3)
    else:
        bits = 32 // form.per_word
        shifts = [32 - bits * (j + 1) for j in range(form.per_word)]
        values = torch.stack([(words << s) >> (32 - bits) for s in shifts], dim=3).flatten(2, 3)
        assert packed.scales is not None
        values = values.float() * packed.scales.float().repeat_interleave(GROUP, dim=2)
    rows = values.transpose(2, 3).flatten(1, 2)
    return rows[:, : packed.out, :inputs]


def lossless(*tensors: Tensor) -> Format:
    """bf16 where it holds every value, else fp32."""
    exact = all(t.dtype == torch.bfloat16 or bool((t.bfloat16() == t).all()) for t in tensors)
    return Format.BF16 if exact else Format.FP32
