"""Distinct parts.

Return the number of ways to write `total` as a sum of different positive integers, each at most
`largest`; the order does not matter. There is one way to write 0.
"""

LEVEL = 2


def solve(total: int, largest: int) -> int:
    ways = [1] + [0] * total
    for part in range(1, min(largest, total) + 1):
        for reached in range(total, part - 1, -1):
            ways[reached] += ways[reached - part]
    return ways[total]


def brute(total, largest):
    if total == 0:
        return 1
    return sum(brute(total - p, p - 1) for p in range(1, min(largest, total) + 1))


def make(rng, size):
    total = rng.randint(0, min(6 + 3 * size, 40))
    return (total, rng.randint(1, total + 3))


def valid(total, largest):
    return 0 <= total <= 1000 and 1 <= largest <= 1000
