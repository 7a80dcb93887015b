"""Generate and score one environment, and write down what is seen. Nothing is judged here."""

from __future__ import annotations

import functools
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from openzaya.answers import final_answer
from openzaya.envs.admission.junk import GUESSES, junk
from openzaya.envs.registry import build
from openzaya.envs.workers import CallFailed, CallTimeout, WorkerPool
from openzaya.types import Environment, Message, Outcome, Problem, Score

SEEDS = 30
JUNK_PROBLEMS = 5
PURITY_SEEDS = 6
ENOUGH_SECONDS = 20.0
"""A difficulty whose problems take longer is measured on fewer of them, at least MINIMUM."""
MINIMUM = 5


@dataclass(slots=True)
class Level:
    """What was seen at one difficulty."""

    problems: int = 0
    ungenerated: int = 0
    """Seeds without a problem: the generator failed or took too long."""
    distinct: int = 0
    solved: int = 0
    """Of the problems with an oracle, those that its answer solves; of as many `oracles`."""
    oracles: int = 0
    round_trips: int = 0
    """Problems that are the same, and as solvable, after JSON."""
    guess: float = 0.0
    """Share that the best constant answer solves."""
    guess_text: str = ""
    sizes: dict[str, float] = field(default_factory=dict)
    """Mean of every measure of size."""
    generate_p99_ms: float = 0.0
    score_p99_ms: float = 0.0


