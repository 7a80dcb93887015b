"""From raw rows to a sealed folder: what goes in, what is refused, and nothing half done."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from openzaya.config.data import DataConfig
from openzaya.data.build import build
from openzaya.data.corpus import Corpus
from openzaya.data.pipeline import executors
from openzaya.errors import ConfigError, DataError

Recipe = Callable[..., DataConfig]


def texts(corpus: Corpus, source: str) -> list[str]:
    documents = corpus.train[source].documents
    return [corpus.tokenizer.decode(documents[i].ids) for i in range(len(documents))]


def test_every_row_arrives_once(recipe: Recipe, raw: Path) -> None:
    manifest = build(recipe())
    corpus = Corpus.open(recipe())
    sums = manifest["sources"]["sums"]
    assert sums["report"]["rows"] == 300 == sums["train"]["documents"] + sums["report"]["held_out"]
    assert 10 <= sums["report"]["held_out"] <= 60
    read = texts(corpus, "sums")
    held = corpus.validation["sums"].documents
    read += [corpus.tokenizer.decode(held[i].ids) for i in range(len(held))]
    for name in ("a", "b"):
        for line in (raw / f"pairs-{name}.jsonl").read_text().splitlines():
            question = json.loads(line)["question"]
            assert sum(f"user\n{question}\n" in text for text in read) == 1
    for split in (corpus.train["sums"], corpus.train["prose"]):
        members = sorted(int(i) for w in range(len(split)) for i in split.windows[w])
        assert members == list(range(len(split.documents))), "each document is in one window"
        assert all(sum(map(len, split[w])) <= 128 for w in range(len(split)))


def test_long_texts_lose_no_token(recipe: Recipe, raw: Path) -> None:
    config = recipe(held_out=0.0)
    build(config)
    corpus = Corpus.open(config)
    rows = [json.loads(line)["text"] for line in (raw / "text.jsonl").read_text().splitlines()]
    pieces: dict[str, str] = {}
    documents = corpus.train["prose"].documents
    for i in range(len(documents)):
        assert documents[i].ids[0] == corpus.tokenizer.bos_id and len(documents[i]) <= 128
        place = documents.place(i)
        pieces[place] = pieces.get(place, "") + corpus.tokenizer.decode(documents[i].ids)
    assert list(pieces.values()) == rows
    assert len(documents) > len(rows), "some are longer than a window"


def test_the_result_does_not_depend_on_the_number_of_tasks(recipe: Recipe, tmp_path: Path) -> None:
    alone = build(recipe())["fingerprint"]
    executor = {"tasks": 3, "workers": 2}
    assert build(recipe(folder=str(tmp_path / "three"), executor=executor))["fingerprint"] == alone
    other = build(recipe(folder=str(tmp_path / "other"), seed=1))["fingerprint"]
    assert other != alone, "another order of documents in windows"


def test_held_out_rows_are_the_same_at_every_length(recipe: Recipe, tmp_path: Path) -> None:
    def held(window: int) -> set[str]:
        config = recipe(window=window, folder=str(tmp_path / str(window)))
        build(config)
        documents = Corpus.open(config).validation["sums"].documents
        return {documents.place(i) for i in range(len(documents))}

    assert held(128) == held(512) != set()


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_other_kinds_of_files_are_the_same_data(
    recipe: Recipe, raw: Path, tmp_path: Path, kind: str
) -> None:
    text = (raw / "text.jsonl").read_bytes()
    file = tmp_path / f"text.{kind}"
    if kind == "jsonl.gz":
        file.write_bytes(gzip.compress(text))
    elif kind == "jsonl.zst":
        file.write_bytes(pa.compress(text, codec="zstd", asbytes=True))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
        pq.write_table(pa.Table.from_pylist(rows), file)
    found = []
    for i, path in enumerate((raw / "text.jsonl", file)):
        config = recipe(sources={"prose": {"path": str(path)}}, folder=str(tmp_path / str(i)))
        build(config)
        found.append(texts(Corpus.open(config), "prose"))
    assert found[0] == found[1]


def test_trimming_is_reported(recipe: Recipe) -> None:
    report = build(recipe(window=56))["sources"]["sums"]["report"]["trimming"]
    assert report["kept"] and report["cut"] and report["sample_dropped"]
    assert report["kept"] + report["cut"] + report["sample_dropped"] == 300
    assert report["tokens_before"] > report["tokens_after"]


def test_rows_of_an_evaluation_set_are_left_out(recipe: Recipe, raw: Path, tmp_path: Path) -> None:
    first = (raw / "pairs-a.jsonl").read_text().splitlines()[:20]
    (tmp_path / "test.jsonl").write_text("\n".join(first))
    config = recipe(decontaminate={"files": [str(tmp_path / "test.jsonl")], "words": 6})
    report = build(config)["sources"]["sums"]["report"]
    assert 1 <= report["contaminated"] <= 20
    read = "\n".join(texts(Corpus.open(config), "sums"))
    longest = max((json.loads(line)["question"] for line in first), key=len)
    assert longest not in read


def damage(raw: Path, tmp_path: Path, **lines: str) -> dict[str, Any]:
    """A source with one row replaced."""
    rows = (raw / "text.jsonl").read_text().splitlines()
    for number, line in lines.items():
        rows[int(number.removeprefix("at"))] = line
    (tmp_path / "bad.jsonl").write_text("\n".join(rows))
    return {"prose": {"path": str(tmp_path / "bad.jsonl")}}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_malformed_row_is_named(
    recipe: Recipe, raw: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    sources = damage(raw, tmp_path, at4="{not json")
    executor = {"tasks": workers, "workers": workers}
    with pytest.raises(DataError, match=r"1 of 5 rows.*bad\.jsonl:5: not JSON") as error:
        build(recipe(sources=sources, executor=executor))
    assert "\n" not in str(error.value) and capfd.readouterr().err == ""
    assert not (tmp_path / "built").exists()


def test_some_malformed_rows_may_be_allowed(recipe: Recipe, raw: Path, tmp_path: Path) -> None:
    sources = damage(raw, tmp_path, at4="{not json", at7='{"body": "x"}', at9="[]")
    report = build(recipe(sources=sources, max_malformed=0.05))["sources"]["prose"]["report"]
    assert (report["rows"], report["malformed"]) == (80, 3)
    assert "'text'" in report["bad_rows"][1]
    with pytest.raises(DataError, match=r"3 of 80 rows"):
        build(recipe(sources=sources, max_malformed=0.03), overwrite=True)


def test_bad_recipes_are_refused(recipe: Recipe, raw: Path, tmp_path: Path) -> None:
    path = str(raw / "text.jsonl")
    with pytest.raises(ValidationError, match="zero"):
        recipe(sources={"a": {"path": path, "weight": 0}, "b": {"path": path, "weight": 0}})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        recipe(sources={"a": {"path": path, "weight": -1}})
    with pytest.raises(ValidationError, match="either path"):
        recipe(sources={"a": {"path": path, "hub": "x/y"}})
    with pytest.raises(ValidationError, match="either tokenizer"):
        recipe(train_vocabulary=None)
    with pytest.raises(DataError, match=r"sources\.a\.path: nothing at"):
        build(recipe(sources={"a": {"path": str(tmp_path / "nowhere")}}))
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"sources\.a: no document is left of 0 rows"):
        build(recipe(sources={"a": {"path": str(tmp_path / "empty.jsonl")}}))
    (tmp_path / "some.csv").write_text("a,b")
    with pytest.raises(DataError, match="of no kind"):
        build(recipe(sources={"a": {"path": str(tmp_path / "some.csv")}}))
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="no Parquet file"):
        build(recipe(sources={"a": {"path": str(tmp_path / "bad.parquet")}}))
    with pytest.raises(DataError, match="no tokenizer at"):
        build(recipe(train_vocabulary=None, tokenizer=str(tmp_path / "nothing.json")))
    with pytest.raises(DataError, match="every byte"):
        build(recipe(train_vocabulary=100))
    with pytest.raises(DataError, match=r"longer than data\.window"):
        build(recipe(window=16))


def test_a_built_folder_is_kept_and_guarded(recipe: Recipe, raw: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text((raw / "text.jsonl").read_text())
    sources = {"prose": {"path": str(source)}}
    first = build(recipe(sources=sources))
    stamp = (tmp_path / "built" / "manifest.json").stat().st_mtime_ns
    assert build(recipe(sources=sources)) == first
    assert (tmp_path / "built" / "manifest.json").stat().st_mtime_ns == stamp, "up to date"
    heavier = {"prose": {"path": str(source), "weight": 5.0}}
    assert build(recipe(sources=heavier, windows_per_step=2)) == first, "only read differently"
    with pytest.raises(DataError, match=r"data\.window changed"):
        build(recipe(sources=sources, window=64))
    with pytest.raises(DataError, match=r"data\.window changed"):
        Corpus.open(recipe(sources=sources, window=64))
    source.write_text('{"text": "something else"}\n')
    with pytest.raises(DataError, match=r"mine\.jsonl changed"):
        build(recipe(sources=sources))
    again = build(recipe(sources=sources), overwrite=True)
    assert again["fingerprint"] != first["fingerprint"]


def test_nothing_foreign_is_deleted(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="no built data"):
            build(recipe(), overwrite)
    assert (tmp_path / "built" / "thesis.txt").exists()


def test_a_failed_build_leaves_the_old_one(recipe: Recipe, raw: Path, tmp_path: Path) -> None:
    first = build(recipe())
    sources = damage(raw, tmp_path, at4="{not json")
    with pytest.raises(DataError, match="malformed"):
        build(recipe(sources=sources), overwrite=True)
    assert Corpus.open(recipe()).fingerprint == first["fingerprint"]


def test_other_executors_get_their_options(recipe: Recipe, tmp_path: Path) -> None:
    options = {"time": "1:00:00", "partition": "cpu"}
    last = executors(
        recipe(executor={"kind": "slurm", "tasks": 4, "options": options}),
        tmp_path / "work", tmp_path / "final",
    )  # fmt: skip
    assert type(last).__name__ == "SlurmPipelineExecutor" and last.depends.tasks == 4
    assert last.depends.time == "1:00:00" and last.depends.partition == "cpu"
    with pytest.raises(ConfigError, match="options"):
        executors(
            recipe(executor={"kind": "slurm", "options": {"colour": "red"}}),
            tmp_path / "work", tmp_path / "final",
        )  # fmt: skip
