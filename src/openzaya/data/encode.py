"""A sample as training documents of at most one window."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from openzaya.chat import IM_END
from openzaya.data.example import Example, join_turns
from openzaya.data.rows import Sample
from openzaya.data.trimming import TrimReport, trim_conversation
from openzaya.tokenizer import Tokenizer

END_OF_TEXT = ("<eos>", "<|endoftext|>", "</s>", IM_END)
"""What ends a plain text: the first of these that the tokenizer has."""


@dataclass(slots=True)
class SourceReport:
    """What became of a source's rows, in rows and tokens."""

    rows: int = 0
    malformed: int = 0
    contaminated: int = 0
    held_out: int = 0
    documents: int = 0
    tokens: int = 0
    trimming: TrimReport = field(default_factory=TrimReport)
    bad_rows: list[str] = field(default_factory=list)
    """The first malformed rows, with file, number and reason."""

    def __add__(self, other: SourceReport) -> SourceReport:
        mine, its = asdict(self), asdict(other)
        trims = {k: v + its["trimming"][k] for k, v in mine.pop("trimming").items()}
        del its["trimming"]
        return SourceReport(
            **{k: v + its[k] for k, v in mine.items()}, trimming=TrimReport(**trims)
        )

    @classmethod
    def of(cls, stored: dict[str, Any]) -> SourceReport:
        """From its `asdict`."""
        return cls(**{**stored, "trimming": TrimReport(**stored["trimming"])})


def encode_sample(
    sample: Sample,
    tokenizer: Tokenizer,
    window: int,
    loss_on: Literal["all", "assistant"],
    report: SourceReport,
) -> list[Example]:
    """A conversation, trimmed to the window, is one document or none; a text is as many as it
    fills, with every token of it."""
    if sample.messages is not None:
        trimmed = trim_conversation(sample.messages, window, tokenizer)
        report.trimming.add(trimmed)
        if trimmed.messages is None:
            return []
        return [join_turns(trimmed.messages, trimmed.turns, tokenizer, loss_on)]
    assert sample.text is not None
    known = (tokenizer.inner.token_to_id(token) for token in END_OF_TEXT)
    end = next(token for token in known if token is not None)
    ids = [*tokenizer.encode(sample.text), end]
    room = window - 1  # each piece begins with <bos>
    return [_document([tokenizer.bos_id, *ids[i : i + room]]) for i in range(0, len(ids), room)]


def _document(ids: list[int]) -> Example:
    mask = np.ones(len(ids), dtype=np.bool_)
    mask[0] = False
    return Example(np.asarray(ids, dtype=np.int32), mask)
