"""Cheapest path.

One walks from the upper left to the lower right cell of `costs`, whose rows are equally long, one
cell down or to the right at a time. Return the least sum of the costs of all cells on the way,
both ends included. Costs may be negative.
"""

LEVEL = 1


def solve(costs: list[list[int]]) -> int:
    best: list[int] = []
    for r, row in enumerate(costs):
        for c, cost in enumerate(row):
            if r == 0:
                best.append(cost + (best[c - 1] if c > 0 else 0))
            elif c == 0:
                best[c] += cost
            else:
                best[c] = cost + min(best[c], best[c - 1])
    return best[-1]


def brute(costs):
    height, width = len(costs), len(costs[0])

    def walk(r, c):
        ways = [walk(y, x) for y, x in ((r + 1, c), (r, c + 1)) if y < height and x < width]
        return costs[r][c] + (min(ways) if ways else 0)

    return walk(0, 0)


def make(rng, size):
    width, height = rng.randint(1, min(2 + size, 7)), rng.randint(1, min(2 + size, 7))
    return ([[rng.randint(-3, 9) for _ in range(width)] for _ in range(height)],)


def valid(costs):
    return (
        1 <= len(costs) <= 60
        and 1 <= len(costs[0]) <= 60
        and all(len(row) == len(costs[0]) and all(abs(n) <= 10**6 for n in row) for row in costs)
    )
