"""Corners of the hull.

`points` are pairs [x, y], all different. Return the number of corners of their convex hull;
points on its edges are no corners. A single point has 1 corner, several points on one line have
2.
"""

LEVEL = 4


def solve(points: list[list[int]]) -> int:
    ordered = sorted(points)
    if len(ordered) == 1:
        return 1

    def half(sequence):
        chain = []
        for x, y in sequence:
            while len(chain) >= 2:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        return chain

    return len(half(ordered)) + len(half(ordered[::-1])) - 2


def brute(points):
    def cross(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    def between(a, b, p):
        return cross(a, b, p) == 0 and min(a, b) < p < max(a, b)

    corners = 0
    for p in points:
        rest = [q for q in points if q != p]
        on_edge = any(between(a, b, p) for a in rest for b in rest if a != b)
        inside = any(
            (cross(a, b, p) > 0) == (cross(b, c, p) > 0) == (cross(c, a, p) > 0)
            and cross(a, b, p) and cross(b, c, p) and cross(c, a, p)
            for a in rest for b in rest for c in rest
        )  # fmt: skip
        corners += not on_edge and not inside
    return corners


def make(rng, size):
    count = rng.randint(1, min(3 + size, 9))
    cells = [[x, y] for x in range(5) for y in range(5)]
    return (rng.sample(cells, count),)


def valid(points):
    return (
        1 <= len(points) <= 500
        and all(len(p) == 2 and all(abs(v) <= 10**6 for v in p) for p in points)
        and len({tuple(p) for p in points}) == len(points)
    )
