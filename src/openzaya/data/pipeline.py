"""The preparation as a datatrove pipeline: the same on one machine, on Slurm and on Ray.

    read and parse -> decontaminate -> trim, encode and write -> (one task, last) pack and seal

Each task takes a share of the input files and writes files named after its inputs, so the result
does not depend on how many tasks there were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from openzaya.config.data import DataConfig, SourceConfig
from openzaya.data.decontaminate import Contamination
from openzaya.data.encode import SourceReport, encode_sample
from openzaya.data.inputs import Input, Malformed, find_inputs
from openzaya.data.rows import Sample, read_sample
from openzaya.data.store import Writer
from openzaya.errors import ConfigError, DataError
from openzaya.tokenizer import Tokenizer

SHOWN = 3
"""Malformed rows that an error names."""


class ReadRows(PipelineStep):
    """Rows of this task's inputs as samples; the malformed ones are counted by name."""

    name = "rows"
    type = "READER"

    def __init__(self, config: DataConfig) -> None:
        super().__init__()
        self.config = config

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for item in find_inputs(self.config)[rank::world_size]:
            source = self.config.sources[item.source]
            yield Document(
                "", "", metadata={"input": item}
            )  # begins an input, if only an empty one
            for number, row in item.rows(source):
                place = f"{item.path}:{number}"
                yield Document(
                    "", place, metadata={"input": item, "row": _parse(row, source, place)}
                )


def _parse(row: Any, source: SourceConfig, place: str) -> Sample | Malformed:
    if isinstance(row, Malformed):
        return row
    try:
        return read_sample(row, source, place)
    except DataError as error:
        return Malformed(error.message)


class Decontaminate(PipelineStep):
    """Marks samples that repeat an evaluation set."""

    name = "decontaminate"
    type = "FILTER"

    def __init__(self, config: DataConfig) -> None:
        super().__init__()
        self.config = config

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        assert self.config.decontaminate is not None
        seen = Contamination(self.config.decontaminate)
        for document in data:
            row = document.metadata.get("row")
            document.metadata["contaminated"] = isinstance(row, Sample) and seen.hits(row.words)
            yield document


class EncodeAndWrite(PipelineStep):
    """Trims and encodes samples into `folder`, with a report beside each input's documents."""

    name = "encode"
    type = "WRITER"

    def __init__(self, config: DataConfig, folder: Path) -> None:
        super().__init__()
        self.config, self.folder = config, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        tokenizer = Tokenizer.load(self.folder)
        output: _Output | None = None
        for document in data:
            row = document.metadata.get("row")
            if row is None:
                if output is not None:
                    output.close()
                output = _Output(self.config, self.folder, document.metadata["input"], tokenizer)
                continue
            assert output is not None
            output.add(row, document.id, document.metadata.get("contaminated", False))
            yield document
        if output is not None:
            output.close()


class _Output:
    """The files of one input."""

    def __init__(self, config: DataConfig, folder: Path, item: Input, tokenizer: Tokenizer) -> None:
        self.config, self.tokenizer, self.item = config, tokenizer, item
        self.base = folder / item.source
        self.report = SourceReport()
        self.writers = {split: Writer(self._file(split, "arrow")) for split in SPLITS}

    def _file(self, kind: str, suffix: str) -> Path:
        return self.base / f"{kind}-{self.item.number:05d}.{suffix}"

    def add(self, row: Sample | Malformed, place: str, contaminated: bool) -> None:
        report, config = self.report, self.config
        report.rows += 1
        if isinstance(row, Malformed):
            report.malformed += 1
            report.bad_rows = [*report.bad_rows, f"{place}: {row.reason}"][:SHOWN]
            if config.max_malformed == 0:
                check_malformed(self.item.source, report, config)
            return
        if contaminated:
            report.contaminated += 1
            return
        split = "held_out" if row.key < config.held_out * 2**64 else "train"
        report.held_out += split == "held_out"
        try:
            made = encode_sample(row, self.tokenizer, config.window, config.loss_on, report)
        except DataError as error:
            raise DataError(f"{place}: {error.message}", error.hint) from error
        for example in made:
            self.writers[split].add(example, place)
            report.documents += 1
            report.tokens += len(example)

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self._file("report", "json").write_text(json.dumps(asdict(self.report)))


SPLITS = ("train", "held_out")


def check_malformed(source: str, report: SourceReport, config: DataConfig) -> None:
    """DataError where more rows are malformed than the recipe allows."""
    if report.malformed > config.max_malformed * report.rows:
        raise DataError(
            f"data.sources.{source}: {report.malformed} of {report.rows} rows are malformed,"
            f" first {'; '.join(report.bad_rows)}",
            "mend them, check the field names of the source, or raise data.max_malformed",
        )


class Finish(PipelineStep):
    """The last task: packs what all the others wrote, and seals the folder."""

    name = "pack"
    type = "WRITER"

    def __init__(self, config: DataConfig, folder: Path, final: Path) -> None:
        super().__init__()
        self.config, self.folder, self.final = config, folder, final

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        from openzaya.data.build import finish

        finish(self.config, self.folder, self.final)
        yield from data or ()


def logs_of(folder: Path) -> Path:
    """Where datatrove notes which tasks are done."""
    return folder.with_name(f"{folder.name}.logs")


def executors(config: DataConfig, folder: Path, final: Path) -> Any:
    """The last executor of the chain; running it runs those before it. `folder` is worked in and
    becomes `final`."""
    steps: list[PipelineStep] = [ReadRows(config), EncodeAndWrite(config, folder)]
    if config.decontaminate is not None:
        steps.insert(1, Decontaminate(config))
    last: list[PipelineStep] = [Finish(config, folder, final)]
    how, logs = config.executor, logs_of(folder)
    if how.kind == "local":
        first = LocalPipelineExecutor(
            steps, tasks=how.tasks, workers=how.workers, logging_dir=str(logs / "prepare")
        )
        return LocalPipelineExecutor(
            last, tasks=1, workers=1, logging_dir=str(logs / "pack"), depends=first
        )
    kind: Any = SlurmPipelineExecutor if how.kind == "slurm" else RayPipelineExecutor
    try:
        prepare = kind(
            pipeline=steps, tasks=how.tasks, workers=how.workers,
            logging_dir=str(logs / "prepare"), **how.options,
        )  # fmt: skip
        return kind(
            pipeline=last, tasks=1, workers=1, logging_dir=str(logs / "pack"), depends=prepare,
            **how.options,
        )  # fmt: skip
    except TypeError as error:
        raise ConfigError(
            f"data.executor.options: {error}",
            f"these go to datatrove's {kind.__name__}; see its arguments",
        ) from error
