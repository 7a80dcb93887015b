"""The page holds what was measured, names what is missing, and stands alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from openzaya.errors import RunError
from openzaya.report import write_report


def score(accuracy: float, **more: Any) -> dict[str, Any]:
    base = {"accuracy": accuracy, "stderr": 0.02, "problems": 30, "decode_tokens": 900}
    base |= {"samples": 1}
    return base | {"prefill_tokens": 10, "truncated": 0.1, "rounds": [0.1, accuracy]} | more


def method(accuracy: float, **more: Any) -> dict[str, Any]:
    return score(accuracy) | {"tasks": {"sum": score(accuracy), "long": score(0.5)}} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stations = [
        method(a, name=name, tokens=1234567, seconds=61.0)
        for name, a in (("pretrain", 0.01), ("sft", 0.2), ("rl", 0.4321), ("rsa", 0.6))
    ]
    stairs = [
        {"name": "RL above SFT", "difference": 0.2, "stderr": 0.01, "z": 20.0, "holds": True},
        {"name": "RSA above RL", "difference": 0.0, "stderr": 0.01, "z": 0.0, "holds": False},
    ]
    summary = {
        "size": "full", "seed": 0, "split": "test", "environment": {"python": "3.11"},
        "stations": stations, "stairs": stairs,
        "comparisons": [method(0.6, method="rsa", label="Markovian RSA")],
    }  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    cell = {"slot": 0, "parents": [1], "tail": "<script>alert(1)</script>", "answer": None}
    example = {"task": "sum", "prompt": "1 + 1", "truth": "2", "solved": False}
    example |= {"rounds": [[cell | {"correct": False}]]}
    (tmp_path / "examples.json").write_text(json.dumps([example]))
    return tmp_path


def test_page_shows_what_was_measured(folder: Path) -> None:
    text = write_report(folder).read_text()
    assert "43.2 ± 2.0" in text and "1,234,567" in text
    assert "MISSING" in text and "holds" in text


def test_page_stands_alone_and_is_small(folder: Path) -> None:
    page = write_report(folder)
    assert page.stat().st_size < 2_000_000
    assert not re.search(r'(?:src|href)\s*=\s*"(?!#)', page.read_text())


def test_model_text_is_escaped(folder: Path) -> None:
    text = write_report(folder).read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_missing_pieces_are_named(folder: Path) -> None:
    assert "pretrain/metrics.jsonl" in write_report(folder).read_text()


def test_unfinished_demo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"summary\.json"):
        write_report(tmp_path)
