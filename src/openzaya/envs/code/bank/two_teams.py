"""Two teams.

Players 0 to `count` - 1 are to be split into two teams, one of which may be empty, so that no pair
in `rivals` plays together. Return whether that is possible.
"""

LEVEL = 1


def solve(count: int, rivals: list[list[int]]) -> bool:
    against: list[list[int]] = [[] for _ in range(count)]
    for a, b in rivals:
        against[a].append(b)
        against[b].append(a)
    team: dict[int, int] = {}
    for player in range(count):
        if player in team:
            continue
        team[player] = 0
        waiting = [player]
        while waiting:
            current = waiting.pop()
            for rival in against[current]:
                if rival not in team:
                    team[rival] = 1 - team[current]
                    waiting.append(rival)
                elif team[rival] == team[current]:
                    return False
    return True


def brute(count, rivals):
    return any(all((s >> a & 1) != (s >> b & 1) for a, b in rivals) for s in range(1 << count))


def make(rng, size):
    count = rng.randint(2, min(4 + size, 12))
    pairs = [[a, b] for a in range(count) for b in range(a)]
    if rng.random() < 0.5:
        pairs = [p for p in pairs if (p[0] + p[1]) % 2]
    return (count, rng.sample(pairs, min(len(pairs), rng.randint(0, count))))


def valid(count, rivals):
    return (
        1 <= count <= 200
        and len(rivals) <= 1000
        and all(len(r) == 2 and min(r) >= 0 and max(r) < count for r in rivals)
    )
