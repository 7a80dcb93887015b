"""Planted copies are found, controls are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openzaya.cli.app import app
from openzaya.errors import EvalError
from openzaya.evals.contamination import compact, overlaps
from openzaya.evals.tasks import TASKS

LONG = (
    "A farmer has seventeen crates of pears and each crate holds twenty nine pears, of which three "
    "are too soft to sell at the market on Sunday. How many can be sold?"
)
SHORT = "What is $\\frac{1}{2}\\,+\\,\\frac{1}{3}$ of thirty six large green apples?"


def items(*questions: str) -> list[object]:
    return TASKS["gsm8k"].items([{"question": q, "answer": "#### 1"} for q in questions])


def write(folder: Path, *texts: str) -> Path:
    path = folder / "train.jsonl"
    rows = [{"id": n, "messages": [{"role": "user", "content": t}]} for n, t in enumerate(texts)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_planted_overlaps_are_found(tmp_path: Path) -> None:
    train = write(
        tmp_path,
        "nothing of the kind",
        f"Earlier. {LONG.upper().replace(',', ' ;')} Later.",
        "so WHAT is  \\frac{1}{2} + \\frac{1}{3} of thirty six large green apples? Hm",
    )
    found = overlaps(
        items(LONG, SHORT, "How many of something else entirely are there now?"), [train]
    )
    assert found.hits == {"1": [f"{train}:2"], "2": [f"{train}:3"]}
    assert (found.items, found.rows) == (3, 3)


def test_what_is_no_copy_is_not_found(tmp_path: Path) -> None:
    """Twelve of its words in a row are no passage of thirteen, other numbers no copy, and the form
    in which every question is asked is nobody's."""
    words, other = LONG.split(), LONG
    for old, new in (
        ("seventeen", "six"),
        ("twenty", "thirty"),
        ("three", "four"),
        ("pears", "figs"),
        ("market", "fair"),
    ):
        other = other.replace(old, new)
    train = write(
        tmp_path, " ".join(words[:12]), other,
        "Give the final answer in \\boxed{}.",
    )  # fmt: skip
    assert not overlaps(items(LONG, SHORT), [train]).hits
    assert overlaps(items(LONG), [write(tmp_path, " ".join(words[:13]))]).hits, "the control"


def test_spacing_does_not_hide_a_text() -> None:
    assert compact("$x\\, +\\;y$\n") == compact("x +y") == "x+y"


def test_as_a_command(tmp_path: Path) -> None:
    data = tmp_path / "test.jsonl"
    data.write_text(json.dumps({"question": LONG, "answer": "#### 1"}) + "\n")
    train = write(tmp_path, LONG)
    arguments = ["eval", "gsm8k", f"data.gsm8k={data}", "--against", str(train)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["gsm8k"]["hits"] == {"1": [f"{train}:1"]}
    write(tmp_path, "clean")
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="no such file"):
        overlaps(items(LONG), [tmp_path / "none.jsonl"])
