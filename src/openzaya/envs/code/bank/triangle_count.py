"""Triangles.

Return the number of ways to choose three of the stick lengths in `sticks` that form a triangle of
positive area. Sticks at different places count as different.
"""

LEVEL = 1


def solve(sticks: list[int]) -> int:
    ordered = sorted(sticks)
    count = 0
    for longest in range(len(ordered) - 1, 1, -1):
        left, right = 0, longest - 1
        while left < right:
            if ordered[left] + ordered[right] > ordered[longest]:
                count += right - left
                right -= 1
            else:
                left += 1
    return count


def brute(sticks):
    import itertools

    triples = itertools.combinations(sticks, 3)
    return sum(a + b > c and a + c > b and b + c > a for a, b, c in triples)


def make(rng, size):
    return ([rng.randint(1, 6 + size) for _ in range(rng.randint(0, 4 + size))],)


def valid(sticks):
    return len(sticks) <= 800 and all(1 <= s <= 10**9 for s in sticks)
