"""Longest climb.

Return the length of the longest strictly increasing subsequence of `numbers` (elements keep their
order but need not be neighbours).
"""

import bisect

LEVEL = 2


def solve(numbers: list[int]) -> int:
    ends: list[int] = []
    for number in numbers:
        place = bisect.bisect_left(ends, number)
        if place == len(ends):
            ends.append(number)
        else:
            ends[place] = number
    return len(ends)


def brute(numbers):
    longest = []
    for i, number in enumerate(numbers):
        below = [longest[j] for j in range(i) if numbers[j] < number]
        longest.append(1 + max(below, default=0))
    return max(longest, default=0)


def make(rng, size):
    return ([rng.randint(0, 4 + size) for _ in range(rng.randint(0, 4 + 2 * size))],)


def valid(numbers):
    return len(numbers) <= 3000 and all(abs(n) <= 10**9 for n in numbers)
