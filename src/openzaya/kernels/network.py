"""The network as one native call (network.cpp): weights, cache and rows as C structures."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_float, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from openzaya.kernels.build import library
from openzaya.kernels.packed import Packed

BLOCK = 32
"""Positions of a cache block."""


def _structure(name: str, *fields: tuple[str, Any]) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


_Linear = _structure(
    "Linear", ("data", c_void_p), ("scale", c_void_p), ("bias", c_void_p), ("out", c_int64),
    ("inputs", c_int64), ("format", c_int64),
)  # fmt: skip
MATRICES = ("qkv", "conv", "o", "down", "fc1", "fc2", "classes", "w1", "w2")
VECTORS = (
    "norm", "taps", "tap_bias", "temp", "value_bias", "merge", "mlp_norm", "average",
    "router_norm", "balance", "mlp_merge", "frequency",
)  # fmt: skip
CACHES = ("keys", "values", "context", "edges")
_Layer = _structure(
    "Layer",
    *((name, _Linear) for name in MATRICES),
    *((name, c_void_p) for name in (*VECTORS, *CACHES)),
    ("window", c_int64),
)
SIZES = (
    "layers", "hidden", "heads", "groups", "dim", "half", "experts", "units", "router",
    "vocabulary", "skip_scaled", "linear_router",
)  # fmt: skip
_Network = _structure(
    "Network",
    *((name, c_int64) for name in SIZES),
    ("eps", c_float),
    *((name, c_void_p) for name in ("input_scale", "input_bias", "final_norm")),
    ("head", _Linear),
    ("layer", POINTER(_Layer)),
)
_Step = _structure(
    "Step",
    *((name, c_int64) for name in ("rows", "sequences", "wanted", "table_width")),
    *((name, c_void_p) for name in (
        "ids", "start", "length", "past", "slot", "table", "want", "logits", "choices"
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cache:
    """What sequences leave behind, all layers in one tensor each; fp32 on the CPU.

    A block holds 32 positions' keys and values, and the convolution and value context after the
    last of them (`edges`); a slot holds the context of a sequence that goes on.
    """

    keys: Tensor  # (L, blocks, G, K, BLOCK)
    values: Tensor  # (L, blocks, G, BLOCK, K)
    context: Tensor  # (L, slots, 2C + G*K/2)
    edges: Tensor  # (L, blocks, 2C + G*K/2)

    @classmethod
    def empty(
        cls, layers: int, blocks: int, slots: int, groups: int, dim: int, state: int
    ) -> Cache:
        return cls(
            torch.zeros(layers, blocks, groups, dim, BLOCK),
            torch.zeros(layers, blocks, groups, BLOCK, dim),
            torch.zeros(layers, slots, state),
            torch.zeros(layers, blocks, state),
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """A step's new tokens, sequence after sequence."""

    ids_N: Tensor  # int64
    start_B: Tensor  # int64, the first row of each sequence
    length_B: Tensor  # int64
    past_B: Tensor  # int64, tokens already in the cache
    slot_B: Tensor  # int32
    table_BT: Tensor  # int32, blocks of each sequence in order
    want_W: Tensor  # int32, rows whose logits are wanted


class Network:
    """Holds the tensors that the C structures point to."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        eps: float,
        layers: Sequence[Mapping[str, Packed | Tensor | None]],
        windows: Sequence[int],
        head: Packed,
        vectors: Mapping[str, Tensor],
        cache: Cache,
    ) -> None:
        assert library() is not None
        self.sizes, self.cache, self.head = sizes, cache, head
        self._kept: list[object] = [layers, head, vectors, cache]
        table = (_Layer * len(layers))()
        for i, (parts, window) in enumerate(zip(layers, windows, strict=True)):
            for name in MATRICES:
                packed = parts.get(name)
                if packed is not None:
                    assert isinstance(packed, Packed)
                    setattr(table[i], name, self._linear(packed))
            for name in VECTORS:
                vector = parts.get(name)
                assert vector is None or isinstance(vector, Tensor)
                setattr(table[i], name, self._pointer(vector))
            for name in CACHES:
                setattr(table[i], name, self._pointer(getattr(cache, name)[i]))
            table[i].window = window
        self._network = _Network()
        for name in SIZES:
            setattr(self._network, name, sizes[name])
        self._network.eps = eps
        for name, vector in vectors.items():
            setattr(self._network, name, self._pointer(vector))
        self._network.head = self._linear(head)
        self._network.layer = table
        self._kept.append(table)

    def forward(self, rows: Rows, threads: int, choices_NL: Tensor | None = None) -> Tensor:
        """Logits (W, V) of the wanted rows; the cache moves on. `choices_NL`, uint8, is filled."""
        width = self.head.words.shape[1] * 16
        logits_WV = torch.empty(len(rows.want_W), width)
        step = _Step(
            len(rows.ids_N), len(rows.length_B), len(rows.want_W), rows.table_BT.shape[1],
            *(c_void_p(t.data_ptr()) for t in (
                rows.ids_N, rows.start_B, rows.length_B, rows.past_B, rows.slot_B, rows.table_BT,
                rows.want_W, logits_WV,
            )),
            None if choices_NL is None else c_void_p(choices_NL.data_ptr()),
        )  # fmt: skip
        call = library().network_forward  # type: ignore[union-attr]
        call(ctypes.byref(self._network), ctypes.byref(step), c_int(threads))
        return logits_WV[:, : self.sizes["vocabulary"]]

    def _linear(self, packed: Packed) -> Any:
        p = self._pointer
        words, scales, bias = p(packed.words), p(packed.scales), p(packed.bias)
        return _Linear(words, scales, bias, packed.out, packed.inputs, int(packed.format))

    def _pointer(self, tensor: Tensor | None) -> c_void_p | None:
        if tensor is None:
            return None
        assert tensor.is_contiguous() and tensor.device.type == "cpu"
        self._kept.append(tensor)
        return c_void_p(tensor.data_ptr())
