"""Tensors of a folder, memory-mapped, whether they lie in one safetensors file or in shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from openzaya.errors import CheckpointError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
COPY_AGAIN = "copy all files of the checkpoint again"


def read_json(path: Path) -> dict[str, Any]:
    """One object. Raises CheckpointError where the file holds none."""
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:  # not JSON, not even text
        raise _broken(path, str(error)) from error
    if not isinstance(stored, dict):
        raise _broken(path, "it holds no object")
    return stored


def _broken(path: Path, why: str) -> CheckpointError:
    kind = "a ZAYA configuration" if path.name == "config.json" else "an index of shards"
    return CheckpointError(f"{path} is not {kind}: {why}", "restore the file")


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of everything stored; nothing is read from disk before it is used."""
    if not (folder / INDEX).is_file():
        yield from _read_file(folder / SINGLE)
        return
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
        raise _broken(folder / INDEX, "it has no weight_map")
    for file in sorted(set(places.values())):
        for name, tensor in _read_file(folder / file):
            if places.pop(name, None) != file:
                raise CheckpointError(
                    f"{folder / file} holds {name}, which the index does not place there",
                    COPY_AGAIN,
                )
            yield name, tensor
    if places:
        name, file = next(iter(places.items()))
        raise CheckpointError(f"{folder / file} lacks {name}, which the index names", COPY_AGAIN)


def _read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            tensors = [file.get_tensor(name) for name in names]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", COPY_AGAIN) from error
    for name, tensor in zip(names, tensors, strict=True):
        if not tensor.is_floating_point() or tensor.element_size() < 2:
            raise CheckpointError(
                f"{path}: {name} is stored as {tensor.dtype}",
                "quantised checkpoints cannot be loaded as weights",
            )
        yield name, tensor
