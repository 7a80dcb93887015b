"""Graphs with weights: routes, trees and cuts. Vertices are numbered from 1."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, pairs
from openzaya.envs.generators.text import arc_text, edge_text, spaced


def connected(rng: random.Random, n: int, extra: int) -> list[list[int]]:
    """A random tree on 1..n, and `extra` more edges where there is room; each as [low, high]."""
    names = rng.sample(range(1, n + 1), n)
    edges = {tuple(sorted((names[rng.randrange(i)], names[i]))) for i in range(1, n)}
    wanted = min(n - 1 + extra, n * (n - 1) // 2)
    while len(edges) < wanted:
        edges.add(tuple(sorted(rng.sample(range(1, n + 1), 2))))
    return [list(edge) for edge in rng.sample(sorted(edges), len(edges))]


def neighbours(n: int, edges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Undirected adjacency; index 0 stays empty."""
    near: list[list[int]] = [[] for _ in range(n + 1)]
    for u, v in edges:
        near[u].append(v)
        near[v].append(u)
    return near


class ShortestRoute(Generator):
    """Any cheapest path in a directed graph; the judge finds its length by relaxation."""

    name = "shortest_route"
    family = "graphs"
    form = "the junctions of such a route in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + 2 * difficulty
        names = rng.sample(range(1, n + 1), n)
        arcs = {(names[rng.randrange(i // 2, i)], names[i]) for i in range(1, n)}
        while len(arcs) < min(3 * n, n * (n - 1)):
            u, v = rng.sample(range(1, n + 1), 2)
            arcs.add((u, v))
        weighted = [[u, v, rng.randint(1, 20)] for u, v in rng.sample(sorted(arcs), len(arcs))]
        private = {"n": n, "arcs": weighted, "start": names[0], "goal": names[0]}
        lengths = self._dijkstra(private)[0]
        private["goal"] = max(range(1, n + 1), key=lambda v: (lengths[v], v))
        question = (
            f"A town has {n} junctions, numbered 1 to {n}. Its one-way streets are listed as "
            f"from->to (minutes): {arc_text(weighted)}.\n"
            f"Find a route from junction {private['start']} to junction {private['goal']} that "
            "takes as few minutes in total as possible. If several routes are equally fast, any "
            "of them will do."
        )
        return question, private

    def _dijkstra(self, private: Mapping[str, Any]) -> tuple[list[float], list[int]]:
        n, start = private["n"], private["start"]
        out: list[list[tuple[int, int]]] = [[] for _ in range(n + 1)]
        for u, v, w in private["arcs"]:
            out[u].append((v, w))
        lengths, before = [float("inf")] * (n + 1), [0] * (n + 1)
        lengths[0] = lengths[start] = 0
        queue = [(0, start)]
        while queue:
            length, u = heapq.heappop(queue)
            if length > lengths[u]:
                continue
            for v, w in out[u]:
                if length + w < lengths[v]:
                    lengths[v], before[v] = length + w, u
                    heapq.heappush(queue, (length + w, v))
        return lengths, before

    def solve(self, private: Mapping[str, Any]) -> str:
        before, path = self._dijkstra(private)[1], [private["goal"]]
        while path[-1] != private["start"]:
            path.append(before[path[-1]])
        return spaced(reversed(path))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        path, weights = integers(answer), {(u, v): w for u, v, w in private["arcs"]}
        steps = list(pairwise(path))
        if not steps or path[0] != private["start"] or path[-1] != private["goal"]:
            return False
        if not all(step in weights for step in steps):
            return False
        lengths = {private["start"]: 0}
        while True:  # Bellman-Ford, to its fixed point
            old = dict(lengths)
            for (u, v), w in weights.items():
                if u in lengths and lengths[u] + w < lengths.get(v, float("inf")):
                    lengths[v] = lengths[u] + w
            if lengths == old:
                return sum(weights[step] for step in steps) == lengths[private["goal"]]

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class MinimumSpanningTree(Generator):
    """Any minimum spanning tree; judged by the cycle property, not by a total."""

    name = "minimum_spanning_tree"
    family = "graphs"
    form = 'the cables to keep as a list like "1-2, 2-5"'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty
        edges = [[u, v, rng.randint(1, 9 + n)] for u, v in connected(rng, n, n)]
        question = (
            f"There are {n} houses, numbered 1 to {n}. These cables could be laid, listed as "
            f"house-house (cost): {edge_text(edges)}.\nChoose cables that connect all houses, "
            "directly or through other houses, at the lowest total cost. If several choices are "
            "equally cheap, any of them will do."
        )
        return question, {"n": n, "edges": edges}

    def solve(self, private: Mapping[str, Any]) -> str:
        part = list(range(private["n"] + 1))
        kept = []
        for u, v, _ in sorted(private["edges"], key=lambda e: e[2]):
            if part[u] != part[v]:
                old, new = part[u], part[v]
                part = [new if p == old else p for p in part]
                kept.append((u, v))
        return edge_text(sorted(kept))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        n, weights = private["n"], {(u, v): w for u, v, w in private["edges"]}
        chosen = {(min(p), max(p)) for p in pairs(answer)}
        if len(chosen) != n - 1 or not chosen <= weights.keys():
            return False
        near = neighbours(n, sorted(chosen))
        for root in range(1, n + 1):
            dearest, queue = {root: 0}, deque([root])  # dearest cable on the way from the root
            while queue:
                u = queue.popleft()
                for v in near[u]:
                    if v not in dearest:
                        dearest[v] = max(dearest[u], weights[min(u, v), max(u, v)])
                        queue.append(v)
            if len(dearest) < n:
                return False
            if any(w < dearest[v] for (u, v), w in weights.items() if u == root):
                return False
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class MinimumCut(Generator):
    """Any minimum cut with its capacity; the judge proves it by a flow of the same value."""

    name = "minimum_cut"
    family = "graphs"
    form = (
        "first the total width of the closed pipes, then the numbers of all tanks that can still "
        "be reached from the source tank, the source itself included, separated by spaces,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        edges = [[u, v, rng.randint(1, 12)] for u, v in connected(rng, n, n)]
        source, sink = rng.sample(range(1, n + 1), 2)
        question = (
            f"{n} water tanks, numbered 1 to {n}, are joined by pipes in which water may flow "
            f"either way, listed as tank-tank (width): {edge_text(edges)}.\n"
            f"Close pipes so that no water can get from the source tank {source} to the drain tank "
            f"{sink}. The total width of the closed pipes must be as small as possible. Only pipes "
            "between tanks that the source still reaches and tanks that it does not reach may be "
            "closed. If several choices are equally good, any of them will do."
        )
        return question, {"n": n, "edges": edges, "source": source, "sink": sink}

    def solve(self, private: Mapping[str, Any]) -> str:
        n, source, sink = private["n"], private["source"], private["sink"]
        room = [[0] * (n + 1) for _ in range(n + 1)]
        for u, v, w in private["edges"]:
            room[u][v] = room[v][u] = w
        while True:  # Edmonds-Karp
            before, queue = {source: 0}, deque([source])
            while queue and sink not in before:
                u = queue.popleft()
                for v in range(1, n + 1):
                    if room[u][v] and v not in before:
                        before[v] = u
                        queue.append(v)
            if sink not in before:
                break
            path = [sink]
            while path[-1] != source:
                path.append(before[path[-1]])
            arcs = list(zip(path[1:], path, strict=False))
            push = min(room[u][v] for u, v in arcs)
            for u, v in arcs:
                room[u][v] -= push
                room[v][u] += push
        value = sum(w for u, v, w in private["edges"] if (u in before) != (v in before))
        return spaced([value, *self._reached(private, set(before))])

    def _reached(self, private: Mapping[str, Any], side: set[int]) -> list[int]:
        """The part of `side` that hangs together with the source by pipes inside it."""
        inner = [e[:2] for e in private["edges"] if e[0] in side and e[1] in side]
        near, found = neighbours(private["n"], inner), [private["source"]]
        for u in found:
            found.extend(v for v in sorted(set(near[u])) if v not in found)
        return sorted(found)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        value, *listed = integers(answer) or [0]
        side = set(listed)
        if len(side) < len(listed) or private["source"] not in side or private["sink"] in side:
            return False
        cut = sum(w for u, v, w in private["edges"] if (u in side) != (v in side))
        reached = self._reached(private, side)
        return cut == value and reached == sorted(side) and self._flow(private) == value

    def _flow(self, private: Mapping[str, Any]) -> int:
        """Largest flow, by push and relabel."""
        n, source, sink = private["n"], private["source"], private["sink"]
        room: list[dict[int, int]] = [{} for _ in range(n + 1)]
        for u, v, w in private["edges"]:
            room[u][v] = room[v][u] = w
        height, excess = [0] * (n + 1), [0] * (n + 1)
        height[source] = n
        active: deque[int] = deque()

        def push(u: int, v: int, amount: int) -> None:
            room[u][v] -= amount
            room[v][u] += amount
            excess[u] -= amount
            excess[v] += amount
            if v not in (source, sink) and excess[v] == amount:
                active.append(v)

        for v in list(room[source]):
            push(source, v, room[source][v])
        while active:
            u = active.popleft()
            while excess[u]:
                for v, free in room[u].items():
                    if free and height[u] == height[v] + 1:
                        push(u, v, min(free, excess[u]))
                        break
                else:
                    height[u] = 1 + min(height[v] for v, free in room[u].items() if free)
        return excess[sink]

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


GENERATORS: tuple[type[Generator], ...] = (ShortestRoute, MinimumSpanningTree, MinimumCut)
