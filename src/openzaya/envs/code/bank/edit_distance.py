"""Edit distance.

Return the smallest number of single-character insertions, deletions and replacements that turn
`first` into `second`.
"""

LEVEL = 2


def solve(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            change = diagonal + (a != b)
            diagonal = row[j]
            row[j] = min(change, row[j] + 1, row[j - 1] + 1)
    return row[-1]


def brute(first, second):
    if not first or not second:
        return len(first) + len(second)
    if first[0] == second[0]:
        return brute(first[1:], second[1:])
    return 1 + min(brute(first[1:], second), brute(first, second[1:]), brute(first[1:], second[1:]))


def make(rng, size):
    word = "".join(rng.choice("abc") for _ in range(rng.randint(0, 2 + size)))
    other = [c for c in word if rng.random() < 0.8]
    other += [rng.choice("abc") for _ in range(rng.randint(0, 2))]
    return (word, "".join(other))


def valid(first, second):
    return all(len(w) <= 300 and (not w or (w.isascii() and w.islower())) for w in (first, second))
