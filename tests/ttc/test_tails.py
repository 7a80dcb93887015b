"""Tails are cut on ids: newlines, code and halves of characters survive untouched."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.ttc import tail_ids
from openzaya.types import Completion, FinishReason, ThinkIds

THINK = ThinkIds(open=256, close=257, end=258)
TEXT = "if x:\n\tpass\n\n  # 🙂 naïve\n"


def completion(ids: list[int]) -> Completion:
    none = np.zeros(len(ids))
    array = np.array(ids, dtype=np.int32)
    return Completion(array, array, none, none, FinishReason.LENGTH, "", "", None)


@pytest.mark.parametrize("tau", range(1, len(TEXT.encode()) + 3))
def test_tails_are_token_exact_across_newlines_code_and_emoji(tau: int) -> None:
    ids = list(TEXT.encode())
    tail = tail_ids(completion([*ids, 257, 258]), tau, "full", THINK)
    assert bytes(tail) == TEXT.encode()[-tau:]


def test_a_tail_is_not_a_cut_of_the_text() -> None:
    """Negative control: the last 3 tokens of an emoji are no character, and not 3 characters."""
    tail = tail_ids(completion(list("ab🙂".encode())), 3, "full", THINK)
    assert bytes(tail) != "ab🙂"[-3:].encode()
    assert bytes(tail) == "🙂".encode()[1:]


@pytest.mark.parametrize(
    ("ids", "full", "reasoning"),
    [
        ([1, 2, 257, 3, 258], [1, 2, 3], [1, 2]),
        ([1, 2, 3], [1, 2, 3], [1, 2, 3]),  # never closed, out of budget
        ([1, 2, 258], [1, 2], [1, 2]),  # never closed, yet ended
        ([257, 3, 258], [3], []),  # no reasoning at all
        ([1, 257, 2, 257, 3], [1, 2, 3], [1]),  # the first close ends the reasoning
        ([256, 1, 256, 257, 2], [1, 2], [1]),
        ([257, 258], [], []),
    ],
)
def test_scopes(ids: list[int], full: list[int], reasoning: list[int]) -> None:
    assert tail_ids(completion(ids), 9, "full", THINK) == full
    assert tail_ids(completion(ids), 9, "reasoning", THINK) == reasoning


@given(st.lists(st.integers(250, 260), max_size=30), st.integers(1, 35))
def test_a_tail_is_the_longest_allowed_suffix(ids: list[int], tau: int) -> None:
    tail = tail_ids(completion(ids), tau, "full", THINK)
    text = [i for i in ids if i not in (256, 257, 258)]
    assert len(tail) == min(tau, len(text))
    assert text[len(text) - len(tail) :] == tail
    thought = tail_ids(completion(ids), tau, "reasoning", THINK)
    before = text if 257 not in ids else [i for i in ids[: ids.index(257)] if i in text]
    assert thought == before[len(before) - len(thought) :]
    assert len(thought) == min(tau, len(before))


def test_an_empty_tail_length_is_a_bug_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        tail_ids(completion([1]), 0, "full", THINK)


def test_the_scripted_sampler_cuts_characters(scripted: Any) -> None:
    """The end-to-end tests rest on this: their budgets do fall inside characters."""
    sampler = scripted()
    rng = random.Random(0)
    cut = sum(
        sampler.script("q", seed)[: rng.randint(5, 40)][-1] in range(128, 256) for seed in range(99)
    )
    assert cut > 5
