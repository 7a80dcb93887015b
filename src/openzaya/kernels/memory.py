"""How the C library hands memory back."""

from __future__ import annotations

import ctypes
import os
import sys

from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_PAGE_OUT = 21  # madvise, since Linux 5.4
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more


def keep_freed_memory() -> None:
    """Keep freed blocks in this process instead of returning them to the system.

    A training step frees and takes the same gradients and activations every time; taken from the
    system, every page of them costs a fault, on a virtual machine a tenth of the step. Peak memory
    stays as it is. Without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def page_out(*tensors: Tensor) -> None:
    """Let the pages of mapped tensors leave memory: they were read once and are on disk. What
    has no copy on disk stays. Elsewhere than on Linux nothing happens."""
    if not sys.platform.startswith("linux"):
        return
    libc, page = ctypes.CDLL(None), os.sysconf("SC_PAGE_SIZE")
    for tensor in tensors:
        start = -(-tensor.data_ptr() // page) * page
        length = tensor.data_ptr() + tensor.nbytes - start
        if length >= page:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length // page * page), _PAGE_OUT)
