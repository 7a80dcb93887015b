"""Cache misses.

A cache holds `room` pages. Pages are asked for in the order of `requests`. A page that is not in
the cache is a miss: it is loaded, and if the cache is full, the page whose last request is
longest ago makes way. Return the number of misses; the cache starts empty.
"""

LEVEL = 1


def solve(room: int, requests: list[int]) -> int:
    cache: dict[int, None] = {}
    misses = 0
    for page in requests:
        if page in cache:
            del cache[page]
        else:
            misses += 1
            if len(cache) == room:
                del cache[next(iter(cache))]
        cache[page] = None
    return misses


def brute(room, requests):
    misses = 0
    for i, page in enumerate(requests):
        recent: list[int] = []
        for earlier in requests[:i][::-1]:
            if earlier not in recent:
                recent.append(earlier)
        misses += page not in recent[:room]
    return misses


def make(rng, size):
    requests = [rng.randint(1, 4 + size // 2) for _ in range(rng.randint(0, 5 + 2 * size))]
    return (rng.randint(1, 4), requests)


def valid(room, requests):
    return 1 <= room <= 1000 and len(requests) <= 3000 and all(0 <= p <= 10**6 for p in requests)
