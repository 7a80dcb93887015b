"""The page of a training run, from what the run wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.report import write_report
from openzaya.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir.create(tmp_path / "my-run", RSAConfig())
    for step in range(1, 5):
        run.log(
            step, loss=5.0 / step, lr=0.01, grad_norm=1.0, tokens=1000 * step,
            tokens_per_second=777.0, load=[[0.5, 0.5]], load_entropy=1.0, largest_load=0.5,
        )  # fmt: skip
    return run


def test_it_shows_losses_and_what_went_wrong(run: RunDir) -> None:
    run.log(2, held_out_loss=3.125, held_out_tokens=4321)
    run.log(4, held_out_loss=2.0625, held_out_tokens=4321)
    run.write_json("skipped.json", [{"batch": 7, "step": 3, "reason": "the loss is <nan>"}])
    text = write_report(run.path).read_text()
    assert "Training: my-run" in text and "4,000 tokens" in text and "loss 1.2500" in text
    assert "3.1250 at step" in text and "2.0625 at step" in text and "4,321" in text
    assert "Batch 7 was left out" in text and "&lt;nan&gt;" in text
    assert "has not come to its end" in text
    assert not re.search(r'(?:src|href)\s*=\s*"(?!#|data:)', text), "the page stands alone"


def test_a_finished_run_on_documents_shows_its_data(run: RunDir) -> None:
    trimming = {
        "kept": 5, "cut": 4, "earlier_thinking_dropped": 3, "sample_dropped": 2,
        "tokens_before": 90_000, "tokens_after": 12_000,
    }  # fmt: skip
    counts = {"rows": 14, "malformed": 0, "contaminated": 0, "held_out": 1, "trimming": trimming}
    train = {"documents": 11, "tokens": 12_000, "targets": 9, "windows": 6, "fill": 0.9876}
    source = {"report": counts, "train": train, "held_out": {"windows": 1}}
    data = {"sources": {"books": source}, "recipe": {"window": 2048}, "fingerprint": "abc123"}
    run.write_json("data.json", data)
    run.write_json("result.json", {})
    text = write_report(run.path).read_text()
    assert "books" in text and "78,000" in text and "98.76%" in text and "abc123" in text
    assert "has not come to its end" not in text
    assert json.loads((run.path / "data.json").read_text()) == data
