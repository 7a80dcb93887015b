"""Game of life.

`grid` has equally long rows; # is a living cell, . a dead one, and all outside is dead. Each cell
has up to eight neighbours. A living cell stays alive with two or three living neighbours, a dead
one comes alive with exactly three. Return the grid after `steps` steps.
"""

LEVEL = 1


def solve(grid: list[str], steps: int) -> list[str]:
    height, width = len(grid), len(grid[0])
    for _ in range(steps):
        after = []
        for r in range(height):
            row = ""
            for c in range(width):
                alive = 0
                for y in range(max(r - 1, 0), min(r + 2, height)):
                    for x in range(max(c - 1, 0), min(c + 2, width)):
                        if (y, x) != (r, c) and grid[y][x] == "#":
                            alive += 1
                lives = alive == 3 or (alive == 2 and grid[r][c] == "#")
                row += "#" if lives else "."
            after.append(row)
        grid = after
    return grid


def brute(grid, steps):
    import collections

    living = {(r, c) for r, row in enumerate(grid) for c, x in enumerate(row) if x == "#"}
    board = {(r, c) for r in range(len(grid)) for c in range(len(grid[0]))}
    for _ in range(steps):
        around = collections.Counter(
            (r + y, c + x) for r, c in living for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x
        )
        living = {p for p in board if around[p] == 3 or (around[p] == 2 and p in living)}
    width = len(grid[0])
    return ["".join(".#"[(r, c) in living] for c in range(width)) for r in range(len(grid))]


def make(rng, size):
    width, height = rng.randint(2, 4 + size), rng.randint(2, 4 + size)
    grid = ["".join(rng.choice("#..") for _ in range(width)) for _ in range(height)]
    return (grid, rng.randint(1, 2 + size // 3))


def valid(grid, steps):
    return (
        0 <= steps <= 20
        and 1 <= len(grid) <= 40
        and 1 <= len(grid[0]) <= 40
        and all(len(row) == len(grid[0]) and set(row) <= set("#.") for row in grid)
    )
