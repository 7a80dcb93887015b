"""Closest points.

`points` are at least two pairs [x, y]. Return the square of the least distance between two of them.
"""

LEVEL = 3


def solve(points: list[list[int]]) -> int:
    by_x = sorted((x, y) for x, y in points)
    best = (by_x[0][0] - by_x[1][0]) ** 2 + (by_x[0][1] - by_x[1][1]) ** 2
    for i, (x, y) in enumerate(by_x):
        j = i - 1
        while j >= 0 and (x - by_x[j][0]) ** 2 < best:
            best = min(best, (x - by_x[j][0]) ** 2 + (y - by_x[j][1]) ** 2)
            j -= 1
    return best


def brute(points):
    return min(
        (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 for i, a in enumerate(points) for b in points[:i]
    )


def make(rng, size):
    span = 6 + 4 * size
    count = rng.randint(2, 4 + size)
    return ([[rng.randint(-span, span), rng.randint(-span, span)] for _ in range(count)],)


def valid(points):
    return 2 <= len(points) <= 500 and all(
        len(p) == 2 and all(abs(v) <= 10**6 for v in p) for p in points
    )
