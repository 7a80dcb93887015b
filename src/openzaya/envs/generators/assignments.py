"""Who gets whom or what: stable and cheapest matchings."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers
from openzaya.envs.generators.text import grid_text, spaced


class StableMatching(Generator):
    """Any stable matching."""

    name = "stable_matching"
    family = "sets_and_schedules"
    form = "the hospitals of doctor 1, doctor 2 and so on, as numbers separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty // 2
        likes = [[rng.sample(range(1, n + 1), n) for _ in range(n)] for _ in range(2)]
        texts = [
            "\n".join(f"{who} {i}: {spaced(row)}" for i, row in enumerate(rows, 1))
            for who, rows in zip(("Doctor", "Hospital"), likes, strict=True)
        ]
        question = (
            f"{n} doctors and {n} hospitals, each numbered 1 to {n}, list each other from the most "
            f"to the least wanted.\nThe doctors list hospitals:\n{texts[0]}\nThe hospitals list "
            f"doctors:\n{texts[1]}\nGive every doctor a hospital of their own. It must not happen "
            "that a doctor and a hospital who are not matched both prefer each other to the ones "
            "they got. Any such matching will do."
        )
        return question, {"doctors": likes[0], "hospitals": likes[1]}

    def solve(self, private: Mapping[str, Any]) -> str:
        """Gale and Shapley: doctors propose."""
        doctors, hospitals = private["doctors"], private["hospitals"]
        tried, holds = [0] * len(doctors), {}
        free = list(range(len(doctors)))
        while free:
            d = free.pop()
            h = doctors[d][tried[d]]
            tried[d] += 1
            rank = hospitals[h - 1]
            if h not in holds or rank.index(d + 1) < rank.index(holds[h] + 1):
                free += [holds[h]] if h in holds else []
                holds[h] = d
            else:
                free.append(d)
        place = {d: h for h, d in holds.items()}
        return spaced(place[d] for d in range(len(doctors)))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        doctors, hospitals = private["doctors"], private["hospitals"]
        got = integers(answer, len(doctors))
        if sorted(got) != list(range(1, len(doctors) + 1)):
            return False
        for d, mine in enumerate(got, 1):
            for h in doctors[d - 1][: doctors[d - 1].index(mine)]:
                rank = hospitals[h - 1]
                if rank.index(d) < rank.index(got.index(h) + 1):
                    return False
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["doctors"])


class CheapestAssignment(Generator):
    """Any cheapest assignment. Solver: shortest augmenting paths. Judge: no exchange gains."""

    name = "cheapest_assignment"
    family = "sets_and_schedules"
    form = "the jobs of worker 1, worker 2 and so on, as numbers separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty // 2
        cost = [[rng.randint(1, 50) for _ in range(n)] for _ in range(n)]
        question = (
            f"{n} workers are to do {n} jobs, one each. Row i of this table, column j, says what "
            f"worker i asks for job j:\n{grid_text(cost)}\nGive every worker a different job so "
            "that the total cost is as small as possible. If several ways are equally cheap, any "
            "of them will do."
        )
        return question, {"cost": cost}

    def solve(self, private: Mapping[str, Any]) -> str:
        cost = private["cost"]
        n = len(cost)
        owner: list[int] = [-1] * n  # of each job
        for worker in range(n):
            # Bellman-Ford in the exchange graph: price of getting each job for the new worker.
            price, before = list(cost[worker]), [-1] * n
            changed = True
            while changed:
                changed = False
                for j in range(n):
                    u = owner[j]
                    if u < 0:
                        continue
                    for k in range(n):
                        through = price[j] - cost[u][j] + cost[u][k]
                        if through < price[k]:
                            price[k], before[k], changed = through, j, True
            job = min((j for j in range(n) if owner[j] < 0), key=lambda j: price[j])
            while before[job] >= 0:
                owner[job] = owner[before[job]]
                job = before[job]
            owner[job] = worker
        return spaced(owner.index(worker) + 1 for worker in range(n))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        cost = private["cost"]
        n = len(cost)
        jobs = integers(answer, n)
        if sorted(jobs) != list(range(1, n + 1)):
            return False
        # gain[i][k]: worker i takes worker k's job. A chain of takings that ends where it began
        # and saves money exists unless the assignment is cheapest.
        gain = [[row[j - 1] - row[jobs[i] - 1] for j in jobs] for i, row in enumerate(cost)]
        for m in range(n):
            for i in range(n):
                to_m = gain[i][m]
                gain[i] = [min(g, to_m + h) for g, h in zip(gain[i], gain[m], strict=True)]
            if any(gain[i][i] < 0 for i in range(n)):
                return False
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["cost"])


GENERATORS: tuple[type[Generator], ...] = (StableMatching, CheapestAssignment)
