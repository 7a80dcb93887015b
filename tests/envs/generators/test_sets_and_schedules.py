"""Sets and schedules: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import assignments, schedules, sets
from openzaya.envs.generators.text import spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def subsets(items):
    items = list(items)
    return (c for r in range(1, len(items) + 1) for c in combinations(items, r))


def orders(items):
    items = list(items)
    return (p for r in range(1, len(items) + 1) for p in permutations(items, r))


@FEW
@given(seed=SEEDS)
def test_set_cover(seed, enumerated, drawn):
    env = sets.SetCover()
    p = drawn(env, seed, 0)

    def fits(chosen):
        held = set().union(*(p["boxes"][i - 1] for i in chosen))
        return held == set(range(1, p["m"] + 1)) and len(chosen) <= p["k"]

    table = ((spaced(s), 0 if fits(s) else None) for s in subsets(range(1, len(p["boxes"]) + 1)))
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS)
def test_exact_cover(seed, enumerated, drawn):
    env = sets.ExactCover()
    p = drawn(env, seed, 0)

    def fits(chosen):
        teams = [set(p["teams"][i - 1]) for i in chosen]
        apart = all(not a & b for a, b in combinations(teams, 2))
        return apart and len(set().union(*teams)) == p["m"]

    table = ((spaced(s), 0 if fits(s) else None) for s in subsets(range(1, len(p["teams"]) + 1)))
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS)
def test_bin_packing(seed, enumerated, drawn):
    env = sets.BinPacking()
    p = drawn(env, seed, -2)

    def fits(plan):
        loads = [
            sum(w for w, at in zip(p["weights"], plan, strict=True) if at == lorry)
            for lorry in range(1, p["bins"] + 1)
        ]
        return max(loads) <= p["room"] and sum(loads) == sum(p["weights"])

    plans = product(range(p["bins"] + 2), repeat=len(p["weights"]))
    assert enumerated(env, p, ((spaced(a), 0 if fits(a) else None) for a in plans)) >= 2


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 1))
def test_subset_sum(seed, difficulty, enumerated, drawn):
    env = sets.SubsetSum()
    p = drawn(env, seed, difficulty)
    table = {spaced(sorted(s)): 0 if sum(s) == p["target"] else None for s in subsets(p["numbers"])}
    assert not env.judge({"numbers": [3, 6, 8], "target": 6}, "3 3")  # each at most once
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 0))
def test_two_room_split(seed, difficulty, enumerated, drawn):
    env = sets.TwoRoomSplit()
    p = drawn(env, seed, difficulty)

    def fits(room):
        other = set(range(1, p["n"] + 1)) - set(room)
        return not any(set(g) <= set(room) or set(g) <= other for g in p["cliques"])

    table = ((spaced(s), 0 if fits(s) else None) for s in subsets(range(1, p["n"] + 1)))
    assert enumerated(env, p, table) % 2 == 0  # the rooms can be swapped


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, 0))
def test_stable_matching(seed, difficulty, enumerated, drawn):
    env = assignments.StableMatching()
    p = drawn(env, seed, difficulty)
    n = len(p["doctors"])

    def stable(got):
        """No doctor and hospital like each other better than their partners."""
        partner = {h: d for d, h in enumerate(got, 1)}
        likes = [
            lambda d, h: p["doctors"][d - 1].index(h),
            lambda h, d: p["hospitals"][h - 1].index(d),
        ]
        return not any(
            likes[0](d, h) < likes[0](d, got[d - 1]) and likes[1](h, d) < likes[1](h, partner[h])
            for d in range(1, n + 1)
            for h in range(1, n + 1)
        )

    table = {spaced(o): 0 if stable(o) else None for o in permutations(range(1, n + 1))}
    table[spaced([1] * n)] = None
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, 1))
def test_cheapest_assignment(seed, difficulty, enumerated, drawn):
    env = assignments.CheapestAssignment()
    p = drawn(env, seed, difficulty)
    n = len(p["cost"])
    table = {
        spaced(x + 1 for x in o): sum(row[j] for row, j in zip(p["cost"], o, strict=True))
        for o in permutations(range(n))
    }
    table[spaced([1] * n)] = None
    enumerated(env, p, table.items())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(2, 24))
def test_large_assignments_are_cheapest_by_both_measures(seed, difficulty, drawn):
    env = assignments.CheapestAssignment()
    p = drawn(env, seed, difficulty)
    jobs = env.solve(p).split()
    assert env.judge(p, " ".join(jobs))
    worse = [jobs[1], jobs[0], *jobs[2:]]
    a, b = (sum(r[int(j) - 1] for r, j in zip(p["cost"], x, strict=True)) for x in (jobs, worse))
    assert env.judge(p, " ".join(worse)) == (a == b)


@FEW
@given(seed=SEEDS)
def test_deadline_profits(seed, enumerated, drawn):
    env = schedules.DeadlineProfits()
    p = drawn(env, seed, -2)

    def cost(order):
        late = any(p["jobs"][i - 1][0] < day for day, i in enumerate(order, 1))
        return None if late else -sum(p["jobs"][i - 1][1] for i in order)

    enumerated(env, p, ((spaced(o), cost(o)) for o in orders(range(1, len(p["jobs"]) + 1))))


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 0))
def test_weighted_completion(seed, difficulty, enumerated, drawn):
    env = schedules.WeightedCompletion()
    p = drawn(env, seed, difficulty)

    def cost(order):
        if len(order) < len(p["jobs"]):
            return None
        times = [p["jobs"][i - 1][0] for i in order]
        return sum(sum(times[: k + 1]) * p["jobs"][i - 1][1] for k, i in enumerate(order))

    enumerated(env, p, ((spaced(o), cost(o)) for o in orders(range(1, len(p["jobs"]) + 1))))


@FEW
@given(seed=SEEDS)
def test_critical_path(seed, enumerated, drawn):
    env = schedules.CriticalPath()
    p = drawn(env, seed, -1)
    arcs, tasks = {(u, v) for u, v in p["arcs"]}, range(1, len(p["days"]) + 1)

    def done(v):
        return p["days"][v - 1] + max((done(u) for u, w in arcs if w == v), default=0)

    def table():
        for chain in orders(tasks):
            total = sum(p["days"][v - 1] for v in chain)
            linked = all(s in arcs for s in pairwise(chain))
            yield spaced((total, *chain)), 0 if linked and total == max(map(done, tasks)) else None
            yield spaced((total + 1, *chain)), None
        for nobody in (0, len(tasks) + 1, -1):
            yield spaced((max(map(done, tasks)), nobody)), None

    enumerated(env, p, table())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_lecture_rooms(seed, enumerated, drawn):
    env = schedules.LectureRooms()
    p = drawn(env, seed, -1)

    def fits(plan):
        busy = [
            (room, minute)
            for room, (start, end) in zip(plan, p["times"], strict=True)
            for minute in range(start, end)
        ]
        return len(set(busy)) == len(busy) and all(1 <= room <= p["rooms"] for room in plan)

    plans = product(range(p["rooms"] + 2), repeat=len(p["times"]))
    enumerated(env, p, ((spaced(a), 0 if fits(a) else None) for a in plans))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(0, 20))
def test_one_room_less_never_suffices(seed, difficulty, drawn):
    env = schedules.LectureRooms()
    p = drawn(env, seed, difficulty)
    assert env.judge(p, env.solve(p))
    together = max(sum(s <= t < e for s, e in p["times"]) for t in range(9999))
    assert together == p["rooms"]


@pytest.mark.parametrize("text", ["1 " * 49_999, "0 0 0", "-1 -2", "1;2;3", "一 二", "9" * 99_000])
def test_broken_lists_are_scores(text):
    for generator in (*sets.GENERATORS, *schedules.GENERATORS, *assignments.GENERATORS):
        assert generator().score(generator().generate(2, 1), text).reward == 0.0
