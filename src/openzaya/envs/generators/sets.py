"""Sets and sums: covers, exact covers, bins, and numbers that add up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, picks
from openzaya.envs.generators.text import listed, spaced


def planted_parts(rng: random.Random, m: int, k: int) -> list[list[int]]:
    """1..m in k parts of nearly equal sizes, each sorted."""
    items = rng.sample(range(1, m + 1), m)
    return [sorted(items[i::k]) for i in range(k)]


class SetCover(Generator):
    """Any cover with few enough sets; a cover of that size was planted."""

    name = "set_cover"
    family = "sets_and_schedules"
    form = "the numbers of the chosen boxes, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        k = 3 + difficulty // 3
        m = 3 * k + 1 + difficulty % 3
        parts = planted_parts(rng, m, k)
        sets = [sorted({*part, rng.randint(1, m)}) for part in parts]
        for _ in range(2 * k):
            decoy = {rng.randint(1, m) for _ in range(rng.randint(3, 5))}
            sets.append(sorted(decoy))
        order = rng.sample(range(len(sets)), len(sets))
        boxes = [sets[i] for i in order]
        lines = "\n".join(f"Box {i}: {listed(box)}" for i, box in enumerate(boxes, 1))
        question = (
            f"A collector wants all stamps from 1 to {m}. These boxes are for sale, each with the "
            f"stamps named:\n{lines}\nChoose at most {k} boxes that together hold every stamp at "
            "least once. Any such choice will do."
        )
        planted = sorted(order.index(i) + 1 for i in range(k))
        return question, {"m": m, "k": k, "boxes": boxes, "planted": planted}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        boxes = private["boxes"]
        chosen = picks(answer, len(boxes))
        held = {stamp for i in chosen for stamp in boxes[i - 1]}
        return len(chosen) <= private["k"] and len(held) == private["m"]

    def size(self, private: Mapping[str, Any]) -> float:
        return private["m"]


class ExactCover(Generator):
    """Any choice of sets that holds every element exactly once."""

    name = "exact_cover"
    family = "sets_and_schedules"
    form = "the numbers of the chosen teams, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        k = 3 + difficulty // 2
        m = 3 * k + difficulty % 2
        sets = planted_parts(rng, m, k)
        while len(sets) < 3 * k:
            decoy = sorted(rng.sample(range(1, m + 1), rng.randint(2, 4)))
            if decoy not in sets:
                sets.append(decoy)
        order = rng.sample(range(len(sets)), len(sets))
        teams = [sets[i] for i in order]
        lines = "\n".join(f"Team {i}: {listed(team)}" for i, team in enumerate(teams, 1))
        question = (
            f"There are {m} skills, numbered 1 to {m}. These teams can be hired, each with the "
            f"skills named:\n{lines}\nHire teams so that every skill is present in exactly one of "
            "them. Any such choice will do."
        )
        planted = sorted(order.index(i) + 1 for i in range(k))
        return question, {"m": m, "teams": teams, "planted": planted}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        teams = private["teams"]
        skills = [s for i in picks(answer, len(teams)) for s in teams[i - 1]]
        return sorted(skills) == list(range(1, private["m"] + 1))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["m"]


class BinPacking(Generator):
    """Any packing into few bins that a planted one fills nearly to the brim."""

    name = "bin_packing"
    family = "sets_and_schedules"
    form = "the lorry of every crate, in the order listed, as numbers separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        bins, room = 3 + difficulty // 2, rng.randint(50, 99)
        crates: list[tuple[int, int]] = []
        for number in range(1, bins + 1):
            parts = rng.randint(2, 3) + (number % 2 == difficulty % 2)
            full = room - rng.randint(0, 2)
            cuts = sorted(rng.sample(range(5, full - 4), parts - 1))
            crates += [(b - a, number) for a, b in zip([0, *cuts], [*cuts, full], strict=True)]
        rng.shuffle(crates)
        weights = [w for w, _ in crates]
        question = (
            f"Crates 1 to {len(crates)} weigh, in this order: {listed(weights)} kg. There are "
            f"{bins} lorries, numbered 1 to {bins}, each of which carries at most {room} kg.\n"
            "Give every crate a lorry so that no lorry carries too much. Any such plan will do."
        )
        private = {"weights": weights, "bins": bins, "room": room}
        return question, private | {"planted": [number for _, number in crates]}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        plan = integers(answer, len(private["weights"]))
        load = [0] * (private["bins"] + 1)
        for weight, lorry in zip(private["weights"], plan, strict=True):
            if not 1 <= lorry <= private["bins"]:
                return False
            load[lorry] += weight
        return max(load) <= private["room"]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["weights"])


class SubsetSum(Generator):
    """Any numbers of a list with a given sum."""

    name = "subset_sum"
    family = "sets_and_schedules"
    form = "the chosen numbers, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 8 + difficulty
        numbers = rng.sample(range(10, 200 + 40 * difficulty), n)
        chosen = rng.sample(numbers, rng.randint(n // 2 - 1, n // 2 + 1))
        question = (
            f"Here are {n} numbers: {listed(numbers)}.\nChoose some of them, each at most once, "
            f"whose sum is exactly {sum(chosen)}. Any such choice will do."
        )
        return question, {"numbers": numbers, "target": sum(chosen), "planted": sorted(chosen)}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said = integers(answer)
        different = len(set(said)) == len(said) and set(said) <= set(private["numbers"])
        return different and sum(said) == private["target"]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["numbers"])


class TwoRoomSplit(Generator):
    """Any split of people into two rooms such that no given group sits wholly in one of them."""

    name = "two_room_split"
    family = "sets_and_schedules"
    form = "the numbers of all persons in room A, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 8 + difficulty
        order = rng.sample(range(1, n + 1), n)
        room_a, room_b = sorted(order[: n // 2]), sorted(order[n // 2 :])
        cliques: list[list[int]] = []
        while len(cliques) < 2 * n:
            group = sorted(rng.sample(order, 3))
            if set(group) & set(room_a) and set(group) & set(room_b) and group not in cliques:
                cliques.append(group)
        lines = "\n".join(listed(group) for group in cliques)
        question = (
            f"{n} persons, numbered 1 to {n}, are to be divided between the rooms A and B. Each "
            f"of these lines names three of them who must not all be in the same room:\n{lines}\n"
            "Find such a division. Any one will do."
        )
        return question, {"n": n, "cliques": cliques, "planted": room_a}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        room = set(picks(answer, private["n"]))
        return all(0 < sum(v in room for v in group) < 3 for group in private["cliques"])

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


GENERATORS: tuple[type[Generator], ...] = (
    SetCover, ExactCover, BinPacking, SubsetSum, TwoRoomSplit,
)  # fmt: skip
