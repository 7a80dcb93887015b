"""Documents come back from the disk as they went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.data import store
from openzaya.data.example import Example
from openzaya.data.store import Documents, Windows, Writer, write_windows

DOCUMENT = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(files=st.lists(st.lists(DOCUMENT, max_size=9), min_size=1, max_size=3))
def test_round_trip(files: list[list[list[tuple[int, bool]]]], tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("store")
    flat, old, store.ROWS = [], store.ROWS, 4  # several record batches
    for i, documents in enumerate(files):
        writer = Writer(folder / f"{i}.arrow")
        for j, pairs in enumerate(documents):
            ids, mask = zip(*pairs, strict=True)
            example = Example(np.array(ids, np.int32), np.array(mask, np.bool_))
            writer.add(example, f"{i}:{j}")
            flat.append((example, f"{i}:{j}"))
        writer.close()
    store.ROWS = old
    read = Documents(sorted(folder.iterdir()))
    assert len(read) == len(flat)
    assert read.lengths().tolist() == [len(e) for e, _ in flat]
    assert read.targets() == sum(int(e.loss_mask.sum()) for e, _ in flat)
    for i, (example, place) in enumerate(flat):
        assert np.array_equal(read[i].ids, example.ids) and read.place(i) == place
        assert np.array_equal(read[i].loss_mask, example.loss_mask)


def test_windows(tmp_path: Path) -> None:
    windows = [[3, 1], [2], [0, 4, 5]] * 3000
    write_windows(tmp_path / "w", windows)
    read = Windows(tmp_path / "w")
    assert len(read) == 9000
    for i in (0, 1, 4095, 4096, 4097, 8999):
        assert read[i].tolist() == windows[i]


def test_nothing_is_copied(tmp_path: Path) -> None:
    """Two views of one document share memory: the map."""
    writer = Writer(tmp_path / "d")
    writer.add(Example(np.arange(9, dtype=np.int32), np.ones(9, np.bool_)), "here")
    writer.close()
    read = Documents([tmp_path / "d"])
    assert np.shares_memory(read[0].ids, read[0].ids)
