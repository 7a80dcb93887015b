"""Games: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

import heapq
from functools import cache
from itertools import combinations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import board_puzzles, games, move_puzzles
from openzaya.envs.generators.text import listed, spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def subsets(items):
    items = list(items)
    return (c for r in range(1, len(items) + 1) for c in combinations(items, r))


def words(letters, longest):
    return (w for r in range(1, longest + 1) for w in product(letters, repeat=r))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    piles=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    takes=st.sets(st.integers(1, 5), min_size=1, max_size=3),
)
def test_subtraction_nim(piles, takes, enumerated):
    @cache
    def wins(state):
        """By playing the game out, not by Grundy values."""
        return any(
            not wins(tuple(sorted((*state[:i], p - t, *state[i + 1 :]))))
            for i, p in enumerate(state)
            for t in takes
            if t <= p
        )

    moves = [(i, t) for i, p in enumerate(piles) for t in sorted(takes) if t <= p]
    good = [
        (i, t) for i, t in moves
        if not wins(tuple(sorted((*piles[:i], piles[i] - t, *piles[i + 1 :]))))
    ]  # fmt: skip
    assume(good)
    table = {
        listed(f"{i + 1}-{t}" for i, t in chosen): 0 if list(chosen) == good else None
        for chosen in subsets(moves)
    }
    table["1-9"] = table["9-1"] = None
    first = listed(f"{i + 1}-{t}" for i, t in good)
    table[f"{first}, {first}"] = None
    enumerated(games.SubtractionNim(), {"piles": piles, "takes": sorted(takes)}, table.items())


@FEW
@given(seed=SEEDS)
def test_win_lose_draw(seed, enumerated, drawn):
    env = games.WinLoseDraw()
    p = drawn(env, seed, -1)
    out = {v: [b for a, b in p["arcs"] if a == v] for v in range(1, p["n"] + 1)}

    @cache
    def forced(v, wins, moves):
        """Whether the player to move wins (loses) for certain within so many moves."""
        if not out[v]:
            return not wins
        if moves == 0:
            return False
        return (any if wins else all)(forced(w, not wins, moves - 1) for w in out[v])

    right = "".join(
        "W" if forced(v, True, 12) else "L" if forced(v, False, 12) else "D" for v in out
    )
    table = {"".join(w): 0 if "".join(w) == right else None for w in product("WLD", repeat=p["n"])}
    table |= {right[:-1]: None, right + "D": None, right + "W": None}
    assert enumerated(env, p, table.items()) == 1


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 0))
def test_minimax_line(seed, difficulty, enumerated, drawn):
    env = games.MinimaxLine()
    p = drawn(env, seed, difficulty)

    def value(tree, sign=1):
        return tree if isinstance(tree, int) else sign * max(sign * value(t, -sign) for t in tree)

    table = {}

    def walk(tree, sign, moves, good):
        if isinstance(tree, int):
            for said in {tree - 1, tree, tree + 1, value(p["tree"])}:
                table[spaced([said, *moves])] = 0 if good and said == tree else None
            table[spaced([tree, *moves, 1])] = None
            return
        table[spaced([value(p["tree"]), *moves])] = None  # stops too early
        for i, part in enumerate(tree, 1):
            walk(part, -sign, [*moves, i], good and value(part, -sign) == value(tree, sign))

    walk(p["tree"], 1, [], True)
    enumerated(env, p, table.items())


@FEW
@given(row=st.lists(st.integers(1, 9), min_size=2, max_size=8))
def test_take_from_ends(row, enumerated):
    @cache
    def best(cards, mine):
        """The first player's sum, by playing every game."""
        if not cards:
            return 0
        left = best(cards[1:], not mine) + (cards[0] if mine else 0)
        right = best(cards[:-1], not mine) + (cards[-1] if mine else 0)
        return max(left, right) if mine else min(left, right)

    full = tuple(row)
    gains = {"L": full[0] + best(full[1:], False), "R": full[-1] + best(full[:-1], False)}
    table = {
        f"{side} {total}": 0 if total == gains[side] == max(gains.values()) else None
        for side in "LR"
        for total in range(sum(row) + 2)
    }
    enumerated(games.TakeFromEnds(), {"row": row}, table.items())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_hanoi_between(seed, enumerated, drawn):
    env = move_puzzles.HanoiBetween()
    p = drawn(env, seed, -2)
    moves = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b]

    def reaches(word):
        state = list(p["start"])  # peg of each disk, the smallest first
        for a, b in word:
            if a not in state or (b in state and state.index(b) < state.index(a)):
                return False
            state[state.index(a)] = b
        return state == p["goal"] and len(word) <= p["k"]

    table = {
        listed(f"{a}-{b}" for a, b in w): 0 if reaches(w) else None for w in words(moves, p["k"])
    }
    table["1-4"] = table["2-2"] = None
    table[env.solve(p) + ", 1-2, 2-1"] = None  # too long
    enumerated(env, p, table.items())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_peg_solitaire(seed, enumerated, drawn):
    env = board_puzzles.PegSolitaire()
    p = drawn(env, seed, -4)
    n = len(p["board"])
    start = frozenset((i, j) for i in range(n) for j in range(n) if p["board"][i][j] == "o")
    jumps = [
        (i, j, i + 2 * di, j + 2 * dj)
        for i, j in product(range(n), repeat=2)
        for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0))
        if 0 <= i + 2 * di < n and 0 <= j + 2 * dj < n
    ]

    def leaves_one(word):
        pegs = start
        for i, j, y, x in word:
            over = ((i + y) // 2, (j + x) // 2)
            if (i, j) not in pegs or over not in pegs or (y, x) in pegs:
                return False
            pegs = pegs - {(i, j), over} | {(y, x)}
        return len(pegs) == 1

    table = {
        "; ".join(spaced(x + 1 for x in jump) for jump in w): 0 if leaves_one(w) else None
        for w in words(jumps, 2)
    }
    table["1 1 2 2"] = table["1 1 1 2"] = table["0 1 2 1"] = table["9 1 9 3"] = None
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, -2))
def test_lights_out(seed, difficulty, enumerated, drawn):
    env = board_puzzles.LightsOut()
    p = drawn(env, seed, difficulty)
    cells = [(i, j) for i, row in enumerate(p["board"]) for j in range(len(row))]

    def dark(presses):
        lit = {c for c in cells if p["board"][c[0]][c[1]]}
        for i, j in presses:
            lit ^= {c for c in cells if abs(c[0] - i) + abs(c[1] - j) <= 1}
        return not lit

    table = {
        listed(f"{i + 1}-{j + 1}" for i, j in s): 0 if dark(s) else None for s in subsets(cells)
    }
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_sliding_tiles(seed, enumerated, drawn):
    env = board_puzzles.SlidingTiles()
    p = drawn(env, seed, -3)
    width, tiles = len(p["grid"][0]), len(p["grid"]) * len(p["grid"][0])

    def ordered(word):
        flat = [x for row in p["grid"] for x in row]
        for tile in word:
            a, b = sorted((flat.index(tile), flat.index(0)))
            if not (b - a == width or (b - a == 1 and b % width)):
                return False
            flat[a], flat[b] = flat[b], flat[a]
        return flat == [x for row in p["goal"] for x in row] and len(word) <= p["k"]

    table = {spaced(w): 0 if ordered(w) else None for w in words(range(tiles), p["k"])}
    last = env.solve(p).split()[-1]
    table[f"{env.solve(p)} {last} {last}"] = None  # right, but too long
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_pancake_flips(seed, enumerated, drawn):
    env = move_puzzles.PancakeFlips()
    p = drawn(env, seed, -6)
    n = len(p["stack"])

    def sorts(word):
        stack = p["stack"]
        for count in word:
            stack = [*reversed(stack[:count]), *stack[count:]]
        return stack == sorted(stack) and 0 not in word and n + 1 not in word

    table = {spaced(w): 0 if sorts(w) else None for w in words(range(n + 2), p["k"])}
    table[f"{env.solve(p)} 2 2"] = None  # sorted, but too late
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_permutation_puzzle(seed, enumerated, drawn):
    env = move_puzzles.PermutationPuzzle()
    p = drawn(env, seed, -1)

    def sorts(word):
        place = {card: i for i, card in enumerate(p["row"], 1)}
        for name in word:
            place = {card: p["moves"][name][at - 1] for card, at in place.items()}
        return all(card == at for card, at in place.items()) and len(word) <= p["k"]

    table = {"".join(w): 0 if sorts(w) else None for w in words("ABC", p["k"] + 1)}
    enumerated(env, p, table.items())


