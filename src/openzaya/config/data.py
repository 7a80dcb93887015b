"""Training data: where it comes from, how it becomes windows of tokens, and how they are mixed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from openzaya.config.base import Config


class SourceConfig(Config):
    """One source: files on a disk, or a data set of the Hugging Face hub."""

    path: str | None = None
    """A file, a folder or a glob of .jsonl, .jsonl.gz, .jsonl.zst or .parquet files."""
    hub: str | None = None
    """Name of a data set on the hub, in place of `path`."""
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    form: Literal["text", "chat", "pairs"] = "text"
    """text: one string a row; chat: a list of messages; pairs: a prompt and an answer."""
    text: str = "text"
    """The field of a text."""
    messages: str = "messages"
    """The field of a chat: messages with `role`, `content` and perhaps `reasoning_content` or
    `reasoning`; a leading <think>...</think> in `content` is reasoning, too."""
    prompt: str = "prompt"
    """The field of a pair's prompt."""
    answer: str = "answer"
    """The field of a pair's answer."""
    reasoning: str | None = None
    """The field of a pair's reasoning; none has none, or finds it before `answer_mark`."""
    answer_mark: str | None = None
    """The last place of this text in `answer` parts reasoning from answer."""
    weight: NonNegativeFloat = 1.0
    """Share of the windows that training sees, against the other sources' weights."""
    limit: PositiveInt | None = None
    """Rows read of each file; none reads all."""

    @model_validator(mode="after")
    def _one_place(self) -> SourceConfig:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path (files) or hub (a data set's name)")
        return self


class DecontaminateConfig(Config):
    """Rows that repeat text of an evaluation set are left out."""

    files: tuple[str, ...]
    """.jsonl or .parquet files of the evaluation sets."""
    field: str = "question"
    """The field whose text must not be seen."""
    words: int = Field(default=13, ge=4)
    """Length of a repeated passage in words. Shorter evaluation texts are compared whole."""


class ExecutorConfig(Config):
    """Where datatrove runs the preparation."""

    kind: Literal["local", "slurm", "ray"] = "local"
    tasks: PositiveInt = 1
    """Shares of the input files; the result does not depend on it."""
    workers: PositiveInt = 1
    """Tasks at one time."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to datatrove's SlurmPipelineExecutor (time, partition, ..) or RayPipelineExecutor."""


class DataConfig(Config):
    """From raw rows to packed windows. `weight` and `windows_per_step` only steer reading: they can
    change without building anew."""

    folder: str
    """Where the built data lives."""
    sources: dict[str, SourceConfig] = Field(min_length=1)
    window: PositiveInt
    """Context length: the budget of answer-preserving trimming and the size of a packed window."""
    loss_on: Literal["all", "assistant"] = "all"
    """all: every token is a target (base, midtraining); assistant: the model's own turns (SFT)."""
    tokenizer: str | None = None
    """A tokenizer.json, or a folder that has one."""
    train_vocabulary: PositiveInt | None = None
    """Train a byte-level BPE of this size on the sources, in place of `tokenizer`."""
    held_out: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of rows kept for validation, chosen by their own text: the same at every length."""
    seed: NonNegativeInt = 0
    max_malformed: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of rows that may be malformed; they are counted, and past it the build stops."""
    pack_block: PositiveInt = 65536
    """Documents that are sorted and packed together."""
    decontaminate: DecontaminateConfig | None = None
    executor: ExecutorConfig = ExecutorConfig()
    windows_per_step: PositiveInt = 8
    """Windows of one optimizer step, over all ranks."""

    @model_validator(mode="after")
    def _usable(self) -> DataConfig:
        if (self.tokenizer is None) == (self.train_vocabulary is None):
            raise ValueError("give either tokenizer (a file) or train_vocabulary (a size)")
        if not any(source.weight for source in self.sources.values()):
            raise ValueError("the weights of all sources are zero; give one a positive weight")
        return self

    def weights(self) -> dict[str, float]:
        """Normalised weights of the sources that have one."""
        total = sum(source.weight for source in self.sources.values())
        return {name: s.weight / total for name, s in self.sources.items() if s.weight}


class DataRecipe(Config):
    """The [data] table of any recipe; the rest of the file is for others."""

    model_config = ConfigDict(extra="ignore")
    data: DataConfig
