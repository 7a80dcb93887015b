"""Next arrangement.

Return the arrangement of the same numbers that follows `numbers` in lexicographic order; equal
numbers may occur. If it is the last one, return the first.
"""

LEVEL = 2


def solve(numbers: list[int]) -> list[int]:
    following = list(numbers)
    i = len(following) - 2
    while i >= 0 and following[i] >= following[i + 1]:
        i -= 1
    if i >= 0:
        j = len(following) - 1
        while following[j] <= following[i]:
            j -= 1
        following[i], following[j] = following[j], following[i]
    return following[: i + 1] + following[i + 1 :][::-1]


def brute(numbers):
    import itertools

    every = sorted(set(itertools.permutations(numbers)))
    return list(every[(every.index(tuple(numbers)) + 1) % len(every)])


def make(rng, size):
    return ([rng.randint(0, 4) for _ in range(rng.randint(1, min(3 + size, 6)))],)


def valid(numbers):
    return 1 <= len(numbers) <= 1000 and all(0 <= n <= 10**9 for n in numbers)
