"""One answer from many."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def majority(
    answers: Sequence[str | None], normalise: Callable[[str], str] = str.strip
) -> tuple[str | None, float]:
    """(the commonest normalised answer, its share of all answers); ties go to the earliest slot.

    A missing answer is a vote for nothing: it lowers the agreement and never wins.
    """
    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            key = normalise(answer)
            counts[key] = counts.get(key, 0) + 1
    if not counts:
        return None, 0.0
    winner = max(counts, key=lambda k: counts[k])  # dicts keep order: the earliest of the largest
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
