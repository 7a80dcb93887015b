"""Longest plateau.

Return the length of the longest stretch of equal neighbouring values in `numbers`; 0 if the list is
empty.
"""

LEVEL = 0


def solve(numbers: list[int]) -> int:
    best = run = 0
    for i, number in enumerate(numbers):
        run = run + 1 if i > 0 and numbers[i - 1] == number else 1
        best = max(best, run)
    return best


def brute(numbers):
    n = len(numbers)
    return max(
        (j - i for i in range(n) for j in range(i + 1, n + 1) if len(set(numbers[i:j])) == 1),
        default=0,
    )


def make(rng, size):
    return ([rng.randint(0, 2) for _ in range(rng.randint(0, 3 + 2 * size))],)


def valid(numbers):
    return len(numbers) <= 2000 and all(abs(n) <= 10**6 for n in numbers)
