"""Votes: ties, missing answers, and the prefix that fits a token budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.ttc import affordable, majority

answers = st.lists(st.sampled_from(["1", "2", "3", " 1 ", None]), max_size=12)


@pytest.mark.parametrize(
    ("votes", "winner", "agreement"),
    [
        (["a", "b", "b"], "b", 2 / 3),
        (["b", "a", "a", "b"], "b", 0.5),  # a tie: slot 0
        ([None, "a", "b"], "a", 1 / 3),  # still the earliest that answered
        ([None, None, None, "a"], "a", 0.25),  # None is the commonest and does not win
        ([None, None], None, 0.0),
        ([], None, 0.0),
        ([" a", "b", "a\n"], "a", 2 / 3),
    ],
)
def test_majority(votes: list[str | None], winner: str | None, agreement: float) -> None:
    assert majority(votes) == (winner, pytest.approx(agreement))


def test_answers_are_compared_normalised() -> None:
    assert majority(["x", "4.0", "4", "x", "4.00"], lambda a: a.split(".")[0]) == ("4", 0.6)
    assert majority(["x", "4.0", "4", "x", "4.00"])[0] == "x"


@given(answers)
def test_majority_equals_the_definition(votes: list[str | None]) -> None:
    given_ = [v.strip() for v in votes if v is not None]
    winner, agreement = majority(votes)
    if not given_:
        assert (winner, agreement) == (None, 0.0)
        return
    most = max(map(given_.count, given_))
    assert winner == next(v for v in given_ if given_.count(v) == most)
    assert agreement == most / len(votes)


def majority_at_tokens(
    stream: list[tuple[str | None, int]], tokens: int
) -> tuple[str | None, float]:
    """The vote at matched compute, as `evals.evaluate.vote` composes it."""
    count = affordable([cost for _, cost in stream], tokens)
    return majority([answer for answer, _ in stream[:count]])


@pytest.mark.parametrize(
    ("tokens", "winner"), [(0, None), (2, None), (3, "a"), (6, "a"), (7, "b"), (99, "b")]
)
def test_majority_at_tokens_stops_before_the_budget(tokens: int, winner: str | None) -> None:
    assert majority_at_tokens([("a", 3), ("b", 3), ("b", 1)], tokens)[0] == winner


def test_a_long_rollout_ends_the_sample() -> None:
    """Skipping it and taking the short ones behind it would favour short answers."""
    assert majority_at_tokens([("a", 3), ("b", 50), ("c", 1), ("c", 1)], 10) == ("a", 1.0)


@given(st.lists(st.tuples(st.sampled_from(["1", "2", None]), st.integers(0, 9)), max_size=12),
       st.integers(0, 60))  # fmt: skip
def test_majority_at_tokens_equals_the_definition(
    stream: list[tuple[str | None, int]], tokens: int
) -> None:
    fits = [n for n in range(len(stream) + 1) if sum(t for _, t in stream[:n]) <= tokens]
    assert majority_at_tokens(stream, tokens) == majority([a for a, _ in stream[: max(fits)]])
