"""Subset sums.

Return how many of the 2^n ways to choose some, all or none of the `numbers` add up to `target`.
Numbers at different places count as different even if they are equal.
"""

LEVEL = 2


def solve(numbers: list[int], target: int) -> int:
    ways = {0: 1}
    for number in numbers:
        after = dict(ways)
        for total, count in ways.items():
            after[total + number] = after.get(total + number, 0) + count
        ways = after
    return ways.get(target, 0)


def brute(numbers, target):
    n = len(numbers)
    return sum(
        sum(numbers[i] for i in range(n) if chosen >> i & 1) == target for chosen in range(1 << n)
    )


def make(rng, size):
    numbers = [rng.randint(-4, 9) for _ in range(rng.randint(0, min(3 + size, 12)))]
    return (numbers, rng.randint(-2, 12))


def valid(numbers, target):
    return len(numbers) <= 40 and abs(target) <= 10**6 and all(abs(n) <= 100 for n in numbers)
