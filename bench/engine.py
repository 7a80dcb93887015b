"""Generation on a CPU: our engine beside transformers' `zaya`.

    python bench/engine.py [--quick]

One process, the 50M size with random weights, alternating rounds, each side with the data type,
thread count and (theirs) experts implementation that decodes fastest in a short calibration.

decode 1, 32   sequences of 128 prompt tokens, greedy; prefill is not counted. Theirs: a loop over
               `forward` with its cache, which spares what `generate` adds.
mixed 64       requests of 16 to 256 prompt tokens and 16 to 256 new ones. Ours: the engine as they
               come. Theirs: `generate` on left-padded batches of requests sorted by length, of the
               batch size that is fastest, each as long as its longest.
fork           16 samples of one 512-token prompt against one.

Floors, measured in the same rounds: the bytes of weights a step reads at the speed of a copy, and a
step's FLOPs at the speed of a large product. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from model import Theirs, gemm_rate, seconds

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelConfig, ModelRecipe
from openzaya.engine import Engine
from openzaya.engine.packed import PackedModel
from openzaya.engine.runner import NativeRunner
from openzaya.kernels.packed import Format
from openzaya.model import ZayaForCausalLM
from openzaya.model.account import decode_flops
from openzaya.types import SamplingParams

PROMPT = 128
GOALS = {"decode-1": 5.0, "decode-32": 4.0, "mixed-64": 5.0}


class Ours:
    """The engine with weights in one format."""

    def __init__(self, config: ModelConfig, form: Format) -> None:
        model = ZayaForCausalLM(config).initialise(0)
        with torch.no_grad():  # spread over the experts
            for bias in model.balancing_biases:
                bias.zero_()
        self.packed = PackedModel.of(model, form)
        self.engine = Engine(self.packed, -1, max_sequences=64, cache_bytes=1 << 30)
        self.label = form.name.lower()

    def decode(self, batch: int, steps: int) -> float:
        """Seconds of `steps` decode steps."""
        generator = torch.Generator().manual_seed(batch)
        engine = self.engine
        ids = torch.randint(1, engine.config.vocab_size, (batch, PROMPT), generator=generator)
        from openzaya.engine import Sequence

        engine.scheduler.blocks.flush()
        for row in ids.tolist():
            engine.add(Sequence(row, SamplingParams(steps + 2, temperature=0.0)))
        while engine.scheduler.filling or engine.scheduler.waiting:
            engine.step()
        started = time.perf_counter()
        for _ in range(steps):
            engine.step()
        taken = time.perf_counter() - started
        while engine.busy:
            engine.step()
        return taken

    def mixed(self, work: list[tuple[list[int], int]]) -> float:
        self.engine.scheduler.blocks.flush()
        params = [SamplingParams(count, temperature=0.0) for _, count in work]
        return seconds(lambda: self.engine.generate([p for p, _ in work], params))

    def fork(self, n: int) -> float:
        self.engine.scheduler.blocks.flush()
        prompt = list(range(1, 513))
        params = [SamplingParams(1, seed=i) for i in range(n)]
        return seconds(lambda: self.engine.generate([prompt] * n, params))


class Generating(Theirs):
    """transformers, with its own loop and with `generate`."""

    @torch.inference_mode()
    def time(self, batch: int, steps: int) -> float:
        generator = torch.Generator().manual_seed(batch)
        size = self.model.config.vocab_size
        ids = torch.randint(1, size, (batch, PROMPT), generator=generator)
        out = self.model(input_ids=ids, logits_to_keep=1, use_cache=True)
        cache, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
        started = time.perf_counter()
        for _ in range(steps):
            out = self.model(input_ids=token, past_key_values=cache, use_cache=True)
            token = out.logits[:, -1:].argmax(-1)
        return time.perf_counter() - started

    @torch.inference_mode()
    def mixed(self, work: list[tuple[list[int], int]], batch: int) -> float:
        work = sorted(work, key=lambda w: (w[1], len(w[0])))
        started = time.perf_counter()
        for low in range(0, len(work), batch):
            part = work[low : low + batch]
            width = max(len(p) for p, _ in part)
            ids = torch.tensor([[0] * (width - len(p)) + p for p, _ in part])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p, _ in part])
            count = max(n for _, n in part)
            out = self.model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count,
                do_sample=False, pad_token_id=0,
            )  # fmt: skip
            assert out.shape[1] == width + count
        return time.perf_counter() - started


def requests(config: ModelConfig, quick: bool) -> list[tuple[list[int], int]]:
    generator = torch.Generator().manual_seed(7)
    count = 16 if quick else 64

    def lengths() -> list[int]:
        return torch.randint(16, 257, (count,), generator=generator).tolist()

    return [
        (torch.randint(1, config.vocab_size, (p,), generator=generator).tolist(), n)
        for p, n in zip(lengths(), lengths(), strict=True)
    ]


def copy_bandwidth() -> float:
    """Bytes per second that a copy moves: read and written, as STREAM counts."""
    a = torch.empty(256 << 20, dtype=torch.uint8).fill_(1)
    b = torch.empty_like(a)
    return 2 * a.nbytes / min(seconds(lambda: b.copy_(a)) for _ in range(4))


def best(options: list[tuple[str, Callable[[], float]]]) -> str:
    """The option with the least seconds of two tries."""
    times = {name: min(run() for _ in range(2)) for name, run in options}
    return min(times, key=lambda name: times[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    rounds, steps = (2, 12) if quick else (7, 48)
    config = load_recipe(ModelRecipe, "recipes/models/50m.toml").model
    torch.manual_seed(0)
    every = torch.get_num_threads()
    threads = [every] if quick else sorted({1, every})

    ours = {f.name: Ours(config, f) for f in (Format.FP32, Format.BF16)}
    assert all(isinstance(o.engine.runner, NativeRunner) for o in ours.values())
    theirs = {
        f"{kind} {experts}": Generating(config, getattr(torch, kind), "cpu", False, experts)
        for kind in ("float32", "bfloat16")
        for experts in (("eager",) if quick else ("eager", "grouped_mm"))
    }
    for side in theirs.values():
        side.model.eval()
        side.model.generation_config.eos_token_id = None

    def with_threads(count: int, run: Callable[[], float]) -> float:
        torch.set_num_threads(count)
        return run()

    results = []
    for batch in (1, 32):
        few = max(2, steps // 6)
        mine = best([
            (f"{name} {t}", partial(with_threads, t, partial(o.decode, batch, few)))
            for name, o in ours.items() for t in threads
        ])  # fmt: skip
        other = best([
            (f"{name} {t}", partial(with_threads, t, partial(o.time, batch, few)))
            for name, o in theirs.items() for t in threads
        ])  # fmt: skip
        (form, t), (kind, u) = mine.rsplit(" ", 1), other.rsplit(" ", 1)
        rates: list[tuple[float, float]] = []
        floors = []
        for _ in range(rounds):
            a = with_threads(int(t), partial(ours[form].decode, batch, steps))
            b = with_threads(int(u), partial(theirs[kind].time, batch, steps))
            rates.append((batch * steps / a, batch * steps / b))
            torch.set_num_threads(every)
            floors.append(floor_share(config, ours[form], batch, a / steps))
        report(f"decode-{batch}", rates, f"{mine} threads; theirs {other}", results)
        read, product = (statistics.median(f[i] for f in floors) for i in (0, 1))
        print(f"   of the bandwidth floor {read:.0%}, of the product floor {product:.0%}")
        results.append(
            {"name": f"decode-{batch}-bandwidth", "value": round(read, 3), "unit": "of floor"}
        )
        results.append(
            {"name": f"decode-{batch}-gemm", "value": round(product, 3), "unit": "of floor"}
        )

    work = requests(config, quick)
    total = sum(n for _, n in work)
    torch.set_num_threads(every)
    kind = other.rsplit(" ", 1)[0]
    sizes = (16,) if quick else (16, 32, 64)
    size = int(best([(str(s), lambda s=s: theirs[kind].mixed(work, s)) for s in sizes]))
    rates = []
    for _ in range(1 if quick else 3):
        rates.append((total / ours[form].mixed(work), total / theirs[kind].mixed(work, size)))
    report("mixed-64", rates, f"{form}; theirs {kind}, batches of {size}", results)

    one, many = (statistics.median(ours[form].fork(n) for _ in range(5)) for n in (1, 16))
    print(f"fork           16 samples of one prompt take {many / one:.2f} of one's time")
    share = round(many / one, 3)
    results.append(
        {"name": "fork-16", "value": share, "unit": "prefills", "goal": 1.5, "ok": share < 1.5}
    )
    print(json.dumps(results))


def floor_share(config: ModelConfig, side: Ours, batch: int, taken: float) -> tuple[float, float]:
    """What the bytes of all weights that a step needs, and its products, alone would take."""
    packed = side.packed
    layers = sum(p.nbytes for layer in packed.layers for p in layer.values() if p is not None)
    stacks = sum(layer[n].nbytes for layer in packed.layers for n in ("w1", "w2"))  # type: ignore[union-attr]
    experts = min(batch, config.num_experts) / config.num_experts
    read = layers - stacks + stacks * experts + packed.head.nbytes
    flops = decode_flops(config, PROMPT).total * batch
    return read / copy_bandwidth() / taken, flops / gemm_rate(torch.float32, "cpu") / taken


def report(
    name: str, rates: list[tuple[float, float]], how: str, results: list[dict[str, object]]
) -> None:
    ratios = sorted(a / b for a, b in rates)
    ratio, goal = statistics.median(ratios), GOALS[name]
    a, b = (statistics.median(r[i] for r in rates) for i in (0, 1))
    print(f"{name:12} {a:8.0f} against {b:7.0f} tokens/s   {how}")
    print(f"   ratio {ratio:.2f} (min {ratios[0]:.2f}, max {ratios[-1]:.2f}), goal {goal}")
    results.append(
        {"name": name, "value": round(ratio, 3), "unit": "x transformers", "goal": goal,
         "ok": ratio >= goal}
    )  # fmt: skip


if __name__ == "__main__":
    main()
