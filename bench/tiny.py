"""Speed of the tiny family: training and generation tokens per second.

    python bench/tiny.py [--quick]

The goals are what a dense prototype of the same width reached on two threads of the same kind of
machine (training 19,000 and generation 10,000 tokens per second). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from openzaya.config.base import load_recipe
from openzaya.config.train import TrainConfig
from openzaya.engine import Engine
from openzaya.model import ZayaForCausalLM
from openzaya.optim.groups import build_optimizers
from openzaya.train.examples import ExampleSource, build_tokenizer, environments
from openzaya.train.loss import Stream, expert_counts, next_token_loss
from openzaya.types import SamplingParams

GOALS = {"train": 19_000, "generate": 10_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    repeats = 5 if parser.parse_args().quick else 20
    torch.set_num_threads(2)

    config = load_recipe(TrainConfig, "recipes/tiny/pretrain.toml")
    assert config.model is not None
    envs = environments(config.tasks)
    tokenizer = build_tokenizer(envs, config.think)
    shape = config.model.model_copy(update={"vocab_size": tokenizer.vocab_size})
    model = ZayaForCausalLM(shape).initialise(0)
    optimizers = build_optimizers(model, config.optim)
    source = ExampleSource(config.tasks, envs, tokenizer, config.examples, config.think, 0)

    def train(step: int) -> float:
        """Tokens per second of one whole step, batch construction included."""
        started = time.perf_counter()
        stream = Stream.of(source.batch(step).examples)
        loss, out = next_token_loss(model, stream)
        loss.backward()
        optimizers.step(1.0, expert_counts(out.experts_NL, shape.router_classes))
        return stream.layout.tokens / (time.perf_counter() - started)

    def generate(step: int) -> float:
        """Generated tokens per second: 768 sequences of 24 tokens after a 20-token prompt."""
        engine = Engine(model, end_id=-1)  # an id that is never drawn: every row runs to its end
        prompts = [[1 + (i + j) % 60 for j in range(20)] for i in range(768)]
        params = [SamplingParams(24, seed=step * 768 + i) for i in range(768)]
        started = time.perf_counter()
        done = engine.generate(prompts, params)
        return sum(len(s.tokens) for s in done) / (time.perf_counter() - started)

    rows = {"train": [], "generate": []}
    train(0), generate(0)
    for step in range(1, repeats + 1):  # alternately: both see the same neighbours
        rows["train"].append(train(step))
        rows["generate"].append(generate(step))
    results = []
    for name, values in rows.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:9} median {middle:8.0f} tokens/s   (min {low:.0f}, max {high:.0f})")
        goal = GOALS[name]
        results.append(
            {
                "name": f"tiny-{name}",
                "value": round(middle),
                "unit": "tokens/s",
                "goal": goal,
                "ok": middle >= goal,
            }
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
