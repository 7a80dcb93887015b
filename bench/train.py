"""Training speed beside TRL's SFTTrainer on transformers: the same model, data and machine.

    python bench/train.py [--quick]

The 10M shape on generated arithmetic texts, 8 windows of 1,024 tokens a step, everything included:
reading, forward, backward, clipping, optimizer, logging. We pack whole documents and never look
across their edges, with Muon; TRL gets rows that are exactly full (its fastest input: no padding,
no document masks) and fused AdamW. Rounds alternate. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelRecipe
from openzaya.config.train import TrainConfig
from openzaya.data.build import build
from openzaya.kernels import keep_freed_memory
from openzaya.model.checkpoint import save_model
from openzaya.run_dir import RunDir
from openzaya.train.loop import Trainer

GOAL = 2.0
WINDOW, WINDOWS = 1024, 8


def write_texts(path: Path, rows: int) -> None:
    """Sums worked out step by step: about 150 tokens each."""
    rng = random.Random(0)
    with path.open("w") as file:
        for _ in range(rows):
            numbers = [rng.randint(1, 9999) for _ in range(rng.randint(3, 12))]
            totals = [sum(numbers[: i + 1]) for i in range(len(numbers))]
            steps = [f"adding {n} gives {t}" for n, t in zip(numbers, totals, strict=True)]
            text = f"What is {' + '.join(map(str, numbers))}? " + ", then ".join(steps) + "."
            file.write(json.dumps({"text": text}) + "\n")


class Ours:
    """A training run of this package."""

    name = "openzaya"

    def __init__(self, folder: Path) -> None:
        write_texts(folder / "texts.jsonl", 20_000)
        shape = load_recipe(ModelRecipe, "recipes/models/10m.toml").model
        config = TrainConfig.model_validate(
            {
                "steps": 10_000,
                "model": shape.model_dump(),
                "data": {
                    "folder": str(folder / "data"),
                    "window": WINDOW,
                    "windows_per_step": WINDOWS,
                    "train_vocabulary": 4096,
                    "sources": {"sums": {"path": str(folder / "texts.jsonl")}},
                },
                "watch": {"spike": None},
            }
        )
        assert config.data is not None
        build(config.data)
        self.run = RunDir.create(folder / "run", config)
        self.trainer = Trainer(config, self.run)

    def rate(self, steps: int) -> float:
        """Tokens per second, the first step left out."""
        for _ in range(steps):
            self.trainer.train_step()
        done = [m["tokens"] for m in self.run.metrics()[-steps:]]
        seconds = sum(m["seconds"] for m in self.run.metrics()[-steps + 1 :])
        return (done[-1] - done[0]) / seconds


class Theirs:
    """The same weights and tokens in TRL's SFTTrainer."""

    name = "trl"

    def __init__(self, folder: Path, ours: Ours) -> None:
        import transformers
        from datasets import Dataset

        transformers.logging.set_verbosity_error()
        (folder / "weights").mkdir()
        save_model(ours.trainer.model, folder / "weights")
        ours.trainer.tokenizer.save(folder / "weights")
        assert ours.trainer.corpus is not None
        documents = ours.trainer.corpus.train["sums"].documents
        stream = [int(i) for n in range(len(documents)) for i in documents[n].ids]
        rows = [stream[i : i + WINDOW] for i in range(0, len(stream) - WINDOW, WINDOW)]
        self.data = Dataset.from_dict({"input_ids": rows})
        self.folder = folder
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "weights")
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "weights", dtype=torch.float32
        )
        self.experts = max(("grouped_mm", "eager"), key=lambda name: self._rate(name, 2))

    def rate(self, steps: int) -> float:
        return self._rate(self.experts, steps)

    def _rate(self, experts: str, steps: int) -> float:
        from transformers import TrainerCallback
        from trl import SFTConfig, SFTTrainer

        begins: list[float] = []

        class Clock(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                begins.append(time.perf_counter())

            def on_train_end(self, *_: Any, **__: Any) -> None:
                begins.append(time.perf_counter())

        self.model.set_experts_implementation(experts)
        settings = SFTConfig(
            output_dir=str(self.folder / "trl"), max_steps=steps, use_cpu=True, bf16=False,
            per_device_train_batch_size=WINDOWS, max_length=WINDOW, packing=False,
            gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to=[],
            disable_tqdm=True, optim="adamw_torch_fused", dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = SFTTrainer(
            model=self.model, args=settings, train_dataset=self.data,
            processing_class=self.tokenizer, callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
        return WINDOWS * WINDOW * (steps - 1) / (begins[-1] - begins[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    rounds, steps = (2, 3) if parser.parse_args().quick else (7, 6)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        ours = Ours(Path(name))
        theirs = Theirs(Path(name), ours)
        ours.rate(2)
        rates: dict[str, list[float]] = {ours.name: [], theirs.name: []}
        for _ in range(rounds):
            rates[ours.name].append(ours.rate(steps))
            rates[theirs.name].append(theirs.rate(steps))
    for side, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{side:9} median {middle:6.0f} tokens/s   (min {low:.0f}, max {high:.0f})")
    ratios = [a / b for a, b in zip(rates[ours.name], rates[theirs.name], strict=True)]
    print(f"experts of transformers: {theirs.experts}")
    print(f"ratio {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")
    value = round(statistics.median(ratios), 2)
    print(
        json.dumps(
            {
                "name": "train-ratio",
                "value": value,
                "unit": "x TRL on transformers",
                "goal": GOAL,
                "ok": value >= GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
