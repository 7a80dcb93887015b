"""Two runs on the same problems: who is better, by how much, how surely, and at equal tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openzaya.evals.stats import (
    cluster_bootstrap,
    majority_within,
    paired_difference,
    sign_flip_test,
)

Run = dict[str, Any]
FEWEST = 2
"""Shared problems below which nothing is compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """First minus second, on the problems that both have scored."""

    task: str
    first: str
    second: str
    what: str
    problems: int
    gap: float
    stderr: float
    interval: tuple[float, float]
    p: float
    tokens: tuple[float, float]
    """Written per problem by each."""
    left_out: int
    """Problems that only one of them has scored."""


def compare(runs: Sequence[tuple[str, Run]]) -> list[Compared]:
    """All pairs of runs, on every task that they share. Where the first reasons by Markovian RSA
    and the second has several single rollouts, also its answer against their majority at no more
    tokens."""
    found = []
    for i, (first, a) in enumerate(runs):
        for second, b in runs[i + 1 :]:
            for task in a["tasks"]:
                if task in b["tasks"]:
                    found += _pair(task, (first, a["tasks"][task]), (second, b["tasks"][task]))
    return found


def _pair(task: str, one: tuple[str, Run], two: tuple[str, Run]) -> list[Compared]:
    if one[1]["digest"] != two[1]["digest"]:
        return []  # other questions
    rows = [{p["id"]: p for p in t["problems"] if p["draws"]} for _, t in (one, two)]
    shared = [id_ for id_ in rows[0] if id_ in rows[1]]
    left_out = len(rows[0].keys() ^ rows[1].keys())
    if len(shared) < FEWEST:
        return []
    a, b = ([r[id_] for id_ in shared] for r in rows)
    found = [
        _compared(
            task,
            one[0],
            two[0],
            "mean correctness",
            _means(a),
            _means(b),
            _spent(a),
            _spent(b),
            left_out,
        )
    ]
    for (name, x), (other, y) in (((one[0], a), (two[0], b)), ((two[0], b), (one[0], a))):
        reasons, singles = all(p["votes"] for p in x), all(not p["votes"] for p in y)
        if reasons and singles and min(len(p["draws"]) for p in y) > 1 and not one[1]["graded"]:
            found.append(_matched(task, name, other, x, y, left_out))
    return found


def _matched(
    task: str, name: str, other: str, x: list[Run], y: list[Run], left_out: int
) -> Compared:
    budgets = [round(p["written"] / p["runs"]) for p in x]
    matched = majority_within(
        [[d["answer"] for d in p["draws"]] for p in y],
        [[d["reward"] for d in p["draws"]] for p in y],
        [[d["written"] for d in p["draws"]] for p in y],
        budgets,
    )
    votes = [float(np.mean([v["reward"] for v in p["votes"]])) for p in x]
    short = sum(n == len(p["draws"]) for n, p in zip(matched.samples, y, strict=True))
    what = "answer against the majority of as many rollouts as the same tokens pay for"
    if short:
        what += f"; on {short} of {len(y)} problems more would have been paid for than were drawn"
    return _compared(
        task,
        name,
        f"{other}, majority",
        what,
        votes,
        matched.values,
        [float(t) for t in budgets],
        [float(t) for t in matched.tokens],
        left_out,
    )


def _compared(
    task: str,
    first: str,
    second: str,
    what: str,
    a: list[float],
    b: list[float],
    spent_a: list[float],
    spent_b: list[float],
    left_out: int,
) -> Compared:
    x, y = [[v] for v in a], [[v] for v in b]
    gap = paired_difference(x, y)
    interval = cluster_bootstrap(np.array(a) - np.array(b))
    tokens = float(np.mean(spent_a)), float(np.mean(spent_b))
    return Compared(
        task,
        first,
        second,
        what,
        gap.n_problems,
        gap.mean,
        gap.standard_error,
        interval,
        sign_flip_test(x, y),
        tokens,
        left_out,
    )


def _means(rows: list[Run]) -> list[float]:
    return [float(np.mean([d["reward"] for d in p["draws"]])) for p in rows]


def _spent(rows: list[Run]) -> list[float]:
    """Tokens written per run of the method: one answer's price."""
    return [p["written"] / max(p["runs"], 1) for p in rows]
