"""Fragile roads.

`roads` are pairs of places (0 to `count` - 1), open both ways; no pair is listed twice and none
joins a place to itself. A road is fragile if closing it alone splits places that were connected
before. Return the number of fragile roads.
"""

LEVEL = 4


def solve(count: int, roads: list[list[int]]) -> int:
    near: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for number, (a, b) in enumerate(roads):
        near[a].append((b, number))
        near[b].append((a, number))
    seen, low = [-1] * count, [0] * count
    clock = fragile = 0
    for start in range(count):
        if seen[start] >= 0:
            continue
        seen[start] = low[start] = clock
        clock += 1
        stack = [(start, -1, iter(near[start]))]
        while stack:
            place, came_by, rest = stack[-1]
            for other, road in rest:
                if road == came_by:
                    continue
                if seen[other] >= 0:
                    low[place] = min(low[place], seen[other])
                    continue
                seen[other] = low[other] = clock
                clock += 1
                stack.append((other, road, iter(near[other])))
                break
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    low[above] = min(low[above], low[place])
                    if low[place] > seen[above]:
                        fragile += 1
    return fragile


def brute(count, roads):
    def parts(kept):
        label = list(range(count))
        for _ in range(count):
            for a, b in kept:
                label[a] = label[b] = min(label[a], label[b])
        return len(set(label))

    whole = parts(roads)
    return sum(parts(roads[:i] + roads[i + 1 :]) > whole for i in range(len(roads)))


def make(rng, size):
    count = rng.randint(2, 4 + size)
    pairs = [[a, b] for a in range(count) for b in range(a)]
    return (count, rng.sample(pairs, min(len(pairs), rng.randint(1, count + 1))))


def valid(count, roads):
    pairs = {frozenset(r) for r in roads}
    return (
        1 <= count <= 200
        and len(roads) <= 1000
        and len(pairs) == len(roads)
        and all(len(r) == 2 and r[0] != r[1] and min(r) >= 0 and max(r) < count for r in roads)
    )
