"""`zaya data build` and `zaya data inspect`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openzaya.cli.app import app

RECIPE = """
steps = 7  # of somebody else

[data]
folder = "{folder}/built"
window = 96
loss_on = "assistant"
train_vocabulary = 300

[data.sources.sums]
path = "{folder}/sums.jsonl"
form = "pairs"
answer_mark = "####"
"""


def zaya(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [{"prompt": f"{i} + {i}?", "answer": f"twice {i} #### {2 * i}"} for i in range(40)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(folder=tmp_path))
    return tmp_path / "recipe.toml"


def test_build_then_inspect(recipe: Path, tmp_path: Path) -> None:
    code, text = zaya("data", "build", recipe)
    counts = {line[:35].strip(): line.split()[-1] for line in text.splitlines() if line.strip()}
    assert code == 0 and counts["documents"] == "40" and counts["malformed"] == "0"
    assert float(counts["filled"].removesuffix("%")) > 70 and "\x1b" not in text
    assert zaya("data", "build", recipe) == (0, text), "up to date"

    code, text = zaya("data", "inspect", recipe, "--verify", "-n", 2)
    assert code == 0 and text.count("sums, window ") == 2
    assert "sums.jsonl:" in text and "<bos><|im_start|>user\n" in text
    targets = [part.partition("⟧")[0] for part in text.split("⟦")[1:]]
    assert targets and all(t.startswith("twice ") and t.endswith("<|im_end|>") for t in targets)
    assert zaya("data", "inspect", tmp_path / "built", "-n", 2) == (0, text), "or by its folder"
    assert "⟦" not in zaya("data", "inspect", recipe, "-n", 0)[1]


def test_a_changed_recipe_needs_overwrite(recipe: Path) -> None:
    assert zaya("data", "build", recipe)[0] == 0
    code, text = zaya("data", "build", recipe, "data.window=64")
    assert code == 2 and "data.window changed" in text and "--overwrite" in text
    assert zaya("data", "build", recipe, "data.window=64", "--overwrite")[0] == 0
    code, text = zaya("data", "inspect", recipe)
    assert code == 2 and "data.window changed" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data.sources.sums.path=nowhere.jsonl",), "data.sources.sums.path: nothing at nowhere"),
        (("data.sources.sums.weight=0",), "weights of all sources are zero"),
        (("data.sources.sums.weight=-1",), "data.sources.sums.weight"),
        (("data.sources.sums.form=poem",), "data.sources.sums.form"),
        (("data.sources.sums.prompt=question",), "sums.jsonl:1: no field 'question'"),
        (("data.window=20",), "40 with an answer longer than data.window"),
        (("data.train_vocabulary=none",), "give either tokenizer"),
    ],
)
def test_mistakes_are_named(recipe: Path, arguments: tuple[str, ...], message: str) -> None:
    code, text = zaya("data", "build", recipe, *arguments)
    assert code == 2 and message in text and "Traceback" not in text
    assert text.count("\n") <= 2, "one line, perhaps a way out"
    assert sorted(p.name for p in recipe.parent.iterdir()) == ["recipe.toml", "sums.jsonl"]


def test_inspect_names_what_is_missing(recipe: Path, tmp_path: Path) -> None:
    code, text = zaya("data", "inspect", recipe)
    assert code == 2 and "does not exist yet" in text
    code, text = zaya("data", "inspect", tmp_path)
    assert code == 2 and "no manifest.json" in text
    zaya("data", "build", recipe)
    code, text = zaya("data", "inspect", recipe, "--source", "poems")
    assert code == 2 and "'poems'" in text and "sums" in text
    file = tmp_path / "built" / "sums" / "train-00000.arrow"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "damaged" in zaya("data", "inspect", recipe, "--verify")[1]
