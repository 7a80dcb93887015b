"""Best-fit-decreasing bin packing: whole examples into windows of a fixed number of tokens.

After Ding et al. 2024 ("Fewer truncations improve language modeling"), as arXiv 2605.05365 packs
its 131K windows. No example is split, so no answer loses the reasoning it rests on. Callers that
want a shuffle pack block by block.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from openzaya.errors import DataError


def pack_best_fit(lengths: Sequence[int], window: int) -> list[list[int]]:
    """Bins of example indices; the lengths in a bin (tokens) sum to at most `window`.

    Longest first, each into the bin with the least room that still holds it; equal lengths keep
    their order. O(n log n + n W) for W distinct amounts of room, W <= window.
    """
    for index, length in enumerate(lengths):
        if length > window:
            raise DataError(
                f"example {index} has {length} tokens, more than the window of {window}",
                "trim the data to the window first (answer-preserving trimming)",
            )
        if length < 1:
            raise DataError(f"example {index} is empty", "drop examples without tokens")
    bins: list[list[int]] = []
    open_bins: dict[int, list[int]] = {}  # room (tokens) -> numbers of the bins that have it
    rooms: list[int] = []  # the keys of open_bins, ascending
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect_left(rooms, lengths[index])
        if place == len(rooms):
            number, room = len(bins), window
            bins.append([])
        else:
            room = rooms[place]
            number = open_bins[room].pop()
            if not open_bins[room]:
                del open_bins[room], rooms[place]
        bins[number].append(index)
        room -= lengths[index]
        if room > 0:
            if room not in open_bins:
                insort(rooms, room)
            open_bins.setdefault(room, []).append(number)
    return bins


def fill_ratio(bins: Sequence[Sequence[int]], lengths: Sequence[int], window: int) -> float:
    """Share of all windows' tokens that hold data, in [0, 1]; the rest is padding."""
    if not bins:
        return 1.0
    return sum(lengths[i] for example_bin in bins for i in example_bin) / (len(bins) * window)
