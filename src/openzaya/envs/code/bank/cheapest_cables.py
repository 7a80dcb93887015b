"""Cheapest cables.

`offers` lists cables [a, b, price] between houses 0 to `count` - 1. Return the least total price of
cables that connect all houses, directly or through others, or -1 if the offers cannot.
"""

LEVEL = 3


def solve(count: int, offers: list[list[int]]) -> int:
    parent = list(range(count))

    def root(house):
        while parent[house] != house:
            parent[house] = parent[parent[house]]
            house = parent[house]
        return house

    total, joined = 0, 1
    for a, b, price in sorted(offers, key=lambda offer: offer[2]):
        if root(a) != root(b):
            parent[root(a)] = root(b)
            total += price
            joined += 1
    return total if joined == count else -1


def brute(count, offers):
    inside, total = {0}, 0
    while len(inside) < count:
        leaving = [(p, a, b) for a, b, p in offers if (a in inside) != (b in inside)]
        if not leaving:
            return -1
        price, a, b = min(leaving)
        inside |= {a, b}
        total += price
    return total


def make(rng, size):
    count = rng.randint(1, 3 + size)
    offers = []
    for house in range(1, count):
        if rng.random() < 0.95:
            offers.append([rng.randrange(house), house, rng.randint(1, 20)])
    for _ in range(rng.randint(0, 2 * size)):
        offers.append([rng.randrange(count), rng.randrange(count), rng.randint(1, 20)])
    rng.shuffle(offers)
    return (count, offers)


def valid(count, offers):
    return (
        1 <= count <= 200
        and len(offers) <= 1000
        and all(
            len(o) == 3 and min(o[:2]) >= 0 and max(o[:2]) < count and 0 <= o[2] <= 10**6
            for o in offers
        )
    )
