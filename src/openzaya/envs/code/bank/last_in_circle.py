"""Last in the circle.

Children 1 to `count` stand in a circle. Counting starts at child 1, and every `step`-th child
leaves; counting goes on with the next. Return the number of the last child.
"""

LEVEL = 1


def solve(count: int, step: int) -> int:
    place = 0
    for size in range(2, count + 1):
        place = (place + step) % size
    return place + 1


def brute(count, step):
    circle, place = list(range(1, count + 1)), 0
    while len(circle) > 1:
        place = (place + step - 1) % len(circle)
        circle.pop(place)
    return circle[0]


def make(rng, size):
    return (rng.randint(1, 4 + 3 * size), rng.randint(1, 4 + size))


def valid(count, step):
    return 1 <= count <= 100_000 and 1 <= step <= 10**9
