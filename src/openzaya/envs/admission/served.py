"""The same problems made by another process: what purity is compared with."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from openzaya.envs.registry import build
from openzaya.types import Environment


def start() -> None:
    random.seed()  # an environment that draws from the global generators shall differ
    np.random.seed()


def prints(reference: str, params: dict[str, Any], asked: Sequence[Sequence[int]]) -> list[str]:
    pairs = [(seed, difficulty) for seed, difficulty in asked]
    return prints_of(build(reference, params), pairs, math.inf)


def prints_of(env: Environment, asked: Iterable[tuple[int, int]], seconds: float) -> list[str]:
    """A hash of prompt and private part for every (seed, difficulty); empty where none is made,
    which the probe counts. A touched global generator shows as well. Ends after `seconds`."""
    found: list[str] = []
    started = time.perf_counter()
    for seed, difficulty in asked:
        if time.perf_counter() - started > seconds:
            break
        before = random.getstate()
        try:
            problem = env.generate(seed, difficulty)
        except Exception:
            found.append("")
            continue
        touched = "" if random.getstate() == before else os.urandom(8).hex()  # equals nothing
        private = json.dumps(dict(problem.private), sort_keys=True, default=str)
        data = f"{problem.prompt}\0{private}\0{touched}"
        found.append(hashlib.blake2b(data.encode("utf-8", "surrogatepass")).hexdigest()[:16])
    return found


CALLS = {"prints": prints}
