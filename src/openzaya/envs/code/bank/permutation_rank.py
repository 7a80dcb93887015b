"""Rank of an arrangement.

`order` is an arrangement of the numbers 0 to n - 1. Return how many arrangements of these numbers
come before it in lexicographic order.
"""

LEVEL = 2


def solve(order: list[int]) -> int:
    rank = 0
    n = len(order)
    for i in range(n):
        smaller = sum(later < order[i] for later in order[i + 1 :])
        rank = rank * (n - i) + smaller
    return rank


def brute(order):
    import itertools

    for rank, other in enumerate(itertools.permutations(range(len(order)))):
        if list(other) == order:
            return rank


def make(rng, size):
    n = rng.randint(1, min(3 + size, 7))
    return (rng.sample(range(n), n),)


def valid(order):
    return 1 <= len(order) <= 60 and sorted(order) == list(range(len(order)))
