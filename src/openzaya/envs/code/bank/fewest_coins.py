"""Fewest coins.

There are coins of the values in `coins` (positive, without limit in number). Return the smallest
number of coins that add up to exactly `amount`, or -1 if none do.
"""

LEVEL = 2


def solve(coins: list[int], amount: int) -> int:
    fewest = [0] + [amount + 1] * amount
    for total in range(1, amount + 1):
        for coin in coins:
            if coin <= total:
                fewest[total] = min(fewest[total], fewest[total - coin] + 1)
    return fewest[amount] if fewest[amount] <= amount else -1


def brute(coins, amount):
    reached, steps = {0}, 0
    while reached:
        if amount in reached:
            return steps
        reached = {r + c for r in reached for c in coins if r + c <= amount}
        steps += 1
    return -1


def make(rng, size):
    coins = rng.sample(range(2, 12 + size), rng.randint(1, 3))
    return (sorted(coins), rng.randint(0, 10 + 4 * size))


def valid(coins, amount):
    return 1 <= len(coins) <= 20 and all(1 <= c <= 10**6 for c in coins) and 0 <= amount <= 3000
