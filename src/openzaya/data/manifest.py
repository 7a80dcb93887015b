"""What a folder of built data says about itself, and whether a recipe still means the same."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from openzaya.config.base import diff
from openzaya.config.data import DataConfig, ExecutorConfig
from openzaya.data.inputs import files_at
from openzaya.errors import DataError
from openzaya.tokenizer import TOKENIZER_FILE

MANIFEST_FILE = "manifest.json"
FORMAT = 1
"""Of the folder. It changes where older ones, or their recipes, cannot be read any more."""


def shaping(config: DataConfig) -> DataConfig:
    """The recipe with what only steers reading, or the way of building, set to fixed values: built
    data depends on nothing but the rest, and on its input files."""
    sources = {n: s.model_copy(update={"weight": 1.0}) for n, s in config.sources.items()}
    fixed = {"folder": "", "sources": sources, "executor": ExecutorConfig(), "windows_per_step": 1}
    return config.model_copy(update=fixed)


def built_config(folder: Path) -> DataConfig:
    """The recipe that `folder` was built from, for a reader who has no other."""
    recipe = _recipe(read_manifest(folder), folder)
    return recipe.model_copy(update={"folder": str(folder)})


def input_facts(config: DataConfig) -> dict[str, Any]:
    """Size, time and checksum of every input file."""
    return {p: [os.stat(p).st_size, os.stat(p).st_mtime_ns, sha256(Path(p))] for p in _used(config)}


def changed_keys(manifest: dict[str, Any], config: DataConfig) -> list[str]:
    """Keys of the recipe that are not what its folder was built from."""
    then = _recipe(manifest, Path(config.folder))
    return [f"data.{key}" for key in diff(then, shaping(config))]


def changes(manifest: dict[str, Any], config: DataConfig) -> list[str]:
    """Keys and input files that are new, or not what the folder was built from. A file that is
    gone is no change: built data outlives what it was built from."""
    keys, before = changed_keys(manifest, config), manifest["inputs"]
    now = [path for path in _used(config) if Path(path).is_file()]
    return keys + [p for p in now if p not in before or not _same(Path(p), *before[p])]


def _recipe(manifest: dict[str, Any], folder: Path) -> DataConfig:
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"{folder} was built by another version of openzaya", "build it anew with --overwrite"
        )
    return DataConfig.model_validate(manifest["recipe"])


def _used(config: DataConfig) -> list[str]:
    """Every input file that the recipe names, there or not."""
    sources = config.sources.values()
    paths = [file for source in sources if source.path for file in files_at(source.path)]
    if config.decontaminate is not None:
        paths += config.decontaminate.files
    if config.tokenizer is not None:
        place = Path(config.tokenizer)
        paths.append(str(place / TOKENIZER_FILE if place.is_dir() else place))
    return paths


def _same(path: Path, size: int, time_ns: int, checksum: str) -> bool:
    """Whether a file is what it was; one that was only copied or touched is."""
    now = path.stat()
    return now.st_size == size and (now.st_mtime_ns == time_ns or sha256(path) == checksum)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises DataError where the folder was not built to its end, or not by us."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise DataError(
            f"{folder} is no built data: it has no {MANIFEST_FILE}",
            "run `zaya data build RECIPE`, or name another data.folder",
        )
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "build it anew with --overwrite") from error
    return manifest


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def column(facts: dict[str, Any]) -> dict[str, str]:
    """A source's counts for people, in the order of a table."""
    report, train, held_out = facts["report"], facts["train"], facts["held_out"]
    trimming = report["trimming"]
    counts = {
        "rows": report["rows"],
        "malformed": report["malformed"],
        "repeat an evaluation set": report["contaminated"],
        "held out": report["held_out"],
        "fitted the window": trimming["kept"],
        "lost the end of their reasoning": trimming["cut"],
        "lost earlier reasoning": trimming["earlier_thinking_dropped"],
        "dropped, answer too long": trimming["sample_dropped"],
        "tokens trimmed away": trimming["tokens_before"] - trimming["tokens_after"],
        "documents": train["documents"],
        "tokens": train["tokens"],
        "targets": train["targets"],
        "windows": train["windows"],
        "held-out windows": held_out["windows"],
    }
    column = {name: f"{count:,}" for name, count in counts.items()}
    return column | {"filled": f"{train['fill']:.2%}"}
