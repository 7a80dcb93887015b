"""Order of tasks.

Tasks are numbered 0 to `count` - 1. Each pair [a, b] in `before` says that a must be done before b.
Return the order of all tasks that keeps these rules and comes first in lexicographic order, or an
empty list if the rules contradict each other.
"""

import heapq

LEVEL = 3


def solve(count: int, before: list[list[int]]) -> list[int]:
    followers: list[list[int]] = [[] for _ in range(count)]
    waits = [0] * count
    for a, b in before:
        followers[a].append(b)
        waits[b] += 1
    ready = [task for task in range(count) if waits[task] == 0]
    order = []
    while ready:
        task = heapq.heappop(ready)
        order.append(task)
        for follower in followers[task]:
            waits[follower] -= 1
            if waits[follower] == 0:
                heapq.heappush(ready, follower)
    return order if len(order) == count else []


def brute(count, before):
    done: list[int] = []
    while len(done) < count:
        possible = [
            t for t in range(count) if t not in done and all(a in done for a, b in before if b == t)
        ]
        if not possible:
            return []
        done.append(min(possible))
    return done


def make(rng, size):
    count = rng.randint(1, 3 + size)
    pairs = []
    for _ in range(rng.randint(0, count + size)):
        a, b = rng.randrange(count), rng.randrange(count)
        if a != b and (b > a or rng.random() < 0.1):
            pairs.append([a, b])
    names = list(range(count))
    rng.shuffle(names)
    return (count, [[names[a], names[b]] for a, b in pairs])


def valid(count, before):
    return (
        1 <= count <= 200
        and len(before) <= 1000
        and all(len(p) == 2 and min(p) >= 0 and max(p) < count and p[0] != p[1] for p in before)
    )
