"""Choices in graphs: matchings, colourings, covers, and walks over everything."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.graphs import neighbours
from openzaya.envs.generators.parse import groups, integers, pairs, picks
from openzaya.envs.generators.text import edge_text, spaced


class BipartiteMatching(Generator):
    """Any largest matching; the judge looks for an augmenting path (Berge)."""

    name = "bipartite_matching"
    family = "graphs"
    form = 'the chosen pairs as a list like "1-2, 2-5", the worker first,'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty
        able = set()
        while len(able) < min(2 * n, n * n):
            # The smaller of two draws: some machines are in demand, so that not all workers fit.
            able.add((rng.randint(1, n), min(rng.randint(1, n), rng.randint(1, n))))
        edges = [list(pair) for pair in rng.sample(sorted(able), len(able))]
        question = (
            f"{n} workers and {n} machines are each numbered 1 to {n}. The list worker-machine "
            f"says who can run which machine: {edge_text(edges)}.\nGive machines to workers so "
            "that as many workers as possible get one. Every worker gets at most one machine, and "
            "every machine goes to at most one worker. If several choices are equally good, any "
            "of them will do."
        )
        return question, {"n": n, "edges": edges}

    def solve(self, private: Mapping[str, Any]) -> str:
        n = private["n"]
        out: list[list[int]] = [[] for _ in range(n + 1)]
        for u, v in private["edges"]:
            out[u].append(v)
        owner: dict[int, int] = {}

        def place(u: int, tried: set[int]) -> bool:
            for v in out[u]:
                if v not in tried:
                    tried.add(v)
                    if v not in owner or place(owner[v], tried):
                        owner[v] = u
                        return True
            return False

        for u in range(1, n + 1):
            place(u, set())
        return edge_text(sorted((u, v) for v, u in owner.items()))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said, edges = pairs(answer), [tuple(e) for e in private["edges"]]
        machine, worker = dict(said), {v: u for u, v in said}
        if not len(said) == len(machine) == len(worker) or not set(said) <= set(edges):
            return False
        reached = {u for u in range(1, private["n"] + 1) if u not in machine}
        grown = True
        while grown:  # workers that alternating paths from idle workers reach
            grown = False
            for u, v in edges:
                if u in reached:
                    if v not in worker:
                        return False
                    grown |= worker[v] not in reached
                    reached.add(worker[v])
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class LessonTimetable(Generator):
    """Any edge colouring of a bipartite graph with as many colours as the largest degree."""

    name = "lesson_timetable"
    family = "graphs"
    form = "the hours of all lessons, in the order in which the lessons are listed, as numbers"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 4 + difficulty
        lessons = set()
        while len(lessons) < min(5 * n // 2, n * n):
            lessons.add((rng.randint(1, n), rng.randint(1, n)))
        edges = [list(pair) for pair in rng.sample(sorted(lessons), len(lessons))]
        ends = [("t", u) for u, _ in edges] + [("c", v) for _, v in edges]
        hours = max(ends.count(end) for end in ends)
        lines = "\n".join(
            f"Lesson {i}: teacher {u}, class {v}" for i, (u, v) in enumerate(edges, 1)
        )
        question = (
            f"These lessons, of one hour each, are to be held:\n{lines}\nThere are {hours} hours, "
            f"numbered 1 to {hours}. Give every lesson one of these hours so that no teacher and "
            "no class has two lessons in the same hour. Any such timetable will do."
        )
        return question, {"edges": edges, "hours": hours}

    def solve(self, private: Mapping[str, Any]) -> str:
        """Koenig: a clash is mended by swapping two hours along one alternating path."""
        held: dict[tuple[str, int], dict[int, int]] = {}  # end -> hour -> lesson
        edges, hours = private["edges"], range(1, private["hours"] + 1)
        for i, (u, v) in enumerate(edges):
            teacher, group = held.setdefault(("t", u), {}), held.setdefault(("c", v), {})
            a = next(h for h in hours if h not in teacher)
            b = next(h for h in hours if h not in group)
            path, end, hour = [], ("c", v), a
            while hour in held[end]:
                lesson = held[end][hour]
                path.append((lesson, hour))
                t, c = edges[lesson]
                end = ("t", t) if end[0] == "c" else ("c", c)
                hour = a + b - hour
            for lesson, hour in path:
                for end in (("t", edges[lesson][0]), ("c", edges[lesson][1])):
                    if held[end].get(hour) == lesson:
                        del held[end][hour]
            for lesson, hour in path:
                for end in (("t", edges[lesson][0]), ("c", edges[lesson][1])):
                    held[end][a + b - hour] = lesson
            teacher[a] = group[a] = i
        when = {lesson: h for end in held.values() for h, lesson in end.items()}
        return spaced(when[i] for i in range(len(edges)))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        hours = integers(answer, len(private["edges"]))
        if not all(1 <= h <= private["hours"] for h in hours):
            return False
        together = list(zip(private["edges"], hours, strict=True))
        teachers, classes = {(e[0], h) for e, h in together}, {(e[1], h) for e, h in together}
        return len(teachers) == len(classes) == len(hours)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["edges"])


class HamiltonianPath(Generator):
    """Any path over all vertices of a graph in which one was planted."""

    name = "hamiltonian_path"
    family = "graphs"
    form = "the towns in the order of the visit, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 8 + difficulty
        tour = rng.sample(range(1, n + 1), n)
        edges = {tuple(sorted(step)) for step in pairwise(tour)}
        while len(edges) < min(3 * n // 2, n * (n - 1) // 2):
            edges.add(tuple(sorted(rng.sample(range(1, n + 1), 2))))
        roads = [list(edge) for edge in rng.sample(sorted(edges), len(edges))]
        question = (
            f"{n} towns, numbered 1 to {n}, are joined by these two-way roads: {edge_text(roads)}."
            "\nFind a journey along these roads that visits every town exactly once. It may begin "
            "and end in any towns. Any such journey will do."
        )
        return question, {"n": n, "edges": roads, "planted": tour}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        path, edges = picks(answer, private["n"]), {tuple(e) for e in private["edges"]}
        steps = pairwise(path)
        return len(path) == private["n"] and all((min(s), max(s)) in edges for s in steps)

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class EulerTrail(Generator):
    """Any walk that uses every edge once."""

    name = "euler_trail"
    family = "graphs"
    form = "the crossings in the order in which they are passed, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        walk, used = [rng.randint(1, n)], set()
        while len(used) < 3 * n // 2:
            here = walk[-1]
            free = [
                v for v in range(1, n + 1) if v != here and (min(here, v), max(here, v)) not in used
            ]
            if not free:
                break
            walk.append(rng.choice(free))
            used.add((min(walk[-2:]), max(walk[-2:])))
        roads = [list(edge) for edge in rng.sample(sorted(used), len(used))]
        question = (
            f"A snow plough clears these streets between numbered crossings: {edge_text(roads)}.\n"
            "Find a drive that runs along every street exactly once, in either direction, and "
            "along no other street. It may begin and end anywhere. Any such drive will do."
        )
        return question, {"n": n, "edges": roads}

    def solve(self, private: Mapping[str, Any]) -> str:
        """Hierholzer."""
        near = neighbours(private["n"], private["edges"])
        odd = [v for v in range(1, private["n"] + 1) if len(near[v]) % 2]
        stack, trail = [odd[0] if odd else private["edges"][0][0]], []
        while stack:
            u = stack[-1]
            if near[u]:
                v = near[u].pop()
                near[v].remove(u)
                stack.append(v)
            else:
                trail.append(stack.pop())
        return spaced(trail)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        walk = integers(answer, len(private["edges"]) + 1)
        steps = [[min(s), max(s)] for s in pairwise(walk)]
        return sorted(steps) == sorted(private["edges"])

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["edges"])


class VertexCover(Generator):
    """Any cover within the planted size. Every planted vertex has an edge of its own to a
    vertex outside, all of them disjoint: no smaller cover exists."""

    name = "vertex_cover"
    family = "graphs"
    form = "the numbers of the chosen squares, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        k = 3 + difficulty // 2
        n = 2 * k + 1 + difficulty % 2
        names = rng.sample(range(1, n + 1), n)
        cover, rest = names[:k], names[k:]
        edges = {tuple(sorted(pair)) for pair in zip(cover, rest, strict=False)}
        while len(edges) < min(2 * n, k * (k - 1) // 2 + k * (n - k)):
            u, v = rng.choice(cover), rng.choice(names)
            if u != v:
                edges.add((min(u, v), max(u, v)))
        paths = [list(edge) for edge in rng.sample(sorted(edges), len(edges))]
        question = (
            f"A park has {n} squares, numbered 1 to {n}, and these straight paths between them: "
            f"{edge_text(paths)}. A lamp on a square lights all paths that end there.\nPut lamps "
            f"on at most {k} squares so that every path is lit. Any such choice will do."
        )
        return question, {"n": n, "k": k, "edges": paths, "planted": sorted(cover)}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        chosen = set(picks(answer, private["n"]))
        lit = all(u in chosen or v in chosen for u, v in private["edges"])
        return lit and len(chosen) <= private["k"]

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class DisjointRoutes(Generator):
    """Several routes between two vertices that share no vertex in between."""

    name = "disjoint_routes"
    family = "graphs"
    form = "the routes, each as its nodes in order separated by spaces, with ; between routes,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, k = 9 + 2 * difficulty, 2 + (difficulty + 2) // 4
        start, goal, *inner = rng.sample(range(1, n + 1), n)
        middle = list(inner)
        routes: list[list[int]] = [[inner.pop()] for _ in range(k)]
        for _ in range(len(inner) * 2 // 3):
            rng.choice(routes).append(inner.pop())
        routes = [[start, *route, goal] for route in routes]
        edges = {tuple(sorted(s)) for r in routes for s in pairwise(r)}
        # The ends get no further neighbours: each of the k that they have is needed.
        wanted = min(len(edges) + n, 2 * k + (n - 2) * (n - 3) // 2)
        while len(edges) < wanted:
            edges.add(tuple(sorted(rng.sample(middle, 2))))
        cables = [list(edge) for edge in rng.sample(sorted(edges), len(edges))]
        question = (
            f"A network has {n} nodes, numbered 1 to {n}, and these two-way cables: "
            f"{edge_text(cables)}.\nFind {k} routes from node {start} to node {goal} such that no "
            f"other node lies on more than one of them and no route visits a node twice. Any such "
            "routes will do."
        )
        private = {"n": n, "k": k, "edges": cables, "start": start, "goal": goal}
        return question, private | {"planted": routes}

    def solve(self, private: Mapping[str, Any]) -> str:
        return "; ".join(spaced(route) for route in private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        routes, edges = groups(answer), {tuple(e) for e in private["edges"]}
        ends = [private["start"], private["goal"]]
        if len(routes) != private["k"] or any([r[0], r[-1]] != ends for r in routes):
            return False
        steps = [s for route in routes for s in pairwise(route)]
        inner = [v for route in routes for v in route[1:-1]]
        apart = len(set(inner)) == len(inner) and not set(ends) & set(inner)
        return apart and all((min(s), max(s)) in edges for s in steps)

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


GENERATORS: tuple[type[Generator], ...] = (
    BipartiteMatching, LessonTimetable, HamiltonianPath, EulerTrail, VertexCover, DisjointRoutes,
)  # fmt: skip
