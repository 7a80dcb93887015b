"""Multiplication table.

Write down all products i * j with 1 <= i <= `rows` and 1 <= j <= `columns`, sorted. Return the
`rank`-th of them, counting from 1.
"""

LEVEL = 3


def solve(rows: int, columns: int, rank: int) -> int:
    low, high = 1, rows * columns
    while low < high:
        middle = (low + high) // 2
        if sum(min(columns, middle // i) for i in range(1, rows + 1)) >= rank:
            high = middle
        else:
            low = middle + 1
    return low


def brute(rows, columns, rank):
    return sorted(i * j for i in range(1, rows + 1) for j in range(1, columns + 1))[rank - 1]


def make(rng, size):
    rows, columns = rng.randint(1, 4 + size), rng.randint(1, 4 + size)
    return (rows, columns, rng.randint(1, rows * columns))


def valid(rows, columns, rank):
    return 1 <= rows <= 3000 and 1 <= columns <= 3000 and 1 <= rank <= rows * columns
