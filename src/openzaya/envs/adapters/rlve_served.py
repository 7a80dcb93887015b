"""The worker's side of RLVE-Gym, and the mends of what its adapter must not let through.

Its generators seed the global generators of random, numpy and torch, its time limit is a thread
that cannot stop anything, and three of its scorers hand a model's text to `eval`.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from openzaya.envs.expressions import NotAnExpression, number, symbolic
from openzaya.envs.foreign import FORM

_classes: dict[str, type] = {}
_controllers: dict[str, type] = {}


def start(path: str) -> None:
    # Its one use of torch is to seed it; the stand-in spares two seconds and half a gigabyte.
    torch = types.ModuleType("torch")
    torch.__dict__["manual_seed"] = lambda seed: None
    torch.__dict__["cuda"] = types.SimpleNamespace(manual_seed_all=lambda seed: None)
    sys.modules["torch"] = torch
    sys.path.insert(0, path)
    from Gym.environments import identifier2environment  # pyright: ignore
    from Gym.parameter_controllers import identifier2controller  # pyright: ignore

    _classes.update(identifier2environment)
    _controllers.update(identifier2controller)
    for name, mend in (
        ("CountdownEqual", _mend_countdown),
        ("CountdownClose", _mend_countdown),
        ("Integral", _mend_calculus),
        ("Differentiate", _mend_calculus),
        ("PolyaModel", _mend_polya),
    ):
        mend(_classes[name])


def _mend_countdown(cls: type) -> None:
    """Its eval() on model output is held back by a pattern only; ours is arithmetic alone."""
    sys.modules[cls.__module__].__dict__["eval"] = lambda text, *scopes: number(text)


def _mend_calculus(cls: type) -> None:
    """sympify is eval() too."""

    def process(self: Any, answer: str | None) -> Any:
        try:
            return None if answer is None else symbolic(answer, {"x"})
        except NotAnExpression:
            return None

    cls._process = process  # type: ignore[attr-defined]


def _mend_polya(cls: type) -> None:
    """Theirs looks at the whole output instead of the answer in it: nothing is ever right."""

    def scorer(self: Any, output: str) -> float:
        said = self.processor(output)
        if said is None:
            return self.rewards["wrong_format"]
        right = said == self.parameter["gold_answer"]
        return self.rewards["correct_answer" if right else "wrong_answer"]

    cls.scorer = scorer  # type: ignore[attr-defined]


def version(task: str) -> str:
    """Changes with the source of the environment or of its controller."""
    files = [inspect.getsourcefile(cls[task]) or "" for cls in (_classes, _controllers)]
    data = b"".join(Path(file).read_bytes() for file in files)
    return hashlib.blake2b(data, digest_size=6).hexdigest()


@functools.lru_cache(maxsize=64)
def _made(task: str, difficulty: int, seed: int) -> Any:
    """The environment object with the problem in it: a pure function of the three."""
    rng = random.Random(f"{task}:{difficulty}:{seed}")
    controller = _controllers[task]()
    for _ in range(difficulty):
        controller.update()
    env = _classes[task]()
    env.seed = rng.randrange(2**31)
    env.parameter = copy.deepcopy(rng.choice(controller.get_parameter_list()))
    random.seed(env.seed)
    np.random.seed(env.seed)
    env._generate()
    return env


def generate(task: str, difficulty: int, seed: int) -> dict[str, Any]:
    env = _made(task, difficulty, seed)
    private: dict[str, Any] = {"seed": seed, "threshold": env.passing_reward_threshold}
    answer = env.parameter.get("reference_answer")
    if answer is not None:
        private["answer"] = str(answer)
    try:
        plain = json.loads(json.dumps(env.parameter))
        if plain == env.parameter:
            private["parameter"] = plain
    except TypeError:
        pass  # what JSON cannot hold is made again for scoring
    return {"prompt": f"{env.prompt_generator().strip()}\n{FORM}", "private": private}


def score(task: str, difficulty: int, private: dict[str, Any], answer: str) -> dict[str, Any]:
    if "parameter" in private:
        env = _classes[task]()
        env.seed, env.parameter = private["seed"], private["parameter"]
        env.passing_reward_threshold = private["threshold"]
    else:
        env = copy.deepcopy(_made(task, difficulty, private["seed"]))
    try:
        value = float(env.scorer(f"<answer>{answer}</answer>"))
    except Exception as error:
        return {"stumbled": f"{type(error).__name__}: {str(error)[:200]}"}
    if not value > -1.0 + 1e-6:  # also a value that is no number
        return {"stumbled": "not in the form asked for"}
    if value >= env.passing_reward_threshold - 1e-6:
        return {"credit": 1.0}
    return {"credit": min(max(value, 0.0), 0.99)}


CALLS = {"version": version, "generate": generate, "score": score}
