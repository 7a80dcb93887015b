"""Broken stairs.

One climbs from the ground to stair `top`, one, two or three stairs at a time, and never steps on a
stair in `broken`. Return the number of ways modulo 1000000007; `top` itself may be broken.
"""

LEVEL = 1


def solve(top: int, broken: list[int]) -> int:
    bad = set(broken)
    ways = [1]
    for stair in range(1, top + 1):
        if stair in bad:
            ways.append(0)
        else:
            ways.append(sum(ways[max(0, stair - 3) : stair]) % 1_000_000_007)
    return ways[top]


def brute(top, broken):
    def climb(stair):
        if stair > top or stair in broken:
            return 0
        return 1 if stair == top else sum(climb(stair + step) for step in (1, 2, 3))

    return climb(0)


def make(rng, size):
    top = rng.randint(1, min(4 + size, 14))
    return (top, sorted(rng.sample(range(1, top + 1), rng.randint(0, top // 3))))


def valid(top, broken):
    return 1 <= top <= 20_000 and len(broken) <= 1000 and all(1 <= b <= top for b in broken)
