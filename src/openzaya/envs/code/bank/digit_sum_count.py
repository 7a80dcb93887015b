"""Digit sums.

Return how many integers from 0 to `limit`, both included, have decimal digits that add up to
`total`.
"""

LEVEL = 3


def solve(limit: int, total: int) -> int:
    digits = [int(d) for d in str(limit)]
    ways = [1] + [0] * total
    free = [ways]
    for _ in digits:
        longer = [sum(ways[s - d] for d in range(10) if d <= s) for s in range(total + 1)]
        free.append(longer)
        ways = longer
    found, left = 0, total
    for place, digit in enumerate(digits):
        rest = len(digits) - place - 1
        for smaller in range(digit):
            if smaller <= left:
                found += free[rest][left - smaller]
        left -= digit
        if left < 0:
            return found
    return found + (left == 0)


def brute(limit, total):
    return sum(sum(map(int, str(n))) == total for n in range(limit + 1))


def make(rng, size):
    return (rng.randint(0, 20 * (1 + size) ** 2), rng.randint(0, 6 + size))


def valid(limit, total):
    return 0 <= limit <= 10**18 and 0 <= total <= 200
