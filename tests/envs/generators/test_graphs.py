"""Graphs: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import graph_choices, graph_structure, graphs
from openzaya.envs.generators.text import edge_text, spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def subsets(items, least=1):
    items = list(items)
    return (c for r in range(least, len(items) + 1) for c in combinations(items, r))


def orders(items, least=1):
    items = list(items)
    return (p for r in range(least, len(items) + 1) for p in permutations(items, r))


def reachable(start, edges, directed=False):
    seen = {start}
    while True:
        more = {v for u, v in edges if u in seen}
        more |= set() if directed else {u for u, v in edges if v in seen}
        if more <= seen:
            return seen
        seen |= more


@FEW
@given(seed=SEEDS)
def test_shortest_route(seed, enumerated, drawn):
    env = graphs.ShortestRoute()
    p = drawn(env, seed, 0)
    weights = {(u, v): w for u, v, w in p["arcs"]}

    def cost(path):
        if (path[0], path[-1]) != (p["start"], p["goal"]):
            return None
        steps = list(pairwise(path))
        return (
            sum(weights[s] for s in steps) if steps and all(s in weights for s in steps) else None
        )

    enumerated(env, p, ((spaced(o), cost(o)) for o in orders(range(1, p["n"] + 1))))


@FEW
@given(seed=SEEDS)
def test_minimum_spanning_tree(seed, enumerated, drawn):
    env = graphs.MinimumSpanningTree()
    p = drawn(env, seed, 0)

    def cost(edges):
        whole = reachable(1, [e[:2] for e in edges]) == set(range(1, p["n"] + 1))
        return sum(e[2] for e in edges) if whole else None

    table = ((edge_text(sorted(e[:2] for e in s)), cost(s)) for s in subsets(p["edges"]))
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS)
def test_minimum_cut(seed, enumerated, drawn):
    env = graphs.MinimumCut()
    p = drawn(env, seed, -1)

    def table():
        for side in subsets(range(1, p["n"] + 1)):
            closed = [e for e in p["edges"] if (e[0] in side) != (e[1] in side)]
            left = [e[:2] for e in p["edges"] if e not in closed]
            value = sum(e[2] for e in closed)
            holds = p["sink"] not in side and reachable(p["source"], left) == set(side)
            yield spaced((value, *side)), value if holds else None
            yield spaced((value - 1, *side)), None
            yield spaced((value + 1, *side)), None

    enumerated(env, p, table())


def partitions(items):
    if not items:
        yield []
        return
    first, *rest = items
    for part in partitions(rest):
        yield [[first], *part]
        for i, group in enumerate(part):
            yield [*part[:i], [first, *group], *part[i + 1 :]]


@FEW
@given(seed=SEEDS)
def test_strong_components(seed, enumerated, drawn):
    env = graph_structure.StrongComponents()
    p = drawn(env, seed, -1)
    reach = {v: reachable(v, p["arcs"], directed=True) for v in range(1, p["n"] + 1)}

    def table():
        for groups in partitions(list(range(1, p["n"] + 1))):
            home = {v: i for i, group in enumerate(groups) for v in group}
            right = all((home[u] == home[v]) == (v in reach[u] and u in reach[v])
                        for u in home for v in home)  # fmt: skip
            yield "; ".join(map(spaced, sorted(groups))), 0 if right else None

    assert enumerated(env, p, table()) == 1


@FEW
@given(seed=SEEDS)
def test_graph_diameter(seed, enumerated, drawn):
    env = graph_structure.GraphDiameter()
    p = drawn(env, seed, -1)
    weights = {(u, v): w for u, v, w in p["edges"]} | {(v, u): w for u, v, w in p["edges"]}
    far = {(v, v): 0 for v in range(1, p["n"] + 1)}
    for path in orders(range(1, p["n"] + 1), 2):
        steps = list(pairwise(path))
        if all(s in weights for s in steps):
            ends, length = (path[0], path[-1]), sum(weights[s] for s in steps)
            far[ends] = min(far.get(ends, length), length)

    def table():
        for (u, v), length in far.items():
            yield spaced((u, v, length)), -length
            yield spaced((u, v, length + 1)), None
            yield spaced((u, v, length - 1)), None
        yield spaced((0, 1, max(far.values()))), None

    assert enumerated(env, p, table()) >= 2  # either order of the two


@FEW
@given(seed=SEEDS)
def test_bridges(seed, enumerated, drawn):
    env = graph_structure.Bridges()
    p = drawn(env, seed, -1)
    needed = [
        e for e in p["edges"]
        if len(reachable(1, [f for f in p["edges"] if f != e])) < p["n"]
    ]  # fmt: skip
    table = (
        (edge_text(sorted(s)), 0 if sorted(s) == sorted(needed) else None)
        for s in subsets(p["edges"])
    )
    assert enumerated(env, p, table) == 1


@FEW
@given(seed=SEEDS)
def test_topological_order(seed, enumerated, drawn):
    env = graph_structure.TopologicalOrder()
    p = drawn(env, seed, -1)

    def cost(order):
        whole = len(order) == p["n"]
        return 0 if whole and all(order.index(u) < order.index(v) for u, v in p["arcs"]) else None

    enumerated(env, p, ((spaced(o), cost(o)) for o in orders(range(1, p["n"] + 1), 4)))


@FEW
@given(seed=SEEDS)
def test_bipartite_matching(seed, enumerated, drawn):
    env = graph_choices.BipartiteMatching()
    p = drawn(env, seed, -1)

    def cost(chosen):
        single = all(len({e[k] for e in chosen}) == len(chosen) for k in (0, 1))
        return -len(chosen) if single else None

    enumerated(env, p, ((edge_text(sorted(s)), cost(s)) for s in subsets(p["edges"])))


def test_a_matching_of_pairs_that_do_not_exist_is_wrong(drawn):
    env = graph_choices.BipartiteMatching()
    p = drawn(env, 1, 0)
    perfect = ", ".join(f"{i}-{i}" for i in range(1, p["n"] + 1))
    assert not all([i, i] in p["edges"] for i in range(1, p["n"] + 1))
    assert not env.judge(p, perfect)


@FEW
@given(seed=SEEDS)
def test_lesson_timetable(seed, enumerated, drawn):
    env = graph_choices.LessonTimetable()
    p = drawn(env, seed, -1)
    lessons = list(enumerate(p["edges"]))

    def fits(hours):
        return not any(
            hours[i] == hours[j] and (a[0] == b[0] or a[1] == b[1])
            for (i, a), (j, b) in combinations(lessons, 2)
        )

    spaces = product(range(1, p["hours"] + 1), repeat=len(lessons))
    enumerated(env, p, ((spaced(h), 0 if fits(h) else None) for h in spaces))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(0, 12))
def test_lesson_timetables_of_any_size_are_found(seed, difficulty, drawn):
    env = graph_choices.LessonTimetable()
    p = drawn(env, seed, difficulty)
    assert env.judge(p, env.solve(p))


@FEW
@given(seed=SEEDS)
def test_hamiltonian_path(seed, enumerated, drawn):
    env = graph_choices.HamiltonianPath()
    p = drawn(env, seed, -3)
    edges = {frozenset(e) for e in p["edges"]}

    def cost(path):
        steps = pairwise(path)
        return 0 if len(path) == p["n"] and all(frozenset(s) in edges for s in steps) else None

    found = enumerated(env, p, ((spaced(o), cost(o)) for o in orders(range(1, p["n"] + 1))))
    assert found % 2 == 0  # backwards too


@FEW
@given(seed=SEEDS)
def test_euler_trail(seed, enumerated, drawn):
    env = graph_choices.EulerTrail()
    p = drawn(env, seed, -2)
    m = len(p["edges"])
    edges = {frozenset(e) for e in p["edges"]}

    def cost(walk):
        steps = [frozenset(s) for s in pairwise(walk)]
        return 0 if len(steps) == m and set(steps) == edges else None

    walks = product(range(1, p["n"] + 1), repeat=m + 1)
    enumerated(env, p, ((spaced(w), cost(w)) for w in walks))


@FEW
@given(seed=SEEDS, difficulty=st.integers(-1, 2))
def test_vertex_cover(seed, difficulty, enumerated, drawn):
    env = graph_choices.VertexCover()
    p = drawn(env, seed, difficulty)
    covers = [s for s in subsets(range(1, p["n"] + 1)) if all({*s} & {*e} for e in p["edges"])]
    assert min(map(len, covers)) == p["k"]
    table = {spaced(s): None for s in subsets(range(1, p["n"] + 1))}
    enumerated(env, p, (table | {spaced(s): 0 for s in covers if len(s) <= p["k"]}).items())


@FEW
@given(seed=SEEDS)
def test_disjoint_routes(seed, enumerated, drawn):
    env = graph_choices.DisjointRoutes()
    p = drawn(env, seed, -2)
    edges = {frozenset(e) for e in p["edges"]}
    ends = (p["start"], p["goal"])
    inner = [v for v in range(1, p["n"] + 1) if v not in ends]
    routes = [(ends[0], *o, ends[1]) for o in orders(inner, 0)]

    def cost(pair):
        steps = [frozenset(s) for r in pair for s in pairwise(r)]
        apart = not set(pair[0][1:-1]) & set(pair[1][1:-1])
        return 0 if apart and all(s in edges for s in steps) else None

    table = [("; ".join(map(spaced, pair)), cost(pair)) for pair in product(routes, repeat=2)]
    table += [(spaced(r), None) for r in routes]
    assert enumerated(env, p, table) % 2 == 0


@pytest.mark.parametrize("text", ["1 1 2", "0 1", "-1 2", "1 " * 40_000, "1-2-3", "(1, 2", "²"])
def test_twisted_numbers_are_scores(text, drawn):
    for module in (graphs, graph_structure, graph_choices):
        for generator in module.GENERATORS:
            problem = generator().generate(3, 2)
            assert generator().score(problem, text).reward == 0.0
