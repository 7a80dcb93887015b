"""Way through the maze.

`grid` is a map of equally long rows: # is a wall, . is free. One steps up, down, left or right onto
free cells. Return the fewest steps from the upper left to the lower right cell, or -1 if there is
no way. Neither may be a wall; otherwise the answer is -1 too.
"""

from collections import deque

LEVEL = 1


def solve(grid: list[str]) -> int:
    height, width = len(grid), len(grid[0])
    if grid[0][0] == "#" or grid[-1][-1] == "#":
        return -1
    steps = {(0, 0): 0}
    waiting = deque([(0, 0)])
    while waiting:
        r, c = waiting.popleft()
        for y, x in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if 0 <= y < height and 0 <= x < width and grid[y][x] == "." and (y, x) not in steps:
                steps[y, x] = steps[r, c] + 1
                waiting.append((y, x))
    return steps.get((height - 1, width - 1), -1)


def brute(grid):
    free = {(r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell == "."}
    goal = (len(grid) - 1, len(grid[0]) - 1)
    reached = {(0, 0)} & free
    for step in range(len(free) + 1):
        if goal in reached:
            return step
        moves = ((0, 1), (1, 0), (0, -1), (-1, 0))
        reached = {(r + y, c + x) for r, c in reached for y, x in moves} & free
    return -1


def make(rng, size):
    width, height = rng.randint(1, 3 + size), rng.randint(1, 3 + size)
    return (["".join(rng.choice("...#") for _ in range(width)) for _ in range(height)],)


def valid(grid):
    return (
        1 <= len(grid) <= 60
        and 1 <= len(grid[0]) <= 60
        and all(len(row) == len(grid[0]) and set(row) <= set("#.") for row in grid)
    )
