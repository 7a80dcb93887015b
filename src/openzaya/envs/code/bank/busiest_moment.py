"""Busiest moment.

Visitor i is in the museum from `arrivals[i]` up to, but not including, `departures[i]`, which is
later. Return the greatest number of visitors at one time.
"""

LEVEL = 1


def solve(arrivals: list[int], departures: list[int]) -> int:
    events = [(time, 1) for time in arrivals] + [(time, -1) for time in departures]
    inside = most = 0
    for _, change in sorted(events):
        inside += change
        most = max(most, inside)
    return most


def brute(arrivals, departures):
    return max((sum(a <= t < d for a, d in zip(arrivals, departures)) for t in arrivals), default=0)  # noqa: B905


def make(rng, size):
    arrivals = [rng.randint(0, 8 + size) for _ in range(rng.randint(0, 3 + size))]
    return (arrivals, [a + rng.randint(1, 6) for a in arrivals])


def valid(arrivals, departures):
    return len(arrivals) == len(departures) <= 2000 and all(
        0 <= a < d <= 10**9
        for a, d in zip(arrivals, departures)  # noqa: B905
    )