def quickest(times):
    """Least time to cross, over all states of the bridge."""
    everyone = frozenset(range(len(times)))
    queue, settled = [(0, 0, everyone, True)], set()
    count = 0
    while queue:
        total, _, here, torch_here = heapq.heappop(queue)
        if not here:
            return total
        if (here, torch_here) in settled:
            continue
        settled.add((here, torch_here))
        side = here if torch_here else everyone - here
        for size in (1, 2):
            for who in combinations(sorted(side), size):
                count += 1
                after = here - set(who) if torch_here else here | set(who)
                cost = total + max(times[p] for p in who)
                heapq.heappush(queue, (cost, count, after, not torch_here))
    raise AssertionError


@FEW
@given(times=st.lists(st.integers(1, 30), min_size=2, max_size=6, unique=True))
def test_the_bridge_plan_is_the_quickest(times):
    env = move_puzzles.BridgeAndTorch()
    limit = quickest(times)
    assert env.judge({"times": times, "limit": limit}, env.solve({"times": times}))
    assert not env.judge({"times": times, "limit": limit - 1}, env.solve({"times": times}))


@FEW
@given(seed=SEEDS)
def test_bridge_and_torch(seed, enumerated, drawn):
    env = move_puzzles.BridgeAndTorch()
    p = drawn(env, seed, -4)
    assert len(p["times"]) == 3 and quickest(p["times"]) == p["limit"]
    crossings = list(subsets((1, 2, 3)))

    def fits(plan):
        far, total = set(), 0
        for k, who in enumerate(plan):
            side = {1, 2, 3} - far if k % 2 == 0 else far
            if len(who) > 2 or not set(who) <= side or far == {1, 2, 3}:
                return False
            far = far | set(who) if k % 2 == 0 else far - set(who)
            total += max(p["times"][i - 1] for i in who)
        return far == {1, 2, 3} and total <= p["limit"]

    # Either two go, one comes back and two go, in any order of writing the pairs.
    pairs_too = [*crossings, *((b, a) for a, b in combinations((1, 2, 3), 2))]
    table = {
        "; ".join(map(spaced, plan)): 0 if fits(plan) else None for plan in words(pairs_too, 3)
    }
    table["1 4"] = table["1 1"] = None
    enumerated(env, p, table.items())


@pytest.mark.parametrize(
    "text", ["1-2 " * 25_000, "W" * 99_999, "L 1e9", "1 2 3 4;", "A" * 9999, "-1"]
)
def test_broken_moves_are_scores(text):
    for generator in (*games.GENERATORS, *move_puzzles.GENERATORS, *board_puzzles.GENERATORS):
        assert generator().score(generator().generate(2, 1), text).reward == 0.0
