"""Training step and prefill of the network beside transformers' `zaya`.

    python bench/model.py [--quick] [--device cuda]

One process runs both sides alternately on the 50M size, each with the data type, thread count and
experts implementation that was fastest in a short calibration. A training step is 4 documents of
512 tokens with the same fused AdamW on both sides; prefill is one prompt of 2,048 tokens that fills
a cache and yields the last token's logits. Peak memory is taken in fresh processes. The fraction is
of the fp32 (CUDA: bf16) matrix-product rate measured in the same rounds; FLOPs as in
`openzaya.model.account`. On CUDA the 8B shape follows: training without an optimizer (its states
do not fit beside bf16 weights and gradients), prefill and decode. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelConfig, ModelRecipe
from openzaya.kernels import keep_freed_memory
from openzaya.model import DecodeState, Layout, ZayaForCausalLM
from openzaya.model.account import decode_flops, prefill_flops, training_flops
from openzaya.train.loss import Stream, next_token_loss

GOAL = 2.0
ROWS, LENGTH, PROMPT = 4, 512, 2048
Run = Callable[[], None]


class Ours:
    """A model of ours and the three workloads on it."""

    name = "openzaya"

    def __init__(self, config: ModelConfig, dtype: torch.dtype, device: str, adam: bool) -> None:
        self.config, self.dtype, self.device = config, dtype, device
        with torch.device("meta"):
            self.model = ZayaForCausalLM(config)
        self.model.to_empty(device=device).tie()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.normal_(0, 0.02) if parameter.dim() > 1 else parameter.fill_(0.5)
            for bias in self.model.balancing_biases:
                bias.zero_()
                bias[-1] = -1.0
        self.model.to(dtype)
        for block, bias in zip(self.model.model.layers, self.model.balancing_biases, strict=True):
            block.mlp.gate.balancing_biases = bias.float()  # type: ignore[union-attr]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True) if adam else None

    def train(self, ids: torch.Tensor) -> None:
        """ids (rows, length)."""
        rows, length = ids.shape
        flat = ids.flatten()
        at = torch.arange(rows * length, device=self.device).view(rows, length)[:, :-1].flatten()
        layout = Layout.of([length] * rows, device=self.device)
        loss, _ = next_token_loss(self.model, Stream(flat, layout, at, flat[at + 1]))
        loss.backward()
        if self.optimizer is not None:
            self.optimizer.step()
        self.model.zero_grad()

    @torch.inference_mode()
    def prefill(self, ids: torch.Tensor) -> DecodeState:
        """ids (length)."""
        state = DecodeState.empty(self.config, 1, len(ids) + 64, self.dtype, self.device)
        layout = Layout.of([len(ids)], device=self.device)
        self.model.logits(self.model(ids, layout, state, last_only=True).hidden_ND)
        return state

    @torch.inference_mode()
    def decode(self, ids: torch.Tensor, steps: int) -> None:
        state = self.prefill(ids)
        token = ids[:1]
        for _ in range(steps):
            out = self.model(token, Layout.of([1], state.lengths, self.device), state)
            token = self.model.logits(out.hidden_ND).argmax(-1)


class Theirs:
    """The same of transformers."""

    name = "transformers"

    def __init__(
        self, config: ModelConfig, dtype: torch.dtype, device: str, adam: bool, experts: str
    ) -> None:
        from transformers import ZayaConfig
        from transformers import ZayaForCausalLM as Model

        keys = (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim",
            "num_key_value_heads", "num_experts", "moe_intermediate_size", "router_hidden_size",
            "max_position_embeddings",
        )  # fmt: skip
        shape = ZayaConfig(**{key: getattr(config, key) for key in keys}, eos_token_id=None)
        torch.set_default_dtype(dtype)
        with torch.device(device):
            self.model = Model(shape)
        torch.set_default_dtype(torch.float32)
        self.model.set_experts_implementation(experts)
        for layer in self.model.model.layers:  # as initialised, keys are zero
            torch.nn.init.ones_(layer.self_attn.qk_norm.temp)
            layer.mlp.gate.balancing_biases = layer.mlp.gate.balancing_biases.float()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True) if adam else None

    def train(self, ids: torch.Tensor) -> None:
        self.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        if self.optimizer is not None:
            self.optimizer.step()
        self.model.zero_grad()

    @torch.inference_mode()
    def prefill(self, ids: torch.Tensor) -> Any:
        return self.model(input_ids=ids[None], logits_to_keep=1, use_cache=True).past_key_values

    @torch.inference_mode()
    def decode(self, ids: torch.Tensor, steps: int) -> None:
        cache, token = self.prefill(ids), ids[:1]
        for _ in range(steps):
            out = self.model(input_ids=token[None], past_key_values=cache, use_cache=True)
            token = out.logits[0, -1:].argmax(-1)


def seconds(run: Run) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def choices(device: str, quick: bool) -> list[tuple[torch.dtype, int, str]]:
    """Data type, threads and experts implementation to choose from."""
    if device == "cuda":
        return [(torch.bfloat16, 1, name) for name in ("grouped_mm", "eager")]
    every = torch.get_num_threads()
    threads = [every] if quick else sorted({1, every})
    return list(
        itertools.product((torch.float32, torch.bfloat16), threads, ("grouped_mm", "eager"))
    )


def calibrate(
    make: Callable[[torch.dtype, str], Ours | Theirs],
    workload: str,
    ids: torch.Tensor,
    settings: list[tuple[torch.dtype, int, str]],
) -> tuple[Ours | Theirs, int, str]:
    """The fastest setting on an eighth of the workload: the built side, its threads, a label."""
    best: tuple[float, Ours | Theirs, int, str] | None = None
    small = ids[:1, : ids.shape[1] // 2] if ids.dim() == 2 else ids[: len(ids) // 8]
    for dtype, threads, experts in settings:
        torch.set_num_threads(threads)
        side = make(dtype, experts)
        run = getattr(side, workload)
        seconds(lambda run=run: run(small))
        taken = min(seconds(lambda run=run: run(small)) for _ in range(2))
        if best is None or taken < best[0]:
            label = f"{str(dtype).removeprefix('torch.')}, {threads} threads, {experts}"
            best = (taken, side, threads, label)
        del side
    assert best is not None
    return best[1:]


def gemm_rate(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of one large product."""
    n = 8192 if device == "cuda" else 2048
    a, b = torch.randn(n, n, device=device).to(dtype), torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / min(seconds(lambda: F.linear(a, b)) for _ in range(4))


