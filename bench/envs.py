"""Environments: problems made and scored a second, by family; and how fast mathematics is judged.

    python bench/envs.py [--quick]

Each family's rate is the median over its environments at difficulties 0 and 3; scoring is of the
right answer and of words. reasoning-gym and the adapters answer from worker processes, whose pipes
are part of their rates. Mathematics: pairs that are compared as numbers, pairs that sympy must
compare, and adversarial LaTeX, of which some is killed after its time limit. What a sandbox takes
to start is `bench/sandbox.py`'s. --quick takes two environments of a family. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from openzaya.envs import build, gate, names
from openzaya.envs.math.verify import verify
from openzaya.errors import EnvError
from openzaya.types import Environment, Outcome

SOURCES = ("own", "instructions", "reasoning-gym", "rlve", "enigmata")
SECONDS = 0.5
"""Spent at most on one environment at one difficulty."""
GOALS = {"math-numbers": 10_000.0, "math-sympy": 50.0, "math-adversarial-timeouts": 50.0}
"""Rates at least, and percent of adversarial answers at most."""

ATTACKS = (
    "9^{9^{9}}", "(10^8)!", "42!!!!", "9^{9999}-9^{9998}", "\\sum_{k=1}^{10^9} k", "(x+1)^{9999}",
    "\\prod_{k=1}^{9999} k", "{" * 300 + "42" + "}" * 300, "\\frac{1}{" * 90 + "1" + "}" * 90,
    "\\int_0^1 \\sin(\\sin(\\sin(x^{x}))) dx", "\\sqrt" * 150, "((((" * 200, "|" * 900,
    "\\begin{pmatrix}" + "1&" * 400 + "\\end{pmatrix}", "9" * 900 + "^{9999}", "\\boxed{" * 140_000,
)  # fmt: skip


def rates(env: Environment, difficulty: int, seconds: float) -> tuple[float, float]:
    """(problems, scores) a second."""
    problems, started = [], time.perf_counter()
    while time.perf_counter() - started < seconds and len(problems) < 100:
        problems.append(env.generate(len(problems), difficulty))
    made = len(problems) / (time.perf_counter() - started)
    texts = [(p, o.content if (o := env.oracle(p)) else "none") for p in problems]
    scored, started = 0, time.perf_counter()
    for problem, text in texts:
        env.score(problem, text)
        env.score(problem, "the banana")
        scored += 2
        if time.perf_counter() - started > seconds:
            break
    return made, scored / (time.perf_counter() - started)


def by_family(quick: bool) -> dict[str, list[tuple[float, float]]]:
    """Family, after its source, to the rates of its admitted environments."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    table = gate.table()
    for source in SOURCES:
        for name in names(source):
            row = table.get(name, {"failed": [], "family": ""})
            family = f"{source} {row['family']}".strip()
            if row["failed"] or (quick and len(found[family]) >= 4):
                continue
            try:
                env = build(name, {})
                found[family] += [
                    rates(env, difficulty, SECONDS / (5 if quick else 1)) for difficulty in (0, 3)
                ]
            except EnvError as error:
                print(f"left out: {error}")
    return found


def math_rates(count: int) -> dict[str, float]:
    """Answers judged a second by kind, and percent of adversarial ones that ran out of time."""
    numbers = [(str(n), f"\\boxed{{{n}.0}}") for n in range(count * 20)]
    started = time.perf_counter()
    assert all(verify(gold, text).correct for gold, text in numbers)
    plain = len(numbers) / (time.perf_counter() - started)
    pairs = [
        (f"{n}x+\\frac{{{n}}}{{3}}", f"\\boxed{{\\frac{{{n}}}{{3}}+{n}x}}") for n in range(count)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(
            threads.map(lambda n: verify("y", f"\\boxed{{x+{n}}}"), range(8))
        )  # starts the workers
        started = time.perf_counter()
        right = sum(threads.map(lambda pair: verify(*pair).correct, pairs))
        symbolic = len(pairs) / (time.perf_counter() - started)
        assert right == len(pairs)
        texts = [f"\\boxed{{{attack}}}" for attack in ATTACKS]
        started = time.perf_counter()
        scores = list(threads.map(lambda text: verify("42", text), texts))
        seconds = time.perf_counter() - started
    assert not any(score.correct for score in scores)
    timeouts = sum(score.outcome is Outcome.TIMEOUT for score in scores)
    return {
        "math-numbers": plain,
        "math-sympy": symbolic,
        "math-adversarial": len(texts) / seconds,
        "math-adversarial-timeouts": 100 * timeouts / len(texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    results = []
    for family, pairs in sorted(by_family(quick).items()):
        if pairs:
            made, scored = (statistics.median(values) for values in zip(*pairs, strict=True))
            print(f"{family:32} {made:10,.0f} problems/s {scored:10,.0f} scores/s  ({len(pairs)})")
            results += [
                {"name": f"envs-make {family}", "value": round(made, 1), "unit": "problems/s"},
                {"name": f"envs-score {family}", "value": round(scored, 1), "unit": "scores/s"},
            ]
    for name, value in math_rates(50 if quick else 500).items():
        unit = "% of attacks" if name.endswith("timeouts") else "answers/s"
        print(f"{name:32} {value:10,.1f} {unit}")
        row = {"name": name, "value": round(value, 1), "unit": unit}
        if name in GOALS:
            row |= {"goal": GOALS[name]}
            row["ok"] = value <= GOALS[name] if name.endswith("timeouts") else value >= GOALS[name]
        results.append(row)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
