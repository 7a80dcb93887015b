"""Rows of a task: from a file here, or from the hub, and whether they are the published ones.

Nothing is bundled. What was asked is identified by a digest of all questions and answers, which
does not change with the file's format; it stands beside every score.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openzaya.envs.code.problem import read_jsonl
from openzaya.errors import EnvError, EvalError
from openzaya.evals.tasks.spec import Item, Row, Source, TaskSpec

ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Loaded:
    """All items of a task, and what is known about them."""

    items: list[Item]
    origin: str
    digest: str
    notes: tuple[str, ...] = ()
    """What differs from the published set, for people."""


def load(task: TaskSpec, path: str | None) -> Loaded:
    """From `path`, else from the hub. EvalError says what to fetch, or what is wrong with it."""
    if task.source is None:
        if path is not None:
            raise EvalError(f"{task.name} makes its problems itself", f"drop data.{task.name}")
        items = task.items([])
        return Loaded(items, "generated", digest_of(items))
    rows = _local(Path(path), task.name) if path is not None else _hub(task)
    try:
        items = task.items(rows)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        shown = ", ".join(map(str, rows[0])) if rows else "no row"
        raise EvalError(
            f"{task.name}: {path or task.source.hub} is not in the published form: {why[:200]}",
            f"its columns are: {shown[:200]}; {task.source.hub} on the hub has the form",
        ) from None
    if not items:
        raise EvalError(f"{task.name}: {path or task.source.hub} has no rows", "check the file")
    if len({item.id for item in items}) != len(items):
        raise EvalError(f"{task.name}: {path}: two rows have one id", "remove the copies")
    digest = digest_of(items)
    origin = path or _place(task.source)
    return Loaded(items, origin, digest, _notes(task.source, len(rows), digest, path is None))


def digest_of(items: Sequence[Item]) -> str:
    """SHA-256 of all questions and answers, in order."""
    text = json.dumps([[m.content for m in i.messages] + [i.target] for i in items])
    return hashlib.sha256(text.encode()).hexdigest()


def _notes(source: Source, rows: int, digest: str, from_hub: bool) -> tuple[str, ...]:
    notes = []
    if source.rows is not None and rows != source.rows:
        notes.append(f"{rows} rows, the published {source.split} split has {source.rows}")
    if source.digest is None:
        notes.append("the published digest is not known: the one that was seen is recorded")
    elif digest != source.digest:
        notes.append("other questions or answers than the published ones")
    if from_hub and source.revision is None:
        notes.append("the hub's revision is not pinned")
    return tuple(notes)


def _local(path: Path, task: str) -> list[Row]:
    if not path.is_file():
        raise EvalError(f"data.{task}: there is no file {path}", "check the path")
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise EvalError(f"data.{task}: {path} is in no known form", f"use {', '.join(ENDINGS)}")
    try:
        if name.endswith(".csv"):
            with path.open(newline="", encoding="utf-8-sig") as file:
                return list(csv.DictReader(file))
        if name.endswith(".parquet"):
            from pyarrow.parquet import read_table

            return read_table(path).to_pylist()
        if name.endswith(".json"):
            table = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(table, list) or not all(isinstance(r, dict) for r in table):
                raise EvalError(f"{path} is no list of objects", "one object for each problem")
            return table
        return [row for _, row in read_jsonl(path)]
    except EnvError as error:
        raise EvalError(error.message, error.hint) from None
    except (UnicodeDecodeError, json.JSONDecodeError, OSError, csv.Error) as error:
        raise EvalError(f"{path} cannot be read: {error}", "fetch it again") from None


def _hub(task: TaskSpec) -> list[Row]:
    import datasets

    source = task.source
    assert source is not None
    try:
        if source.files:
            files = [
                f"hf://datasets/{source.hub}@{source.revision or 'main'}/{name}"
                for name in source.files
            ]
            made = datasets.load_dataset("json", data_files=files, split="train")
        else:
            made = datasets.load_dataset(
                source.hub, source.subset, split=source.split, revision=source.revision
            )
    except Exception as error:  # the hub's client raises whatever its network stack does
        gate = ", whose terms must be accepted there first" if source.gated else ""
        what = ", ".join(source.files) or f"the split {source.split}" + (
            f" of {source.subset}" if source.subset else ""
        )
        raise EvalError(
            f"{task.name}: the hub cannot be read ({type(error).__name__})",
            f"fetch {what} of huggingface.co/datasets/{source.hub}{gate}, and say where it is: "
            f"data.{task.name}=FILE ({', '.join(ENDINGS)})",
        ) from error
    rows: list[Row] = [dict(row) for row in made]
    return rows


def _place(source: Source) -> str:
    subset = f"/{source.subset}" if source.subset else ""
    return f"{source.hub}{subset}@{source.revision or 'main'}:{source.split}"
