"""The input files of a recipe, and their rows one by one, bad ones included."""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openzaya.config.data import DataConfig, SourceConfig
from openzaya.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that is none, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Input:
    """A file of a source, or one shard of a hub data set; `number` orders those of a source."""

    source: str
    number: int
    path: str
    shard: tuple[int, int] | None = None

    def rows(self, config: SourceConfig) -> Iterator[tuple[int, Any]]:
        """(row number from 1, the row or `Malformed`), at most `limit` of them."""
        if self.shard is not None:
            rows = _hub_rows(config, self.shard)
        elif self.path.endswith(".parquet"):
            rows = _parquet_rows(self.path)
        else:
            rows = _json_rows(self.path)
        for number, row in enumerate(rows, 1):
            if config.limit is not None and number > config.limit:
                return
            if row is not None:  # a blank line
                yield number, row


def find_inputs(config: DataConfig) -> list[Input]:
    """Every input of every source, in an order of their own. DataError where a source has none."""
    inputs = []
    for name, source in config.sources.items():
        if source.hub is not None:
            shards = config.executor.tasks
            inputs += [Input(name, i, source.hub, (i, shards)) for i in range(shards)]
        else:
            assert source.path is not None
            inputs += [Input(name, i, p) for i, p in enumerate(_known_files(name, source.path))]
    return inputs


def files_at(path: str) -> list[str]:
    """The files that a source's `path` names, in order; those of a folder have known endings."""
    where = Path(path)
    if where.is_dir():
        return sorted(str(p) for p in where.rglob("*") if p.name.endswith(SUFFIXES))
    return [str(where)] if where.is_file() else sorted(glob.glob(path, recursive=True))


def _known_files(name: str, path: str) -> list[str]:
    found = files_at(path)
    if not found:
        raise DataError(
            f"data.sources.{name}.path: nothing at {path}",
            f"give a file, a folder or a glob of {', '.join(SUFFIXES)} files",
        )
    for file in found:
        if not file.endswith(SUFFIXES):
            raise DataError(
                f"data.sources.{name}.path: {file} is of no kind that can be read",
                f"known are {', '.join(SUFFIXES)}",
            )
    return found


def _json_rows(path: str) -> Iterator[Any]:
    for line in _lines(path):
        if not line.strip():
            yield None
            continue
        try:
            yield json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            yield Malformed(f"not JSON: {str(error).partition(chr(10))[0]}")


def _lines(path: str) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with io.BufferedReader(pa.input_stream(path, compression="detect")) as file:
            yield from file
    except OSError as error:
        raise DataError(f"{path} cannot be read to its end: {error}", "copy it again") from error


def _parquet_rows(path: str) -> Iterator[Any]:
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is no Parquet file that can be read: {error}", "copy it again"
        ) from error


def _hub_rows(config: SourceConfig, shard: tuple[int, int]) -> Iterator[Any]:
    from datasets import load_dataset
    from datasets.distributed import split_dataset_by_node

    assert config.hub is not None
    try:
        rows = load_dataset(
            config.hub, config.subset, split=config.split, revision=config.revision, streaming=True
        )
    except Exception as error:  # the hub's client has a dozen unrelated kinds
        line = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{config.hub} cannot be loaded from the hub: {line}",
            "check the name, subset and split, the network, and `hf auth login` if it is private",
        ) from error
    yield from split_dataset_by_node(rows, rank=shard[0], world_size=shard[1])
