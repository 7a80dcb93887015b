"""Rows from files in every form, what differs from the published set, and what is said offline."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openzaya.errors import EvalError
from openzaya.evals.data import digest_of, load
from openzaya.evals.tasks import REFUSED, TASKS, task_of

ROWS = [{"question": f"q{n}", "answer": f"#### {n}"} for n in range(3)]


def test_every_form_gives_the_same_digest(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = "".join(json.dumps(r) + "\n" for r in ROWS)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(ROWS)
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    found = [load(TASKS["gsm8k"], str(p)) for p in sorted(tmp_path.iterdir())]
    assert len({f.digest for f in found}) == 1 and all(len(f.items) == 3 for f in found)
    assert "3 rows, the published test split has 1319" in found[0].notes
    changed = [ROWS[0], {**ROWS[1], "answer": "#### 7"}, ROWS[2]]
    assert digest_of(TASKS["gsm8k"].items(changed)) != found[0].digest, "the control"


def test_the_published_digest_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    task = TASKS["gsm8k"]
    assert task.source is not None
    right = replace(task.source, rows=3, digest=load(task, str(path)).digest)
    assert load(replace(task, source=right), str(path)).notes == ()
    wrong = replace(right, digest="0" * 64)
    assert "other questions" in load(replace(task, source=wrong), str(path)).notes[0]


def test_bad_files_are_named(tmp_path: Path) -> None:
    def fails(name: str, text: str, match: str) -> None:
        (tmp_path / name).write_text(text)
        with pytest.raises(EvalError, match=match):
            load(TASKS["gsm8k"], str(tmp_path / name))

    fails("a.jsonl", '{"problem": "x"}\n', "no column 'question'")
    fails("b.jsonl", "no json\n", "b.jsonl:1")
    fails("c.txt", "text", "no known form")
    fails("d.json", "{}", "no list")
    fails("e.jsonl", "", "has no rows")
    with pytest.raises(EvalError, match="there is no file"):
        load(TASKS["gsm8k"], str(tmp_path / "none.jsonl"))


def test_offline_it_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets: Any = pytest.importorskip("datasets")

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(EvalError) as caught:
        load(TASKS["gpqa-diamond"], None)
    assert "gpqa_diamond" in caught.value.hint and "accepted" in caught.value.hint
    assert "data.gpqa-diamond=FILE" in caught.value.hint


def test_refused_tasks_say_who_can() -> None:
    for name in REFUSED:
        with pytest.raises(EvalError, match="cannot be run from here") as caught:
            task_of(name, {}, None)
        assert caught.value.hint
    with pytest.raises(EvalError, match="no task is called 'gsm9k'") as caught:
        task_of("gsm9k", {}, None)
    assert "gsm8k" in caught.value.hint


def test_environments_are_tasks() -> None:
    task = task_of("env:gcd@1", {}, 5)
    loaded = load(task, None)
    assert len(loaded.items) == 5 and loaded == load(task_of("env:gcd@1", {}, 5), None)
    made = loaded.items[0]
    assert task.judge(made, f"<answer>{made.target}</answer>").score.correct
    assert not task.judge(made, "<answer>0</answer>").score.correct
    assert not task.judge(made, None).score.correct
    with pytest.raises(EvalError, match="makes its problems itself"):
        load(task, "file.jsonl")
    with pytest.raises(EvalError, match="no difficulty"):
        task_of("env:gcd@hard", {}, 5)
