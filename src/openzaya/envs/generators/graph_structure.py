"""What hangs together in a graph: components, bridges, distances and orders."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.graphs import connected, neighbours
from openzaya.envs.generators.parse import groups, integers, pairs, picks
from openzaya.envs.generators.text import arc_text, edge_text, spaced


class StrongComponents(Generator):
    """The classes of mutual reachability."""

    name = "strong_components"
    family = "graphs"
    form = "the groups, each as its page numbers separated by spaces, with ; between groups,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        names, parts = rng.sample(range(1, n + 1), n), []
        while names:
            size = min(len(names), rng.choice((1, 2, 3, 4)))
            parts.append([names.pop() for _ in range(size)])
        arcs = {(p[i - 1], p[i]) for p in parts if len(p) > 1 for i in range(len(p))}
        if len(parts) > 1:
            for _ in range(n):
                i, j = sorted(rng.sample(range(len(parts)), 2))
                arcs.add((rng.choice(parts[i]), rng.choice(parts[j])))
        listed = [list(arc) for arc in rng.sample(sorted(arcs), len(arcs))]
        question = (
            f"A site has {n} pages, numbered 1 to {n}, with these links (from->to): "
            f"{arc_text(listed)}.\nTwo pages belong to the same group when each can be reached "
            "from the other by following links. A page with no such partner is a group of its "
            "own. Divide all pages into their groups."
        )
        return question, {"n": n, "arcs": listed}

    def solve(self, private: Mapping[str, Any]) -> str:
        n = private["n"]
        out: list[list[int]] = [[] for _ in range(n + 1)]
        back: list[list[int]] = [[] for _ in range(n + 1)]
        for u, v in private["arcs"]:
            out[u].append(v)
            back[v].append(u)

        def finished(root: int, graph: list[list[int]], seen: set[int]) -> list[int]:
            """Vertices newly seen from `root`, in the order in which a depth-first search ends."""
            seen.add(root)
            order, stack = [], [(root, iter(graph[root]))]
            while stack:
                child = next((v for v in stack[-1][1] if v not in seen), None)
                if child is None:
                    order.append(stack.pop()[0])
                else:
                    seen.add(child)
                    stack.append((child, iter(graph[child])))
            return order

        seen: set[int] = set()
        order = [
            v for root in range(1, n + 1) if root not in seen for v in finished(root, out, seen)
        ]
        seen = set()
        found = [sorted(finished(v, back, seen)) for v in reversed(order) if v not in seen]
        return "; ".join(spaced(group) for group in sorted(found))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        n, said = private["n"], groups(answer)
        if sorted(v for group in said for v in group) != list(range(1, n + 1)):
            return False
        reach, grown = [1 << v for v in range(n + 1)], True
        while grown:
            grown = False
            for u, v in private["arcs"]:
                if reach[v] & ~reach[u]:
                    reach[u] |= reach[v]
                    grown = True
        home = {v: i for i, group in enumerate(said) for v in group}
        return all(
            (home[u] == home[v]) == bool(reach[u] >> v & reach[v] >> u & 1)
            for u in range(1, n + 1)
            for v in range(1, n + 1)
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class GraphDiameter(Generator):
    """Two vertices as far apart as any, and their distance. Solver: Dijkstra; judge: Floyd."""

    name = "graph_diameter"
    family = "graphs"
    form = "the two stations and their distance, as three whole numbers,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        edges = [[u, v, rng.randint(3, 40)] for u, v in connected(rng, n, n // 2)]
        question = (
            f"A railway has {n} stations, numbered 1 to {n}. These lines run in both directions, "
            f"listed as station-station (minutes): {edge_text(edges)}. The distance of two "
            "stations is the smallest number of minutes in which one gets from one to the other; "
            "changing trains takes no time.\nFind two stations whose distance is as large as "
            "possible. If several pairs are equally far apart, any of them will do."
        )
        return question, {"n": n, "edges": edges}

    def solve(self, private: Mapping[str, Any]) -> str:
        out: list[list[tuple[int, int]]] = [[] for _ in range(private["n"] + 1)]
        for u, v, w in private["edges"]:
            out[u].append((v, w))
            out[v].append((u, w))
        best = (0, 0, 0)
        for root in range(1, private["n"] + 1):
            settled: dict[int, int] = {}
            queue = [(0, root)]
            while queue:
                length, u = heapq.heappop(queue)
                if u not in settled:
                    settled[u] = length
                    for v, w in out[u]:
                        heapq.heappush(queue, (length + w, v))
            best = max(best, max((length, root, v) for v, length in settled.items()))
        return spaced((best[1], best[2], best[0]))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        u, v, said = integers(answer, 3)
        n = private["n"]
        if not (1 <= u <= n and 1 <= v <= n):
            return False
        far = np.full((n, n), 10**9)
        np.fill_diagonal(far, 0)
        for a, b, w in private["edges"]:
            far[a - 1, b - 1] = far[b - 1, a - 1] = w
        for k in range(n):
            far = np.minimum(far, far[:, k : k + 1] + far[k])
        return said == int(far[u - 1, v - 1]) == int(far.max())

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class Bridges(Generator):
    """All edges whose loss disconnects the graph."""

    name = "bridges"
    family = "graphs"
    form = 'all such roads as a list like "1-2, 2-5"'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 8 + 2 * difficulty
        while True:
            private = {"n": n, "edges": connected(rng, n, max(1, n // 4))}
            if len(self._uncovered(private)) > 1:
                break
        question = (
            f"{n} villages, numbered 1 to {n}, are joined by these roads: "
            f"{edge_text(private['edges'])}.\nAt present every village can be reached from every "
            "other one. Find all roads with this property: if that road alone is blocked, some "
            "two villages can no longer reach each other."
        )
        return question, private

    def _uncovered(self, private: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Edges of a search tree that no other edge's cycle runs over: exactly the bridges."""
        near = neighbours(private["n"], private["edges"])
        parent, depth, queue = {1: 0}, {1: 0}, deque([1])
        while queue:
            u = queue.popleft()
            for v in near[u]:
                if v not in parent:
                    parent[v], depth[v] = u, depth[u] + 1
                    queue.append(v)
        single = {v for v in parent if parent[v]}
        for u, v in private["edges"]:
            if u in (parent[v], v) or v == parent[u]:
                continue
            while u != v:
                if depth[u] < depth[v]:
                    u, v = v, u
                single.discard(u)
                u = parent[u]
        return sorted((min(v, parent[v]), max(v, parent[v])) for v in single)

    def solve(self, private: Mapping[str, Any]) -> str:
        return edge_text(self._uncovered(private))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said, n = [(min(p), max(p)) for p in pairs(answer)], private["n"]
        needed = set()
        for gone in private["edges"]:
            near = neighbours(n, [e for e in private["edges"] if e != gone])
            seen, stack = {1}, [1]
            while stack:
                fresh = [v for v in near[stack.pop()] if v not in seen]
                seen.update(fresh)
                stack.extend(fresh)
            if len(seen) < n:
                needed.add(tuple(gone))
        return len(said) == len(needed) and set(said) == needed

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class TopologicalOrder(Generator):
    """Any order that respects all precedences."""

    name = "topological_order"
    family = "graphs"
    form = "the numbers of all tasks in such an order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        order, arcs = rng.sample(range(1, n + 1), n), set()
        while len(arcs) < min(2 * n, n * (n - 1) // 2):
            i, j = sorted(rng.sample(range(n), 2))
            arcs.add((order[i], order[j]))
        listed = [list(arc) for arc in rng.sample(sorted(arcs), len(arcs))]
        rules = ", ".join(f"{u} before {v}" for u, v in listed)
        question = (
            f"{n} tasks, numbered 1 to {n}, are to be done one after the other, each once. These "
            f"rules hold: {rules}.\nFind an order that keeps all rules. Any such order will do."
        )
        return question, {"n": n, "arcs": listed}

    def solve(self, private: Mapping[str, Any]) -> str:
        n = private["n"]
        waits, after = [0] * (n + 1), [[] for _ in range(n + 1)]
        for u, v in private["arcs"]:
            waits[v] += 1
            after[u].append(v)
        order = [v for v in range(1, n + 1) if not waits[v]]
        for u in order:
            for v in after[u]:
                waits[v] -= 1
                if not waits[v]:
                    order.append(v)
        return spaced(order)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        order = picks(answer, private["n"])
        place = {v: i for i, v in enumerate(order)}
        return len(order) == private["n"] and all(place[u] < place[v] for u, v in private["arcs"])

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


GENERATORS: tuple[type[Generator], ...] = (
    StrongComponents, GraphDiameter, Bridges, TopologicalOrder,
)  # fmt: skip
