"""Choices that dynamic programming makes: what to take, when, and how to cut."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, picks
from openzaya.envs.generators.text import listed, spaced


class KnapsackChoice(Generator):
    """Any most valuable load. Solver: best value by weight. Judge: least weight by value."""

    name = "knapsack_choice"
    family = "dynamic"
    form = "the numbers of the chosen parcels, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        items = [[rng.randint(3, 15 + n), rng.randint(3, 15 + n)] for _ in range(n)]
        limit = sum(w for w, _ in items) * rng.randint(35, 60) // 100
        lines = "\n".join(f"Parcel {i}: {w} kg, {v} euros" for i, (w, v) in enumerate(items, 1))
        question = (
            f"{lines}\nA van carries at most {limit} kg. Choose parcels, each at most once, that "
            "the van can carry and that are together worth as much as possible. If several choices "
            "are equally good, any of them will do."
        )
        return question, {"items": items, "limit": limit}

    def solve(self, private: Mapping[str, Any]) -> str:
        items, limit = private["items"], private["limit"]
        table = [[0] * (limit + 1)]
        for weight, value in items:
            old = table[-1]
            table.append(
                [max(b, old[w - weight] + value) if w >= weight else b for w, b in enumerate(old)]
            )
        chosen, room = [], limit
        for i in range(len(items), 0, -1):
            if table[i][room] != table[i - 1][room]:
                chosen.append(i)
                room -= items[i - 1][0]
        return spaced(sorted(chosen))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        items, limit = private["items"], private["limit"]
        chosen = [items[i - 1] for i in picks(answer, len(items))]
        if sum(w for w, _ in chosen) > limit:
            return False
        lightest = {0: 0}
        for weight, value in items:
            for total, load in list(lightest.items()):
                if load + weight <= min(limit, lightest.get(total + value, limit)):
                    lightest[total + value] = load + weight
        return sum(v for _, v in chosen) == max(lightest)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["items"])


class LongestIncreasing(Generator):
    """Any longest increasing subsequence of different numbers."""

    name = "longest_increasing_subsequence"
    family = "dynamic"
    form = "the numbers that stay, in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 8 + 3 * difficulty
        row = rng.sample(range(1, 3 * n), n)
        question = (
            f"Here is a row of numbers: {listed(row)}.\nStrike out as few of them as possible so "
            "that those which stay, in their old order, grow from each one to the next. If several "
            "choices are equally good, any of them will do."
        )
        return question, {"row": row}

    def solve(self, private: Mapping[str, Any]) -> str:
        tops: list[int] = []
        rank = []
        for x in private["row"]:  # patience sorting
            i = bisect_left(tops, x)
            tops[i : i + 1] = [x]
            rank.append(i)
        kept, wanted = [], len(tops) - 1
        for x, i in zip(reversed(private["row"]), reversed(rank), strict=True):
            if i == wanted and (not kept or x < kept[-1]):
                kept.append(x)
                wanted -= 1
        return spaced(reversed(kept))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        kept, row = integers(answer), private["row"]
        place = {x: i for i, x in enumerate(row)}
        if not kept or not set(kept) <= place.keys():
            return False
        if any(y <= x or place[y] <= place[x] for x, y in pairwise(kept)):
            return False
        longest = [1] * len(row)
        for i, x in enumerate(row):
            longest[i] = 1 + max((longest[j] for j in range(i) if row[j] < x), default=0)
        return len(kept) == max(longest)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["row"])


class FewestCoins(Generator):
    """Any smallest set of coins. The judge grows the set of payable sums coin by coin."""

    name = "fewest_coins"
    family = "dynamic"
    form = "the values of all coins used, each as often as it is used, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        top = 20 + 6 * difficulty
        coins = sorted([1, *rng.sample(range(3, top), 3 + difficulty // 4)])
        amount = rng.randint(2 * top, 4 * top)
        question = (
            f"A country has coins of these values, as many of each as one likes: {listed(coins)}.\n"
            f"Pay exactly {amount} with as few coins as possible. If several ways are equally "
            "good, any of them will do."
        )
        return question, {"coins": coins, "amount": amount}

    def solve(self, private: Mapping[str, Any]) -> str:
        best, last = [0], [0]
        for total in range(1, private["amount"] + 1):
            fewest, coin = min((best[total - c], c) for c in private["coins"] if c <= total)
            best.append(fewest + 1)
            last.append(coin)
        used, left = [], private["amount"]
        while left:
            used.append(last[left])
            left -= used[-1]
        return spaced(sorted(used))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        used, amount = integers(answer), private["amount"]
        if sum(used) != amount or not set(used) <= set(private["coins"]):
            return False
        sums, count = 1, 0  # bit t: t can be paid with `count` coins
        while not sums >> amount & 1:
            grown = 0
            for coin in private["coins"]:
                grown |= sums << coin
            sums, count = grown & ((2 << amount) - 1), count + 1
        return len(used) == count

    def size(self, private: Mapping[str, Any]) -> float:
        return private["amount"]


class WeightedIntervals(Generator):
    """Any most profitable set of intervals that do not overlap."""

    name = "weighted_intervals"
    family = "dynamic"
    form = "the numbers of the accepted bookings, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + 2 * difficulty
        jobs = []
        for _ in range(n):
            start = rng.randint(0, 4 * n)
            jobs.append([start, start + rng.randint(2, 16), rng.randint(5, 60)])
        lines = "\n".join(
            f"Booking {i}: from {s} to {e}, {p} euros" for i, (s, e, p) in enumerate(jobs, 1)
        )
        question = (
            f"A hall can be let for these times:\n{lines}\nAccept bookings so that no two of them "
            "overlap and the money earned is as much as possible. A booking may begin at the "
            "moment at which another one ends. If several choices are equally good, any of them "
            "will do."
        )
        return question, {"jobs": jobs}

    def solve(self, private: Mapping[str, Any]) -> str:
        jobs = private["jobs"]
        order = sorted(range(len(jobs)), key=lambda i: jobs[i][1])
        ends, best = [jobs[i][1] for i in order], [(0, -1, 0)]  # (earned, job, best before it)
        for k, i in enumerate(order):
            before = bisect_right(ends, jobs[i][0], 0, k)
            best.append(max((best[k][0], -1, k), (best[before][0] + jobs[i][2], i, before)))
        chosen, k = [], len(order)
        while k:
            _, job, k = best[k]
            if job >= 0:
                chosen.append(job + 1)
        return spaced(sorted(chosen))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        jobs = private["jobs"]
        chosen = sorted(jobs[i - 1] for i in picks(answer, len(jobs)))
        if any(b[0] < a[1] for a, b in pairwise(chosen)):
            return False
        by_end = [0] * (max(e for _, e, _ in jobs) + 1)  # most that bookings over by t can earn
        for t in range(1, len(by_end)):
            by_end[t] = max(
                [by_end[t - 1], *(by_end[s] + p for s, e, p in jobs if e == t)],
            )
        return sum(p for _, _, p in chosen) == by_end[-1]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["jobs"])


class ContiguousPartition(Generator):
    """Any split of a row into parts whose largest sum is smallest."""

    name = "contiguous_partition"
    family = "dynamic"
    form = "how many chapters each volume has, in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, k = 12 + 2 * difficulty, 5 + difficulty // 2
        pages = [rng.randint(5, 60) for _ in range(n)]
        question = (
            f"The chapters of a book have, in order, these numbers of pages: {listed(pages)}.\n"
            f"Print the book in exactly {k} volumes, each of at least one whole chapter, with the "
            "chapters in order. The thickest volume must have as few pages as possible. If several "
            "ways are equally good, any of them will do."
        )
        return question, {"pages": pages, "k": k}

    def solve(self, private: Mapping[str, Any]) -> str:
        pages, k = private["pages"], private["k"]

        def filled(limit: int) -> list[list[int]]:
            parts: list[list[int]] = [[]]
            for p in pages:
                if sum(parts[-1]) + p > limit:
                    parts.append([])
                parts[-1].append(p)
            return parts

        low, high = max(pages), sum(pages)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if len(filled(middle)) <= k else (middle + 1, high)
        counts = [len(part) for part in filled(low)]
        while len(counts) < k:  # a thinner volume harms nobody
            i = counts.index(max(counts))
            counts[i : i + 1] = [1, counts[i] - 1]
        return spaced(counts)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        pages, k = private["pages"], private["k"]
        counts = integers(answer, k)
        if min(counts) < 1 or sum(counts) != len(pages):
            return False
        total = [0]
        for p in pages:
            total.append(total[-1] + p)
        best = [float("inf")] * len(total)
        best[0] = 0
        for _ in range(k):  # best[i]: the first i chapters in this many volumes
            best = [
                min((max(best[j], total[i] - total[j]) for j in range(i)), default=float("inf"))
                for i in range(len(total))
            ]
        ends = [0]
        for count in counts:
            ends.append(ends[-1] + count)
        return max(total[b] - total[a] for a, b in pairwise(ends)) == best[-1]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["pages"])


GENERATORS: tuple[type[Generator], ...] = (
    KnapsackChoice, LongestIncreasing, FewestCoins, WeightedIntervals, ContiguousPartition,
)  # fmt: skip
