"""Where rows come from: files of every kind, whole or cut short, and the hub's data sets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openzaya.config.data import DataConfig, SourceConfig
from openzaya.data.build import build
from openzaya.data.inputs import Input, Malformed, find_inputs
from openzaya.errors import DataError

Recipe = Callable[..., DataConfig]
ANY = SourceConfig(path=".")


def rows(path: Path, config: SourceConfig = ANY) -> list[tuple[int, Any]]:
    return list(Input("s", 0, str(path)).rows(config))


def test_numbers_are_those_an_editor_shows(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\n[1\n{"text": "\xff"}\n{"text": "e"}')
    found = rows(file)
    assert [number for number, _ in found] == [1, 3, 4, 5]
    assert found[0][1] == {"text": "a"} and found[3][1] == {"text": "e"}
    assert all(isinstance(row, Malformed) and "not JSON" in row.reason for _, row in found[1:3])
    assert rows(file, SourceConfig(path=".", limit=3)) == found[:2]


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(
        "".join(json.dumps({"text": str(i)}) + "\n" for i in range(999)).encode()
    )
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(packed)
    assert len(rows(file)) == 999
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz cannot be read to its end"):
        rows(file)


def test_half_a_character_is_a_malformed_row(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": "\\ud83d"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: .*half a character"):
        build(recipe(sources={"a": {"path": str(tmp_path / "a.jsonl")}}))


def test_a_folder_and_a_glob_name_files_in_one_order(recipe: Recipe, tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a.parquet", "b/1.jsonl.gz", "b/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def names(path: Path) -> list[str]:
        found = find_inputs(recipe(sources={"s": {"path": str(path)}}))
        assert [item.number for item in found] == list(range(len(found)))
        return [str(Path(item.path).relative_to(tmp_path)) for item in found]

    assert names(tmp_path) == ["a.parquet", "b/1.jsonl.gz", "b/2.jsonl"]
    assert names(tmp_path / "b" / "*.jsonl") == ["b/2.jsonl"]


def test_shards_of_a_hub_data_set_are_its_rows(tmp_path: Path) -> None:
    # A folder stands in for the hub: `datasets` reads both the same way.
    texts = [{"text": f"row {i}"} for i in range(7)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts))
    config = SourceConfig(hub=str(tmp_path), split="train")
    shards = [list(Input("s", i, str(tmp_path), (i, 2)).rows(config)) for i in range(2)]
    assert sorted((row for shard in shards for _, row in shard), key=str) == texts
    assert all(shards)
    with pytest.raises(DataError, match="cannot be loaded from the hub"):
        list(Input("s", 0, "x", (0, 1)).rows(SourceConfig(hub=str(tmp_path), split="nosplit")))
