"""Small raw data, and recipes over it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openzaya.config.data import DataConfig

Recipe = Callable[..., DataConfig]


def _problem(rng: random.Random) -> dict[str, Any]:
    numbers = [rng.randint(1, 99) for _ in range(rng.randint(2, 9))]
    steps = "\n".join(f"add {n} to get {sum(numbers[: i + 1])}" for i, n in enumerate(numbers))
    question = f"What is {' + '.join(map(str, numbers))}?"
    return {"question": question, "answer": f"{steps}\n#### {sum(numbers)}"}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pairs in two files, and 80 texts in one."""
    folder, rng = tmp_path_factory.mktemp("raw"), random.Random(0)
    for name in ("a", "b"):
        rows = [json.dumps(_problem(rng)) for _ in range(150)]
        (folder / f"pairs-{name}.jsonl").write_text("\n".join(rows) + "\n")
    words = ["the", "sum", "of", "two", "positive", "numbers", "is", "larger", "than", "either"]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 200))) for _ in range(80)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return folder


@pytest.fixture
def recipe(raw: Path, tmp_path: Path) -> Recipe:
    """A recipe over both sources; keyword arguments replace keys of [data]."""

    def make(**changes: Any) -> DataConfig:
        table: dict[str, Any] = {
            "folder": str(tmp_path / "built"),
            "window": 128,
            "train_vocabulary": 320,
            "held_out": 0.1,
            "windows_per_step": 6,
            "sources": {
                "sums": {
                    "path": str(raw / "pairs-*.jsonl"),
                    "form": "pairs",
                    "prompt": "question",
                    "answer_mark": "\n#### ",
                    "weight": 3.0,
                },
                "prose": {"path": str(raw / "text.jsonl"), "weight": 1.0},
            },
        }
        return DataConfig.model_validate(table | changes)

    return make
