"""Memory of the loss for ZAYA1-8B's vocabulary: ours, in slices, beside whole logits.

    python bench/loss.py [--quick]

Forward and backward of the cross-entropy of 4,096 tokens over 262,272 words in fp32, each in a
process of its own: the peak of its memory above hidden states, head, and their gradients. Whole
logits alone are 4.3 GB. --quick: hidden states of 128 channels in place of 2,048; what the loss
itself needs is the same. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn import LinearCrossEntropyOptions

from openzaya.train.loss import LOGIT_ROWS

TOKENS, WORDS = 4096, 262_272
GOAL = 0.25
"""Of what whole logits need."""


def measure(kind: str, channels: int) -> None:
    """Prints GB above the tensors that any loss has, and seconds."""
    torch.set_num_threads(2)
    hidden_ND = torch.randn(TOKENS, channels, requires_grad=True)
    head_VD = torch.randn(WORDS, channels).mul_(channels**-0.5).requires_grad_()
    hidden_ND.grad, head_VD.grad = torch.zeros_like(hidden_ND), torch.zeros_like(head_VD)
    target_N = torch.randint(WORDS, (TOKENS,))
    before = _resident()
    started = time.perf_counter()
    with _Peak() as peak:
        if kind == "ours":
            options = LinearCrossEntropyOptions(batch_chunk_size=LOGIT_ROWS)
            loss = F.linear_cross_entropy(hidden_ND, head_VD, target_N, options=options)
        else:
            loss = F.cross_entropy(F.linear(hidden_ND, head_VD), target_N)
        loss.backward()
    seconds = time.perf_counter() - started
    print(json.dumps([(peak.value - before) / 1e9, seconds, loss.item()]))


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class _Peak:
    """Largest resident memory inside the block, looked at every few milliseconds."""

    def __enter__(self) -> _Peak:
        self.value, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.value = max(self.value, _resident())

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()


def run(kind: str, channels: int) -> list[float]:
    command = [sys.executable, __file__, "--measure", kind, str(channels)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        torch.manual_seed(0)
        measure(arguments.measure[0], int(arguments.measure[1]))
        return
    channels = 128 if arguments.quick else 2048
    ours, whole = run("ours", channels), run("whole", channels)
    assert abs(ours[2] - whole[2]) < 1e-3, "two losses"
    for name, (gigabytes, seconds, _) in (("ours", ours), ("whole logits", whole)):
        print(f"{name:13} {gigabytes:6.2f} GB   {seconds:6.1f} s")
    share = ours[0] / whole[0]
    results: list[dict[str, Any]] = [
        {"name": "loss-memory", "value": round(ours[0], 3), "unit": "GB"},
        {
            "name": "loss-memory-share", "value": round(share, 3), "unit": "of whole logits'",
            "goal": GOAL, "ok": share <= GOAL,
        },
        {"name": "loss-time", "value": round(ours[1] / whole[1], 3), "unit": "of whole logits'"},
    ]  # fmt: skip
    print(json.dumps(results))


if __name__ == "__main__":
    main()
