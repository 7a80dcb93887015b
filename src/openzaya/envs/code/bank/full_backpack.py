"""Full backpack.

Thing i weighs `weights[i]` and is worth `values[i]`; each can be taken once. Return the greatest
worth of things that together weigh at most `capacity`.
"""

LEVEL = 2


def solve(weights: list[int], values: list[int], capacity: int) -> int:
    best = [0] * (capacity + 1)
    for weight, value in zip(weights, values):  # noqa: B905
        for room in range(capacity, weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + value)
    return best[capacity]


def brute(weights, values, capacity):
    best = 0
    for chosen in range(1 << len(weights)):
        taken = [i for i in range(len(weights)) if chosen >> i & 1]
        if sum(weights[i] for i in taken) <= capacity:
            best = max(best, sum(values[i] for i in taken))
    return best


def make(rng, size):
    n = rng.randint(1, min(3 + size, 12))
    weights = [rng.randint(1, 10 + size) for _ in range(n)]
    return (weights, [rng.randint(1, 30) for _ in range(n)], rng.randint(0, sum(weights)))


def valid(weights, values, capacity):
    return (
        len(weights) == len(values) <= 60
        and all(1 <= w <= 10**6 for w in weights)
        and all(0 <= v <= 10**6 for v in values)
        and 0 <= capacity <= 3000
    )
