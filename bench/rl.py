"""RL beside TRL's GRPOTrainer, and asynchronous beside synchronous.

    python bench/rl.py [--quick]

trl        Rollouts and training together, tokens written per second: the tiny demo shape, the same
           weights, prompts, group size, lengths and rewards, one optimizer step per batch on either
           side. TRL generates with transformers. A reward is a coin thrown by the text itself, so
           that every group has a contrast and no side can leave one out. Rounds alternate.
async      The same work with `max_staleness` 2 and 0: two sampler processes and a trainer on this
           machine. Lengths are log-normal with a heavy tail, drawn from (group, slot): equal for
           both.
simulated  The report's warm-up on simulated machines (recipes/simulate/report-scale.toml), with an
           update of the samplers' weights after every step, and after every second one.

Every part's last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import tempfile
import time
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelRecipe
from openzaya.config.rl import RLConfig
from openzaya.config.simulate import SimulateConfig
from openzaya.config.train import ThinkConfig
from openzaya.envs import build
from openzaya.envs.running_total import RunningTotal
from openzaya.kernels import keep_freed_memory
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.rl.loop import RLTrainer
from openzaya.rl.orchestrator import Group
from openzaya.rl.rollout import Judged
from openzaya.rl.simulate import compare
from openzaya.run_dir import RunDir
from openzaya.train.examples import build_tokenizer
from openzaya.ttc.draws import derived_seed
from openzaya.types import Completion, Outcome, Request, Score

GOALS = {"trl": 5.0, "async": 1.5, "simulated": 2.0}
PROMPTS, GROUP, BUDGET = 16, 8, 96
MEDIAN, SIGMA, LONGEST = 40, 1.2, 1200
"""Tokens of a rollout in the part `async`: mean 80, one in a hundred above 600."""


def coin(text: str) -> float:
    return float(zlib.crc32(text.encode()) % 2)


def weights(folder: Path) -> Path:
    """Fresh weights of the demo's shape, in a folder that both sides read."""
    env = build("running_total", {})
    tokenizer = build_tokenizer({"running_total": env}, ThinkConfig())
    shape = load_recipe(ModelRecipe, "recipes/tiny/pretrain.toml").model
    shape = shape.model_copy(
        update={"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 2048}
    )
    out = folder / "weights"
    out.mkdir()
    save_model(ZayaForCausalLM(shape).initialise(0), out)
    tokenizer.save(out)
    return out


class Coined(RLTrainer):
    """Our loop with the coin for a verifier, and, for `async`, with lengths of its own."""

    heavy = False

    async def _judge(self, group: Group[Judged], completion: Completion) -> Judged:
        reward = coin(completion.text)
        verdict = Outcome.CORRECT if reward else Outcome.WRONG
        return Judged(completion, Score(reward, verdict), reward)

    def _request(self, group: Group[Judged], slot: int) -> Request:
        request = super()._request(group, slot)
        if not self.heavy:
            return request
        u, v = (derived_seed(group.id, slot, part) % 2**32 / 2**32 for part in "uv")
        normal = math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
        length = min(self.config.think.budget, max(1, round(MEDIAN * math.exp(SIGMA * normal))))
        never = ((self.think_ids.end, -100.0),)
        params = replace(request.params, max_tokens=length, logit_bias=never)
        return replace(request, params=params)


def config(start: Path, **more: Any) -> RLConfig:
    return RLConfig.model_validate(
        {
            "init_from": str(start),
            "steps": 10_000,
            "prompts_per_step": PROMPTS,
            "group_size": GROUP,
            "aggregation_share": 0.0,
            "tasks": {"running_total": {"environment": RunningTotal.name}},
            "think": {"budget": BUDGET},
            "optim": {"lr": 1e-5, "momentum": 0.0, "weight_decay": 0.0},
            "dev": {"problems": 1},
            "gate": {"every": 0},
        }
        | more
    )


class Ours:
    """Our loop in one process, synchronous."""

    name = "openzaya"

    def __init__(self, folder: Path, start: Path) -> None:
        settings = config(start)
        self.run = RunDir.create(folder / "ours", settings)
        self.trainer = Coined(settings, self.run)

    def rate(self, steps: int) -> float:
        """Tokens written and trained on, per second; the first step is left out."""
        self.trainer.train_step()
        started, before = time.perf_counter(), self.trainer.tokens
        for _ in range(steps):
            self.trainer.train_step()
        return (self.trainer.tokens - before) / (time.perf_counter() - started)


class Theirs:
    """TRL's GRPOTrainer on transformers, from the same folder."""

    name = "trl"

    def __init__(self, folder: Path, start: Path) -> None:
        import transformers
        from datasets import Dataset

        transformers.logging.set_verbosity_error()
        self.folder = folder
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(start, padding_side="left")
        self.model = transformers.AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
        env = build("running_total", {})
        turns = [[{"role": "user", "content": env.generate(i).prompt}] for i in range(4096)]
        self.data = Dataset.from_dict({"prompt": turns})
        self.experts = max(("grouped_mm", "eager"), key=lambda name: self._rate(name, 1))

    def rate(self, steps: int) -> float:
        return self._rate(self.experts, steps)

    def _rate(self, experts: str, steps: int) -> float:
        from transformers import PrinterCallback, TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        begins: list[float] = []
        written: list[int] = []

        class Clock(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                begins.append(time.perf_counter())

            def on_train_end(self, *_: Any, **__: Any) -> None:
                begins.append(time.perf_counter())

        def reward(completions: Any, completion_ids: Any, **_: Any) -> list[float]:
            written.append(sum(map(len, completion_ids)))
            return [coin(turns[-1]["content"]) for turns in completions]

        self.model.set_experts_implementation(experts)
        settings = GRPOConfig(
            output_dir=str(self.folder / "trl"), max_steps=steps + 1, use_cpu=True, bf16=False,
            per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP,
            max_completion_length=BUDGET, temperature=1.0, top_k=0, top_p=1.0, beta=0.0,
            num_iterations=1, steps_per_generation=1, loss_type="dr_grpo",
            gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to=[],
            disable_tqdm=True, optim="adamw_torch_fused", learning_rate=1e-5,
            dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=self.model, args=settings, train_dataset=self.data, reward_funcs=reward,
            processing_class=self.tokenizer, callbacks=[Clock()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return sum(written[1 : steps + 1]) / (begins[-1] - begins[1])


def beside_trl(folder: Path, start: Path, quick: bool) -> bool:
    rounds, steps = (1, 1) if quick else (5, 4)
    ours, theirs = Ours(folder, start), Theirs(folder, start)
    rates: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for _ in range(rounds):
        rates[ours.name].append(ours.rate(steps))
        rates[theirs.name].append(theirs.rate(steps))
    ours.trainer.close()
    ours.run.close()
    for side, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{side:12} median {middle:8.0f} tokens/s   (min {low:.0f}, max {high:.0f})")
    print(f"experts of transformers: {theirs.experts}")
    ratios = [a / b for a, b in zip(rates[ours.name], rates[theirs.name], strict=True)]
    return told("trl", statistics.median(ratios), "x TRL's GRPOTrainer")


class Heavy(Coined):
    heavy = True


def beside_synchronous(folder: Path, start: Path, quick: bool) -> bool:
    rounds, steps = (1, 3) if quick else (3, 12)
    torch.set_num_threads(1)  # as many processes as cores, and the trainer
    rates: dict[str, list[float]] = {"asynchronous": [], "synchronous": []}
    for n in range(rounds):
        for side, staleness in (("asynchronous", 2), ("synchronous", 0)):
            settings = config(
                start, samplers={"processes": 2}, asynchrony={"max_staleness": staleness},
                think={"budget": LONGEST},
                # The end token is forbidden: lengths are ours, and the gate would rightly complain.
                gate={"every": 0, "kl": 1.0, "pearson": -1.0},
            )  # fmt: skip
            with RunDir.create(folder / f"{side}{n}", settings) as run:
                trainer = Heavy(settings, run)
                trainer.train_step()
                started, before = time.perf_counter(), trainer.tokens
                for _ in range(steps):
                    trainer.train_step()
                seconds = time.perf_counter() - started
                rates[side].append((trainer.tokens - before) / seconds)
                trainer.close()
    for side, values in rates.items():
        print(f"{side:12} median {statistics.median(values):8.0f} tokens/s")
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    return told("async", statistics.median(ratios), "x the synchronous loop")


def simulated(quick: bool) -> bool:
    recipe = "recipes/simulate/report-scale.toml"
    size = ["steps=10"] if quick else []
    ratios = []
    for every in (1, 2):
        keys = [f"asynchrony.sync_every={every}", *size]
        found = compare(load_recipe(SimulateConfig, recipe, keys))
        ratios.append(found["ratio"])
        sides = [found[side]["tokens_per_second"] for side in ("recipe", "synchronous")]
        print(
            f"max_staleness 2, sync_every {every}: {sides[0]:,.0f} tokens/s against {sides[1]:,.0f}"
            f" synchronous, {found['ratio']:.2f}x"
        )
    return told("simulated", ratios[0], "x the synchronous loop")


def told(part: str, value: float, unit: str) -> bool:
    ok = value >= GOALS[part]
    line = {"name": f"rl-{part}", "value": round(value, 2), "unit": unit, "goal": GOALS[part]}
    print(json.dumps(line | {"ok": ok}), flush=True)
    return ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--part", choices=list(GOALS), help="one part alone")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = weights(folder)
        if args.part in (None, "simulated"):
            simulated(args.quick)
        if args.part in (None, "trl"):
            beside_trl(folder, start, args.quick)
        if args.part in (None, "async"):
            beside_synchronous(folder, start, args.quick)


if __name__ == "__main__":
    main()
