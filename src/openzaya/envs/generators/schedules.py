"""What is done when: deadlines, waiting costs, projects, rooms."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise, zip_longest
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, picks
from openzaya.envs.generators.text import listed, spaced


class DeadlineProfits(Generator):
    """Any most profitable choice of one-day jobs with deadlines, in an order that meets them."""

    name = "deadline_profits"
    family = "sets_and_schedules"
    form = "the numbers of the jobs done on day 1, day 2 and so on, without idle days in between,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + difficulty
        jobs = [[rng.randint(1, 1 + 2 * n // 3), rng.randint(5, 99)] for _ in range(n)]
        lines = "\n".join(f"Job {i}: day {d}, {p} euros" for i, (d, p) in enumerate(jobs, 1))
        question = (
            "Each of these jobs takes one whole day and pays only if it is done on the day named "
            f"or earlier:\n{lines}\nThe days are numbered from 1; one job can be done per day. "
            "Choose jobs and their order so that all chosen jobs pay and the total pay is as much "
            "as possible. If several ways are equally good, any of them will do."
        )
        return question, {"jobs": jobs}

    def solve(self, private: Mapping[str, Any]) -> str:
        kept: list[tuple[int, int]] = []
        for i, (deadline, profit) in sorted(enumerate(private["jobs"], 1), key=lambda job: job[1]):
            heapq.heappush(kept, (profit, i))
            if len(kept) > deadline:
                heapq.heappop(kept)
        chosen = sorted((i for _, i in kept), key=lambda i: (private["jobs"][i - 1][0], i))
        return spaced(chosen)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        jobs = private["jobs"]
        chosen = [jobs[i - 1] for i in picks(answer, len(jobs))]
        if any(deadline < day for day, (deadline, _) in enumerate(chosen, 1)):
            return False
        best = [0]  # most pay with so many jobs, of those with deadlines so far
        for deadline, profit in sorted(jobs):
            more = [0, *(pay + profit for pay in best[:deadline])]
            best = [max(pair) for pair in zip_longest(best, more, fillvalue=0)]
        return sum(profit for _, profit in chosen) == max(best)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["jobs"])


class WeightedCompletion(Generator):
    """Any order of jobs with the least weighted sum of completion times.

    Every two jobs cost at least the cheaper of their two orders: that bound is the optimum.
    """

    name = "weighted_completion"
    family = "sets_and_schedules"
    form = "the numbers of all customers in the order in which they are served"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty
        jobs = [[rng.randint(2, 20), rng.randint(2, 12)] for _ in range(n)]
        lines = "\n".join(
            f"Customer {i}: {p} minutes, {w} cents" for i, (p, w) in enumerate(jobs, 1)
        )
        question = (
            "A shop serves its customers one after the other without breaks. For each of them, "
            "the list says how many minutes serving takes and how many cents each minute costs "
            f"until that customer has been served:\n{lines}\nFind an order in which the total cost "
            "is as small as possible. If several orders are equally good, any of them will do."
        )
        return question, {"jobs": jobs}

    def solve(self, private: Mapping[str, Any]) -> str:
        jobs = private["jobs"]
        order = sorted(range(len(jobs)), key=lambda i: Fraction(*jobs[i]))
        return spaced(i + 1 for i in order)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        jobs = private["jobs"]
        order = picks(answer, len(jobs))
        if len(order) < len(jobs):
            return False
        clock, total = 0, 0
        for i in order:
            clock += jobs[i - 1][0]
            total += clock * jobs[i - 1][1]
        bound = sum(p * w for p, w in jobs)
        for k, (p, w) in enumerate(jobs):
            bound += sum(min(p * v, q * w) for q, v in jobs[:k])
        return total == bound

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["jobs"])


class CriticalPath(Generator):
    """The shortest duration of a project, and any chain of tasks that forces it."""

    name = "critical_path"
    family = "sets_and_schedules"
    form = "the number of days, followed by the tasks of the chain in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        order, arcs = rng.sample(range(1, n + 1), n), set()
        while len(arcs) < min(3 * n // 2, n * (n - 1) // 2):
            i = rng.randrange(n - 1)
            j = min(n - 1, i + rng.randint(1, 4))
            arcs.add((order[i], order[j]))
            if len(arcs) >= n - 1 and n < 5:
                break
        days = [rng.randint(2, 20) for _ in range(n)]
        after = {v: sorted(u for u, w in arcs if w == v) for v in range(1, n + 1)}
        lines = "\n".join(
            f"Task {v}: {days[v - 1]} days" + (f", after {listed(after[v])}" if after[v] else "")
            for v in after
        )
        question = (
            "A project consists of these tasks. Any number of them can run at the same time, but "
            f"a task begins only when those named after it are finished:\n{lines}\n"
            "What is the smallest number of days in which the whole project can be done? Name also "
            "a chain of tasks, each of which must wait for the one before, whose days add up to "
            "exactly this number. If there are several such chains, any of them will do."
        )
        return question, {"days": days, "arcs": [list(arc) for arc in sorted(arcs)]}

    def solve(self, private: Mapping[str, Any]) -> str:
        days, arcs = private["days"], private["arcs"]
        n = len(days)
        waits, out = [0] * (n + 1), [[] for _ in range(n + 1)]
        for u, v in arcs:
            waits[v] += 1
            out[u].append(v)
        done, before = [0, *days], [0] * (n + 1)
        ready = [v for v in range(1, n + 1) if not waits[v]]
        for u in ready:
            for v in out[u]:
                if done[u] + days[v - 1] > done[v]:
                    done[v], before[v] = done[u] + days[v - 1], u
                waits[v] -= 1
                if not waits[v]:
                    ready.append(v)
        chain = [max(range(1, n + 1), key=lambda v: done[v])]
        while before[chain[-1]]:
            chain.append(before[chain[-1]])
        return spaced([max(done), *reversed(chain)])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        total, *chain = integers(answer) or [0]
        days, arcs = private["days"], private["arcs"]
        if not chain or not all(1 <= v <= len(days) for v in chain):
            return False
        allowed = {(u, v) for u, v in arcs}
        if not all(step in allowed for step in pairwise(chain)):
            return False
        left = [0, *days]  # days from a task's beginning to the project's end
        for _ in days:
            for u, v in arcs:
                left[u] = max(left[u], days[u - 1] + left[v])
        return sum(days[v - 1] for v in chain) == total == max(left)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["days"])


class LectureRooms(Generator):
    """Any allotment of the fewest rooms to lectures."""

    name = "lecture_rooms"
    family = "sets_and_schedules"
    form = "the rooms of all lectures in the order listed, as numbers separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        times = []
        for _ in range(n):
            start = rng.randint(0, 3 * n)
            times.append([start, start + rng.randint(3, 15)])
        rooms = max(sum(s <= t < e for s, e in times) for t, _ in times)
        lines = "\n".join(f"Lecture {i}: from {s} to {e}" for i, (s, e) in enumerate(times, 1))
        question = (
            f"These lectures are to be held:\n{lines}\nThere are {rooms} rooms, numbered 1 to "
            f"{rooms}. Give every lecture a room so that no two lectures overlap in the same room; "
            "a lecture may begin at the moment at which another one in its room ends. Any such "
            "plan will do."
        )
        return question, {"times": times, "rooms": rooms}

    def solve(self, private: Mapping[str, Any]) -> str:
        room = {}
        busy: list[tuple[int, int]] = []  # (free again at, room)
        spare = list(range(1, private["rooms"] + 1))
        for i, (start, end) in sorted(enumerate(private["times"]), key=lambda lecture: lecture[1]):
            while busy and busy[0][0] <= start:
                heapq.heappush(spare, heapq.heappop(busy)[1])
            room[i] = heapq.heappop(spare)
            heapq.heappush(busy, (end, room[i]))
        return spaced(room[i] for i in range(len(room)))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        plan = integers(answer, len(private["times"]))
        if not all(1 <= room <= private["rooms"] for room in plan):
            return False
        held = sorted((room, *time) for room, time in zip(plan, private["times"], strict=True))
        return all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(held))

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["times"])


GENERATORS: tuple[type[Generator], ...] = (
    DeadlineProfits,
    WeightedCompletion,
    CriticalPath,
    LectureRooms,
)
