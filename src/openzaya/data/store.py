"""Encoded documents on disk: Arrow files, mapped into memory and never copied as a whole.

A row is a document: its ids, and its loss mask as run lengths (unmasked, masked, unmasked, ..).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openzaya.data.example import Example

DOCUMENTS = pa.schema(
    [
        ("ids", pa.large_list(pa.int32())),
        ("runs", pa.large_list(pa.int32())),
        ("place", pa.string()),
    ]
)
WINDOWS = pa.schema([("documents", pa.large_list(pa.int64()))])
ROWS = 4096
"""Rows of a record batch, at most."""
TOKENS = 1 << 22
"""Tokens after which a record batch is written: what a writer holds in memory."""


class Writer:
    """Appends documents to one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.ipc.new_file(str(path), DOCUMENTS)
        self._rows: list[dict[str, Any]] = []
        self._tokens = 0

    def add(self, example: Example, place: str) -> None:
        runs = _runs(example.loss_mask)
        self._rows.append({"ids": example.ids, "runs": runs, "place": place})
        self._tokens += len(example)
        if len(self._rows) == ROWS or self._tokens >= TOKENS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=DOCUMENTS))
            self._rows, self._tokens = [], 0


class Documents:
    """The documents of several files, in order, as one sequence of examples."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._batches: list[_Batch] = []
        for path in paths:
            self._batches += [_Batch(batch) for batch in _batches(path)]
        sizes = [len(batch.places) for batch in self._batches]
        self._ends = np.cumsum(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Example:
        batch, row = self._find(index)
        return batch.example(row)

    def place(self, index: int) -> str:
        """File and row that document `index` came from."""
        batch, row = self._find(index)
        return batch.places[row].as_py()

    def lengths(self) -> np.ndarray:
        """Tokens of each document, (documents,) int64."""
        if not self._batches:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([np.diff(batch.id_edges) for batch in self._batches])

    def targets(self) -> int:
        """Tokens that have a loss."""
        return sum(batch.targets() for batch in self._batches)

    def _find(self, index: int) -> tuple[_Batch, int]:
        assert 0 <= index < len(self), f"document {index} of {len(self)}"
        number = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[number - 1]) if number else 0
        return self._batches[number], index - before


class _Batch:
    """Views into one record batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        ids, runs, self.places = batch.columns
        self.id_edges, self.ids = _flat(ids)
        self.run_edges, self.runs = _flat(runs)

    def example(self, row: int) -> Example:
        ids = self.ids[self.id_edges[row] : self.id_edges[row + 1]]
        runs = self.runs[self.run_edges[row] : self.run_edges[row + 1]]
        return Example(ids, np.repeat(np.arange(len(runs)) % 2 == 1, runs))

    def targets(self) -> int:
        """Every second run of a document counts, the first does not."""
        place = np.arange(len(self.runs)) - np.repeat(self.run_edges[:-1], np.diff(self.run_edges))
        return int(self.runs[place % 2 == 1].sum())


def write_windows(path: Path, windows: Sequence[Sequence[int]]) -> None:
    """Document numbers of each window."""
    with pa.ipc.new_file(str(path), WINDOWS) as file:
        for low in range(0, len(windows), ROWS):
            rows = [{"documents": list(members)} for members in windows[low : low + ROWS]]
            file.write_batch(pa.RecordBatch.from_pylist(rows, schema=WINDOWS))


class Windows:
    """What `write_windows` wrote, mapped."""

    def __init__(self, path: Path) -> None:
        parts = [_flat(batch.column(0)) for batch in _batches(path)]
        self._parts = parts
        self._ends = np.cumsum([len(edges) - 1 for edges, _ in parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> np.ndarray:
        number = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[number - 1]) if number else 0)
        edges, members = self._parts[number]
        return members[edges[row] : edges[row + 1]]


def _batches(path: Path) -> list[pa.RecordBatch]:
    # The buffers keep the map alive; nothing is read before it is asked for.
    file = pa.ipc.open_file(pa.memory_map(str(path), "r"))
    return [file.get_batch(i) for i in range(file.num_record_batches)]


def _flat(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Edges and values of a list column that was written whole, without copying."""
    return column.offsets.to_numpy(), column.values.to_numpy()


def _runs(mask: np.ndarray) -> np.ndarray:
    """Run lengths, the first of them unmasked and perhaps empty."""
    changes = np.flatnonzero(np.diff(mask)) + 1
    edges = np.concatenate([[0], changes, [len(mask)]])
    runs = np.diff(edges).astype(np.int32)
    return np.concatenate([np.zeros(1, np.int32), runs]) if mask[0] else runs
