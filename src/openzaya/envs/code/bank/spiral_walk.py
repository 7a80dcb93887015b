"""Spiral walk.

`table` has equally long rows. Return its numbers in the order of a spiral: along the first row to
the right, down the last column, back along the last row, up the first column, and so on inwards.
"""

LEVEL = 1


def solve(table: list[list[int]]) -> list[int]:
    top, bottom, left, right = 0, len(table) - 1, 0, len(table[0]) - 1
    walk = []
    while top <= bottom and left <= right:
        walk += table[top][left : right + 1]
        walk += [table[r][right] for r in range(top + 1, bottom + 1)]
        if top < bottom and left < right:
            walk += table[bottom][left:right][::-1]
            walk += [table[r][left] for r in range(bottom - 1, top, -1)]
        top, bottom, left, right = top + 1, bottom - 1, left + 1, right - 1
    return walk


def brute(table):
    walk: list[int] = []
    while table:
        walk += table[0]
        table = [list(column) for column in zip(*table[1:])][::-1]  # noqa: B905
    return walk


def make(rng, size):
    width, height = rng.randint(1, 2 + size), rng.randint(1, 2 + size)
    return ([[rng.randint(0, 99) for _ in range(width)] for _ in range(height)],)


def valid(table):
    return (
        1 <= len(table) <= 50
        and 1 <= len(table[0]) <= 50
        and all(len(row) == len(table[0]) and all(abs(n) <= 10**6 for n in row) for row in table)
    )
