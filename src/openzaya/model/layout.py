"""Where documents begin and end in a packed stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

import torch
from torch import Tensor

T = TypeVar("T")


class lazy(Generic[T]):
    """functools.cached_property without the lock, which torch.compile cannot trace."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> lazy[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object, kind: type) -> T | lazy[T]:
        if owner is None:
            return self
        value = owner.__dict__[self.make.__name__] = self.make(owner)
        return value


class SharedContext(Protocol):
    """The part of attention that crosses ranks (`openzaya.parallel.context`)."""

    def attention(
        self, projected: Tensor, w: Any, rope: Any, window: int | None, hf: bool
    ) -> Tensor: ...


@dataclass(frozen=True)
class Layout:
    """Segments end to end. `past` tokens of each segment are already in a decode state.

    Row b of the decode state belongs to segment b. A training document is a segment without past.
    Index tensors are made when first asked for: a decode step needs hardly any of them.
    """

    lengths: tuple[int, ...]
    past: tuple[int, ...]
    device: torch.device
    context: SharedContext | None = None
    """How rows of other ranks are reached, where several share the stream."""

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        past: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ) -> Layout:
        """Build from segment lengths (each at least 1) and the tokens before them (default: 0)."""
        assert lengths and min(lengths) >= 1, "every segment holds at least one token"
        past = tuple(past) if past is not None else (0,) * len(lengths)
        return cls(tuple(lengths), past, torch.device(device))

    def materialise(self) -> None:
        """Make what a compiled block reads: inside it, nothing may be made."""
        _ = self.is_decode, self.is_fresh, self.inside_N1, self.edge_B, self.longest

    @lazy
    def tokens(self) -> int:
        return sum(self.lengths)

    @lazy
    def longest(self) -> int:
        """The longest segment, rounded up to a power of two: a compiled block is specialised on
        it, and would otherwise be compiled anew for every packing."""
        return 1 << (max(self.lengths) - 1).bit_length()

    @lazy
    def is_decode(self) -> bool:
        """One new token per sequence: the shape of every step after prefill."""
        return max(self.lengths) == 1 and min(self.past) > 0

    @lazy
    def is_fresh(self) -> bool:
        """No segment continues an earlier one: training, or a whole-prompt prefill."""
        return max(self.past) == 0

    @lazy
    def length_B(self) -> Tensor:
        """Tokens of each segment, always on the CPU."""
        return torch.tensor(self.lengths)

    @lazy
    def start_B(self) -> Tensor:
        """Index of each segment's first token in the stream, always on the CPU."""
        return torch.cumsum(self.length_B, 0) - self.length_B

    @lazy
    def past_B(self) -> Tensor:
        """Tokens stored before each segment, always on the CPU."""
        return torch.tensor(self.past)

    @lazy
    def last_B(self) -> Tensor:
        """Index of each segment's last token in the stream."""
        return (self.start_B + self.length_B - 1).to(self.device)

    @lazy
    def last_tokens(self) -> Layout:
        """Each segment's last token as a step of its own, all before it stored."""
        stored = [n + p - 1 for n, p in zip(self.lengths, self.past, strict=True)]
        return Layout.of([1] * len(stored), stored, self.device)

    @lazy
    def edge_B(self) -> Tensor:
        """Starts of the segments and the end of the last, int32: B + 1 values."""
        edges = torch.nn.functional.pad(torch.cumsum(self.length_B, 0), (1, 0))
        return edges.to(torch.int32).to(self.device)

    @lazy
    def segment_N(self) -> Tensor:
        """The segment of each token."""
        index_B = torch.arange(len(self.lengths))
        return torch.repeat_interleave(index_B, self.length_B, output_size=self.tokens).to(
            self.device
        )

    @lazy
    def offset_N(self) -> Tensor:
        """Position of each token inside its segment."""
        start_N = torch.repeat_interleave(self.start_B, self.length_B, output_size=self.tokens)
        return (torch.arange(self.tokens) - start_N).to(self.device)

    @lazy
    def position_N(self) -> Tensor:
        """Position of each token inside its document: offset plus past."""
        if self.is_decode:
            return self.past_B.to(self.device)
        return self.offset_N + self.past_B.to(self.device)[self.segment_N]

    @lazy
    def inside_N1(self) -> Tensor:
        """Whether a token has a left neighbour in its segment."""
        return (self.offset_N > 0)[:, None]


def previous(x_N: Tensor, layout: Layout, carried_B: Tensor | None) -> Tensor:
    """Each row's left neighbour in its document: zero at a document start, `carried_B` (the last
    row before this call) at the start of a continued segment."""
    if layout.is_decode:
        assert carried_B is not None
        return carried_B.to(x_N.dtype)
    shifted = torch.nn.functional.pad(x_N, (0, 0, 1, 0))[:-1]
    if carried_B is None:
        return torch.where(layout.inside_N1, shifted, 0)
    return torch.where(layout.inside_N1, shifted, carried_B[layout.segment_N].to(x_N.dtype))
