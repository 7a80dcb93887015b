"""Inversions.

Return the number of pairs i < j with `numbers[i]` > `numbers[j]`.
"""

LEVEL = 2


def solve(numbers: list[int]) -> int:
    ranks = {value: i + 1 for i, value in enumerate(sorted(set(numbers)))}
    tree = [0] * (len(ranks) + 1)
    inversions = 0
    for seen, number in enumerate(numbers):
        not_greater, i = 0, ranks[number]
        while i > 0:
            not_greater += tree[i]
            i -= i & -i
        inversions += seen - not_greater
        i = ranks[number]
        while i < len(tree):
            tree[i] += 1
            i += i & -i
    return inversions


def brute(numbers):
    return sum(a > b for i, a in enumerate(numbers) for b in numbers[i + 1 :])


def make(rng, size):
    return ([rng.randint(-5 - size, 5 + size) for _ in range(rng.randint(1, 4 + 2 * size))],)


def valid(numbers):
    return len(numbers) <= 5000 and all(abs(n) <= 10**9 for n in numbers)
