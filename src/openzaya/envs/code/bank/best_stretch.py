"""Best stretch.

Return the largest sum of a non-empty contiguous part of `numbers`, which is not empty.
"""

LEVEL = 0


def solve(numbers: list[int]) -> int:
    best = current = numbers[0]
    for number in numbers[1:]:
        current = max(current + number, number)
        best = max(best, current)
    return best


def brute(numbers):
    n = len(numbers)
    return max(sum(numbers[i:j]) for i in range(n) for j in range(i + 1, n + 1))


def make(rng, size):
    low = rng.choice((-9, -9, -9, -20))
    high = rng.choice((9, 9, -1))
    return ([rng.randint(low, high) for _ in range(rng.randint(1, 4 + 2 * size))],)


def valid(numbers):
    return 1 <= len(numbers) <= 5000 and all(abs(n) <= 10**6 for n in numbers)
