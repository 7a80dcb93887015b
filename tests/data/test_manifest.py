"""What counts as a change of the data, and what does not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from openzaya.config.data import DataConfig
from openzaya.data.build import build
from openzaya.data.corpus import Corpus
from openzaya.data.manifest import built_config, changes, read_manifest, shaping
from openzaya.errors import DataError

Recipe = Callable[..., DataConfig]


@pytest.fixture
def mine(recipe: Recipe, raw: Path, tmp_path: Path) -> DataConfig:
    """Built from a folder of its own."""
    (tmp_path / "raw").mkdir()
    for name in ("pairs-a.jsonl", "text.jsonl"):
        shutil.copy(raw / name, tmp_path / "raw" / name)
    pairs = {"form": "pairs", "prompt": "question", "answer_mark": "\n#### "}
    config = recipe(
        sources={
            "sums": {"path": str(tmp_path / "raw" / "pairs-*.jsonl"), **pairs},
            "prose": {"path": str(tmp_path / "raw" / "text.jsonl"), "weight": 2.0},
        }
    )
    build(config)
    return config


def changed(config: DataConfig) -> list[str]:
    return changes(read_manifest(Path(config.folder)), config)


def test_input_files(mine: DataConfig, tmp_path: Path) -> None:
    text, pairs = tmp_path / "raw" / "text.jsonl", tmp_path / "raw" / "pairs-a.jsonl"
    assert changed(mine) == []
    os.utime(text, (1, 1))
    assert changed(mine) == [], "touched only"
    same_size = text.read_text().replace("the", "thy", 1)
    text.write_text(same_size)
    assert changed(mine) == [str(text)]
    shutil.copy(pairs, tmp_path / "raw" / "pairs-b.jsonl")
    assert changed(mine) == [str(tmp_path / "raw" / "pairs-b.jsonl"), str(text)]


def test_built_data_outlives_its_raw_files(mine: DataConfig, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "raw")
    assert changed(mine) == []
    assert build(mine)["fingerprint"] == Corpus.open(mine).fingerprint


def test_keys_are_named_in_full(mine: DataConfig) -> None:
    sources = {n: s.model_copy(update={"answer": "other"}) for n, s in mine.sources.items()}
    other = mine.model_copy(update={"sources": sources, "seed": 3, "windows_per_step": 1})
    assert set(changed(other)) == {
        "data.seed",
        "data.sources.sums.answer",
        "data.sources.prose.answer",
    }
    fewer = mine.model_copy(update={"sources": {"sums": mine.sources["sums"]}})
    assert changed(fewer) == ["data.sources.prose"]


def test_a_folder_tells_its_recipe(mine: DataConfig) -> None:
    told = built_config(Path(mine.folder))
    assert shaping(told) == shaping(mine) and told.folder == mine.folder
    assert Corpus.open(told).fingerprint == Corpus.open(mine).fingerprint


def test_a_folder_of_another_version_is_named(mine: DataConfig) -> None:
    path = Path(mine.folder) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format": 0}))
    for use in (build, Corpus.open):
        with pytest.raises(DataError, match="another version"):
            use(mine)
    assert build(mine, overwrite=True)["fingerprint"] == manifest["fingerprint"]
