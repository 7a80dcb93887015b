"""CPU kernels in C++: what PyTorch leaves on the table between two matrix products.

Each is one fused pass with its gradient. The network runs without them, in PyTorch alone: on a
GPU, under `torch.compile`, in bf16 and where no C++ compiler is at hand. Tests hold both forms
together (tests/kernels).
"""

from openzaya.kernels.build import library
from openzaya.kernels.memory import keep_freed_memory
from openzaya.kernels.ops import (
    attention,
    attention_cached,
    experts,
    merge_norm,
    mix,
    residual_merge,
    rms_norm,
    sample,
    serves_indices,
    sort_by_class,
    usable,
)

__all__ = [
    "attention",
    "attention_cached",
    "experts",
    "keep_freed_memory",
    "library",
    "merge_norm",
    "mix",
    "residual_merge",
    "rms_norm",
    "sample",
    "serves_indices",
    "sort_by_class",
    "usable",
]
