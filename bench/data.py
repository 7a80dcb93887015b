"""Speed of the data room: tokens per second of build and read, and what reading costs a step.

    python bench/data.py [train.jsonl] [--quick]

Builds pairs like GSM8K's (its own file, if named) with a trained vocabulary on one process. The
build is compared with the bare tokenizer on the same texts, which no build can beat. Reading is
compared with real training steps of the 50M model, 2,048 tokens each, between which batches that
nobody read before are timed; the files are in the page cache. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from openzaya.config.base import load_recipe
from openzaya.config.data import DataConfig
from openzaya.config.model import ModelRecipe
from openzaya.config.train import TrainConfig
from openzaya.data.build import build
from openzaya.data.corpus import Corpus
from openzaya.kernels import keep_freed_memory
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train.loop import Trainer

WINDOW = 2048
GOALS = {"over-tokenizer": 2.0, "read-share": 2.0}


def write_pairs(path: Path, rows: int) -> None:
    """Sums worked out step by step, in GSM8K's form."""
    rng = random.Random(0)
    with path.open("w") as file:
        for i in range(rows):
            numbers = [rng.randint(1, 9999) for _ in range(rng.randint(3, 9))]
            totals = [sum(numbers[: n + 1]) for n in range(len(numbers))]
            steps = [f"Adding {n} gives {t}." for n, t in zip(numbers, totals, strict=True)]
            question = f"Problem {i}: what is {' + '.join(map(str, numbers))}?"
            answer = "\n".join(steps) + f"\n#### {totals[-1]}"
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")


def recipe(folder: Path, file: Path, **changes: Any) -> DataConfig:
    pairs = {"form": "pairs", "prompt": "question", "answer_mark": "\n#### "}
    table = {
        "folder": str(folder), "window": WINDOW, "loss_on": "assistant",
        "sources": {"pairs": {"path": str(file), **pairs}},
    }  # fmt: skip
    return DataConfig.model_validate(table | changes)


def build_rates(file: Path, folder: Path, repeats: int) -> tuple[list[float], list[float]]:
    """(tokens per second of the build, its time over the bare tokenizer's), one of each a round."""
    build(recipe(folder / "first", file, train_vocabulary=4096))
    tokenizer = Tokenizer.load(folder / "first")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    texts = [text for row in rows for text in (row["question"], row["answer"])]
    rates, ratios = [], []
    for i in range(repeats):
        config = recipe(folder / f"again-{i}", file, tokenizer=str(folder / "first"))
        started = time.perf_counter()
        manifest = build(config)
        seconds = time.perf_counter() - started
        for text in texts:
            tokenizer.encode(text)
        ratios.append(seconds / (time.perf_counter() - started - seconds))
        rates.append(manifest["sources"]["pairs"]["report"]["tokens"] / seconds)
    return rates, ratios


def read_rates(config: DataConfig, batches: int) -> tuple[list[float], list[float]]:
    """(tokens per second, milliseconds) of batches of 8 windows."""
    corpus = Corpus.open(config)
    rates, times = [], []
    for i in range(batches):
        started = time.perf_counter()
        batch = corpus.batch(i)
        seconds = time.perf_counter() - started
        times.append(1000 * seconds)
        rates.append(batch.tokens / seconds)
    return rates, times


def step_shares(config: DataConfig, folder: Path, steps: int) -> list[float]:
    """Percent of a training step of the 50M model that reading its one window takes."""
    shape = load_recipe(ModelRecipe, "recipes/models/50m.toml").model
    one = config.model_copy(update={"windows_per_step": 1})
    table = {"steps": 10_000, "model": shape.model_dump(), "data": one.model_dump()}
    training = TrainConfig.model_validate(table)
    trainer = Trainer(training, RunDir.create(folder / "run", training))
    assert trainer.corpus is not None
    trainer.train_step()
    shares = []
    for i in range(steps):
        started = time.perf_counter()
        trainer.train_step()
        between = time.perf_counter()
        trainer.corpus.batch(1000 + i)
        shares.append(100 * (time.perf_counter() - between) / (between - started))
    trainer.close()
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="GSM8K's train.jsonl")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    arguments = parser.parse_args()
    repeats, steps, rows = (2, 4, 4000) if arguments.quick else (7, 20, 20_000)
    torch.set_num_threads(2)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = arguments.file or folder / "pairs.jsonl"
        if arguments.file is None:
            write_pairs(file, rows)
        built, ratios = build_rates(file, folder, repeats)
        config = recipe(folder / "first", file, train_vocabulary=4096)
        read, times = read_rates(config, 50 * repeats)
        shares = step_shares(config, folder, steps)
    results = []
    for title, values, unit in (
        ("build", built, "tokens/s"),
        ("over-tokenizer", ratios, "x its time"),
        ("read", read, "tokens/s"),
        ("read-ms", times, "ms per 8 windows of 2048"),
        ("read-share", shares, "% of a 50M step of 2048 tokens"),
    ):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{title:15} median {middle:12,.3f} {unit}   (min {low:,.3f}, max {high:,.3f})")
        row = {"name": f"data-{title}", "value": round(middle, 3), "unit": unit}
        if title in GOALS:
            row |= {"goal": GOALS[title], "ok": middle <= GOALS[title]}
        results.append(row)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
