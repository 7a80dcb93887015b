"""Primes between.

Return how many prime numbers p satisfy `low` <= p <= `high`.
"""

LEVEL = 0


def solve(low: int, high: int) -> int:
    if high < 2:
        return 0
    prime = bytearray([1]) * (high + 1)
    prime[0] = prime[1] = 0
    factor = 2
    while factor * factor <= high:
        if prime[factor]:
            for multiple in range(factor * factor, high + 1, factor):
                prime[multiple] = 0
        factor += 1
    return sum(prime[max(low, 0) :])


def brute(low, high):
    return sum(n > 1 and all(n % d for d in range(2, n)) for n in range(low, high + 1))


def make(rng, size):
    low = rng.randint(0, 10 * size)
    return (low, low + rng.randint(0, 10 + 5 * size))


def valid(low, high):
    return 0 <= low <= high <= 200_000
