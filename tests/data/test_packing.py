"""Whole examples in, whole examples out, in few windows."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.data.packing import fill_ratio, pack_best_fit
from openzaya.errors import DataError

WINDOW = 64
_lengths = st.lists(st.integers(1, WINDOW), max_size=60)


def _first_fit(lengths: list[int], window: int) -> list[list[int]]:
    bins: list[list[int]] = []
    for index, length in enumerate(lengths):
        for packed in bins:
            if sum(lengths[i] for i in packed) + length <= window:
                packed.append(index)
                break
        else:
            bins.append([index])
    return bins


def _best_fit_naive(lengths: list[int], window: int) -> list[int]:
    """Room left in each bin, by the definition; sorted, since ties may go to any equal bin."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        room = min(fitting) if fitting else window
        if fitting:
            rooms.remove(room)
        rooms.append(room - length)
    return sorted(rooms)


@given(_lengths)
def test_every_example_is_packed_once_and_fits(lengths: list[int]) -> None:
    bins = pack_best_fit(lengths, WINDOW)
    assert sorted(i for packed in bins for i in packed) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in packed) <= WINDOW for packed in bins)
    assert pack_best_fit(lengths, WINDOW) == bins


@given(_lengths)
def test_agrees_with_the_definition(lengths: list[int]) -> None:
    bins = pack_best_fit(lengths, WINDOW)
    rooms = sorted(WINDOW - sum(lengths[i] for i in packed) for packed in bins)
    assert rooms == _best_fit_naive(lengths, WINDOW)


@given(_lengths)
def test_no_two_bins_could_be_one(lengths: list[int]) -> None:
    used = sorted(sum(lengths[i] for i in packed) for packed in pack_best_fit(lengths, WINDOW))
    assert len(used) < 2 or used[0] + used[1] > WINDOW


@pytest.mark.parametrize("seed", range(20))
def test_fills_at_least_as_well_as_first_fit(seed: int) -> None:
    # True of realistic lengths, not of all: first fit may be lucky with the order it is given.
    rng = random.Random(seed)
    lengths = [min(512, max(1, int(rng.lognormvariate(4.5, 1)))) for _ in range(300)]
    ours = fill_ratio(pack_best_fit(lengths, 512), lengths, 512)
    assert ours >= fill_ratio(_first_fit(lengths, 512), lengths, 512)


def test_golden() -> None:
    # 6 opens a bin (room 4), 5 another (room 5); 4 fills the first, 3 and 2 the second.
    lengths = [3, 6, 2, 5, 4]
    assert pack_best_fit(lengths, 10) == [[1, 4], [3, 0, 2]]
    assert fill_ratio(pack_best_fit(lengths, 10), lengths, 10) == 1.0
    assert fill_ratio([[0], [1]], [3, 6], 10) == pytest.approx(0.45)
    assert pack_best_fit([], 10) == []


def test_too_long_and_empty_examples_are_named() -> None:
    with pytest.raises(DataError, match="example 1 has 11 tokens") as error:
        pack_best_fit([3, 11], 10)
    assert "trimming" in error.value.hint
    with pytest.raises(DataError, match="example 0 is empty"):
        pack_best_fit([0], 10)


def test_a_hundred_thousand_examples_take_seconds() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 131_072) for _ in range(100_000)]
    start = time.process_time()
    bins = pack_best_fit(lengths, 131_072)
    assert time.process_time() - start < 10  # a scan over the open bins would take minutes
    assert fill_ratio(bins, lengths, 131_072) > 0.99
