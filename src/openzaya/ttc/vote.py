"""One answer from many."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def tally(votes: Sequence[str | None]) -> dict[str, int]:
    """Votes of each answer, commonest first; ties: the earliest slot first. None is no answer."""
    counts: dict[str, int] = {}
    for vote in votes:
        if vote is not None:
            counts[vote] = counts.get(vote, 0) + 1
    # Dicts and sorts keep order: the earliest of equals stays first.
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def majority(
    answers: Sequence[str | None], normalise: Callable[[str], str] = str.strip
) -> tuple[str | None, float]:
    """(the commonest normalised answer, its share of all answers); ties go to the earliest slot.

    A missing answer is a vote for nothing: it lowers the agreement and never wins.
    """
    counts = tally([None if answer is None else normalise(answer) for answer in answers])
    if not counts:
        return None, 0.0
    winner = next(iter(counts))
    return winner, counts[winner] / len(answers)


def affordable(costs: Sequence[int], tokens: int) -> int:
    """How many of `costs`, from the first on, fit into `tokens` together.

    Rollouts count in the order they were drawn, and the first one that does not fit ends the
    sample, so that short answers are not preferred.
    """
    spent = 0
    for count, cost in enumerate(costs):
        spent += cost
        if spent > tokens:
            return count
    return len(costs)
