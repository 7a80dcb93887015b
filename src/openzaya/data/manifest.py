"""What a folder of built data says about itself, and whether a recipe still means the same."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from openzaya.config.base import to_plain
from openzaya.config.data import DataConfig
from openzaya.data.inputs import find_inputs
from openzaya.errors import DataError

MANIFEST_FILE = "manifest.json"
READING_KEYS = ("folder", "windows_per_step", "executor")
"""Keys that do not shape what is built; nor do the sources' weights."""


def shaping(config: DataConfig) -> dict[str, Any]:
    """The part of a recipe that the built data depends on."""
    plain = {k: v for k, v in to_plain(config).items() if k not in READING_KEYS}
    plain["sources"] = {
        name: {k: v for k, v in source.items() if k != "weight"}
        for name, source in plain["sources"].items()
    }
    return plain


def input_facts(config: DataConfig) -> dict[str, Any]:
    """Size and time of every input file: enough to notice that one was replaced."""
    paths = [i.path for i in find_inputs(config) if i.shard is None]
    if config.decontaminate is not None:
        paths += config.decontaminate.files
    if config.tokenizer is not None and Path(config.tokenizer).is_file():
        paths.append(config.tokenizer)
    return {p: [os.stat(p).st_size, os.stat(p).st_mtime_ns] for p in paths}


def changes(manifest: dict[str, Any], config: DataConfig) -> list[str]:
    """Keys and files that are not what the folder was built from."""
    recipe, then = shaping(config), manifest["recipe"]
    keys = [f"data.{k}" for k in {**recipe, **then} if recipe.get(k) != then.get(k)]
    now, before = input_facts(config), manifest["inputs"]
    return keys + [p for p in {**now, **before} if now.get(p) != before.get(p)]


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
