"""Trailing zeros.

Return the number of zeros at the end of n! written in base `base`.
"""

LEVEL = 2


def solve(n: int, base: int) -> int:
    zeros = None
    factor, rest = 2, base
    while rest > 1:
        power = 0
        while rest % factor == 0:
            rest //= factor
            power += 1
        if power:
            found, m = 0, n
            while m:
                m //= factor
                found += m
            if zeros is None or found // power < zeros:
                zeros = found // power
        factor += 1
    return zeros or 0


def brute(n, base):
    product = 1
    for i in range(2, n + 1):
        product *= i
    zeros = 0
    while product % base == 0:
        product //= base
        zeros += 1
    return zeros


def make(rng, size):
    return (rng.randint(0, 10 + 6 * size), rng.randint(2, 20))


def valid(n, base):
    return 0 <= n <= 10**9 and 2 <= base <= 10_000
