"""The worker's side: reasoning-gym itself lives in child processes, see `openzaya.envs.workers`."""

from __future__ import annotations

import functools
import importlib
import json
import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext, RangeAttributeMode
from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum, create_dataset

from openzaya.envs.expressions import literal
from openzaya.envs.foreign import FORM
from openzaya.envs.reasoning_gym.faults import (
    EVALS_ANSWERS,
    FORMS,
    HIGHEST,
    MENDED,
    ONE_LEVEL,
    SIZES,
    TUPLES,
    UNSOLVED,
)
from openzaya.envs.reasoning_gym.solvers import SOLVED

INDICES = 2**31
"""Some of their generators refuse larger ones."""
_ATTEMPTS = 20


def start() -> None:
    for task in EVALS_ANSWERS:
        module = importlib.import_module(DATASETS[task][0].__module__)
        module.__dict__["eval"] = literal  # found before the built-in of this name


def names() -> dict[str, str]:
    """Every task and its family."""
    return {name: cls.__module__.split(".")[1] for name, (cls, _) in DATASETS.items()}


def describe(task: str, params: dict[str, Any]) -> dict[str, Any]:
    """The highest difficulty at which the task can be built with these params.

    Raises what the library raises if it cannot be built at all.
    """
    levels = _levels(task, json.dumps(params))
    _dataset(task, 0, json.dumps(params))
    return {"max_difficulty": len(levels) - 1}


@functools.lru_cache(maxsize=256)
def _levels(task: str, params: str) -> tuple[int, ...]:
    """The curriculum's levels that its own checks accept: some begin or end with others."""
    if not _graded(task):
        return (0,)
    attributes = create_curriculum(task).attributes.values()
    top = max((len(attribute.levels) for attribute in attributes), default=1) - 1
    accepted = []
    for level in range(min(top, HIGHEST.get(task, top)) + 1):
        try:
            _config(task, level, params)
        except Exception:
            continue
        accepted.append(level)
    return tuple(accepted) or (0,)


def generate(task: str, params: dict[str, Any], difficulty: int, seed: int) -> dict[str, Any]:
    dataset = _dataset(task, difficulty, json.dumps(params))
    entry: dict[str, Any] = {}
    for attempt in range(_ATTEMPTS):
        index = random.Random(f"{task}:{seed}:{attempt}").randrange(_size(task))
        random.seed(index)  # a few use the global generators; they are this process's own
        np.random.seed(index)
        if task == "codeio":  # its rows are the class's, overwritten by the next difficulty
            type(dataset)._jsonl_data = dataset.rows
        entry = dataset[index]
        if task not in UNSOLVED or UNSOLVED[task] not in str(entry["answer"]):
            break
    answer = SOLVED[task](entry) if task in SOLVED else entry["answer"]
    private = {"answer": str(answer), "entry": entry}
    prompt = f"{entry['question'].strip()}\n{FORM}"
    return json.loads(json.dumps({"prompt": prompt, "private": private}, default=_plain))


def score(
    task: str, params: dict[str, Any], difficulty: int, private: dict[str, Any], answer: str
) -> dict[str, Any]:
    entry = private["entry"]
    if task in TUPLES:
        entry["metadata"]["output"] = tuple(map(tuple, entry["metadata"]["output"]))
    if task in FORMS:
        if not re.fullmatch(FORMS[task], answer.strip()):
            return {"stumbled": "not in the form asked for"}
        answer = answer.replace("$", "").replace("%", "")
    try:
        if task in MENDED:
            credit = MENDED[task](answer, entry)
        else:
            dataset = _dataset(task, difficulty, json.dumps(params))
            credit = float(dataset.score_answer(answer, entry))
    except Exception as error:
        return {"stumbled": f"{type(error).__name__}: {str(error)[:200]}"}
    return {"credit": credit} if 0.0 <= credit <= 1.0 else {"stumbled": f"a credit of {credit}"}


def _graded(task: str) -> bool:
    return task in CURRICULA and task not in ONE_LEVEL


def _size(task: str) -> int:
    return SIZES.get(task, INDICES)


def _config(task: str, level: int, params: str) -> dict[str, Any]:
    """Fields of the configuration: all levels up to `level`, or where the task's own checks refuse
    the lower ones (survo), that level alone."""
    if not _graded(task):
        return _checked(task, {}, params)
    curriculum = create_curriculum(task)
    curriculum.set_global_level(level)
    modes = (RangeAttributeMode.INCLUSIVE, RangeAttributeMode.UPPER_BOUND)
    for mode in modes:
        made = curriculum.generate_configuration(context=DefaultCurriculumContext(mode))
        try:
            return _checked(task, vars(made), params)
        except Exception:
            if mode is modes[-1]:
                raise
    raise AssertionError


def _checked(task: str, fields: Mapping[str, Any], params: str) -> dict[str, Any]:
    config = dict(fields) | json.loads(params) | {"seed": 0, "size": _size(task)}
    checked = DATASETS[task][1](**config)
    if hasattr(checked, "validate"):
        checked.validate()
    return config


@functools.lru_cache(maxsize=256)
def _dataset(task: str, difficulty: int, params: str) -> Any:
    levels = _levels(task, params)
    level = levels[min(difficulty, len(levels) - 1)]
    dataset: Any = create_dataset(task, **_config(task, level, params))
    if task == "codeio":
        dataset.rows = dataset._jsonl_data
    return dataset


def _plain(value: Any) -> Any:
    """JSON for what numpy leaves in metadata."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


CALLS = {"names": names, "describe": describe, "generate": generate, "score": score}
