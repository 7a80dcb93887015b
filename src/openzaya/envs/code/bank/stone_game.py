"""Stone game.

Two players take stones from one heap in turn; the numbers that may be taken at once are `moves`.
Who cannot move loses. Return whether the first player wins with `stones` stones, both playing
best.
"""

LEVEL = 2


def solve(stones: int, moves: list[int]) -> bool:
    wins = [False] * (stones + 1)
    for heap in range(1, stones + 1):
        for move in moves:
            if move <= heap and not wins[heap - move]:
                wins[heap] = True
                break
    return wins[stones]


def brute(stones, moves):
    return any(m <= stones and not brute(stones - m, moves) for m in moves)


def make(rng, size):
    moves = sorted(rng.sample(range(2, 9), rng.randint(1, 3)))
    return (rng.randint(0, min(10 + 2 * size, 30)), moves)


def valid(stones, moves):
    return 0 <= stones <= 20_000 and 1 <= len(moves) <= 20 and all(1 <= m <= 10**6 for m in moves)