def compare(
    workload: str, config: ModelConfig, device: str, rounds: int, quick: bool
) -> dict[str, float]:
    """Alternating rounds; tokens per second of both sides, their ratio, our share of the rate."""
    torch.manual_seed(0)
    count = ROWS * LENGTH if workload == "train" else PROMPT
    ids = torch.randint(1, config.vocab_size, (count,), device=device)
    ids = ids.view(ROWS, LENGTH) if workload == "train" else ids
    settings = choices(device, quick)
    adam = workload == "train"
    own = list(dict.fromkeys((dtype, threads, "") for dtype, threads, _ in settings))
    ours = calibrate(lambda d, _: Ours(config, d, device, adam), workload, ids, own)
    theirs = calibrate(lambda d, e: Theirs(config, d, device, adam, e), workload, ids, settings)
    if workload == "train":
        flops = count * training_flops(config, LENGTH).total
    else:
        flops = count * prefill_flops(config, PROMPT).total
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    every = torch.get_num_threads() if device == "cuda" else max(s[1] for s in settings)
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    rates, ratios = [], []
    for i in range(rounds + 1):
        for name, (side, threads, _) in (("ours", ours), ("theirs", theirs)):
            torch.set_num_threads(threads)
            run = getattr(side, workload)
            taken[name].append(seconds(lambda run=run: run(ids)))
        torch.set_num_threads(every)
        rates.append(gemm_rate(kind, device))
        ratios.append(taken["theirs"][-1] / taken["ours"][-1])
        if i == 0:  # the first round warms up
            for values in (*taken.values(), rates, ratios):
                values.clear()
    speed = {name: count / statistics.median(values) for name, values in taken.items()}
    fraction = flops / statistics.median(taken["ours"]) / statistics.median(rates)
    ratio = statistics.median(ratios)
    print(f"{workload}: {count} tokens, {rounds} rounds")
    for name, side in (("ours", ours), ("theirs", theirs)):
        low, high = (count / x for x in (max(taken[name]), min(taken[name])))
        print(
            f"  {side[0].name:13}{speed[name]:9.0f} tokens/s (min {low:.0f}, max {high:.0f})"
            f"   {side[2].strip(', ')}"
        )
    print(f"  ratio {ratio:.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print(f"  {fraction:.0%} of the product rate, {statistics.median(rates) / 1e9:.0f} GFLOP/s")
    return {"ratio": ratio, "fraction": fraction, **speed}


def peak_rss() -> float:
    """Largest resident set of this process so far in bytes. getrusage would count the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no /proc/self/status here: peak memory is measured on Linux only")


def peak(side: str, workload: str, config: ModelConfig) -> None:
    """Child process: how far the resident set grows over a workload, in MB, weights included."""
    if side == "theirs":
        from transformers import ZayaForCausalLM as _
    before = peak_rss()
    ids = torch.randint(1, config.vocab_size, (ROWS * LENGTH,))
    adam = workload == "train"
    if side == "ours":
        built: Ours | Theirs = Ours(config, torch.float32, "cpu", adam)
    else:
        built = Theirs(config, torch.float32, "cpu", adam, "grouped_mm")
    for _ in range(3):
        getattr(built, workload)(ids.view(ROWS, LENGTH) if adam else ids)
    print((peak_rss() - before) / 1e6)


def memory(workload: str) -> dict[str, float]:
    """Peak memory in MB of both sides, each in a process of its own."""
    out = {}
    for side in ("ours", "theirs"):
        command = [sys.executable, __file__, "--peak", side, workload]
        out[side] = float(subprocess.check_output(command).splitlines()[-1])
    print(f"peak memory, {workload}: ours {out['ours']:.0f} MB, theirs {out['theirs']:.0f} MB")
    return out


def eight_billion(rounds: int) -> None:
    """The published shape in bf16 on one GPU: each side by itself, since both do not fit."""
    config = load_recipe(ModelRecipe, "recipes/models/zaya1-8b.toml").model
    rate = gemm_rate(torch.bfloat16, "cuda")
    ids = torch.randint(1, config.vocab_size, (ROWS * LENGTH,), device="cuda")
    for name in ("ours", "theirs"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        side: Ours | Theirs
        if name == "ours":
            side = Ours(config, torch.bfloat16, "cuda", False)
        else:
            side = Theirs(config, torch.bfloat16, "cuda", False, "grouped_mm")
        flops = {
            "train": (ids.numel(), training_flops(config, LENGTH).total),
            "prefill": (ids.numel(), prefill_flops(config, ids.numel()).total),
            "decode": (64, decode_flops(config, ids.numel()).total),
        }
        for workload, (count, per_token) in flops.items():

            def run(side: Ours | Theirs = side, workload: str = workload) -> None:
                if workload == "train":
                    side.train(ids.view(ROWS, LENGTH))
                elif workload == "prefill":
                    side.prefill(ids)
                else:
                    side.decode(ids, 64)

            run()
            taken = statistics.median(seconds(run) for _ in range(rounds))
            print(
                f"8B {workload:8}{side.name:13}{count / taken:9.0f} tokens/s, "
                f"{count * per_token / taken / rate:.1%} of the product rate"
            )
        print(f"8B peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB ({side.name})")
        del side, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    config = load_recipe(ModelRecipe, "recipes/models/50m.toml").model
    if arguments.peak:
        peak(*arguments.peak, config)
        return
    keep_freed_memory()  # for both sides: neither returns pages between steps
    rounds = 3 if arguments.quick else 9
    results = []
    for workload in ("train", "prefill"):
        found = compare(workload, config, arguments.device, rounds, arguments.quick)
        results.append(
            {
                "name": f"model-{workload}-ratio",
                "value": round(found["ratio"], 2),
                "unit": "x transformers",
                "goal": GOAL,
                "ok": found["ratio"] >= GOAL,
            }
        )
        if arguments.device == "cpu" and not arguments.quick:
            used = memory(workload)
            share = used["ours"] / used["theirs"]
            results.append(
                {
                    "name": f"model-{workload}-memory",
                    "value": round(share, 2),
                    "unit": "x transformers",
                    "goal": 1.0,
                    "ok": share <= 1.0,
                }
            )
    if arguments.device == "cuda":
        eight_billion(rounds)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
