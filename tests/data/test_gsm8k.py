"""GSM8K's training split, in full, through the recipe that trains on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openzaya.config.base import load_recipe
from openzaya.config.data import DataConfig, DataRecipe
from openzaya.data.build import build
from openzaya.data.corpus import Corpus

ROOT = Path(__file__).parents[2]
FILE = Path(os.environ.get("GSM8K_TRAIN", ROOT.parent / "shared/data/gsm8k/train.jsonl"))
needs_file = pytest.mark.skipif(
    not FILE.is_file(), reason="set GSM8K_TRAIN to GSM8K's train.jsonl (openai/grade-school-math)"
)


def recipe(folder: Path, *overrides: str) -> DataConfig:
    path = f"data.sources.gsm8k.path={FILE}"
    keys = [f"data.folder={folder}", path, *overrides]
    return load_recipe(DataRecipe, ROOT / "recipes/sft/gsm8k.toml", keys).data


@needs_file
def test_every_answer_is_there_and_windows_are_full(tmp_path: Path) -> None:
    config = recipe(tmp_path / "built")
    facts = build(config)["sources"]["gsm8k"]
    trimming = facts["report"]["trimming"]
    assert (facts["report"]["rows"], facts["report"]["malformed"]) == (7473, 0)
    assert trimming["sample_dropped"] == 0 and facts["train"]["fill"] >= 0.98
    corpus = Corpus.open(config)
    answers = {}
    for split in (corpus.train["gsm8k"], corpus.validation["gsm8k"]):
        for i in range(len(split.documents)):
            text = corpus.tokenizer.decode(split.documents[i].ids, skip_special=False)
            row = int(split.documents.place(i).rpartition(":")[2])
            answers[row] = text.rpartition("</think>")[2].removesuffix("<|im_end|>")
    lines = FILE.read_text().splitlines()
    want = {i: json.loads(s)["answer"].rpartition("#### ")[2] for i, s in enumerate(lines, 1)}
    assert answers == want


@needs_file
def test_a_short_window_cuts_reasoning_and_keeps_answers(tmp_path: Path) -> None:
    config = recipe(tmp_path / "built", "data.window=192", "data.sources.gsm8k.limit=1000")
    report = build(config)["sources"]["gsm8k"]["report"]
    trimming = report["trimming"]
    assert trimming["kept"] and trimming["cut"] and trimming["sample_dropped"]
    assert trimming["kept"] + trimming["cut"] + trimming["sample_dropped"] == 1000
    assert report["documents"] == 1000 - trimming["sample_dropped"]
    assert trimming["tokens_after"] == report["tokens"] < trimming["tokens_before"]


@pytest.mark.slow
@needs_file
@pytest.mark.timeout(900)
def test_one_epoch_in_one_command(tmp_path: Path) -> None:
    """Build, trim, pack, train: the held-out loss falls all the way, and the page shows it."""
    out = tmp_path / "run"
    line = ["train", "recipes/sft/gsm8k.toml", str(out)]
    keys = [f"data.folder={tmp_path / 'built'}", f"data.sources.gsm8k.path={FILE}"]
    zaya = [sys.executable, "-m", "openzaya.cli"]
    subprocess.run([*zaya, *line, *keys], cwd=ROOT, check=True, timeout=600)
    metrics = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [m["held_out_loss"] for m in metrics if "held_out_loss" in m]
    assert len(losses) >= 7 and losses == sorted(losses, reverse=True)
    assert losses[0] > 3.5 and losses[-1] < 2.6
    subprocess.run([*zaya, "report", str(out)], cwd=ROOT, check=True, timeout=120)
    page = (out / "report.html").read_text()
    assert "held-out" in page and f"{losses[-1]:.2f}" in page
