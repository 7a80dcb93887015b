"""Islands.

`grid` is a map of equally long rows: # is land, . is water. Return the number of islands; cells
belong together if they touch at a side, not at a corner.
"""

LEVEL = 1


def solve(grid: list[str]) -> int:
    land = {(r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell == "#"}
    islands = 0
    while land:
        islands += 1
        waiting = [land.pop()]
        while waiting:
            r, c = waiting.pop()
            for cell in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if cell in land:
                    land.remove(cell)
                    waiting.append(cell)
    return islands


def brute(grid):
    label = {(r, c): (r, c) for r, w in enumerate(grid) for c, x in enumerate(w) if x == "#"}
    changed = True
    while changed:
        changed = False
        for r, c in label:
            for near in ((r + 1, c), (r, c + 1), (r - 1, c), (r, c - 1)):
                if near in label and label[near] < label[r, c]:
                    label[r, c] = label[near]
                    changed = True
    return len(set(label.values()))


def make(rng, size):
    width = rng.randint(1, 3 + size)
    height = rng.randint(1, 3 + size)
    return (["".join(rng.choice("#.") for _ in range(width)) for _ in range(height)],)


def valid(grid):
    return (
        1 <= len(grid) <= 60
        and 1 <= len(grid[0]) <= 60
        and all(len(row) == len(grid[0]) and set(row) <= set("#.") for row in grid)
    )
