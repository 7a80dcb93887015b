"""ZAYA1-8B at full size on a machine with 24 GB: random weights in shards, mapped, 16 tokens.

    python bench/load_8b.py [--quick] [--folder DIR]

Writes a bf16 checkpoint of the published shape (17.7 GB; --quick: 4 of its 40 layers), loads it
memory-mapped in a fresh process, generates 16 tokens after a prompt of 32 and reports that
process's peak resident set. The folder is removed afterwards. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelRecipe
from openzaya.engine import Engine
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import load_model
from openzaya.model.hf_config import to_hf
from openzaya.types import SamplingParams

GOAL_GB = 20.0
SHARDS = 4
PROMPT, TOKENS = 32, 16


def write(folder: Path, layers: int) -> float:
    """A checkpoint nobody trained, one shard in memory at a time; returns its size in GB."""
    config = load_recipe(ModelRecipe, "recipes/models/zaya1-8b.toml").model
    config = config.model_copy(update={"num_hidden_layers": layers})
    with torch.device("meta"):
        shapes = ZayaForCausalLM(config).state_dict()
    del shapes["lm_head.weight"]
    total = sum(t.numel() for t in shapes.values()) * 2
    torch.manual_seed(0)
    places: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    number = filled = 0
    for i, (name, shape) in enumerate(shapes.items()):
        kind = torch.float32 if name.endswith("balancing_biases") else torch.bfloat16
        tensor = torch.empty(shape.shape, dtype=kind)
        if name.endswith("balancing_biases"):
            tensor.zero_()[-1] = -1.0
        elif tensor.dim() > 1:
            tensor.uniform_(-0.035, 0.035)
        else:
            tensor.fill_(0.0 if name.endswith("bias") else 1.0)
        shard[name] = tensor
        filled += tensor.numel() * 2
        if filled >= total / SHARDS or i + 1 == len(shapes):
            number += 1
            file = f"model-{number:05d}-of-{SHARDS:05d}.safetensors"
            places |= dict.fromkeys(shard, file)
            save_file(shard, folder / file, metadata={"format": "pt"})
            shard, filled = {}, 0
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(to_hf(config, "bfloat16")))
    return total / 1e9


def peak_rss() -> float:
    """Largest resident set of this process so far in bytes. getrusage would count the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no /proc/self/status here: peak memory is measured on Linux only")


def generate(folder: Path) -> None:
    """Child process: load, generate, print what it took."""
    started = time.perf_counter()
    model = load_model(folder)
    loaded = time.perf_counter()
    engine = Engine(model, end_id=-1)
    prompt = [2, *range(1000, 1000 + PROMPT - 1)]
    first = engine.generate([prompt], [SamplingParams(1, seed=1)])
    warm = time.perf_counter()
    done = engine.generate([prompt], [SamplingParams(TOKENS, seed=1)])
    finished = time.perf_counter()
    assert len(done[0].tokens) == TOKENS and done[0].tokens[:1] == first[0].tokens
    peak = peak_rss() / 1e9
    took = (loaded - started, warm - loaded, finished - warm)
    print(json.dumps({"peak_gb": peak, "load_s": took[0], "cold_s": took[1], "warm_s": took[2]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 of 40 layers, under a minute")
    parser.add_argument("--folder", type=Path, default=None, help="where to write, on a real disk")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        generate(arguments.child)
        return
    folder = Path(tempfile.mkdtemp(prefix="zaya1-8b-", dir=arguments.folder))
    try:
        started = time.perf_counter()
        size = write(folder, 4 if arguments.quick else 40)
        print(f"wrote {size:.1f} GB in {SHARDS} shards: {time.perf_counter() - started:.0f} s")
        line = subprocess.check_output([sys.executable, __file__, "--child", str(folder)])
    finally:
        shutil.rmtree(folder)
    found = json.loads(line.splitlines()[-1])
    print(f"load {found['load_s']:.1f} s, first token from disk {found['cold_s']:.1f} s")
    print(
        f"prompt of {PROMPT} and {TOKENS} tokens {found['warm_s']:.1f} s, "
        f"peak resident set {found['peak_gb']:.1f} GB"
    )
    name = "load-8b-peak" + ("-quick" if arguments.quick else "")
    ok = found["peak_gb"] < GOAL_GB
    result = {"name": name, "value": round(found["peak_gb"], 2), "unit": "GB", "goal": GOAL_GB}
    print(json.dumps([result | {"ok": ok}]))


if __name__ == "__main__":
    main()
