"""Slowest message.

A message starts at place 0 of `count` places (0 to `count` - 1) and spreads along all `roads`; a
road [a, b, t] takes t minutes in either direction. Return how many minutes pass until every place
has the message, or -1 if some place never gets it.
"""

import heapq

LEVEL = 3


def solve(count: int, roads: list[list[int]]) -> int:
    near: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for a, b, time in roads:
        near[a].append((b, time))
        near[b].append((a, time))
    arrival: dict[int, int] = {}
    waiting = [(0, 0)]
    while waiting:
        time, place = heapq.heappop(waiting)
        if place in arrival:
            continue
        arrival[place] = time
        for other, extra in near[place]:
            if other not in arrival:
                heapq.heappush(waiting, (time + extra, other))
    return max(arrival.values()) if len(arrival) == count else -1


def brute(count, roads):
    far = 10**12
    arrival = [0] + [far] * (count - 1)
    for _ in range(count):
        for a, b, time in roads:
            arrival[b] = min(arrival[b], arrival[a] + time)
            arrival[a] = min(arrival[a], arrival[b] + time)
    return max(arrival) if max(arrival) < far else -1


def make(rng, size):
    count = rng.randint(1, 3 + size)
    roads = []
    for place in range(1, count):
        if rng.random() < 0.95:
            roads.append([rng.randrange(place), place, rng.randint(1, 20)])
    for _ in range(rng.randint(0, size + 2)):
        roads.append([rng.randrange(count), rng.randrange(count), rng.randint(1, 20)])
    return (count, roads)


def valid(count, roads):
    return (
        1 <= count <= 200
        and len(roads) <= 1000
        and all(
            len(r) == 3 and min(r[:2]) >= 0 and max(r[:2]) < count and 1 <= r[2] <= 10**6
            for r in roads
        )
    )
