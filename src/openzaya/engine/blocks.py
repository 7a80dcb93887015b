"""Who holds which block of the cache, and which blocks can be used again.

A full block is known by the digest of all tokens up to its end. When nobody holds it any more it
stays, oldest use first to go, until its room is needed: the prefix cache.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Sequence

import numpy as np

from openzaya.kernels.network import BLOCK

ROOT = b""


def digest(parent: bytes, tokens: Sequence[int]) -> bytes:
    """The name of the block that holds `tokens` after the block `parent`."""
    data = np.asarray(tokens, dtype=np.int32).tobytes()
    return hashlib.blake2b(parent + data, digest_size=16).digest()


class BlockManager:
    """`count` blocks. A block is free, held by one or more sequences, or kept for its content."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = deque(range(count))
        self._holders = [0] * count
        self._by_name: dict[bytes, int] = {}
        self._name_of: dict[int, bytes] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        """Blocks that `take` can give."""
        return len(self._free) + len(self._kept)

    @property
    def held(self) -> int:
        return self.count - self.available

    def take(self) -> int:
        """A block to write to. Content that is kept gives way, least recently used first."""
        if self._free:
            block = self._free.popleft()
        else:
            block, _ = self._kept.popitem(last=False)
            self._forget(block)
        self._holders[block] = 1
        return block

    def share(self, block: int) -> int:
        """One more holder of a block that somebody holds or that is kept."""
        self._kept.pop(block, None)
        self._holders[block] += 1
        return block

    def release(self, block: int) -> None:
        assert self._holders[block] > 0, "released more often than taken"
        self._holders[block] -= 1
        if self._holders[block]:
            return
        if block in self._name_of:
            self._kept[block] = None
        else:
            self._free.append(block)

    def commit(self, block: int, name: bytes) -> None:
        """The block is full, and from now on found under its name; the first of equals is."""
        if name not in self._by_name and block not in self._name_of:
            self._by_name[name] = block
            self._name_of[block] = name

    def match(self, tokens: Sequence[int]) -> tuple[list[int], bytes]:
        """Blocks that hold the longest known beginning of `tokens`, but not all of them, since the
        last token's logits are wanted; and the last one's name. They are not held yet."""
        blocks: list[int] = []
        name = ROOT
        for start in range(0, len(tokens) - BLOCK, BLOCK):
            following = digest(name, tokens[start : start + BLOCK])
            block = self._by_name.get(following)
            if block is None:
                break
            blocks.append(block)
            name = following
        return blocks, name

    def flush(self) -> None:
        """Forget all contents: they belong to other weights."""
        self._free.extend(self._kept)
        self._kept.clear()
        self._by_name.clear()
        self._name_of.clear()

    def _forget(self, block: int) -> None:
        del self._by_name[self._name_of.pop(block)]
