"""Merged intervals.

`intervals` are pairs [start, end] with start <= end. Merge all that overlap or share an end
point, and return the result as a flat list start, end, start, end, ... from left to right.
"""

LEVEL = 1


def solve(intervals: list[list[int]]) -> list[int]:
    merged: list[int] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged += [start, end]
    return merged


def brute(intervals):
    left = [tuple(i) for i in intervals]
    changed = True
    while changed:
        changed = False
        for a in left:
            for b in left:
                if a is not b and a[0] <= b[1] and b[0] <= a[1]:
                    left.remove(a)
                    left.remove(b)
                    left.append((min(a[0], b[0]), max(a[1], b[1])))
                    changed = True
                    break
            if changed:
                break
    return [x for pair in sorted(left) for x in pair]


def make(rng, size):
    intervals = []
    for _ in range(rng.randint(0, 3 + size)):
        start = rng.randint(0, 10 + 3 * size)
        intervals.append([start, start + rng.randint(0, 5)])
    return (intervals,)


def valid(intervals):
    return len(intervals) <= 1000 and all(
        len(i) == 2 and -(10**9) <= i[0] <= i[1] <= 10**9 for i in intervals
    )