@dataclass(slots=True)
class Seen:
    """One environment."""

    name: str
    source: str
    family: str
    licence: str
    version: str
    max_difficulty: int | None
    levels: dict[int, Level] = field(default_factory=dict)
    junk: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Kind of junk to (how often it was scored as right, how often it was tried)."""
    raised: list[str] = field(default_factory=list)
    """What the scorer threw, or said when it broke."""
    timeouts: int = 0
    purity: str = ""
    """How other processes disagree about the same seeds; empty if they do not."""


def probe(
    reference: str, params: Mapping[str, Any], difficulties: Sequence[int], seeds: int = SEEDS
) -> Seen:
    """Measure one environment. EnvError if it cannot be built."""
    env = build(reference, params)
    top = getattr(env, "max_difficulty", None)
    seen = Seen(env.name, env.source, env.family, env.licence, env.version, top)
    wanted = sorted({d if top is None else min(d, top) for d in difficulties})
    for difficulty in wanted:
        seen.levels[difficulty] = _level(env, difficulty, seeds, seen)
    seen.purity = _purity(reference, params, env, wanted)
    return seen


def _level(env: Environment, difficulty: int, seeds: int, seen: Seen) -> Level:
    level, problems, generating, scoring = Level(), [], [], []
    started = time.perf_counter()
    for seed in range(seeds):
        if time.perf_counter() - started > ENOUGH_SECONDS and seed >= MINIMUM:
            break
        begun = time.perf_counter()
        try:
            problems.append(env.generate(seed, difficulty))
        except Exception:  # a generator without a problem for a seed is counted
            level.ungenerated += 1
        generating.append(time.perf_counter() - begun)
    level.problems = len(problems)
    level.distinct = len({p.fingerprint for p in problems})
    if not problems:
        return level

    def judged(problem: Problem, text: str | None) -> bool:
        begun = time.perf_counter()
        try:
            score = env.score(problem, text)
        except Exception as error:  # what this suite is here to find
            seen.raised.append(f"{type(error).__name__}: {str(error)[:100]}")
            return False
        scoring.append(time.perf_counter() - begun)
        seen.timeouts += score.outcome is Outcome.TIMEOUT
        if score.outcome is Outcome.VERIFIER_ERROR:
            seen.raised.append(score.reason[:100])
        return _counts(score)

    oracles = [_oracle(env, problem) for problem in problems]
    for problem, oracle in zip(problems, oracles, strict=True):
        again = Problem(**json.loads(json.dumps(asdict(problem))))
        same = again.prompt == problem.prompt and again.fingerprint == problem.fingerprint
        if oracle is not None:
            level.oracles += 1
            level.solved += judged(problem, oracle.content)
            same = same and judged(again, oracle.content)
        level.round_trips += same
    known = [o.content for o in oracles if o is not None]
    level.guess, level.guess_text = _best_guess(problems, known, judged, started)
    bare = [final_answer(text)[0] for text in known]
    if getattr(env, "open_ended", False):
        bare = []  # a list of all answers is junk only where an answer is one thing
    for problem in problems[:JUNK_PROBLEMS]:
        rng = random.Random(problem.fingerprint)
        for kind, text in junk(problem, bare[:20], rng).items():
            if text is not None and len(text) > 200_000 and problem is not problems[0]:
                continue  # what is looked for is a hang
            right, tried = seen.junk.get(kind, (0, 0))
            seen.junk[kind] = right + judged(problem, text), tried + 1
    level.sizes = _sizes(env, problems, known)
    level.generate_p99_ms = 1000 * float(np.quantile(generating, 0.99))
    level.score_p99_ms = 1000 * float(np.quantile(scoring, 0.99)) if scoring else 0.0
    return level


def _counts(score: Score) -> bool:
    """Partial credit of a half or more is as good as right for what must know nothing."""
    return score.correct or score.reward >= 0.5


def _oracle(env: Environment, problem: Problem) -> Message | None:
    try:
        return env.oracle(problem)
    except Exception:  # counted as a problem that its oracle does not solve
        return Message("assistant", "")


def _best_guess(
    problems: Sequence[Problem], known: Sequence[str], judged: Any, started: float
) -> tuple[float, str]:
    """The commonest right answers, and short constants, tried on every problem."""
    common = [text for text, _ in Counter(known).most_common(2)]
    best, best_text = 0.0, ""
    for text in dict.fromkeys([*common, *(f"<answer>{g}</answer>" for g in GUESSES)]):
        if time.perf_counter() - started > 2 * ENOUGH_SECONDS:
            break
        # The oracle's text is right on its own problem; on one problem in n that is no guess.
        share = sum(judged(problem, text) for problem in problems) / len(problems)
        if share > best and share * len(problems) > 1.5:
            best, best_text = share, final_answer(text)[0][:40]
    return best, best_text


def _sizes(env: Environment, problems: Sequence[Problem], known: Sequence[str]) -> dict[str, float]:
    sizes = {"prompt": float(np.mean([len(p.prompt) for p in problems]))}
    if known:
        sizes["answer"] = float(np.mean([len(text) for text in known]))
    sizes["private"] = float(np.mean([len(json.dumps(dict(p.private))) for p in problems]))
    for measure in ("size", "settings"):
        declared = getattr(env, measure, None)
        if declared is not None:
            sizes[measure] = float(np.mean([declared(p.private) for p in problems]))
    return sizes


@functools.cache
def _peers() -> tuple[WorkerPool, ...]:
    """Two other processes with hash seeds of their own."""
    module = "openzaya.envs.admission.served"
    return tuple(WorkerPool(module, size=1, memory_mb=16384, hash_seed=s) for s in (1, 2))


def _purity(
    reference: str, params: Mapping[str, Any], env: Environment, wanted: Sequence[int]
) -> str:
    """Whether this process and two others make the same problems, one of them backwards."""
    from openzaya.envs.admission.served import prints_of

    asked = [(seed, difficulty) for seed in range(PURITY_SEEDS) for difficulty in wanted]
    here = prints_of(env, asked, ENOUGH_SECONDS)
    asked = asked[: len(here)]
    for pool, order in zip(_peers(), (1, -1), strict=True):
        try:
            there = pool.call(
                "prints",
                timeout=60.0 + 10.0 * len(asked),
                reference=reference,
                params=dict(params),
                asked=asked[::order],
            )
        except (CallFailed, CallTimeout) as error:
            return f"another process failed: {error}"
        differing = [
            pair
            for pair, a, b in zip(asked, here, there[::order], strict=True)
            if a and b and a != b
        ]
        if differing:
            seed, difficulty = differing[0]
            return f"{len(differing)} of {len(asked)} differ, first seed {seed} at {difficulty}"
    return ""
