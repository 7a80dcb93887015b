"""Largest poster.

`heights` are the heights of boards that stand side by side, each one unit wide. Return the area of
the largest rectangular poster that fits on them without hanging over.
"""

LEVEL = 3


def solve(heights: list[int]) -> int:
    best = 0
    stack: list[tuple[int, int]] = []
    for i, height in enumerate([*heights, 0]):
        start = i
        while stack and stack[-1][1] >= height:
            start, tall = stack.pop()
            best = max(best, tall * (i - start))
        stack.append((start, height))
    return best


def brute(heights):
    n = len(heights)
    return max(
        (min(heights[i:j]) * (j - i) for i in range(n) for j in range(i + 1, n + 1)), default=0
    )


def make(rng, size):
    return ([rng.randint(0, 4 + size) for _ in range(rng.randint(0, 4 + size))],)


def valid(heights):
    return len(heights) <= 5000 and all(0 <= h <= 10**6 for h in heights)
