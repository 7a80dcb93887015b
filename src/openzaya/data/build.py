"""`zaya data build`: from a recipe to a sealed folder, or nothing.

    FOLDER/manifest.json            what it was built from, what is in it, checksums, fingerprint
    FOLDER/tokenizer.json           with which it was encoded
    FOLDER/SOURCE/train-00000.arrow documents of an input file (held_out-00000.arrow likewise)
    FOLDER/SOURCE/train.windows     which documents share a window

The work is done in FOLDER.building, which becomes FOLDER at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict
from pathlib import Path
from typing import Any

import loguru

from openzaya.config.base import to_plain
from openzaya.config.data import DataConfig
from openzaya.data.encode import SourceReport
from openzaya.data.inputs import find_inputs
from openzaya.data.manifest import (
    FORMAT,
    MANIFEST_FILE,
    changes,
    input_facts,
    read_manifest,
    sha256,
    shaping,
)
from openzaya.data.packing import fill_ratio, pack_best_fit
from openzaya.data.pipeline import SPLITS, check_malformed, executors, logs_of
from openzaya.data.store import Documents, write_windows
from openzaya.data.vocabulary import make_tokenizer
from openzaya.errors import DataError, ZayaError


def build(config: DataConfig, overwrite: bool = False) -> dict[str, Any]:
    """Build the folder of a recipe and return its manifest; nothing is done where it is up to date.

    DataError where the folder holds something else, a source is empty or too many rows are
    malformed: then the folder is as it was before.
    """
    final = Path(config.folder)
    if final.exists() and not overwrite:
        manifest = read_manifest(final)
        changed = changes(manifest, config)
        if changed:
            raise DataError(
                f"{final} was built from something else: {', '.join(changed)} changed",
                "add --overwrite to build it anew, or name another data.folder",
            )
        return manifest
    if final.exists():
        read_manifest(final)  # nothing is deleted that is not ours
    work = final.with_name(f"{final.name}.building")
    _clear(work)
    try:
        find_inputs(config)  # a missing source is told at once
        work.mkdir(parents=True)
        make_tokenizer(config).save(work)
        with _quiet(_log(work)):
            executors(config, work, final).run()
    except ZayaError:
        _clear(work)
        raise
    if config.executor.kind != "local":
        return {}
    _clear(work)
    return read_manifest(final)


def _clear(work: Path) -> None:
    """Remove what a build works in. A bug's traceback and log stay."""
    for folder in (work, logs_of(work)):
        shutil.rmtree(folder, ignore_errors=True)
    _log(work).unlink(missing_ok=True)


def _log(work: Path) -> Path:
    return work.with_name(f"{work.name}.log")


def finish(config: DataConfig, folder: Path, final: Path) -> None:
    """Pack every source, write the manifest, and let the folder appear as `final`."""
    sources = {name: _pack(name, config, folder) for name in config.sources}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "report-" not in p.name)
    sums = {
        str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files
    }
    recipe = to_plain(shaping(config))
    digest = json.dumps([recipe, {k: v["sha256"] for k, v in sums.items()}], sort_keys=True)
    manifest = {
        "format": FORMAT,
        "recipe": recipe,
        "inputs": input_facts(config),
        "sources": sources,
        "files": sums,
        "fingerprint": hashlib.sha256(digest.encode()).hexdigest(),
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    if final.exists():
        shutil.rmtree(final)
    folder.rename(final)


def _pack(name: str, config: DataConfig, folder: Path) -> dict[str, Any]:
    base = folder / name
    report = SourceReport()
    for path in sorted(base.glob("report-*.json")):
        report = report + SourceReport.of(json.loads(path.read_text()))
        path.unlink()
    check_malformed(name, report, config)
    facts: dict[str, Any] = {"report": asdict(report)}
    for split in SPLITS:
        documents = Documents(sorted(base.glob(f"{split}-*.arrow")))
        lengths = documents.lengths().tolist()
        order = list(range(len(lengths)))
        random.Random(f"pack:{config.seed}:{name}:{split}").shuffle(order)
        windows: list[list[int]] = []
        for low in range(0, len(order), config.pack_block):
            block = order[low : low + config.pack_block]
            packed = pack_best_fit([lengths[i] for i in block], config.window)
            windows += [[block[i] for i in members] for members in packed]
        write_windows(base / f"{split}.windows", windows)
        facts[split] = {
            "documents": len(lengths),
            "tokens": sum(lengths),
            "targets": documents.targets(),
            "windows": len(windows),
            "fill": fill_ratio(windows, lengths, config.window),
        }
    if not facts["train"]["windows"]:
        raise DataError(
            f"data.sources.{name}: no document is left of {report.rows} rows"
            f" ({report.malformed} malformed, {report.contaminated} repeat an evaluation set,"
            f" {report.trimming.sample_dropped} with an answer longer than data.window)",
            "look at the source's files and fields, or raise data.window",
        )
    return facts


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """datatrove tells its progress on stderr, also from worker processes: into a file with it,
    which stays where the build fails."""
    saved = os.dup(2)
    with log.open("w") as file, redirect_stderr(file):
        os.dup2(file.fileno(), 2)
        loguru.logger.remove()  # its first line goes to the stderr of when it was imported
        loguru.logger.add(file)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            loguru.logger.remove()  # it would go on writing to the closed file
