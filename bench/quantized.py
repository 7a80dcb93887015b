"""ZAYA1-8B's shape in bf16, int8 and int4 on a CPU, and what int8 and int4 change.

    python bench/quantized.py [--quick] [--folder DIR]

Speed: a packed folder of the published shape (random weights; one layer is really quantised and
written 40 times; --quick: 4 layers and 16,384 words), mapped in a fresh process, one sequence after
a prompt of 32. The bound is the bytes a token reads (its experts', everything else's, the head's)
at the speed of a copy (read and written bytes both counted) in the same process.

Quality: the tiny family's base model, trained here for 600 steps (--quick: 60), then KL of int8
and int4 against bf16 and how often both would greedily write the same token, on 200 fresh problems.
The folder is removed afterwards. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelConfig, ModelRecipe
from openzaya.config.train import TrainConfig
from openzaya.engine import Engine, packing
from openzaya.engine.packed import BITS, PackedModel, write, write_config
from openzaya.engine.runner import NativeRunner
from openzaya.kernels.network import BLOCK, Rows
from openzaya.kernels.packed import Packed
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import load_model
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train.checkpoint import weights_folder
from openzaya.train.examples import ExampleSource, environments
from openzaya.train.loop import train
from openzaya.types import SamplingParams

GOAL_GB, GOAL_SHARE = 7.0, 0.4
PROMPT, TOKENS = 32, 24


def build(folder: Path, config: ModelConfig, bits: int) -> float:
    """One layer and the head, quantised from random weights; the layer as often as there are."""
    one = config.model_copy(update={"num_hidden_layers": 2})
    with torch.device("meta"):
        model = ZayaForCausalLM(one)
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    model.tie()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.uniform_(-0.035, 0.035)
            else:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
        for bias in model.balancing_biases:
            bias.zero_()
            bias[config.num_experts :] = -1.0
    form = BITS[bits]
    first, other = packing.pack_layers(model, form)  # layer 0 has no depth average
    write(first, folder / "layer-00000.safetensors")
    write(other, folder / "layer-00001.safetensors")
    for i in range(2, config.num_hidden_layers):
        shutil.copyfile(folder / "layer-00001.safetensors", folder / f"layer-{i:05d}.safetensors")
    head, vectors = packing.pack_rest(model, form)
    write({"head": head, **vectors}, folder / "rest.safetensors")
    write_config(config, folder, bits)
    return sum(f.stat().st_size for f in folder.iterdir()) / 1e9


def copy_bandwidth() -> float:
    """Bytes per second that a copy moves: read and written, as STREAM counts. The best of four."""
    a = torch.empty(256 << 20, dtype=torch.uint8).fill_(1)
    b = torch.empty_like(a)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        b.copy_(a)
        times.append(time.perf_counter() - started)
    return 2 * a.nbytes / min(times)


def resident() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no /proc/self/status here: memory is measured on Linux only")


def measure(folder: Path) -> None:
    """Child process: map, read everything once, decode; prints figures."""
    started = time.perf_counter()
    model = PackedModel.open(folder)
    opened = time.perf_counter() - started
    engine = Engine(model, -1, max_sequences=1, cache_bytes=256 << 20)
    for layer in model.layers:
        for part in layer.values():
            if isinstance(part, Packed):
                part.words.view(-1)[::512].sum()
    model.head.words.view(-1)[::512].sum()
    prompt = [2, *range(1000, 1000 + PROMPT - 1)]
    engine.generate([prompt], [SamplingParams(2, seed=1)])
    bandwidth, rates, shares = [], [], []
    for i in range(3):
        bandwidth.append(copy_bandwidth())
        engine.scheduler.blocks.flush()
        from openzaya.engine import Sequence

        s = Sequence(prompt, SamplingParams(TOKENS + 1, seed=i), keep_experts=True)
        engine.add(s)
        engine.step()
        began = time.perf_counter()
        while engine.busy:
            engine.step()
        taken = time.perf_counter() - began
        assert s.experts is not None
        read = bytes_read(model, s.experts[PROMPT:])
        rates.append(TOKENS / taken)
        shares.append(read / bandwidth[-1] / taken)
    print(json.dumps({
        "resident": resident() / 1e9, "opened": opened, "rate": rates, "share": shares,
        "bandwidth": statistics.median(bandwidth) / 1e9, "gb_per_token": read / TOKENS / 1e9,
    }))  # fmt: skip


def bytes_read(model: PackedModel, choices_NL: Any) -> float:
    """Of weights, by the tokens whose experts these are."""
    total = float(model.head.nbytes) * len(choices_NL)
    for i, layer in enumerate(model.layers):
        stacks = [layer[n].nbytes for n in ("w1", "w2")]  # type: ignore[union-attr]
        all_bytes = sum(p.nbytes for p in layer.values() if p is not None)
        expert = sum(stacks) / model.config.num_experts
        worked = int((choices_NL[:, i] < model.config.num_experts).sum())
        total += (all_bytes - sum(stacks)) * len(choices_NL) + expert * worked
    return total


def speed(root: Path, quick: bool, results: list[dict[str, Any]]) -> None:
    config = load_recipe(ModelRecipe, "recipes/models/zaya1-8b.toml").model
    if quick:
        config = config.model_copy(update={"num_hidden_layers": 4, "vocab_size": 16384})
    for bits in BITS:
        folder = root / f"bits-{bits}"
        folder.mkdir()
        size = build(folder, config, bits)
        command = [sys.executable, __file__, "--measure", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        got = json.loads(done.stdout.splitlines()[-1])
        shutil.rmtree(folder)
        rate, share = statistics.median(got["rate"]), statistics.median(got["share"])
        print(
            f"{bits:2} bits  {size:5.2f} GB on disk, mapped in {got['opened']:.2f} s, resident "
            f"{got['resident']:5.2f} GB, {rate:6.2f} tokens/s ({min(got['rate']):.2f} to "
            f"{max(got['rate']):.2f}): {share:.0%} of the bound of {got['gb_per_token']:.2f} GB a "
            f"token at {got['bandwidth']:.1f} GB/s"
        )
        goal = bits == 4
        results.append(
            {"name": f"8b-{bits}-resident", "value": round(got["resident"], 2), "unit": "GB"}
            | ({"goal": GOAL_GB, "ok": got["resident"] < GOAL_GB} if goal else {})
        )
        results.append({"name": f"8b-{bits}-decode", "value": round(rate, 2), "unit": "tokens/s"})
        results.append(
            {"name": f"8b-{bits}-share", "value": round(share, 3), "unit": "of bound"}
            | ({"goal": GOAL_SHARE, "ok": share >= GOAL_SHARE} if goal else {})
        )


@torch.inference_mode()
def quality(root: Path, quick: bool, results: list[dict[str, Any]]) -> None:
    config = load_recipe(
        TrainConfig, "recipes/tiny/pretrain.toml", [f"steps={60 if quick else 600}"]
    )
    with torch.inference_mode(False), RunDir.create(root / "run", config) as run:
        train(config, run)
    folder = weights_folder(root / "run")
    model, tokenizer = load_model(folder), Tokenizer.load(folder)
    source = ExampleSource(
        config.tasks, environments(config.tasks), tokenizer, config.examples, config.think, 999
    )
    texts = [e.ids for e in source.batch(10**6).examples][:200]
    logits = {
        bits: run_all(PackedModel.of(model.bfloat16() if bits == 16 else model, form), texts)
        for bits, form in BITS.items()
    }
    want = logits[16].log_softmax(-1)
    for bits in (8, 4):
        got = logits[bits].log_softmax(-1)
        kl = (want.exp() * (want - got)).sum(-1)
        same = (want.argmax(-1) == got.argmax(-1)).float().mean().item()
        print(
            f"int{bits} against bf16 on {len(want)} tokens: KL {kl.mean():.2e} (99% below "
            f"{kl.quantile(0.99):.2e}), same greedy token {same:.2%}"
        )
        results.append(
            {"name": f"int{bits}-kl", "value": float(f"{kl.mean():.3g}"), "unit": "nats"}
        )
        results.append({"name": f"int{bits}-greedy", "value": round(same, 4), "unit": "agreement"})


def run_all(model: PackedModel, texts: list[Any]) -> torch.Tensor:
    """Logits of every token of every text."""
    longest = max(map(len, texts))
    width = -(-longest // BLOCK)
    runner = NativeRunner(model, width, 1)
    out = []
    for text in texts:
        n = len(text)
        one = torch.tensor([0])
        rows = Rows(
            torch.tensor([int(t) for t in text]), one, torch.tensor([n]), one, one.int(),
            torch.arange(width, dtype=torch.int32)[None], torch.arange(n, dtype=torch.int32),
        )  # fmt: skip
        out.append(runner.forward(rows)[0].clone())
    return torch.cat(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--folder", type=Path, default=None, help="where to write, on a real disk")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    root = Path(tempfile.mkdtemp(prefix="quantized-", dir=arguments.folder))
    results: list[dict[str, Any]] = []
    try:
        speed(root, arguments.quick, results)
        quality(root, arguments.quick, results)
    finally:
        shutil.rmtree(root)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
