"""Trapped rain.

`heights` are the heights of walls that stand side by side, each one unit wide. Return how many
units of rain stay between them after a long shower.
"""

LEVEL = 2


def solve(heights: list[int]) -> int:
    left, right = 0, len(heights) - 1
    high_left = high_right = water = 0
    while left < right:
        if heights[left] < heights[right]:
            high_left = max(high_left, heights[left])
            water += high_left - heights[left]
            left += 1
        else:
            high_right = max(high_right, heights[right])
            water += high_right - heights[right]
            right -= 1
    return water


def brute(heights):
    return sum(min(max(heights[: i + 1]), max(heights[i:])) - h for i, h in enumerate(heights))


def make(rng, size):
    return ([rng.randint(0, 3 + size) for _ in range(rng.randint(0, 4 + size))],)


def valid(heights):
    return len(heights) <= 5000 and all(0 <= h <= 10**6 for h in heights)
