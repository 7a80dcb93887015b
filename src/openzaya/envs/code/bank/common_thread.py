"""Common thread.

Return the length of the longest sequence of characters that occurs in both `first` and `second` in
the same order, not necessarily next to each other.
"""

LEVEL = 2


def solve(first: str, second: str) -> int:
    above = [0] * (len(second) + 1)
    for a in first:
        row = [0]
        for j, b in enumerate(second):
            row.append(above[j] + 1 if a == b else max(above[j + 1], row[j]))
        above = row
    return above[-1]


def brute(first, second):
    if not first or not second:
        return 0
    if first[0] == second[0]:
        return 1 + brute(first[1:], second[1:])
    return max(brute(first[1:], second), brute(first, second[1:]))


def make(rng, size):
    return tuple(
        "".join(rng.choice("xyz") for _ in range(rng.randint(0, 3 + size))) for _ in range(2)
    )


def valid(first, second):
    return all(len(w) <= 300 and (not w or (w.isascii() and w.islower())) for w in (first, second))
